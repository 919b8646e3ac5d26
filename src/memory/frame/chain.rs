//! Chains of free frames: what a CPU keeps for itself, and what CPUs pass to each other.
//!
//! A chain runs through the `link` words of its frames, a list of chains through the `word`s of their first frames,
//! so that neither needs memory of its own.

use super::Number;
use super::metadata::{self, Metadata};
use crate::arch::cpu::MAX_CPUS;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// Frames that pass between a CPU and the pool in one go.
pub(super) const BATCH: u32 = 64;

/// A chain of free frames. Plain data: whoever holds it owns the frames.
#[derive(Clone, Copy, Default)]
pub(super) struct Chain {
    pub(super) head: Number,
    pub(super) count: u32,
}

impl Chain {
    /// Puts a frame in front.
    pub(super) fn push(&mut self, frames: &[Metadata], number: Number) {
        frames[number as usize].link.store(u64::from(self.head), Relaxed);
        self.head = number;
        self.count += 1;
    }

    /// Takes the first frame.
    pub(super) fn pop(&mut self, frames: &[Metadata]) -> Option<Number> {
        let number = self.head;
        if number == 0 {
            return None;
        }
        self.head = frames[number as usize].link.load(Relaxed) as Number;
        self.count -= 1;
        Some(number)
    }
}

/// A chain that only its own CPU changes, so that no locked instruction is needed. Atomics, all relaxed, because
/// `statistics` reads the counts of all CPUs.
pub(super) struct CpuChain {
    head: AtomicU32,
    count: AtomicU32,
}

impl CpuChain {
    pub(super) const fn new() -> Self {
        Self { head: AtomicU32::new(0), count: AtomicU32::new(0) }
    }

    #[inline(always)]
    pub(super) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn pop(&self) -> Option<Number> {
        let number = self.head.load(Relaxed);
        if number == 0 {
            return None;
        }
        // SAFETY: chains hold frames of the allocator.
        let next = unsafe { metadata::of(number) }.link.load(Relaxed);
        self.head.store(next as Number, Relaxed);
        self.count.store(self.count.load(Relaxed) - 1, Relaxed);
        Some(number)
    }

    #[inline(always)]
    pub(super) fn push(&self, number: Number) {
        // SAFETY: only frames of the allocator come here.
        unsafe { metadata::of(number) }.link.store(u64::from(self.head.load(Relaxed)), Relaxed);
        self.head.store(number, Relaxed);
        self.count.store(self.count.load(Relaxed) + 1, Relaxed);
    }

    /// Puts `chain` in this one's place and returns what was there.
    pub(super) fn replace(&self, chain: Chain) -> Chain {
        let old = Chain { head: self.head.load(Relaxed), count: self.count.load(Relaxed) };
        self.head.store(chain.head, Relaxed);
        self.count.store(chain.count, Relaxed);
        old
    }
}

/// Chains, a list for each CPU: a CPU that wants one gets what it gave back last, which its cache may still have, and what
/// another gave if there is none of its own. Guarded by the pool's lock.
pub(super) struct Depot {
    /// The first chain of each list.
    first: [Number; MAX_CPUS],
    /// A bit for each list that has chains.
    occupied: u64,
    /// Chains in all lists.
    pub(super) chains: u32,
    /// Frames in all of them.
    pub(super) frames: usize,
}

const _: () = assert!(MAX_CPUS <= u64::BITS as usize);

impl Depot {
    pub(super) const fn new() -> Self {
        Self { first: [0; MAX_CPUS], occupied: 0, chains: 0, frames: 0 }
    }

    /// Takes what a CPU gives back.
    pub(super) fn put(&mut self, frames: &[Metadata], cpu: usize, chain: Chain) {
        if chain.head == 0 {
            return;
        }
        let first = &mut self.first[cpu];
        frames[chain.head as usize].word.store(u64::from(*first) | u64::from(chain.count) << 32, Relaxed);
        *first = chain.head;
        self.occupied |= 1 << cpu;
        self.chains += 1;
        self.frames += chain.count as usize;
    }

    /// Gives a CPU a chain.
    pub(super) fn take(&mut self, frames: &[Metadata], cpu: usize) -> Option<Chain> {
        let list = if self.occupied >> cpu & 1 != 0 { cpu } else { self.occupied.trailing_zeros() as usize };
        let first = self.first.get_mut(list)?;
        let head = *first;
        // The frame's word becomes 0 again, as that of every frame inside a chain.
        let word = frames[head as usize].word.swap(0, Relaxed);
        let chain = Chain { head, count: (word >> 32) as u32 };
        *first = word as Number;
        self.occupied &= !(u64::from(*first == 0) << list);
        self.chains -= 1;
        self.frames -= chain.count as usize;
        Some(chain)
    }
}
