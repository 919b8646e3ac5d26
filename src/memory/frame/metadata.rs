//! What the kernel knows about each frame: two words per 4 KiB.
//!
//! ```text
//!   state of the frame          word                      link
//!   ------------------          ----                      ----
//!   in use by owners            owners; pinned ones << 32 bitmap of a page table's used lines
//!   slab of the kernel heap     class, free count, head   neighbours in the list of partial slabs
//!   waiting in a chain          0 (first: next chain)     next frame of the chain
//!   first of a free block       FREE | order              neighbours in the order's free list
//!   any other free frame        0                         -
//!   never handed out            RESERVED                  -
//! ```
//!
//! The words say everything, so free frames themselves are never touched: a frame that was zero when it was freed is
//! zero when it is allocated again.

use super::Number;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The frame is the first of a free block; the low byte is the block's order.
pub(super) const FREE: u64 = 1 << 63;
/// The frame is not memory that the allocator owns.
pub(super) const RESERVED: u64 = 1 << 62;

/// The two words of one frame.
#[repr(C, align(16))]
pub(in crate::memory) struct Metadata {
    /// Owners, or what the table above says.
    pub(in crate::memory) word: AtomicU64,
    /// Links or a bitmap, as the table above says.
    pub(in crate::memory) link: AtomicU64,
}

/// Two neighbours in a doubly linked list, packed into one word. 0 means none: frame 0 is never handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) struct Neighbours {
    pub(in crate::memory) next: Number,
    pub(in crate::memory) previous: Number,
}

impl Metadata {
    /// A frame that the allocator does not own.
    pub(super) const fn reserved() -> Self {
        Self { word: AtomicU64::new(RESERVED), link: AtomicU64::new(0) }
    }

    /// Reads the packed links. Relaxed: a list's lock orders its accesses.
    #[inline]
    pub(in crate::memory) fn neighbours(&self) -> Neighbours {
        let packed = self.link.load(Ordering::Relaxed);
        Neighbours { next: packed as Number, previous: (packed >> 32) as Number }
    }

    /// Writes the packed links.
    #[inline]
    pub(in crate::memory) fn set_neighbours(&self, links: Neighbours) {
        self.link.store(u64::from(links.next) | u64::from(links.previous) << 32, Ordering::Relaxed);
    }
}

static BASE: AtomicPtr<Metadata> = AtomicPtr::new(core::ptr::null_mut());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes `table` the metadata of frames `0..table.len()`.
pub(super) fn install(table: &'static [Metadata]) {
    // Relaxed: start-up happens on one CPU, before others are started.
    COUNT.store(table.len() as u32, Ordering::Relaxed);
    BASE.store(table.as_ptr().cast_mut(), Ordering::Relaxed);
}

/// All frames' metadata; empty before `install`.
#[inline]
pub(in crate::memory) fn all() -> &'static [Metadata] {
    let base = BASE.load(Ordering::Relaxed);
    if base.is_null() {
        return &[];
    }
    // SAFETY: `install` was given a slice of this length that lives for ever.
    unsafe { core::slice::from_raw_parts(base, COUNT.load(Ordering::Relaxed) as usize) }
}

/// One frame's metadata.
///
/// # Safety
/// `number` must be the number of a frame that came from the allocator.
#[inline(always)]
pub(in crate::memory) unsafe fn of(number: Number) -> &'static Metadata {
    debug_assert!(number != 0 && number < COUNT.load(Ordering::Relaxed));
    // SAFETY: the allocator hands out frames below the table's length only.
    unsafe { &*BASE.load(Ordering::Relaxed).add(number as usize) }
}
