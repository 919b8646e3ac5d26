//! Memory: frames, the kernel heap, and the address spaces of user programs.
//!
//! ```text
//!   space/         AddressSpace: regions, page tables, faults, fork, TLB
//!   heap/          the global allocator: size classes, magazines, slabs, large objects
//!   frame/         4 KiB frames with owners; buddy allocator; zeroing in advance
//!   reclaim.rs     caches give back before memory is short
//!   registers.rs   registers of devices; dma.rs: memory that they use by themselves; words.rs: both
//!   shared.rs      rings that the kernel and programs write together
//!   boxed.rs       boxes for those who wait, refused before the last memory is gone
//!   urgent.rs      work that others' memory waits for
//!   shootdown.rs   what other CPUs' TLBs must forget
//!   cpu.rs         what each CPU keeps for itself
//! ```
//!
//! Where to start reading: [`frame::Frame`], then [`AddressSpace`](space::AddressSpace).

mod boxed;
mod cpu;
mod dma;
pub mod frame;
pub mod heap;
mod provider;
mod ramdisk;
mod reclaim;
mod registers;
mod shared;
mod shootdown;
pub mod space;
mod urgent;
mod words;

pub use crate::arch::paging::PAGE as PAGE_SIZE;
pub use boxed::{check_wait, pinned};
pub use dma::{DmaMemory, DmaPiece};
pub use frame::is_short;
pub use provider::page_of;
pub use ramdisk::Ramdisk;
pub use registers::Registers;
pub use shared::SharedPages;
pub use space::{
    AddressSpace, Backing, FaultError, FileObject, Form, Identity, Kin, Mapping, Place, RegionFlags,
    SharedAnonymous, barrier, fork_form, leave, set_fork_form,
};

pub use urgent::urgently;

use bootloader_api::BootInfo;
use core::time::Duration;
use syscalls::Errno;

/// Brings up frames and heap. On the boot CPU, once, before anything is allocated.
pub fn init(boot: &BootInfo) {
    frame::init(boot);
    heap::init();
    registers::init(boot);
    init_cpu();
    space::init();
    shootdown::init();
}

/// Gives the calling CPU its caches. On each CPU, once; the boot CPU gets them in [`init`].
pub fn init_cpu() {
    cpu::install(crate::arch::cpu::id());
}

/// Starts the tasks that work on memory while CPUs are idle. Once, when the executor runs.
pub fn start_background_tasks() {
    if frame::start_zeroing().is_err() {
        log::warn!("memory: no frames are zeroed in advance");
    }
    if reclaim::start().is_err() {
        log::warn!("memory: caches are not asked to give back");
    }
}

/// How much memory there is and what it is used for, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// All that the kernel manages.
    pub total_bytes: usize,
    /// What nobody uses.
    pub free_bytes: usize,
    /// Of the free memory, what is zeroed already.
    pub zeroed_bytes: usize,
    /// Live objects of the kernel heap.
    pub heap_bytes: usize,
    /// Frames that the kernel heap has taken, as bytes.
    pub heap_taken_bytes: usize,
}

/// Reads the counts of all CPUs. Exact while no other CPU allocates or frees.
pub fn stats() -> Stats {
    let frames = frame::statistics();
    let heap = heap::statistics();
    Stats {
        total_bytes: frames.total * PAGE_SIZE,
        free_bytes: frames.free * PAGE_SIZE,
        zeroed_bytes: frames.zeroed * PAGE_SIZE,
        heap_bytes: heap.live as usize,
        heap_taken_bytes: heap.taken as usize,
    }
}

/// Looks, a millisecond or more apart, for which a thread waits at most for what is being taken apart, so that nobody waits
/// for ever beside others who keep making and leaving large spaces.
const MUCH_PATIENCE: usize = 2000;

/// Asks whether there is memory for something that makes the kernel's own structures grow: a process, a file, a pipe.
/// One load while there is plenty, so every such call can ask.
///
/// # Errors
/// ENOMEM when only the kernel's reserve is left, even after the heap gave back what it does not use, some names were
/// forgotten, and what others have given up has come back.
#[inline]
pub async fn check_pressure() -> Result<(), Errno> {
    if frame::is_short() { pinned(relieve())?.await } else { Ok(()) }
}

/// Waits until memory is no longer short, as long as some is coming back: what is in use becomes less, a task takes an
/// address space or a file system apart, or dirty pages are stored. Each look but the first comes after every CPU has passed a boundary and freed what
/// it had deferred, so those that have been killed had their chance to leave.
#[cold]
async fn relieve() -> Result<(), Errno> {
    /// Names that are forgotten, and pages of disks that are given up, at a time.
    const NAMES: usize = 256;
    /// Looks without any gain after which there is nothing to wait for.
    const PATIENCE: usize = 32;
    let (mut least, mut vain) = (usize::MAX, 0);
    loop {
        if fs::cache::shrink(NAMES).await == 0 {
            fs::cache::hurry().await;
        }
        fs::dcache::shrink(NAMES);
        heap::shrink();
        if !frame::is_short() {
            return Ok(());
        }
        let stats = stats();
        let in_use = stats.total_bytes - stats.free_bytes + stats.heap_bytes;
        vain = if in_use < least { 0 } else { vain + 1 };
        if vain >= if is_returning() { MUCH_PATIENCE } else { PATIENCE } {
            return Err(Errno::ENOMEM);
        }
        least = least.min(in_use);
        reclaim().await;
        if vain > 0 {
            executor::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Whether something large is being taken apart, or stored, after which it can be given up.
fn is_returning() -> bool {
    space::is_tearing_down() || fs::is_tearing_down() || fs::cache::unstored_pages() > 0
}

/// Waits until every CPU has passed a boundary and freed what it had deferred.
async fn reclaim() {
    executor::rcu::synchronize().await;
    executor::rcu::barrier().await;
}

/// The kernel's allocator.
#[cfg(not(test))]
#[global_allocator]
static HEAP: heap::KernelHeap = heap::KernelHeap;
