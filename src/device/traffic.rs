//! What is moved to and from a disk, counted for those who look (`/proc/diskstats`).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fs::block::Direction;

use crate::arch::clock;

/// What was moved in one direction.
#[derive(Default)]
pub struct Flow {
    /// Transfers that were carried out.
    pub transfers: AtomicU64,
    /// Units of 512 bytes that they moved.
    pub sectors: AtomicU64,
    /// How long they took, all together.
    pub nanoseconds: AtomicU64,
}

/// What was moved. Relaxed: statistics.
#[derive(Default)]
pub struct Traffic {
    /// From the disk.
    pub reads: Flow,
    /// To the disk.
    pub writes: Flow,
    /// To the disk's medium.
    pub flushes: Flow,
    /// Transfers that are being carried out.
    pub in_flight: AtomicU64,
}

/// A transfer that is being carried out. Dropped, it is over, and was not carried out if nobody has said so.
pub struct UnderWay {
    traffic: Arc<Traffic>,
    since: u64,
}

impl Traffic {
    /// A transfer begins.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.in_flight.fetch_add(1, Relaxed);
        UnderWay { traffic: self.clone(), since: clock::now_ns() }
    }
}

impl UnderWay {
    /// It was carried out: so many units of 512 bytes, or a flush.
    pub fn done(&self, direction: Option<Direction>, sectors: u64) {
        let flow = match direction {
            Some(Direction::Read) => &self.traffic.reads,
            Some(Direction::Write) => &self.traffic.writes,
            None => &self.traffic.flushes,
        };
        flow.transfers.fetch_add(1, Relaxed);
        flow.sectors.fetch_add(sectors, Relaxed);
        flow.nanoseconds.fetch_add(clock::now_ns().saturating_sub(self.since), Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.traffic.in_flight.fetch_sub(1, Relaxed);
    }
}
