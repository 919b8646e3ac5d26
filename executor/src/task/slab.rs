//! Where cells come from: a type-stable slab.
//!
//! ```text
//!   per CPU and class: a magazine in use, and a full or empty spare   (plain loads and stores)
//!        │ both empty: take a magazine        ▲ both full: give one back
//!        ▼                                    │
//!   per class: the depot, a stack of full magazines under a spin lock ◄── chunks from the allocator
//! ```
//!
//! A magazine is a chain of free cells that moves as a whole (Bonwick and Adams, "Magazines and
//! vmem", USENIX 2001). "Type-stable" means that a cell, once made, is a task cell for ever: chunks
//! are never given back. That is what lets wakers be bare pointers. The price is that the slab keeps
//! its peak size, so its bytes are counted ([`crate::slab_bytes`]).

use super::{Header, TaskRef};
use crate::platform::hooks;
use crate::sync::SpinMutex;
use alloc::alloc::{Layout, alloc_zeroed};
use core::array;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

#[cfg(all(feature = "sim", not(loom)))]
use crate::sim::undisturbed;
/// Only the simulator has to be told.
#[cfg(not(all(feature = "sim", not(loom))))]
#[inline(always)]
fn undisturbed<T>(action: impl FnOnce() -> T) -> T {
    action()
}

/// Bytes of a cell, by class. Larger futures are boxed.
const SIZES: [usize; CLASSES] = [64, 128, 192, 256, 384, 512, 704, 768, 1024, 1536, 2048, 3072, 4096];
const CLASSES: usize = 13;
const ALIGN: usize = 64;
/// Bytes of a magazine, about.
const MAGAZINE_BYTES: usize = 2048;
const CHUNK_BYTES: usize = 16 << 10;

/// Cells of a full magazine.
const fn magazine(class: usize) -> u32 {
    let n = MAGAZINE_BYTES / SIZES[class];
    if n < 2 { 2 } else { n as u32 }
}

/// The smallest class that fits, if any does.
pub(crate) const fn class_of(layout: Layout) -> Option<usize> {
    if layout.align() > ALIGN {
        return None;
    }
    let mut class = 0;
    while class < CLASSES {
        if layout.size() <= SIZES[class] {
            return Some(class);
        }
        class += 1;
    }
    None
}

/// Give an empty cell back.
///
/// # Safety
/// The task has ended, its body is empty, and nobody else will free the cell.
#[inline(always)]
pub(crate) unsafe fn free(task: TaskRef) {
    debug_assert!(!hooks::in_interrupt(), "an interrupt handler must not free");
    match hooks::worker() {
        Some(worker) if task.is_of(worker.shared().id) => {
            worker.count_freed();
            worker.cells().give(task, &worker.shared().slab);
        }
        _ => {
            let shared = task.executor();
            shared.freed.fetch_add(1, Relaxed);
            shared.slab.give_one(task);
        }
    }
}

/// A chain of free cells, with the room that is left in it.
#[derive(Clone, Copy)]
struct Chain {
    first: *mut Header,
    room: u32,
}

