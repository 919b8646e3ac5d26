//! The data page: what the code in user space needs to tell the time, kept by the kernel under a sequence lock.
//!
//! This file is compiled twice: into the kernel, which writes the page, and into the vDSO's image, which reads it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The contents of the data page. All zero until the kernel fills it in at start.
#[repr(C)]
pub struct Data {
    /// Odd while the kernel writes; goes up by two with each change.
    sequence: AtomicU32,
    /// Whether RDTSCP tells the CPU's number. Constant, so the sequence does not matter to it.
    has_cpu_number: AtomicU32,
    /// The TSC at time 0. Constant.
    base: AtomicU64,
    /// Nanoseconds per 2³² cycles. Constant.
    multiplier: AtomicU64,
    /// The wall clock at time 0: nanoseconds since 1970, UTC. Changes when the clock is set.
    wall: AtomicU64,
}

/// What the page says at one moment.
#[derive(Clone, Copy)]
pub struct Snapshot {
    /// The TSC at time 0.
    pub base: u64,
    /// Nanoseconds per 2³² cycles.
    pub multiplier: u64,
    /// The wall clock at time 0, nanoseconds since 1970, UTC.
    pub wall: u64,
}

impl Data {
    /// Notes that RDTSCP tells the CPU's number. Before the first program runs.
    #[cfg_attr(rusk_vdso_image, allow(dead_code, reason = "the kernel's side"))]
    pub fn announce_cpu_number(&self) {
        self.has_cpu_number.store(1, Ordering::Relaxed);
    }

    /// Whether RDTSCP tells the CPU's number.
    #[cfg_attr(not(rusk_vdso_image), allow(dead_code, reason = "user space's side"))]
    #[inline(always)]
    pub fn has_cpu_number(&self) -> bool {
        self.has_cpu_number.load(Ordering::Relaxed) != 0
    }

    /// Writes the page. One writer at a time; readers go on reading and try again.
    #[cfg_attr(rusk_vdso_image, allow(dead_code, reason = "the kernel's side"))]
    pub fn write(&self, new: Snapshot) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Pairs with the acquire fence in `read`: who sees one of the new values also sees the odd number.
        fence(Ordering::Release);
        self.base.store(new.base, Ordering::Relaxed);
        self.multiplier.store(new.multiplier, Ordering::Relaxed);
        self.wall.store(new.wall, Ordering::Relaxed);
        // Pairs with the acquire load in `read`: who sees the even number also sees the new values.
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Reads the page, all of it from between two writes.
    #[cfg_attr(not(rusk_vdso_image), allow(dead_code, reason = "user space's side"))]
    #[inline(always)]
    pub fn read(&self) -> Snapshot {
        loop {
            let sequence = self.sequence.load(Ordering::Acquire);
            let snapshot = Snapshot {
                base: self.base.load(Ordering::Relaxed),
                multiplier: self.multiplier.load(Ordering::Relaxed),
                wall: self.wall.load(Ordering::Relaxed),
            };
            // Pairs with the release fence in `write`.
            fence(Ordering::Acquire);
            if sequence & 1 == 0 && self.sequence.load(Ordering::Relaxed) == sequence {
                return snapshot;
            }
            core::hint::spin_loop();
        }
    }
}
