//! Locks of ranges of bytes, which belong to a descriptor table or to an open file (fcntl(2)).

use alloc::vec::Vec;
use core::ops::Range;

use syscalls::Errno;

use super::{FileLocks, Lock, Owner, Refusal, deadlock};
use crate::process::Caller;

/// A range of bytes, the last one included: a range without an end goes up to `i64::MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Extent {
    /// Whether the two overlap or one begins where the other ends.
    fn touches(self, other: Extent) -> bool {
        self.first <= other.last + 1 && other.first <= self.last + 1
    }
}

/// A lock of a range. Those of one owner do not overlap; neighbours of one kind are joined.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Whose it is.
    pub owner: Owner,
    /// What it locks.
    pub extent: Extent,
    /// Whether others may not even have shared ones.
    pub exclusive: bool,
    /// The process that asked for it; −1 where an open file is the owner.
    pub pid: i32,
}

/// What a range is to become: locked as the record says, or free of its owner's locks.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Locked.
    Lock(Record),
    /// Unlocked, of what this owner has.
    Unlock(Owner, Extent),
}

impl Request {
    fn owner(&self) -> Owner {
        match *self {
            Request::Lock(Record { owner, .. }) | Request::Unlock(owner, _) => owner,
        }
    }

    fn extent(&self) -> Extent {
        match *self {
            Request::Lock(Record { extent, .. }) | Request::Unlock(_, extent) => extent,
        }
    }
}

/// An owner's records, by ascending start.
pub(super) struct Holding {
    owner: Owner,
    records: Vec<Record>,
}

impl Holding {
    /// Which of them overlap a range.
    fn overlapping(&self, extent: Extent) -> Range<usize> {
        let start = self.records.partition_point(|record| record.extent.last < extent.first);
        let count = self.records[start..].partition_point(|record| record.extent.first <= extent.last);
        start..start + count
    }

    /// What is locked in `extent` is locked as `new` says, or not at all, from now on; whether anything was. There is room
    /// for two more.
    fn replace(&mut self, extent: Extent, mut new: Option<Record>) -> bool {
        let mut replaced = self.overlapping(extent);
        let is_there = !replaced.is_empty();
        // What sticks out of the range stays, or is joined if it is of the same kind, as neighbours are.
        let before = self.records[replaced.clone()].first().filter(|first| first.extent.first < extent.first);
        let mut before = before
            .map(|first| Record { extent: Extent { last: extent.first - 1, ..first.extent }, ..*first });
        let after = self.records[replaced.clone()].last().filter(|last| last.extent.last > extent.last);
        let mut after =
            after.map(|last| Record { extent: Extent { first: extent.last + 1, ..last.extent }, ..*last });
        if let Some(new) = &mut new {
            let joins = |other: &Record| other.exclusive == new.exclusive && other.extent.touches(extent);
            let lower = before.or_else(|| self.records.get(replaced.start.checked_sub(1)?).copied());
            let upper = after.or_else(|| self.records.get(replaced.end).copied());
            let (lower, upper) = (lower.filter(joins), upper.filter(joins));
            if let Some(lower) = lower {
                replaced.start -= usize::from(before.take().is_none());
                new.extent.first = lower.extent.first;
            }
            if let Some(upper) = upper {
                replaced.end += usize::from(after.take().is_none());
                new.extent.last = upper.extent.last;
            }
        }
        drop(self.records.splice(replaced, before.into_iter().chain(new).chain(after)));
        is_there
    }
}

/// All locks of ranges of a file, by their owners.
#[derive(Default)]
pub(super) struct Holdings(Vec<Holding>);

impl Holdings {
    /// The first lock that stands in the way of this one.
    fn conflict(&self, wanted: &Record) -> Option<Record> {
        let others = self.0.iter().filter(|holding| holding.owner != wanted.owner);
        let first = |holding: &Holding| {
            let overlapping = &holding.records[holding.overlapping(wanted.extent)];
            overlapping.iter().find(|record| record.exclusive || wanted.exclusive).copied()
        };
        others.filter_map(first).min_by_key(|record| record.extent.first)
    }

    /// Locks or unlocks a range that nobody else's lock excludes; whether the owner had something there. ENOLCK.
    fn set(&mut self, request: &Request) -> Result<bool, Errno> {
        let number = match self.0.binary_search_by_key(&request.owner(), |holding| holding.owner) {
            Ok(number) => number,
            Err(_) if matches!(request, Request::Unlock(..)) => return Ok(false),
            Err(number) => {
                self.0.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
                self.0.insert(number, Holding { owner: request.owner(), records: Vec::new() });
                number
            }
        };
        let holding = &mut self.0[number];
        let new = if let Request::Lock(record) = request { Some(*record) } else { None };
        // One for what is added, one for what is cut in two.
        let done = match holding.records.try_reserve(2) {
            Ok(()) => Ok(holding.replace(request.extent(), new)),
            Err(_) => Err(Errno::ENOLCK),
        };
        if holding.records.is_empty() {
            self.0.remove(number);
        }
        done
    }

    /// All of them.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().flat_map(|holding| &holding.records)
    }

    /// Takes out all that an owner has, if there is anything.
    pub fn leave(&mut self, owner: Owner) -> Option<Holding> {
        let number = self.0.binary_search_by_key(&owner, |holding| holding.owner).ok()?;
        Some(self.0.remove(number))
    }
}

impl FileLocks {
    /// The first lock that stands in the way of this one.
    pub fn conflict(&self, wanted: &Record) -> Option<Record> {
        self.records.lock().conflict(wanted)
    }

    /// Locks or unlocks a range if that can be done now; whether others may want to look again, which the caller tells them.
    fn try_set(&self, request: &Request) -> Result<bool, Refusal> {
        let mut records = self.records.lock();
        if let Request::Lock(wanted) = request
            && let Some(other) = records.conflict(wanted)
        {
            return Err(Refusal::HeldBy(other.owner));
        }
        records.set(request).map_err(Refusal::Failed)
    }

    /// Locks or unlocks a range.
    ///
    /// # Errors
    /// EAGAIN if it cannot be had now and the caller does not `wait`; EDEADLK if those whom it would wait for wait for
    /// the same owner; ERESTARTSYS, ENOLCK.
    pub async fn set(&self, caller: &Caller, request: Request, wait: bool) -> Result<(), Errno> {
        let changed = match self.try_set(&request) {
            Ok(changed) => changed,
            Err(Refusal::HeldBy(_)) if let (true, Request::Lock(record)) = (wait, request) => {
                let waiting = deadlock::Waiting::new(self, request.owner());
                self.wait_for(caller, Lock { is_whole: false, record }, || {
                    waiting.attempt(|| self.try_set(&request))
                })
                .await?
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if changed {
            self.wake();
        }
        Ok(())
    }
}
