//! The machine: clocks, CPUs, memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// CPU time of the whole process in nanoseconds: other processes do not inflate it.
pub fn process_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid clock, and a valid place for its value.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What something took, in nanoseconds.
pub struct Cost {
    pub cpu: f64,
    pub wall: f64,
}

pub fn cost(of: impl FnOnce()) -> Cost {
    let (cpu, wall) = (process_ns(), Instant::now());
    of();
    Cost { wall: wall.elapsed().as_nanos() as f64, cpu: (process_ns() - cpu) as f64 }
}

/// Keep the calling thread on one CPU; without effect if there is no such CPU.
pub fn keep_on(cpu: usize) {
    // SAFETY: a zeroed set is an empty set, and the kernel only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// The system's allocator, with a count of the bytes in use.
pub struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use, as `malloc` rounds them.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// What a block really takes: its usable size and the chunk's header.
unsafe fn chunk(block: *mut u8) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: a live block of the system's allocator.
    unsafe { libc::malloc_usable_size(block.cast()) + size_of::<usize>() }
}

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            let block = System.alloc(layout);
            IN_USE.fetch_add(chunk(block), Relaxed);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            IN_USE.fetch_sub(chunk(block), Relaxed);
            System.dealloc(block, layout);
        }
    }
}
