//! Locks of ranges of bytes, which belong to a descriptor table or to an open file (fcntl(2)).

use alloc::vec::Vec;

use syscalls::Errno;

use super::{FileLocks, Owner, Refusal, deadlock};
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
    fn overlaps(self, other: Extent) -> bool {
        self.first <= other.last && other.first <= self.last
    }

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

impl Record {
    fn excludes(&self, other: &Record) -> bool {
        self.owner != other.owner && (self.exclusive || other.exclusive) && self.extent.overlaps(other.extent)
    }
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

/// Cuts `extent` out of the owner's records; whether there was anything. There must be room for one record more.
fn cut_out(records: &mut Vec<Record>, owner: Owner, extent: Extent) -> bool {
    let mut found = false;
    let mut index = 0;
    while let Some(record) = records.get_mut(index) {
        let old = record.extent;
        if record.owner != owner || !old.overlaps(extent) {
            index += 1;
            continue;
        }
        found = true;
        match (old.first < extent.first, old.last > extent.last) {
            (false, false) => {
                records.remove(index);
                continue;
            }
            (true, false) => record.extent.last = extent.first - 1,
            (false, true) => record.extent.first = extent.last + 1,
            (true, true) => {
                record.extent.last = extent.first - 1;
                let rest = Record { extent: Extent { first: extent.last + 1, ..old }, ..*record };
                records.insert(index + 1, rest);
            }
        }
        index += 1;
    }
    found
}

/// Adds a record where its owner has none, joined with those neighbours that are of its kind. By ascending start.
fn add(records: &mut Vec<Record>, mut new: Record) {
    records.retain(|record| {
        let joins = record.owner == new.owner
            && record.exclusive == new.exclusive
            && record.extent.touches(new.extent);
        if joins {
            new.extent.first = new.extent.first.min(record.extent.first);
            new.extent.last = new.extent.last.max(record.extent.last);
        }
        !joins
    });
    let place = records.partition_point(|record| record.extent.first <= new.extent.first);
    records.insert(place, new);
}

impl FileLocks {
    /// The first lock that stands in the way of this one.
    pub fn conflict(&self, wanted: &Record) -> Option<Record> {
        self.records.lock().iter().find(|record| record.excludes(wanted)).copied()
    }

    /// Locks or unlocks a range if that can be done now; whether others may want to look again, which the caller tells them.
    fn try_set(&self, request: &Request) -> Result<bool, Refusal> {
        let mut records = self.records.lock();
        if let Request::Lock(wanted) = request
            && let Some(other) = records.iter().find(|record| record.excludes(wanted))
        {
            return Err(Refusal::HeldBy(other.owner));
        }
        // One for what is added, one for what is cut in two.
        records.try_reserve(2).map_err(|_| Refusal::Failed(Errno::ENOLCK))?;
        let changed = cut_out(&mut records, request.owner(), request.extent());
        if let Request::Lock(wanted) = request {
            add(&mut records, *wanted);
        }
        Ok(changed)
    }

    /// Locks or unlocks a range.
    ///
    /// # Errors
    /// EAGAIN if it cannot be had now and the caller does not `wait`; EDEADLK if those whom it would wait for wait for
    /// the same owner; ERESTARTSYS, ENOLCK.
    pub async fn set(&self, caller: &Caller, request: Request, wait: bool) -> Result<(), Errno> {
        let changed = match self.try_set(&request) {
            Ok(changed) => changed,
            Err(Refusal::HeldBy(_)) if wait => {
                let waiting = deadlock::Waiting::new(self, request.owner());
                self.wait_for(caller, || waiting.attempt(|| self.try_set(&request))).await?
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if changed {
            self.wake();
        }
        Ok(())
    }
}
