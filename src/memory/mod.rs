//! Memory: frames, the kernel heap, and the address spaces of user programs.
//!
//! ```text
//!   space/         AddressSpace: regions, page tables, faults, fork, TLB
//!   heap/          the global allocator: size classes, magazines, slabs, large objects
//!   frame/         4 KiB frames with owners; buddy allocator; zeroing in advance
//!   reclaim.rs     caches give back before memory is short
//!   relief.rs      waiting where it is short all the same
//!   registers.rs   registers of devices; dma.rs: memory that they use by themselves; words.rs: both
//!   shared.rs      rings that the kernel and programs write together
//!   boxed.rs       boxes for those who wait, refused before the last memory is gone
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
pub mod relief;
mod shared;
mod shootdown;
pub mod space;
mod words;

pub use crate::arch::paging::PAGE as PAGE_SIZE;
pub use boxed::{WaitPermit, check_wait, pinned, wait_permit};
pub use dma::{DmaMemory, DmaPiece};
pub use frame::{is_nearly_out, is_short};
pub use provider::page_of;
pub use ramdisk::Ramdisk;
pub use registers::Registers;
pub use relief::{check_pressure, claim, claim_until, wait_admitted};
pub use shared::SharedPages;
pub use space::{
    AddressSpace, Backing, FaultError, FileObject, Form, Identity, Kin, Mapping, MemoryPolicy, Nodes,
    PageState, Place, RegionFlags, SharedAnonymous, barrier, fork_form, leave, set_fork_form,
};

use bootloader_api::BootInfo;

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

/// Starts the tasks that work on memory while CPUs are idle. Once, when the executor runs. `sacrifice` kills a program that has
/// much memory where there is none, and says whether one is on its way out.
pub fn start_background_tasks<F: Future<Output = bool> + Send + 'static>(sacrifice: fn() -> F) {
    if frame::start_zeroing().is_err() {
        log::warn!("memory: no frames are zeroed in advance");
    }
    if reclaim::start().is_err() {
        log::warn!("memory: caches are not asked to give back");
    }
    if relief::start(sacrifice).is_err() {
        log::warn!("memory: nobody waits for memory");
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
