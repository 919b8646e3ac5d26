//! Memory: frames, the kernel heap, and the address spaces of user programs.
//!
//! ```text
//!   space/   AddressSpace: regions, page tables, faults, fork, TLB
//!   heap/    the global allocator: size classes, magazines, slabs
//!   frame/   4 KiB frames with owners; buddy allocator; zeroing in advance
//!   cpu.rs   what each CPU keeps for itself
//! ```
//!
//! Where to start reading: [`frame::Frame`], then [`AddressSpace`](space::AddressSpace).

mod cpu;
pub mod frame;
pub mod heap;
mod provider;
pub mod space;

pub use provider::page_of;
pub use space::{
    AddressSpace, Backing, FaultError, FileObject, Form, Identity, Mapping, Region, RegionFlags,
    SharedAnonymous, fork_form, set_fork_form,
};

use bootloader_api::BootInfo;

/// Brings up frames and heap. On the boot CPU, once, before anything is allocated.
pub fn init(boot: &BootInfo) {
    frame::init(boot);
    init_cpu();
    space::init();
}

/// Gives the calling CPU its caches. On each CPU, once; the boot CPU gets them in [`init`].
pub fn init_cpu() {
    cpu::install(crate::arch::cpu::id());
}

/// The kernel's allocator.
#[cfg(not(test))]
#[global_allocator]
static HEAP: heap::KernelHeap = heap::KernelHeap;
