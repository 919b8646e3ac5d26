//! A disk as its users and its driver see it.

use alloc::sync::Arc;

use executor::sync::{Semaphore, SpinMutex};

use super::geometry::{Extent, Geometry};
use super::request::{BlockError, Buffer, Operation, Request};
use super::table::{Command, ENTRIES, Left, Table};
use super::transfer::Transfer;
use crate::bell::Bell;

/// A disk. Its driver's task serves the requests; see the module's documentation.
pub struct Disk<B> {
    geometry: Geometry,
    /// Room in the table.
    pub(super) room: Semaphore,
    /// Held for the length of a command's segments at most. Never by interrupt handlers.
    pub(super) table: SpinMutex<Table<B>>,
    /// The driver's: submissions ring it, and so does its interrupt handler.
    bell: Arc<Bell>,
}

/// How large a command may become by merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub max_sectors: u32,
    pub max_segments: usize,
    pub max_segment: usize,
}

/// What a disk has done since it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Reads that ended well.
    pub reads: u64,
    /// Writes that ended well.
    pub writes: u64,
    /// Flushes that ended well.
    pub flushes: u64,
    /// Discards that ended well.
    pub discards: u64,
    /// Requests that ended with an error.
    pub errors: u64,
    /// Commands given to the device.
    pub commands: u64,
    /// Requests that went out with another's command.
    pub merged: u64,
    /// Requests given to the device once more.
    pub retries: u64,
}

impl Statistics {
    pub(super) fn count(&mut self, operation: Operation, result: Result<(), BlockError>) {
        let counter = match (result, operation) {
            (Err(_), _) => &mut self.errors,
            (Ok(()), Operation::Read) => &mut self.reads,
            (Ok(()), Operation::Write { .. }) => &mut self.writes,
            (Ok(()), Operation::Flush) => &mut self.flushes,
            (Ok(()), Operation::Discard { .. }) => &mut self.discards,
        };
        *counter += 1;
    }
}

impl<B: Buffer> Disk<B> {
    /// A disk of which this is known, for its driver.
    pub(crate) fn new(geometry: Geometry, bell: Arc<Bell>) -> Self {
        let flushes_forced = geometry.write_cache && !geometry.fua;
        Self {
            geometry,
            room: Semaphore::new(ENTRIES),
            table: SpinMutex::new(Table::new(flushes_forced)),
            bell,
        }
    }

    /// What the disk is, and what it takes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What it has done.
    pub fn statistics(&self) -> Statistics {
        self.table.lock().statistics
    }

    /// Whether the disk is gone, so that nothing will ever succeed.
    pub fn is_gone(&self) -> bool {
        self.table.lock().closed.is_some()
    }

    /// Asks the disk for something. It is queued at once if there is room in the table and nobody waits for it,
    /// otherwise when the future is polled and its turn has come. Task context only.
    ///
    /// # Errors
    /// The future gives them, together with the buffers.
    ///
    /// Who keeps more than 256 transfers without awaiting any may wait for room that only he can make.
    pub fn submit(&self, request: Request<B>) -> Transfer<'_, B> {
        match self.geometry.check(&request) {
            Ok(extent) => Transfer::new(self, request, extent),
            Err(error) => Transfer::refused(self, error, request.buffers),
        }
    }

    /// Puts a request into the table and tells the driver. The caller has a permit for the room, which the table now
    /// has, unless the disk is gone.
    pub(super) fn enqueue(
        &self,
        request: Request<B>,
        extent: Extent,
    ) -> Result<u16, (BlockError, Request<B>)> {
        let mut table = self.table.lock();
        if let Some(error) = table.closed {
            return Err((error, request));
        }
        let index = table.insert(request, extent);
        drop(table);
        self.bell.ring();
        Ok(index)
    }

    /// For the driver: what is to be done next, if there is anything and `admits` (given the operation and whether it
    /// has to be alone) agrees. `segment` gets address and bytes of each piece of memory, in order, and must not lock.
    pub(crate) fn next(
        &self,
        admits: impl FnOnce(Operation, bool) -> bool,
        segment: impl FnMut(u64, usize),
    ) -> Option<Command> {
        let limits = Limits {
            max_sectors: self.geometry.max_sectors,
            max_segments: self.geometry.max_segments,
            max_segment: self.geometry.max_segment,
        };
        self.table.lock().next(&limits, admits, segment)
    }

    /// For the driver: a command has ended, and the device has let go of its memory.
    pub(crate) fn complete(&self, command: Command, result: Result<(), BlockError>) {
        let mut next = Some(command.into_first());
        while let Some(index) = next {
            let left;
            (next, left) = self.table.lock().complete(index, result);
            self.dispose(left);
        }
    }

    /// For the driver: a command is lost, and the device may access its memory for ever, so that nobody else may have it.
    pub(crate) fn complete_without_buffers(&self, command: Command, error: BlockError) {
        let mut next = Some(command.into_first());
        while let Some(index) = next {
            let left;
            (next, left) = self.table.lock().complete_without_buffers(index, error);
            self.dispose(left);
        }
    }

    /// For the driver: a command has not ended, and the device has let go of its memory. Its requests are tried again:
    /// if `error` is given, each by itself, and a limited number of times.
    pub(crate) fn retry(&self, command: Command, error: Option<BlockError>) {
        let mut next = Some(command.into_first());
        while let Some(index) = next {
            let left;
            (next, left) = self.table.lock().retry(index, error);
            self.dispose(left);
        }
    }

    /// For the driver: the disk is gone. All that waits and all that comes fails.
    pub(crate) fn close(&self) {
        self.table.lock().closed = Some(BlockError::Gone);
        loop {
            let left = self.table.lock().fail_waiting(BlockError::Gone);
            match left {
                Some(left) => self.dispose(left),
                None => return,
            }
        }
    }

    fn dispose(&self, left: Left<B>) {
        match left {
            Left::Nothing => {}
            Left::Wake(waker) => waker.wake(),
            Left::Dropped(buffers) => {
                drop(buffers);
                self.room.release(1);
            }
        }
    }
}
