//! The requests of a disk, from submission to their end: a fixed table, and the lists through it.
//!
//! ```text
//!   free ─ insert ─► waiting ─ next ─► issued ─ complete ─► done ─ take_done ─► free
//!                     │  ▲               │ │
//!             abandon │  └──── retry ────┘ └─ complete or retry of an abandoned one ─► free
//!                     ▼
//!                   free
//! ```
//!
//! Nothing here waits, wakes or drops what came from outside: the disk does that after it has released the lock that
//! this is under. So what leaves the table is returned.

use alloc::boxed::Box;
use core::task::Waker;

use super::disk::{Limits, Statistics};
use super::geometry::Extent;
use super::request::{BlockError, Buffer, Buffers, Operation, Request};

/// Requests that a disk holds at most.
pub(super) const ENTRIES: usize = 256;
/// How often a request is tried before its error is believed.
const ATTEMPTS: u8 = 3;
/// How often the waiting requests are gone through for one command; more than the first finds something only if many
/// came in a strange order.
const PASSES: usize = 4;

/// A place in the table.
pub(super) type Index = u16;
const NONE: Index = Index::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Issued,
    Done,
}

struct Entry<B> {
    state: State,
    /// The next of the free ones, of the waiting ones, or of the same command.
    next: Index,
    /// The one before, among the waiting ones.
    previous: Index,
    operation: Operation,
    sector: u64,
    extent: Extent,
    buffers: Buffers<B>,
    /// Whom its end wakes.
    waker: Option<Waker>,
    /// Nobody wants to know any more.
    is_abandoned: bool,
    /// It is to be tried by itself, so that it is known whose an error is.
    is_alone: bool,
    attempts: u8,
    result: Result<(), BlockError>,
}

/// What a driver gives its device: one request, or several that adjoin. It has to come back by
/// [`complete`](super::Disk::complete) or [`retry`](super::Disk::retry).
#[derive(Debug)]
#[must_use = "a command that does not come back hangs its requests"]
pub(crate) struct Command {
    pub operation: Operation,
    pub sector: u64,
    pub sectors: u32,
    /// Whether it is an attempt after an error, which has to show whose error it was.
    pub is_alone: bool,
    first: Index,
}

impl Command {
    /// The command comes back: the first of its requests.
    pub(super) fn into_first(self) -> Index {
        self.first
    }
}

/// How a request has ended, and its buffers.
pub(super) type Outcome<B> = (Result<(), BlockError>, Buffers<B>);

/// What is to be done for a request once the lock is released.
pub(super) enum Left<B> {
    /// Nothing.
    Nothing,
    /// Wake who waits for it.
    Wake(Waker),
    /// It has left the table, and nobody wants its buffers.
    Dropped(Buffers<B>),
}

pub(super) struct Table<B> {
    entries: Box<[Entry<B>]>,
    free: Index,
    first_waiting: Index,
    last_waiting: Index,
    /// Set once no request can succeed any more.
    pub(super) closed: Option<BlockError>,
    /// A forced write is followed by a flush, as the disk cannot force it.
    flushes_forced: bool,
    pub(super) statistics: Statistics,
}

impl<B: Buffer> Table<B> {
    pub(super) fn new(flushes_forced: bool) -> Self {
        let entry = |index| Entry {
            state: State::Free,
            next: if index + 1 < ENTRIES { (index + 1) as Index } else { NONE },
            previous: NONE,
            operation: Operation::Flush,
            sector: 0,
            extent: Extent { sectors: 0, segments: 0 },
            buffers: Buffers::new(),
            waker: None,
            is_abandoned: false,
            is_alone: false,
            attempts: 0,
            result: Ok(()),
        };
        Self {
            entries: (0..ENTRIES).map(entry).collect(),
            free: 0,
            first_waiting: NONE,
            last_waiting: NONE,
            closed: None,
            flushes_forced,
            statistics: Statistics::default(),
        }
    }

    fn entry(&mut self, index: Index) -> &mut Entry<B> {
        &mut self.entries[usize::from(index)]
    }

