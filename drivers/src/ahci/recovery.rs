//! When something went wrong: whose fault it was, and how to go on (AHCI 6.2, ATA8-ACS 4.15).
//!
//! ```text
//!   trouble ─► what has ended all the same is completed
//!          ─► stop the port: the device has let go of all memory
//!          ─► the device reported an error and is ready: clear, start ──────────────┐
//!             anything else: reset the device; the same disk? ── no ──► it is gone  │
//!          ◄──────────────────────────────────────────────── yes ───────────────────┘
//!          ─► one command that was not queued: it was that
//!             queued ones: log page 10h names the one; without it, each is suspect
//!             time-outs: those that are late
//!          ─► the guilty are tried again, each request by itself, three times in all; the others as if nothing was
//! ```

use alloc::sync::Arc;
use core::time::Duration;

use super::command::cause;
use super::engine::{Absence, Engine, Trouble};
use super::fis::Fis;
use super::identify::Identity;
use super::registers::{detection, port};
use crate::block::{BlockError, Buffer, Disk};
use crate::dma::{Dma, Mmio};
use crate::patience::within;

/// Resets and false alarms without a single command ending in between after which a port is given up.
const MAX_SETBACKS: u32 = 8;
/// Resets tried in one recovery.
const RESETS: usize = 3;
/// How long a link may be down before the device counts as unplugged.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// In the first byte of the error log: the failed command was not queued.
const NOT_QUEUED: u16 = 1 << 7;

/// The disk is gone, or has to be treated as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Another device is there, or the same come back as another.
    Replaced,
    /// Nothing is there, or nothing that works.
    Gone,
}

impl<M: Mmio, D: Dma> Engine<'_, M, D> {
    /// Puts the port to rights. Its commands are completed or wait again afterwards. If the disk is lost, so is all that
    /// waits for it.
    pub async fn recover<B: Buffer>(
        &mut self,
        disk: &Arc<Disk<B>>,
        identity: &Identity,
        trouble: Trouble,
    ) -> Result<(), Loss> {
        let outcome = self.try_to_recover(disk, identity, trouble).await;
        if let Err(loss) = outcome {
            log::warn!("ahci: port {}: {} is lost: {loss:?}", self.index, disk.geometry().model);
            self.lose(disk).await;
        }
        outcome
    }

    async fn try_to_recover<B: Buffer>(
        &mut self,
        disk: &Arc<Disk<B>>,
        identity: &Identity,
        mut trouble: Trouble,
    ) -> Result<(), Loss> {
        let task_file = self.registers.read(port::TFD);
        // An error here is the one that is being seen to.
        let _ = self.reap(disk);
        let late = self.in_flight.overdue(executor::Instant::now());
        log::debug!(
            "ahci: port {}: {trouble:?}, in flight {:#x}, status {task_file:#x}",
            self.index,
            self.in_flight.busy()
        );
        if trouble != Trouble::Device || self.in_flight.is_empty() {
            self.setbacks += 1;
            if self.setbacks > MAX_SETBACKS {
                return Err(Loss::Gone);
            }
        }
        if trouble == Trouble::Link {
            let is_up = || self.registers.detection() == detection::UP;
            if !within(DEBOUNCE, is_up).await {
                return Err(Loss::Gone);
            }
        }
        if !self.stop().await || self.registers.is_busy() {
            trouble = trouble.max(Trouble::Transfer);
        }
        if trouble == Trouble::Device && !self.forget_events() {
            trouble = Trouble::Link;
        }
        let mut error = cause((task_file >> 8) as u8);
        let mut guilty = self.in_flight.busy();
        if trouble == Trouble::Device {
            self.start();
            if self.is_queued && !self.in_flight.is_empty() {
                match self.read_error_log().await {
                    Some((slot, named)) => (guilty, error) = (1 << slot, named),
                    None => self.reset(identity).await?,
                }
            }
        } else {
            self.reset(identity).await?;
            (guilty, error) = match trouble {
                Trouble::Timeout => (guilty & late, BlockError::Timeout),
                // Nobody's fault here, and it does not go on for ever.
                Trouble::Link => (0, BlockError::Device),
                Trouble::Transfer | Trouble::Device => (guilty, BlockError::Device),
            };
        }
        for command in self.in_flight.take(guilty) {
            disk.retry(command, Some(error));
        }
        for command in self.in_flight.take(u64::MAX) {
            disk.retry(command, None);
        }
        Ok(())
    }

    /// Which queued command failed, and why. None: the device does not tell, and may have stopped.
    async fn read_error_log(&self) -> Option<(u32, BlockError)> {
        let log = self.ask(Fis::read_error_log()).await.ok()?;
        let (first, second) = (log.0[0], log.0[1]);
        let slot = u32::from(first & 0x1f);
        let is_known = first & NOT_QUEUED == 0 && self.in_flight.busy() & 1 << slot != 0;
        is_known.then(|| (slot, cause((second >> 8) as u8)))
    }

    /// Resets the device, and the port with it, until it works and is the disk that it was.
    async fn reset(&self, identity: &Identity) -> Result<(), Loss> {
        for _ in 0..RESETS {
            self.stop().await;
            match self.bring_up().await {
                Ok(found) if found.is_same_disk(identity) => return Ok(()),
                Ok(_) | Err(Absence::Other(_)) => return Err(Loss::Replaced),
                Err(Absence::Broken(_)) => {}
                // It may be on its way back.
                Err(Absence::Empty) => {
                    if !within(DEBOUNCE, || self.registers.detection() == detection::UP).await {
                        return Err(Loss::Gone);
                    }
                }
            }
        }
        Err(Loss::Gone)
    }

    /// Ends all that the disk was asked for. Memory that the port may still write to is never used again.
    async fn lose<B: Buffer>(&mut self, disk: &Arc<Disk<B>>) {
        let has_stopped = self.stop().await;
        disk.close();
        self.end_commands(disk, has_stopped);
    }

    /// Ends what is in flight, as the disk is gone.
    pub fn end_commands<B: Buffer>(&mut self, disk: &Arc<Disk<B>>, has_stopped: bool) {
        for command in self.in_flight.take(u64::MAX) {
            if has_stopped {
                disk.complete(command, Err(BlockError::Gone));
            } else {
                disk.complete_without_buffers(command, BlockError::Gone);
            }
        }
    }
}
