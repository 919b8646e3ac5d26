//! What the memory room keeps per CPU, one pointer away from the per-CPU block.

use super::frame::pool::CpuFrames;
use super::heap::CpuHeap;
use super::space::CpuTags;
use crate::arch::cpu::MAX_CPUS;
use crate::arch::percpu;

/// One CPU's share. Only its own CPU changes it, and never from an interrupt handler, so accesses need no lock;
/// they are relaxed atomics because statistics read them from elsewhere.
#[repr(align(128))]
pub(super) struct CpuMemory {
    pub(super) frames: CpuFrames,
    pub(super) heap: CpuHeap,
    pub(super) tags: CpuTags,
}

/// All CPUs' shares.
pub(super) static CPUS: [CpuMemory; MAX_CPUS] =
    [const { CpuMemory { frames: CpuFrames::new(), heap: CpuHeap::new(), tags: CpuTags::new() } }; MAX_CPUS];

/// This CPU's share; None until [`install`] on this CPU.
#[inline(always)]
pub(super) fn this() -> Option<&'static CpuMemory> {
    let pointer = percpu::magazines().cast::<CpuMemory>();
    // SAFETY: null, or what `install` stored: an element of a static.
    unsafe { pointer.as_ref() }
}

/// Gives this CPU its share. Once per CPU, on it.
pub(super) fn install(cpu: usize) {
    percpu::set_magazines((&raw const CPUS[cpu]).cast());
}