    /// Takes a request in, behind the others. The caller has a permit for the room.
    pub(super) fn insert(&mut self, request: Request<B>, extent: Extent) -> Index {
        let index = self.free;
        let entry = self.entry(index);
        debug_assert_eq!(entry.state, State::Free);
        let next_free = entry.next;
        *entry = Entry {
            state: State::Waiting,
            next: NONE,
            previous: NONE,
            operation: request.operation,
            sector: request.sector,
            extent,
            buffers: request.buffers,
            waker: None,
            is_abandoned: false,
            is_alone: false,
            attempts: 0,
            result: Ok(()),
        };
        self.free = next_free;
        self.push_back(index);
        index
    }

    /// The outcome of a request that has ended, which thereby leaves the table. Otherwise its end will wake `waker`;
    /// the one that it replaces comes back.
    pub(super) fn take_done(&mut self, index: Index, waker: &Waker) -> Result<Outcome<B>, Option<Waker>> {
        let entry = self.entry(index);
        if entry.state == State::Done {
            let result = entry.result;
            return Ok((result, self.release(index)));
        }
        match &mut entry.waker {
            Some(old) if old.will_wake(waker) => Err(None),
            place => Err(place.replace(waker.clone())),
        }
    }

    /// Nobody wants to know any more what becomes of a request. Its buffers, if the device has not got them: it has
    /// then left the table.
    pub(super) fn abandon(&mut self, index: Index) -> Option<Buffers<B>> {
        match self.entry(index).state {
            State::Issued => {
                self.entry(index).is_abandoned = true;
                None
            }
            State::Waiting => {
                self.unlink(index);
                Some(self.release(index))
            }
            State::Done | State::Free => Some(self.release(index)),
        }
    }

    /// What waits longest, if `admits` it, and whatever can go with it. `segment` gets the memory, piece by piece.
    pub(super) fn next(
        &mut self,
        limits: &Limits,
        admits: impl FnOnce(Operation, bool) -> bool,
        mut segment: impl FnMut(u64, usize),
    ) -> Option<Command> {
        let first = self.first_waiting;
        if first == NONE {
            return None;
        }
        let &mut Entry { operation, sector, extent, is_alone, .. } = self.entry(first);
        if !admits(operation, is_alone) {
            return None;
        }
        self.unlink(first);
        let mut command = Command { operation, sector, sectors: extent.sectors, is_alone, first };
        if !is_alone {
            self.merge(&mut command, extent.segments, limits);
        }
        self.statistics.commands += 1;
        let mut index = command.first;
        while index != NONE {
            let entry = self.entry(index);
            entry.state = State::Issued;
            index = entry.next;
            for buffer in &entry.buffers {
                let (address, len) = (buffer.address(), buffer.len());
                for start in (0..len).step_by(limits.max_segment) {
                    segment(address + start as u64, limits.max_segment.min(len - start));
                }
            }
        }
        Some(command)
    }

    /// Adds to a command what waits and fits.
    fn merge(&mut self, command: &mut Command, mut segments: usize, limits: &Limits) {
        if matches!(command.operation, Operation::Discard { .. }) {
            return;
        }
        let mut last = command.first;
        for _ in 0..PASSES {
            let mut has_found = false;
            let mut candidate = self.first_waiting;
            while candidate != NONE {
                let &mut Entry { next, operation, sector, extent, is_alone, .. } = self.entry(candidate);
                let index = candidate;
                candidate = next;
                // One flush answers all that wait, whatever they are.
                let is_flush = operation == Operation::Flush;
                let is_behind = sector == command.sector + u64::from(command.sectors);
                let is_before = sector + u64::from(extent.sectors) == command.sector;
                if is_alone
                    || operation != command.operation
                    || command.sectors + extent.sectors > limits.max_sectors
                    || segments + extent.segments > limits.max_segments
                    || !(is_flush || is_behind || is_before)
                {
                    continue;
                }
                self.unlink(index);
                if is_flush || is_behind {
                    self.entry(last).next = index;
                    last = index;
                } else {
                    self.entry(index).next = command.first;
                    command.first = index;
                    command.sector = sector;
                }
                command.sectors += extent.sectors;
                segments += extent.segments;
                self.statistics.merged += 1;
                has_found = true;
            }
            if !has_found || command.operation == Operation::Flush {
                return;
            }
        }
    }

