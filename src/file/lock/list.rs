//! All locks there are, held and waited for, as `/proc/locks` lists them.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use executor::sync::SpinMutex;
use syscalls::Errno;

use super::{ASKED, Extent, FileLocks, Owner, Record, whole::Whole};

/// A lock, held or waited for.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// Whether it is of the whole file (flock(2)), which those of ranges know nothing of.
    pub is_whole: bool,
    /// Whose it is, of what, and who has asked for it.
    pub record: Record,
}

impl Lock {
    /// That of a whole file.
    pub(super) fn whole(file: usize, exclusive: bool, pid: u32) -> Self {
        let extent = Extent { first: 0, last: i64::MAX as u64 };
        let record = Record { owner: Owner::File(file), extent, exclusive, pid: pid as i32 };
        Self { is_whole: true, record }
    }

    /// Whether one of the two excludes the other.
    pub fn excludes(&self, other: &Self) -> bool {
        let (own, others) = (&self.record, &other.record);
        self.is_whole == other.is_whole
            && own.owner != others.owner
            && (own.exclusive || others.exclusive)
            && own.extent.first <= others.extent.last
            && others.extent.first <= own.extent.last
    }
}

/// Those who wait for locks of a file, in the order in which they came, each with a number of its own.
#[derive(Default)]
pub(super) struct Wanted {
    next: u64,
    list: Vec<(u64, Lock)>,
}

/// One who waits, until this is dropped.
pub(super) struct Wanting<'a> {
    locks: &'a FileLocks,
    number: u64,
}

impl<'a> Wanting<'a> {
    /// ENOLCK where there is no memory for it.
    pub(super) fn new(locks: &'a FileLocks, lock: Lock) -> Result<Self, Errno> {
        let mut wanted = locks.wanted.lock();
        wanted.list.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        let number = wanted.next;
        wanted.next += 1;
        wanted.list.push((number, lock));
        Ok(Self { locks, number })
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.locks.wanted.lock().list.retain(|(number, _)| *number != self.number);
    }
}

/// The files that have locks, or have had some. ENOMEM.
pub fn files() -> Result<Vec<Arc<FileLocks>>, Errno> {
    let mut files = copied(&ASKED, BTreeMap::len, |asked, files| files.extend(asked.values().cloned()))?;
    files.sort_unstable_by_key(Arc::as_ptr);
    files.dedup_by(|one, other| Arc::ptr_eq(one, other));
    Ok(files)
}

impl FileLocks {
    /// The locks that are held; and those that are waited for, in the order in which they were asked for. ENOMEM.
    pub fn list(&self) -> Result<(Vec<Lock>, Vec<Lock>), Errno> {
        let whole = |lock: &Whole| Lock::whole(lock.file, lock.exclusive, lock.pid);
        let mut held = copied(&self.whole, Vec::len, |locks, held| held.extend(locks.iter().map(whole)))?;
        let range = |record: &Record| Lock { is_whole: false, record: *record };
        let ranges = copied(
            &self.records,
            |holdings| holdings.records().count(),
            |holdings, held| held.extend(holdings.records().map(range)),
        )?;
        held.try_reserve(ranges.len()).map_err(|_| Errno::ENOMEM)?;
        held.extend(ranges);
        let waiting = copied(
            &self.wanted,
            |wanted| wanted.list.len(),
            |wanted, waiting| waiting.extend(wanted.list.iter().map(|(_, lock)| *lock)),
        )?;
        Ok((held, waiting))
    }
}

/// Copies what is guarded by a lock into memory that was asked for outside of it.
fn copied<S, T>(
    from: &SpinMutex<S>,
    count: impl Fn(&S) -> usize,
    copy: impl Fn(&S, &mut Vec<T>),
) -> Result<Vec<T>, Errno> {
    let mut list = Vec::new();
    loop {
        let needed = count(&from.lock());
        list.try_reserve(needed).map_err(|_| Errno::ENOMEM)?;
        let guarded = from.lock();
        if count(&guarded) <= list.capacity() {
            copy(&guarded, &mut list);
            return Ok(list);
        }
    }
}
