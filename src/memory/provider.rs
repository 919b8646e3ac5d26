//! Frames as the pages of the file systems: one count of owners for page cache, pipes and mappings.

use super::frame::{self, Frame};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

struct Frames;

// SAFETY: a frame is a page-aligned page with a count of owners, and `alloc_zeroed` starts it at one.
unsafe impl fs::PageProvider for Frames {
    #[inline]
    fn alloc_zeroed() -> Option<NonNull<u8>> {
        Frame::alloc_zeroed().map(Frame::into_raw)
    }

    fn free() -> usize {
        frame::free()
    }

    #[inline]
    fn set_urgent(urgent: bool) -> bool {
        frame::set_urgent(urgent)
    }

    #[inline]
    unsafe fn add_ref(page: NonNull<u8>) {
        // SAFETY: the caller says that the page has an owner.
        unsafe { frame::add_owner(frame::physical_of(page.addr().get())) }
    }

    #[inline]
    unsafe fn is_shared(page: NonNull<u8>) -> bool {
        // SAFETY: the caller says that the page has an owner; the borrowed handle gives nothing up.
        ManuallyDrop::new(unsafe { Frame::from_ptr(page) }).owners() > 1
    }

    #[inline]
    unsafe fn release(page: NonNull<u8>) {
        // SAFETY: the caller gives up one ownership.
        drop(unsafe { Frame::from_ptr(page) });
    }

    unsafe fn add_pin(page: NonNull<u8>) {
        // SAFETY: the caller says that the page has an owner; the borrowed handle gives nothing up.
        ManuallyDrop::new(unsafe { Frame::from_ptr(page) }).pin();
    }

    unsafe fn release_pin(page: NonNull<u8>) {
        // SAFETY: the caller gives up one ownership, which is a pinned one.
        unsafe { Frame::from_ptr(page).unpin() }
    }
}

fs::page_provider!(Frames);

/// A file's page as a frame; the ownership moves along.
#[inline]
pub(super) fn frame_of(page: fs::Page) -> Frame {
    // SAFETY: pages are frames in this kernel (see above), and the page's ownership is given up here.
    unsafe { Frame::from_ptr(page.into_raw()) }
}

/// A pinned owner of a frame, as a page.
pub(super) fn pinned_page(frame: &Frame) -> fs::Page {
    // SAFETY: the frame has an owner; the borrowed handle gives nothing up.
    ManuallyDrop::new(unsafe { fs::Page::from_raw(frame::pointer(frame.number())) }).pin()
}

/// A frame as a file's page; the ownership moves along.
#[inline]
pub fn page_of(frame: Frame) -> fs::Page {
    // SAFETY: the inverse of `frame_of`.
    unsafe { fs::Page::from_raw(frame.into_raw()) }
}
