//! Barriers on other CPUs, for membarrier(2).
//!
//! An interrupt is a full barrier on the CPU that takes it, and serializes its instructions on the way back; a CPU that
//! loads another space has passed one, too. So it is enough to await that the CPUs answer which have the space loaded, and
//! that is what a shootdown awaits.

use super::AddressSpace;
use crate::arch::cpu;
use crate::memory::shootdown::{self, Shootdown};
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

/// The barriers that the programs in a space have registered for, as the caller numbers them. A fork's child has its
/// parent's.
#[derive(Default)]
pub struct Registrations(AtomicU8);

impl Registrations {
    pub(super) fn inherit(&self, parent: &Self) {
        self.0.store(parent.0.load(Relaxed), Relaxed);
    }

    /// Adds one. Relaxed, as nothing has to be prepared: the barriers work for all.
    pub fn add(&self, bit: u8) {
        self.0.fetch_or(bit, Relaxed);
    }

    /// Whether it is there.
    pub fn has(&self, bit: u8) -> bool {
        self.0.load(Relaxed) & bit != 0
    }
}

impl AddressSpace {
    /// The barriers that are registered for.
    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// Awaits that every CPU which runs a thread of the space has passed a full barrier since the call.
    pub async fn barrier(&self) {
        self.residency.reach().await;
    }
}

/// Awaits that every CPU has passed a full barrier since the call.
pub async fn barrier() {
    reach(u64::MAX >> (64 - cpu::count())).await;
}

/// Reaches the CPUs in a mask, of which this one needs nothing: the fence here is its own barrier.
pub(super) fn reach(cpus: u64) -> Shootdown {
    match cpus & !(1 << cpu::id()) {
        0 => Shootdown::done(),
        others => shootdown::request(others),
    }
}
