//! The pages of a pipe, in slots that positions go round.

use crate::{PAGE_SHIFT, PAGE_SIZE, Page};
use alloc::{boxed::Box, sync::Arc};
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{AtomicPtr, Ordering::Relaxed};

/// The pages between the positions; a page is there from the first byte written to it to the last byte read.
pub(super) struct Ring {
    /// At least one slot more than the capacity has pages, so that the newest bytes never share a
    /// page with the oldest; a power of two.
    slots: Box<[AtomicPtr<u8>]>,
}

impl Ring {
    /// For as many bytes as so many pages have.
    pub(super) fn new(pages: usize) -> Arc<Self> {
        let slots = (0..(pages + 1).next_power_of_two()).map(|_| AtomicPtr::new(null_mut())).collect();
        Arc::new(Ring { slots })
    }

    /// Where the page of a position is.
    #[inline]
    pub(super) fn slot(&self, position: usize) -> &AtomicPtr<u8> {
        &self.slots[(position >> PAGE_SHIFT) & (self.slots.len() - 1)]
    }

    /// Uses the page of a position, which is there.
    #[inline]
    pub(super) fn with_page<R>(&self, position: usize, use_page: impl FnOnce(&Page) -> R) -> R {
        let raw = NonNull::new(self.slot(position).load(Relaxed)).expect("bytes without a page");
        // SAFETY: the slot owns the page and keeps it while the caller, who has this side's lock and is
        // between the positions that belong to it, uses it; the borrowed handle gives nothing up.
        let page = ManuallyDrop::new(unsafe { Page::from_raw(raw) });
        use_page(&page)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            free_page(*slot.get_mut());
        }
    }
}

/// Frees a page that came out of a slot; null is none.
fn free_page(raw: *mut u8) {
    if let Some(raw) = NonNull::new(raw) {
        // SAFETY: slots own what they point to, and the caller took this pointer out of one.
        drop(unsafe { Page::from_raw(raw) });
    }
}

/// Where in its page a position is.
#[inline]
pub(super) fn offset_of(position: usize) -> usize {
    position % PAGE_SIZE
}
