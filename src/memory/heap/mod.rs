//! The kernel heap: Rust's global allocator.
//!
//! ```text
//!   alloc ◄── magazine of this CPU and class ◄─► shared stock of full magazines ◄─► slabs ◄─► frames
//!             (no lock, ~12 instructions)        (one lock per class)
//! ```
//!
//! Small objects come from size classes (`classes.rs`), each with two magazines per CPU; what is larger than half a
//! page comes as frames in a row, or, when memory has no such row left, as pages in a row with frames from anywhere
//! (`scattered.rs`). Rust passes the size back at `dealloc`, so no object carries a header.
//!
//! **Accounting.** Each CPU counts the bytes that were allocated minus those that were freed on it. A task's charge
//! is the difference of that count between the begin and the end of its polls ([`charge`]), so charging adds
//! nothing to an allocation but the one addition that the statistics need anyway. The polls of a process's threads, and
//! of what its rings do, are charged to the process (`KernelHeap` in `/proc/PID/status`).
//!
//! The heap is for task context: interrupt handlers neither allocate nor free.
//!
//! Where to start reading: `alloc` below, then `slab.rs`.

mod account;
mod classes;
mod scattered;
mod slab;

use super::cpu::{self, CPUS};
use super::frame::{self, number_of};
use crate::arch::paging::PAGE;
pub use account::{Account, charge};
use classes::{CAPACITY, CLASSES, ROUNDS, SIZES, class_of};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicUsize};
pub(super) use scattered::obey;
use slab::{Magazine, Object};

/// The allocator: no state of its own.
pub struct KernelHeap;

/// Makes what large objects need. Once, before there are other CPUs and address spaces.
pub(super) fn init() {
    scattered::init();
}

/// Two magazines of one class: the one in use, and one that is full or empty.
struct CpuClass {
    head: AtomicPtr<u8>,
    count: AtomicU32,
    spare_count: AtomicU32,
    spare: AtomicPtr<u8>,
}

/// One CPU's part of the heap.
pub(super) struct CpuHeap {
    classes: [CpuClass; CLASSES],
    /// Bytes allocated minus bytes freed on this CPU: negative on one that frees what others allocate.
    live: AtomicI64,
}

/// Bytes allocated before CPUs have magazines.
static EARLY: AtomicI64 = AtomicI64::new(0);
/// Frames in allocations that are larger than the classes.
static LARGE: AtomicUsize = AtomicUsize::new(0);

impl CpuHeap {
    pub(super) const fn new() -> Self {
        Self {
            classes: [const {
                CpuClass {
                    head: AtomicPtr::new(null_mut()),
                    count: AtomicU32::new(0),
                    spare_count: AtomicU32::new(0),
                    spare: AtomicPtr::new(null_mut()),
                }
            }; CLASSES],
            live: AtomicI64::new(0),
        }
    }

    /// Only this CPU changes the count: a plain load, addition and store.
    #[inline(always)]
    fn add_live(&self, bytes: i64) {
        self.live.store(self.live.load(Relaxed).wrapping_add(bytes), Relaxed);
    }
}

impl CpuClass {
    #[inline(always)]
    fn pop(&self) -> Option<Object> {
        let object = NonNull::new(self.head.load(Relaxed))?;
        // SAFETY: an object in a magazine is free, and its first word links to the next.
        let next = unsafe { object.cast::<*mut u8>().read() };
        self.head.store(next, Relaxed);
        self.count.store(self.count.load(Relaxed) - 1, Relaxed);
        Some(object)
    }

    #[inline(always)]
    fn push(&self, object: Object) {
        // SAFETY: a free object of at least 16 bytes, aligned to 16.
        unsafe { object.cast::<*mut u8>().write(self.head.load(Relaxed)) };
        self.head.store(object.as_ptr(), Relaxed);
        self.count.store(self.count.load(Relaxed) + 1, Relaxed);
    }

    fn load(&self, magazine: Magazine) -> Magazine {
        let old = Magazine { head: NonNull::new(self.head.load(Relaxed)), count: self.count.load(Relaxed) };
        self.head.store(magazine.head.map_or(null_mut(), NonNull::as_ptr), Relaxed);
        self.count.store(magazine.count, Relaxed);
        old
    }

    fn exchange_spare(&self, magazine: Magazine) -> Magazine {
        let old =
            Magazine { head: NonNull::new(self.spare.load(Relaxed)), count: self.spare_count.load(Relaxed) };
        self.spare.store(magazine.head.map_or(null_mut(), NonNull::as_ptr), Relaxed);
        self.spare_count.store(magazine.count, Relaxed);
        old
    }

    /// The magazine is empty: take the spare or a new one, and one object.
    #[cold]
    #[inline(never)]
    fn refill(&self, class: usize) -> Option<Object> {
        let spare = self.exchange_spare(Magazine::default());
        self.load(if spare.count > 0 { spare } else { slab::take_magazine(class)? });
        self.pop()
    }

    /// The magazine is full: set it aside and put the object into an empty one.
    #[cold]
    #[inline(never)]
    fn rotate(&self, class: usize, object: Object) {
        let full = self.exchange_spare(self.load(Magazine::default()));
        self.push(object);
        if full.count > 0 {
            slab::give_magazine(class, full);
        }
    }
}

#[cold]
#[inline(never)]
fn early_alloc(class: usize) -> *mut u8 {
    EARLY.fetch_add(i64::from(SIZES[class]), Relaxed);
    slab::take_one(class).map_or(null_mut(), NonNull::as_ptr)
}