impl Chain {
    const fn empty(class: usize) -> Chain {
        Chain { first: ptr::null_mut(), room: magazine(class) }
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    #[inline(always)]
    fn push(&mut self, task: TaskRef) {
        task.header().link.store(self.first, Relaxed);
        self.first = task.as_ptr();
        self.room -= 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<TaskRef> {
        // SAFETY: chains hold pointers of cells.
        let task = unsafe { TaskRef::from_ptr(self.first) }?;
        self.first = task.header().link.load(Relaxed);
        self.room += 1;
        Some(task)
    }
}

/// A CPU's own free cells. Only that CPU touches them, in task context.
pub(crate) struct Cells {
    // Sixteen, the most that four bits can name, so that no bound has to be checked.
    current: [Cell<Chain>; 16],
    spare: [Cell<Chain>; CLASSES],
}

impl Cells {
    pub(crate) fn new() -> Cells {
        Cells {
            current: array::from_fn(|class| Cell::new(Chain::empty(class.min(CLASSES - 1)))),
            spare: array::from_fn(|class| Cell::new(Chain::empty(class))),
        }
    }

    /// A free cell of the class, or `None` without memory.
    #[inline(always)]
    pub(crate) fn take(&self, class: usize, depot: &Depot) -> Option<NonNull<Header>> {
        let mut chain = self.current[class].get();
        let Some(task) = chain.pop() else { return self.refill(class, depot) };
        self.current[class].set(chain);
        Some(task.0)
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, class: usize, depot: &Depot) -> Option<NonNull<Header>> {
        let mut chain = self.spare[class].replace(Chain::empty(class));
        if chain.is_empty() {
            chain = undisturbed(|| depot.take(class))?;
        }
        let task = chain.pop()?;
        self.current[class].set(chain);
        Some(task.0)
    }

    /// Everything back to the depot.
    #[cfg(all(feature = "sim", not(loom)))]
    pub(crate) fn return_all(&self, depot: &Depot) {
        for class in 0..CLASSES {
            for chain in [&self.current[class], &self.spare[class]] {
                depot.give(class, chain.replace(Chain::empty(class)));
            }
        }
    }

    #[inline(always)]
    fn give(&self, task: TaskRef, depot: &Depot) {
        let class = task.kind().class();
        let mut chain = self.current[class].get();
        if chain.room == 0 {
            self.unload(class, depot);
            chain = Chain::empty(class);
        }
        chain.push(task);
        self.current[class].set(chain);
    }

    /// The current magazine is full: it becomes the spare one.
    #[cold]
    #[inline(never)]
    fn unload(&self, class: usize, depot: &Depot) {
        let full = self.spare[class].replace(self.current[class].get());
        if !full.is_empty() {
            undisturbed(|| depot.give(class, full));
        }
    }
}

/// The free cells of no CPU, and the source of new ones.
pub(crate) struct Depot {
    shelves: [SpinMutex<Shelf>; CLASSES],
    bytes: AtomicUsize,
}

struct Shelf {
    /// The first cell of the newest magazine. That cell's `join` word leads to the next magazine,
    /// its `id` is the magazine's room.
    magazines: *mut Header,
    /// Cells that came one by one.
    loose: Chain,
    /// The part of the newest chunk that was never a cell.
    fresh: *mut u8,
    fresh_end: *mut u8,
}

// SAFETY: cells are plain memory that any CPU may use; the lock orders it.
unsafe impl Send for Shelf {}

impl Shelf {
    fn put(&mut self, chain: Chain) {
        // SAFETY: chains hold pointers of cells.
        if let Some(first) = unsafe { TaskRef::from_ptr(chain.first) } {
            first.header().join.set_link(self.magazines);
            first.header().id.store(chain.room, Relaxed);
            self.magazines = chain.first;
        }
    }

    fn get(&mut self, class: usize) -> Option<Chain> {
        // SAFETY: the stack holds pointers of cells.
        if let Some(first) = unsafe { TaskRef::from_ptr(self.magazines) } {
            self.magazines = first.header().join.link();
            return Some(Chain { first: first.as_ptr(), room: first.header().id.load(Relaxed) });
        }
        if !self.loose.is_empty() {
            return Some(core::mem::replace(&mut self.loose, Chain::empty(class)));
        }
        self.carve(class)
    }

    /// A magazine of cells that never were used.
    fn carve(&mut self, class: usize) -> Option<Chain> {
        let mut chain = Chain::empty(class);
        while chain.room > 0 && self.fresh < self.fresh_end {
            let cell = self.fresh;
            self.fresh = cell.wrapping_add(SIZES[class]);
            // SAFETY: inside the chunk; zeroed bytes are a valid header.
            if let Some(task) = unsafe { TaskRef::from_ptr(cell.cast()) } {
                chain.push(task);
            }
        }
        (!chain.is_empty()).then_some(chain)
    }
}

impl Depot {
    pub(crate) fn new() -> Depot {
        let shelf = |class| Shelf {
            magazines: ptr::null_mut(),
            loose: Chain::empty(class),
            fresh: ptr::null_mut(),
            fresh_end: ptr::null_mut(),
        };
        Depot { shelves: array::from_fn(|class| SpinMutex::new(shelf(class))), bytes: AtomicUsize::new(0) }
    }

    /// Bytes taken from the global allocator so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// A cell for a spawner that is no worker.
    pub(crate) fn take_one(&self, class: usize) -> Option<NonNull<Header>> {
        let mut chain = self.take(class)?;
        let task = chain.pop();
        if !chain.is_empty() {
            self.give(class, chain);
        }
        task.map(|task| task.0)
    }

    /// A cell back from somebody who is no worker.
    fn give_one(&self, task: TaskRef) {
        let class = task.kind().class();
        let mut shelf = self.shelves[class].lock();
        shelf.loose.push(task);
        if shelf.loose.room == 0 {
            let full = core::mem::replace(&mut shelf.loose, Chain::empty(class));
            shelf.put(full);
        }
    }

    /// A magazine with at least one cell; `None` only without memory.
    fn take(&self, class: usize) -> Option<Chain> {
        let chain = self.shelves[class].lock().get(class);
        chain.or_else(|| self.grow(class))
    }

    fn give(&self, class: usize, chain: Chain) {
        self.shelves[class].lock().put(chain);
    }

    /// A chunk from the global allocator, outside of the lock.
    #[cold]
    fn grow(&self, class: usize) -> Option<Chain> {
        // SAFETY: not of size zero, and the alignment is a power of two.
        let chunk = unsafe { alloc_zeroed(Layout::from_size_align_unchecked(CHUNK_BYTES, ALIGN)) };
        let mut shelf = self.shelves[class].lock();
        if chunk.is_null() {
            // Another CPU may have freed some meanwhile; if not, this is the end.
            return shelf.get(class);
        }
        self.bytes.fetch_add(CHUNK_BYTES, Relaxed);
        // What another CPU put here meanwhile is not lost.
        while let Some(chain) = shelf.carve(class) {
            shelf.put(chain);
        }
        shelf.fresh = chunk;
        shelf.fresh_end = chunk.wrapping_add(CHUNK_BYTES / SIZES[class] * SIZES[class]);
        shelf.carve(class)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn classes_fit() {
        let class = |size| class_of(Layout::from_size_align(size, 8).unwrap());
        assert_eq!(class(40), Some(0));
        assert_eq!(class(64), Some(0));
        assert_eq!(class(65), Some(1));
        assert_eq!(class(4096), Some(CLASSES - 1));
        assert_eq!(class(4097), None);
        assert_eq!(class_of(Layout::from_size_align(64, 128).unwrap()), None);
        for (class, size) in SIZES.into_iter().enumerate() {
            assert_eq!(size % ALIGN, 0);
            assert!(magazine(class) as usize * size <= CHUNK_BYTES);
        }
    }

    #[test]
    fn cells_are_distinct_and_come_back() {
        const N: usize = 3 * (CHUNK_BYTES / SIZES[0]);
        let depot = Depot::new();
        let cells = Cells::new();
        let mut taken: alloc::vec::Vec<_> = (0..N).map(|_| cells.take(0, &depot).unwrap()).collect();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), N);
        let peak = depot.bytes();
        for &cell in &taken {
            cells.give(TaskRef(cell), &depot);
        }
        for _ in 0..N {
            assert!(taken.binary_search(&cells.take(0, &depot).unwrap()).is_ok());
        }
        assert_eq!(depot.bytes(), peak);
    }
}
