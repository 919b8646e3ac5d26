//! Pages, time and disks from the host, for tests and benchmarks.

mod crash;
mod history;
mod image;
mod ram;
mod random;
mod recorder;
mod snapshot;
mod trouble;

pub use crash::Images;
pub use history::{Flush, History, Moment, Write};
pub use image::Image;
pub use ram::RamDisk;
pub use random::Random;
pub use recorder::Recorder;
pub use snapshot::Snapshot;
pub use trouble::{Deed, Trouble};

use crate::{Clock, PAGE_SIZE, PageProvider, Timestamp};
use core::cell::Cell;
use core::ptr::NonNull;
use executor::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::alloc::{Layout, alloc_zeroed, dealloc};

#[cfg_attr(test, allow(dead_code, reason = "see below"))]
struct Host;

/// The page, and behind it the count of its owners.
#[cfg_attr(test, allow(dead_code, reason = "see below"))]
const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE + 64, PAGE_SIZE) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Pages that have owners.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// Whether pages may be refused, which costs others nothing.
static SCARCE: AtomicBool = AtomicBool::new(false);

std::thread_local! {
    /// How many pages this thread gets before it gets so many no more.
    static SCARCITY: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
    /// How many of those that are refused this thread gets all the same if they are urgent.
    static KEPT: Cell<usize> = const { Cell::new(0) };
    /// Whether what this thread does is urgent.
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread gets so many pages as it should, and then so often none. Returns what was to come of what was said
/// here before.
pub fn refuse_pages(before: usize, count: usize) -> (usize, usize) {
    SCARCE.store(true, Relaxed);
    SCARCITY.replace((before, count))
}

/// Of the pages that are refused to this thread from now on, [urgent](crate::urgently) work gets so many all the same, and those
/// that this thread gives back.
pub fn keep_pages(count: usize) {
    KEPT.set(count);
}

/// How often a page is still to be refused to this thread.
pub fn pages_to_refuse() -> usize {
    SCARCITY.get().1
}

/// Whether a page is refused.
#[cfg_attr(test, allow(dead_code, reason = "see below"))]
fn is_refused() -> bool {
    let (before, count) = SCARCITY.get();
    if before > 0 {
        SCARCITY.set((before - 1, count));
    } else if count > 0 {
        SCARCITY.set((0, count - 1));
        let kept = KEPT.get();
        if !URGENT.get() || kept == 0 {
            return true;
        }
        KEPT.set(kept - 1);
    }
    false
}

/// How many pages have owners now.
pub fn pages_in_use() -> usize {
    PAGES.load(Relaxed)
}

/// The owners of a page.
///
/// # Safety
/// `page` came from `alloc_zeroed` and has an owner.
#[cfg_attr(test, allow(dead_code, reason = "see below"))]
unsafe fn owners<'a>(page: NonNull<u8>) -> &'a AtomicUsize {
    // SAFETY: the count lies behind the page in the same allocation.
    unsafe { page.add(PAGE_SIZE).cast().as_ref() }
}

// SAFETY: the count is atomic, and the allocation is freed when it falls to zero.
unsafe impl PageProvider for Host {
    fn free() -> usize {
        // Far more than any test takes.
        usize::MAX / 2
    }

    fn set_urgent(urgent: bool) -> bool {
        URGENT.replace(urgent)
    }

    fn alloc_zeroed() -> Option<NonNull<u8>> {
        if SCARCE.load(Relaxed) && is_refused() {
            return None;
        }
        // SAFETY: the layout has a size.
        let page = NonNull::new(unsafe { alloc_zeroed(LAYOUT) })?;
        PAGES.fetch_add(1, Relaxed);
        // SAFETY: just allocated, and a zeroed count is valid.
        unsafe { owners(page) }.store(1, Relaxed);
        Some(page)
    }

    unsafe fn add_ref(page: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { owners(page) }.fetch_add(1, Relaxed);
    }

    unsafe fn is_shared(page: NonNull<u8>) -> bool {
        // SAFETY: the caller's promise. Acquire pairs with the AcqRel of a release.
        unsafe { owners(page) }.load(Acquire) > 1
    }

    unsafe fn release(page: NonNull<u8>) {
        // SAFETY: the caller's promise. AcqRel: what each owner did happens before the last one frees.
        unsafe {
            if owners(page).fetch_sub(1, AcqRel) == 1 {
                dealloc(page.as_ptr(), LAYOUT);
                PAGES.fetch_sub(1, Relaxed);
                let (before, count) = SCARCITY.get();
                if before == 0 && count > 0 {
                    KEPT.set(KEPT.get() + 1);
                }
            }
        }
    }
}

impl Clock for Host {
    fn now() -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
    }
}

// Unit tests are also linked with this crate as what the other tests depend on, and there is one provider in a program.
#[cfg(test)]
extern crate fs as _;

#[cfg(not(test))]
crate::page_provider!(Host);
#[cfg(not(test))]
crate::clock!(Host);
