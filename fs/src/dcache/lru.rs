//! Giving cached entries back.
//!
//! Every entry that is in a table is also in one of the lists here, one list per CPU that inserts. When a
//! list is longer than its share of the limit, inserting into it also looks at a few of its oldest
//! entries and evicts those that nobody uses and nobody has used since they were last looked at (the clock
//! algorithm). The kernel also asks for memory back with [`shrink`].

use super::{
    dentry::Dentry,
    directory::{remove_entry, retire_entry},
    entry::Entry,
};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{AtomicUsize, Ordering::Relaxed};
use executor::{rcu, sync::SpinMutex};

const LISTS: usize = 64;
/// Entries looked at after an insertion into a list that is too long: more than one, so that it
/// shrinks; few, so that no insertion takes long.
const STEP: usize = 4;

/// An entry's neighbours in its list.
pub(crate) struct Links {
    /// Guarded by the lock of the list.
    pointers: UnsafeCell<(*mut Entry, *mut Entry)>,
}

impl Links {
    pub const fn new() -> Self {
        Links { pointers: UnsafeCell::new((null_mut(), null_mut())) }
    }
}

/// A doubly linked list, oldest first.
struct List {
    head: *mut Entry,
    tail: *mut Entry,
}

// SAFETY: the list is only reached through its lock.
unsafe impl Send for List {}

#[repr(align(64))]
struct Shard {
    list: SpinMutex<List>,
    len: AtomicUsize,
}

static SHARDS: [Shard; LISTS] = [const {
    Shard { list: SpinMutex::new(List { head: null_mut(), tail: null_mut() }), len: AtomicUsize::new(0) }
}; LISTS];

/// Entries that a list may have before insertion evicts.
static SHARE: AtomicUsize = AtomicUsize::new(65536);

impl List {
    /// # Safety
    /// `entry` is valid and in no list; the list's lock is held.
    unsafe fn push(&mut self, entry: *mut Entry) {
        // SAFETY: by the caller's promise, and because entries in the list are valid.
        unsafe {
            *(*entry).links.pointers.get() = (self.tail, null_mut());
            match self.tail.as_ref() {
                Some(tail) => (*tail.links.pointers.get()).1 = entry,
                None => self.head = entry,
            }
        }
        self.tail = entry;
    }

    /// # Safety
    /// `entry` is in this list, whose lock is held.
    unsafe fn unlink(&mut self, entry: *mut Entry) {
        // SAFETY: neighbours of an entry in the list are in the list, hence valid.
        unsafe {
            let (previous, next) = *(*entry).links.pointers.get();
            match previous.as_ref() {
                Some(previous) => (*previous.links.pointers.get()).1 = next,
                None => self.head = next,
            }
            match next.as_ref() {
                Some(next) => (*next.links.pointers.get()).0 = previous,
                None => self.tail = previous,
            }
        }
    }
}

/// Lists an entry that has just been hashed. Under its directory's lock.
pub(crate) fn add(entry: NonNull<Entry>) {
    let index = executor::current_cpu() % LISTS;
    // SAFETY: hashed, and its directory is locked, so it is valid.
    unsafe { entry.as_ref() }.list.store(index as u32, Relaxed);
    let shard = &SHARDS[index];
    // SAFETY: as above; a fresh entry is in no list.
    unsafe { shard.list.lock().push(entry.as_ptr()) };
    shard.len.fetch_add(1, Relaxed);
}

/// Takes an entry that is being unhashed off its list. Under its directory's lock.
pub(crate) fn remove(entry: &Entry) {
    let shard = &SHARDS[entry.list.load(Relaxed) as usize];
    // SAFETY: every hashed entry is in the list it names.
    unsafe { shard.list.lock().unlink(core::ptr::from_ref(entry).cast_mut()) };
    shard.len.fetch_sub(1, Relaxed);
}

/// Evicts a little when this CPU's list is too long. Called with no directory locked.
#[inline]
pub(crate) fn trim() {
    let shard = &SHARDS[executor::current_cpu() % LISTS];
    if shard.len.load(Relaxed) > SHARE.load(Relaxed) {
        scan(shard, STEP);
    }
}

/// Looks at up to `count` of the oldest entries; returns how many it evicted.
#[cold]
fn scan(shard: &Shard, count: usize) -> usize {
    let guard = rcu::read();
    let mut evicted = 0;
    for _ in 0..count {
        let entry = {
            let mut list = shard.list.lock();
            let oldest = list.head;
            if oldest.is_null() {
                break;
            }
            // To the back: seen. It leaves the list only when it is unhashed.
            // SAFETY: it is in the list, whose lock is held.
            unsafe {
                list.unlink(oldest);
                list.push(oldest);
                // SAFETY: it was in the list under the lock, so it was hashed then, and entries are
                // freed a grace period after that, which the guard holds off.
                &*oldest
            }
        };
        evicted += usize::from(try_evict(entry, &guard));
    }
    evicted
}

fn try_evict(entry: &Entry, _guard: &rcu::ReadGuard) -> bool {
    if let Some(dentry) = entry.positive()
        && dentry.referenced.swap(false, Relaxed)
    {
        return false;
    }
    // SAFETY: a directory outlives its entries by a grace period.
    let parent = unsafe { entry.parent.as_ref() };
    let directory = parent.as_directory();
    if !directory.lock.try_lock_raw() {
        return false;
    }
    // Under the lock `hashed` is exact, and a hashed entry keeps its directory alive.
    let evict = entry.hashed.load(Relaxed)
        && entry.positive().is_none_or(|dentry| !dentry.is_mountpoint() && dentry.try_evict());
    if evict {
        finish(remove_entry(parent, entry));
    }
    // The memory of the lock is valid even if the directory has just ended: the guard is held.
    directory.lock.unlock();
    evict
}

/// Frees an entry that was removed by eviction, with its ended dentry.
fn finish(entry: NonNull<Entry>) {
    // SAFETY: just removed, and the caller holds an RCU guard.
    match NonNull::new(unsafe { entry.as_ref() }.dentry.cast_mut()) {
        Some(dentry) => {
            Dentry::release_parent(Dentry::retire(dentry).expect("a hashed dentry has an entry"));
        }
        None => retire_entry(entry),
    }
}

/// Sets how many entries the cache may hold before it evicts unused ones; a guide, not a hard limit.
pub fn set_limit(entries: usize) {
    SHARE.store((entries / executor::cpus().max(1)).max(16), Relaxed);
}

/// Evicts up to `count` unused entries, the oldest first; returns how many. For the kernel when memory runs
/// short. Looks at no more than `4 * count` entries.
pub fn shrink(count: usize) -> usize {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let start = TURN.fetch_add(1, Relaxed);
    let mut evicted = 0;
    for turn in 0..LISTS {
        let shard = &SHARDS[(start + turn) % LISTS];
        let look = (4 * (count - evicted)).min(2 * shard.len.load(Relaxed));
        evicted += scan(shard, look).min(count - evicted);
        if evicted == count {
            break;
        }
    }
    evicted
}

/// What the cache holds.
#[derive(Clone, Copy, Debug)]
pub struct CacheStats {
    /// Entries, negative ones included.
    pub entries: usize,
}

/// Counts the cached entries.
pub fn stats() -> CacheStats {
    CacheStats { entries: SHARDS.iter().map(|shard| shard.len.load(Relaxed)).sum() }
}
