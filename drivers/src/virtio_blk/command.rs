//! Commands in flight: given to the device, and taken back when it has used them.
//!
//! Of two commands that are under way neither disturbs the other, and each has a status of its own. So a flush goes out
//! among others: it covers what had ended before, and those have ended.

use core::cell::Cell;
use core::time::Duration;

use executor::Instant;

use super::engine::Engine;
use super::memory::{Kind, NO_STATUS, status};
use crate::block::{BlockError, Buffer, Command, Disk, Operation, SECTOR_SIZE};
use crate::dma::{Dma, NarrowMmio};
use crate::virtio::Nonsense;

/// How long a disk may take for a command: its host may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to write out its cache.
const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

impl<M: NarrowMmio, D: Dma> Engine<M, D> {
    /// Gives the device what waits, as much as it takes.
    pub fn issue<B: Buffer>(&mut self, disk: &Disk<B>, now: Instant) {
        let mut has_offered = false;
        let depth = self.identity.geometry.queue_depth;
        while let Some(slot) = self.in_flight.vacant(depth)
            && let Some((command, segments)) = self.next(disk, slot)
        {
            if command.operation == Operation::Flush && !self.identity.geometry.write_cache {
                // What has been written is on the medium.
                disk.complete(command, Ok(()));
                continue;
            }
            self.offer(slot, &command, segments);
            let patience = if command.operation == Operation::Flush { FLUSH_PATIENCE } else { PATIENCE };
            self.in_flight.insert(slot, command, now + patience);
            has_offered = true;
        }
        if has_offered {
            self.show();
        }
    }

    /// The next command, its pieces of memory named in the slot.
    fn next<B: Buffer>(&self, disk: &Disk<B>, slot: u32) -> Option<(Command, usize)> {
        let is_read = Cell::new(false);
        let admits = |operation, _| {
            is_read.set(operation == Operation::Read);
            true
        };
        let mut segments = 0;
        let command = disk.next(admits, |address, bytes| {
            self.memory.set_segment(slot, segments, address, bytes, is_read.get());
            segments += 1;
        })?;
        Some((command, segments))
    }

    fn offer(&mut self, slot: u32, command: &Command, segments: usize) {
        match command.operation {
            Operation::Read => self.memory.offer(slot, Kind::Read, command.sector, segments),
            Operation::Write { .. } => self.memory.offer(slot, Kind::Write, command.sector, segments),
            Operation::Flush => self.memory.offer(slot, Kind::Flush, 0, 0),
            Operation::Discard { sectors } => {
                let range = [command.sector as u32, (command.sector >> 32) as u32, sectors, 0];
                self.memory.set_scratch(slot, &range, size_of_val(&range), false);
                self.memory.offer(slot, Kind::Discard, 0, 1);
            }
        }
    }

    /// Ends the commands that the device has used, and gives their number.
    pub fn reap<B: Buffer>(&mut self, disk: &Disk<B>) -> Result<usize, Nonsense> {
        self.memory.queue.mute();
        let mut count = 0;
        while let Some((slot, written)) = self.memory.take()? {
            let command = self.in_flight.get(slot).ok_or(Nonsense)?;
            let data =
                if command.operation == Operation::Read { command.sectors as usize * SECTOR_SIZE } else { 0 };
            // The status is one byte. Less is not unheard of, and does not matter.
            if written as usize > data + 1 {
                return Err(Nonsense);
            }
            let status = self.memory.status(slot);
            if status == NO_STATUS {
                // It may still be at it.
                return Err(Nonsense);
            }
            let Some(command) = self.in_flight.take_one(slot) else { return Err(Nonsense) };
            count += 1;
            self.setbacks = 0;
            match status {
                status::OK => disk.complete(command, Ok(())),
                status::UNSUPPORTED => disk.complete(command, Err(BlockError::Unsupported)),
                _ => disk.retry(command, Some(BlockError::Device)),
            }
        }
        Ok(count)
    }
}