#[cold]
#[inline(never)]
fn early_dealloc(class: usize, object: Object) {
    EARLY.fetch_sub(i64::from(SIZES[class]), Relaxed);
    slab::give_one(class, object);
}

/// Charges `frames` (negative: gives back) to this CPU.
fn count_large(frames: i64) {
    LARGE.fetch_add(frames as usize, Relaxed);
    let bytes = frames * PAGE as i64;
    match cpu::this() {
        Some(cpu) => cpu.heap.add_live(bytes),
        None => {
            EARLY.fetch_add(bytes, Relaxed);
        }
    }
}

#[inline(never)]
fn large_alloc(layout: Layout) -> *mut u8 {
    // A run of frames is aligned to its size rounded up to a power of two, so a larger alignment is a longer run.
    let bytes = if layout.align() > PAGE { layout.size().max(layout.align()) } else { layout.size() };
    let count = bytes.div_ceil(PAGE);
    let pages = match frame::alloc_run(count) {
        Some(start) => Some(frame::pointer(start)),
        None if layout.align() <= PAGE => scattered::alloc(count),
        None => None,
    };
    pages.map_or(null_mut(), |pages| {
        count_large(count as i64);
        pages.as_ptr()
    })
}

#[inline(never)]
fn large_dealloc(pointer: *mut u8, layout: Layout) {
    let bytes = if layout.align() > PAGE { layout.size().max(layout.align()) } else { layout.size() };
    let count = bytes.div_ceil(PAGE);
    free_pages(pointer.addr(), count);
}

/// Takes pages back: a large object, or its end.
fn free_pages(address: usize, count: usize) {
    count_large(-(count as i64));
    if scattered::contains(address) {
        scattered::free(address, count);
    } else {
        frame::free_run(number_of(address), count);
    }
}

// SAFETY: each object is handed out once until it is given back, is as large as its class (at least the layout's
// size) and aligned as `class_of` and `large_alloc` say. Nothing unwinds.
unsafe impl GlobalAlloc for KernelHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else { return large_alloc(layout) };
        let Some(cpu) = cpu::this() else { return early_alloc(class) };
        let magazines = &cpu.heap.classes[class];
        let object = match magazines.pop() {
            Some(object) => object,
            None => match magazines.refill(class) {
                Some(object) => object,
                None => return null_mut(),
            },
        };
        cpu.heap.add_live(i64::from(SIZES[class]));
        object.as_ptr()
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else { return large_dealloc(pointer, layout) };
        // SAFETY: the pointer came from `alloc`, which returns null only for failure.
        let object = unsafe { NonNull::new_unchecked(pointer) };
        let Some(cpu) = cpu::this() else { return early_dealloc(class, object) };
        let magazines = &cpu.heap.classes[class];
        cpu.heap.add_live(-i64::from(SIZES[class]));
        if magazines.count.load(Relaxed) < u32::from(ROUNDS[class]) {
            magazines.push(object);
        } else {
            magazines.rotate(class, object);
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller says that the new size fits the alignment's rules.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let stays = match (class_of(layout), class_of(new)) {
            (Some(old), Some(new)) => old == new,
            (None, None) if layout.align() <= PAGE => {
                let (old, new) = (layout.size().div_ceil(PAGE), new_size.div_ceil(PAGE));
                if new < old {
                    free_pages(pointer.addr() + new * PAGE, old - new);
                }
                new <= old
            }
            _ => false,
        };
        if stays {
            return pointer;
        }
        // SAFETY: the caller's promises; the smaller size is within both objects, which are different.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(pointer, moved, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

/// What the heap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes in live objects, rounded up to their classes.
    pub live: u64,
    /// Bytes in frames that the heap has taken, stock included.
    pub taken: u64,
}

/// Reads the counts. Exact while no other CPU allocates or frees.
pub fn statistics() -> Statistics {
    let live =
        CPUS.iter().map(|cpu| cpu.heap.live.load(Relaxed)).fold(EARLY.load(Relaxed), i64::wrapping_add);
    Statistics { live: live.max(0) as u64, taken: (slab::slabs() + LARGE.load(Relaxed)) as u64 * PAGE as u64 }
}

/// What a size class holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassStatistics {
    /// Bytes of an object.
    pub size: usize,
    /// Live objects.
    pub live: usize,
    /// Frames cut into objects.
    pub slabs: usize,
    /// Objects in one of them.
    pub per_slab: usize,
}

/// Each class, from the smallest objects to the largest. Exact while no other CPU allocates or frees.
pub fn class_statistics() -> impl Iterator<Item = ClassStatistics> {
    (0..CLASSES).map(|class| {
        let (slabs, taken) = slab::usage(class);
        let kept = |cpu: &CpuHeap| {
            let magazines = &cpu.classes[class];
            (magazines.count.load(Relaxed) + magazines.spare_count.load(Relaxed)) as usize
        };
        let kept: usize = CPUS.iter().map(|cpu| kept(&cpu.heap)).sum();
        ClassStatistics {
            size: SIZES[class].into(),
            live: taken.saturating_sub(kept),
            slabs,
            per_slab: CAPACITY[class].into(),
        }
    })
}

/// Returns what waits unused in the shared stock to the frame allocator. For when memory is short.
pub fn shrink() {
    slab::drain();
}
