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
pub use trouble::Trouble;

use crate::{Clock, PAGE_SIZE, PageProvider, Timestamp};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::alloc::{Layout, alloc_zeroed, dealloc};

struct Host;

/// The page, and behind it the count of its owners.
const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE + 64, PAGE_SIZE) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Pages that have owners.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// How many pages have owners now.
pub fn pages_in_use() -> usize {
    PAGES.load(Relaxed)
}

/// The owners of a page.
///
/// # Safety
/// `page` came from `alloc_zeroed` and has an owner.
unsafe fn owners<'a>(page: NonNull<u8>) -> &'a AtomicUsize {
    // SAFETY: the count lies behind the page in the same allocation.
    unsafe { page.add(PAGE_SIZE).cast().as_ref() }
}

// SAFETY: the count is atomic, and the allocation is freed when it falls to zero.
unsafe impl PageProvider for Host {
    fn alloc_zeroed() -> Option<NonNull<u8>> {
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

crate::page_provider!(Host);
crate::clock!(Host);
