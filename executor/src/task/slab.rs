//! Where cells come from: a type-stable slab.
//!
//! ```text
//!   per CPU and class: a free list (plain loads and stores)
//!        │ empty: take a batch        ▲ long: give a batch back
//!        ▼                            │
//!   per class: the depot, a list under a spin lock ◄── chunks from the global allocator
//! ```
//!
//! "Type-stable" means that a cell, once made, is a task cell for ever: chunks are never given
//! back. That is what lets wakers be bare pointers. The price is that the slab keeps its peak size,
//! so its bytes are counted ([`crate::slab_bytes`]).

use super::{Header, TaskRef};
use crate::platform::hooks;
use crate::sync::SpinMutex;
use alloc::alloc::{Layout, alloc_zeroed};
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes of a cell, by class. Larger futures are boxed.
const SIZES: [usize; CLASSES] = [64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];
const CLASSES: usize = 12;
const ALIGN: usize = 64;
/// Bytes that move between a CPU and the depot at a time, about.
const BATCH_BYTES: usize = 2048;
const CHUNK_BYTES: usize = 16 << 10;

const fn batch(class: usize) -> u32 {
    let n = BATCH_BYTES / SIZES[class];
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
    let class = task.kind().class();
    #[cfg(debug_assertions)]
    assert!(!hooks::in_interrupt(), "an interrupt handler must not free");
    match hooks::worker() {
        Some(worker) if ptr::eq(worker.shared(), task.executor()) => {
            worker.cells().give(task, class, &worker.shared().slab);
        }
        _ => task.executor().slab.give_one(task, class),
    }
}

/// A CPU's own free cells. Only that CPU touches them, in task context.
pub(crate) struct Cells {
    lists: [Cell<List>; CLASSES],
}

#[derive(Clone, Copy)]
struct List {
    head: *mut Header,
    len: u32,
}

impl List {
    const EMPTY: List = List { head: ptr::null_mut(), len: 0 };

    #[inline(always)]
    fn push(&mut self, task: TaskRef) {
        task.header().link.store(self.head, Relaxed);
        self.head = task.as_ptr();
        self.len += 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<TaskRef> {
        // SAFETY: lists hold pointers of cells.
        let task = unsafe { TaskRef::from_ptr(self.head) }?;
        self.head = task.header().link.load(Relaxed);
        self.len -= 1;
        Some(task)
    }
}

impl Cells {
    pub(crate) fn new() -> Cells {
        Cells { lists: [const { Cell::new(List::EMPTY) }; CLASSES] }
    }

    /// A free cell of the class, or `None` without memory.
    #[inline(always)]
    pub(crate) fn take(&self, class: usize, depot: &Depot) -> Option<NonNull<Header>> {
        let mut list = self.lists[class].get();
        let task = match list.pop() {
            Some(task) => task,
            None => {
                list = depot.take(class, batch(class));
                list.pop()?
            }
        };
        self.lists[class].set(list);
        Some(task.0)
    }

    #[inline(always)]
    fn give(&self, task: TaskRef, class: usize, depot: &Depot) {
        let mut list = self.lists[class].get();
        list.push(task);
        if list.len > 2 * batch(class) {
            depot.give(class, &mut list, batch(class));
        }
        self.lists[class].set(list);
    }
}

/// The free cells of no CPU, and the source of new ones.
pub(crate) struct Depot {
    classes: [SpinMutex<Shelf>; CLASSES],
    bytes: AtomicUsize,
}

struct Shelf {
    free: List,
    /// The part of the newest chunk that was never a cell.
    fresh: *mut u8,
    fresh_end: *mut u8,
}

// SAFETY: cells are plain memory that any CPU may use; the lock orders it.
unsafe impl Send for Shelf {}

impl Depot {
    pub(crate) fn new() -> Depot {
        let shelf = || {
            SpinMutex::new(Shelf { free: List::EMPTY, fresh: ptr::null_mut(), fresh_end: ptr::null_mut() })
        };
        Depot { classes: core::array::from_fn(|_| shelf()), bytes: AtomicUsize::new(0) }
    }

    /// Bytes taken from the global allocator so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn take_one(&self, class: usize) -> Option<NonNull<Header>> {
        self.take(class, 1).pop().map(|task| task.0)
    }

    pub(crate) fn give_one(&self, task: TaskRef, class: usize) {
        self.classes[class].lock().free.push(task);
    }

    /// Up to `wanted` cells; none only if there is no memory.
    #[cold]
    fn take(&self, class: usize, wanted: u32) -> List {
        let mut taken = List::EMPTY;
        let mut shelf = self.classes[class].lock();
        while taken.len < wanted {
            if let Some(task) = shelf.free.pop() {
                taken.push(task);
            } else if shelf.fresh < shelf.fresh_end {
                let cell = shelf.fresh;
                shelf.fresh = cell.wrapping_add(SIZES[class]);
                // SAFETY: inside the chunk; zeroed bytes are a valid header.
                if let Some(task) = unsafe { TaskRef::from_ptr(cell.cast()) } {
                    taken.push(task);
                }
            } else if taken.len > 0 {
                break;
            } else {
                drop(shelf);
                let chunk = self.new_chunk();
                shelf = self.classes[class].lock();
                if chunk.is_null() {
                    // Another CPU may have freed some meanwhile; if not, this is the end.
                    match shelf.free.pop() {
                        Some(task) => taken.push(task),
                        None => break,
                    }
                } else {
                    // What another CPU put here meanwhile goes to the free list, not lost.
                    while shelf.fresh < shelf.fresh_end {
                        let cell = shelf.fresh;
                        shelf.fresh = cell.wrapping_add(SIZES[class]);
                        // SAFETY: as above.
                        if let Some(task) = unsafe { TaskRef::from_ptr(cell.cast()) } {
                            shelf.free.push(task);
                        }
                    }
                    shelf.fresh = chunk;
                    shelf.fresh_end = chunk.wrapping_add(CHUNK_BYTES / SIZES[class] * SIZES[class]);
                }
            }
        }
        taken
    }

    fn new_chunk(&self) -> *mut u8 {
        // SAFETY: not of size zero, and 64 is a power of two.
        let chunk = unsafe { alloc_zeroed(Layout::from_size_align_unchecked(CHUNK_BYTES, ALIGN)) };
        if !chunk.is_null() {
            self.bytes.fetch_add(CHUNK_BYTES, Relaxed);
        }
        chunk
    }

    #[cold]
    fn give(&self, class: usize, from: &mut List, count: u32) {
        let mut shelf = self.classes[class].lock();
        for _ in 0..count {
            if let Some(task) = from.pop() {
                shelf.free.push(task);
            }
        }
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
            assert!(2 * batch(class) as usize * size <= CHUNK_BYTES);
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
            cells.give(TaskRef(cell), 0, &depot);
        }
        for _ in 0..N {
            assert!(taken.binary_search(&cells.take(0, &depot).unwrap()).is_ok());
        }
        assert_eq!(depot.bytes(), peak);
    }
}