    /// The first request of a command has ended like this. Gives the next one, too.
    pub(super) fn complete(
        &mut self,
        index: Index,
        result: Result<(), BlockError>,
    ) -> (Option<Index>, Left<B>) {
        let next = self.after(index);
        let needs_flush = self.flushes_forced
            && result.is_ok()
            && self.entry(index).operation == Operation::Write { fua: true };
        if needs_flush && !self.entry(index).is_abandoned {
            let entry = self.entry(index);
            entry.operation = Operation::Flush;
            (entry.attempts, entry.is_alone) = (0, false);
            self.wait_again(index, false);
            return (next, Left::Nothing);
        }
        (next, self.finish(index, result))
    }

    /// The first request of a command has ended, but the device may still access its buffers: they are kept from
    /// everybody. Gives the next one, too.
    pub(super) fn complete_without_buffers(
        &mut self,
        index: Index,
        error: BlockError,
    ) -> (Option<Index>, Left<B>) {
        let next = self.after(index);
        core::mem::forget(core::mem::take(&mut self.entry(index).buffers));
        (next, self.finish(index, Err(error)))
    }

    /// The first request of a command is to be tried again: by itself and not too often if that is because of its own
    /// error. Gives the next one, too.
    pub(super) fn retry(&mut self, index: Index, error: Option<BlockError>) -> (Option<Index>, Left<B>) {
        let next = self.after(index);
        let closed = self.closed;
        let entry = self.entry(index);
        if let Some(error) = error {
            entry.attempts += 1;
            entry.is_alone = true;
            if entry.attempts >= ATTEMPTS {
                return (next, self.finish(index, Err(error)));
            }
        }
        if entry.is_abandoned || closed.is_some() {
            return (next, self.finish(index, Err(closed.unwrap_or(BlockError::Gone))));
        }
        self.statistics.retries += 1;
        self.wait_again(index, true);
        (next, Left::Nothing)
    }

    /// One of the waiting requests ends with this error; None: none waits.
    pub(super) fn fail_waiting(&mut self, error: BlockError) -> Option<Left<B>> {
        let index = self.first_waiting;
        if index == NONE {
            return None;
        }
        self.unlink(index);
        Some(self.finish(index, Err(error)))
    }

    fn after(&mut self, index: Index) -> Option<Index> {
        let entry = self.entry(index);
        debug_assert_eq!(entry.state, State::Issued);
        Some(entry.next).filter(|&next| next != NONE)
    }

    fn finish(&mut self, index: Index, result: Result<(), BlockError>) -> Left<B> {
        self.statistics.count(self.entries[usize::from(index)].operation, result);
        let entry = self.entry(index);
        if entry.is_abandoned {
            return Left::Dropped(self.release(index));
        }
        entry.state = State::Done;
        entry.result = result;
        entry.waker.take().map_or(Left::Nothing, Left::Wake)
    }

    fn release(&mut self, index: Index) -> Buffers<B> {
        let free = self.free;
        let entry = self.entry(index);
        entry.state = State::Free;
        entry.next = free;
        entry.waker = None;
        let buffers = core::mem::take(&mut entry.buffers);
        self.free = index;
        buffers
    }

    fn wait_again(&mut self, index: Index, in_front: bool) {
        let entry = self.entry(index);
        entry.state = State::Waiting;
        (entry.next, entry.previous) = (NONE, NONE);
        if in_front {
            self.push_front(index);
        } else {
            self.push_back(index);
        }
    }

    fn push_back(&mut self, index: Index) {
        let last = core::mem::replace(&mut self.last_waiting, index);
        self.entry(index).previous = last;
        *self.next_of(last) = index;
    }

    fn push_front(&mut self, index: Index) {
        let first = core::mem::replace(&mut self.first_waiting, index);
        self.entry(index).next = first;
        *self.previous_of(first) = index;
    }

    fn unlink(&mut self, index: Index) {
        let entry = self.entry(index);
        debug_assert_eq!(entry.state, State::Waiting);
        let (previous, next) = (entry.previous, entry.next);
        (entry.previous, entry.next) = (NONE, NONE);
        *self.next_of(previous) = next;
        *self.previous_of(next) = previous;
    }

    /// Where the waiting one behind this is named; behind none comes the first.
    fn next_of(&mut self, index: Index) -> &mut Index {
        if index == NONE { &mut self.first_waiting } else { &mut self.entry(index).next }
    }

    /// Where the waiting one before this is named; before none comes the last.
    fn previous_of(&mut self, index: Index) -> &mut Index {
        if index == NONE { &mut self.last_waiting } else { &mut self.entry(index).previous }
    }
}
