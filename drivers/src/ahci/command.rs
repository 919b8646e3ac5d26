//! Commands in flight: given to the device, and taken back when it is done with them.
//!
//! A queued command is in the hands of the device as long as its bit is set in PxSACT, any other as long as its bit is
//! set in PxCI. The two kinds do not mix: one that is not queued waits until all others have ended, and runs by itself,
//! so that its errors are surely its own.

use core::time::Duration;

use executor::Instant;

use super::engine::{Engine, Trouble};
use super::fis::{Fis, Form};
use super::identify::Identity;
use super::registers::{DeviceError, DeviceStatus, port};
use crate::block::{BlockError, Buffer, Command, Disk, Operation};
use crate::dma::{Dma, Mmio};

/// How long a disk may take for a command, with all that it does by itself about a bad sector.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take to write out its cache.
const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

impl<M: Mmio, D: Dma> Engine<'_, M, D> {
    /// Gives the device what waits, as much as it takes.
    pub fn issue<B: Buffer>(&mut self, disk: &Disk<B>, identity: &Identity) {
        let mut started = 0;
        let depth = identity.geometry.queue_depth;
        while let Some(slot) = self.in_flight.vacant(depth)
            && let Some((command, segments)) = self.next(disk, identity, slot)
        {
            if command.operation == Operation::Flush && !identity.geometry.write_cache {
                // What has been written is on the medium.
                disk.complete(command, Ok(()));
                continue;
            }
            self.is_queued = can_queue(identity, command.operation, command.is_alone);
            self.prepare(slot, identity, &command, segments);
            let patience = if command.operation == Operation::Flush { FLUSH_PATIENCE } else { PATIENCE };
            self.in_flight.insert(slot, command, Instant::now() + patience);
            started |= 1 << slot;
        }
        if started != 0 {
            if self.is_queued {
                self.registers.write(port::SACT, started);
            }
            self.registers.write(port::CI, started);
        }
    }

    /// The next command that may be in flight together with those that are, its memory written into the slot's table.
    fn next<B: Buffer>(&self, disk: &Disk<B>, identity: &Identity, slot: u32) -> Option<(Command, usize)> {
        let is_idle = self.in_flight.is_empty();
        let admits =
            |operation, is_alone| is_idle || (self.is_queued && can_queue(identity, operation, is_alone));
        let mut segments = 0;
        let command = disk.next(admits, |address, bytes| {
            self.memory.set_segment(slot, segments, address, bytes);
            segments += 1;
        })?;
        Some((command, segments))
    }

    fn prepare(&self, slot: u32, identity: &Identity, command: &Command, segments: usize) {
        let operation = command.operation;
        let address = identity.logical(command.sector);
        let count = identity.logical(command.sectors.into());
        let form = match (self.is_queued, identity.is_extended) {
            (true, _) => Form::Queued(slot),
            (false, true) => Form::Extended,
            (false, false) => Form::Short,
        };
        let fis = Fis::operation(operation, form, address, count as u32, identity.geometry.fua);
        let is_discard = matches!(operation, Operation::Discard { .. });
        if is_discard {
            self.memory.set_ranges(slot, address, count);
        }
        let to_device = is_discard || matches!(operation, Operation::Write { .. });
        self.memory.set_command(slot, fis, to_device, if is_discard { 1 } else { segments });
    }

    /// Ends the commands that the device is done with. An error of a command that is not queued is trouble, and leaves
    /// it in flight.
    pub fn reap<B: Buffer>(&mut self, disk: &Disk<B>) -> Result<(), Trouble> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let busy = self.registers.read(if self.is_queued { port::SACT } else { port::CI });
        let ended = self.in_flight.busy() & !u64::from(busy);
        if ended == 0 {
            return Ok(());
        }
        if !self.is_queued && self.registers.status().intersects(DeviceStatus::ERR | DeviceStatus::DF) {
            return Err(Trouble::Device);
        }
        self.setbacks = 0;
        for command in self.in_flight.take(ended) {
            disk.complete(command, Ok(()));
        }
        Ok(())
    }
}

fn can_queue(identity: &Identity, operation: Operation, is_alone: bool) -> bool {
    identity.is_queued && !is_alone && matches!(operation, Operation::Read | Operation::Write { .. })
}

/// What the device's error register means.
pub fn cause(error: u8) -> BlockError {
    let error = DeviceError::from_bits_retain(error);
    if error.intersects(DeviceError::UNC | DeviceError::IDNF) && !error.contains(DeviceError::ICRC) {
        BlockError::Medium
    } else {
        BlockError::Device
    }
}
