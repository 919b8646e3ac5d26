//! When something went wrong: a reset, and who is to blame.
//!
//! ```text
//!   trouble ─► what has ended all the same is completed
//!          ─► reset: the device has let go of all memory; the same disk? ── no ──► it is gone
//!          ─► time-outs: those that are late are guilty; otherwise each is suspect
//!          ─► the guilty are tried again, each request by itself, three times in all; the others as if nothing was
//! ```
//!
//! An error that the device reports is no trouble: it is that command's alone.

use super::engine::{Engine, Trouble};
use crate::block::{BlockError, Buffer, Disk};
use crate::dma::{Dma, NarrowMmio};

/// Resets without a single command ending in between after which a disk is given up.
const MAX_SETBACKS: u32 = 8;
/// Resets tried in one recovery.
const RESETS: usize = 3;

/// The disk is gone, or has to be treated as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It has come back as another one.
    Replaced,
    /// It does not work any more.
    Broken,
}

impl<M: NarrowMmio, D: Dma> Engine<M, D> {
    /// Puts the disk to rights. Its commands are completed or wait again afterwards.
    pub async fn recover<B: Buffer>(&mut self, disk: &Disk<B>, trouble: Trouble) -> Result<(), Loss> {
        // It may be nonsense again; that is being seen to.
        let _ = self.reap(disk);
        let late = self.in_flight.overdue(executor::Instant::now());
        log::debug!("virtio-blk: {trouble:?}, in flight {:#x}", self.in_flight.busy());
        self.setbacks += 1;
        if self.setbacks > MAX_SETBACKS {
            return Err(Loss::Broken);
        }
        self.reset().await?;
        let (guilty, error) = match trouble {
            Trouble::Timeout => (late, BlockError::Timeout),
            Trouble::NeedsReset | Trouble::Nonsense => (u64::MAX, BlockError::Device),
        };
        for command in self.in_flight.take(guilty) {
            disk.retry(command, Some(error));
        }
        for command in self.in_flight.take(u64::MAX) {
            disk.retry(command, None);
        }
        Ok(())
    }

    /// Resets the device until it works and is the disk that it was.
    async fn reset(&mut self) -> Result<(), Loss> {
        for _ in 0..RESETS {
            match self.restart().await {
                Ok(found) if found.is_same_disk(&self.identity) => return Ok(()),
                Ok(_) => return Err(Loss::Replaced),
                Err(error) => log::warn!("virtio-blk: {error}"),
            }
        }
        Err(Loss::Broken)
    }

    /// Ends all that the disk was asked for, as it is gone. Memory that the device may still write to is never used again.
    pub fn lose<B: Buffer>(&mut self, disk: &Disk<B>, has_reset: bool) {
        disk.close();
        for command in self.in_flight.take(u64::MAX) {
            if has_reset {
                disk.complete(command, Err(BlockError::Gone));
            } else {
                disk.complete_without_buffers(command, BlockError::Gone);
            }
        }
    }
}
