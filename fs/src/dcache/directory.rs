//! A directory in the cache: its children, and its lock, under which they change.

use super::{
    children::Children,
    dentry::{Dentry, DentryRef},
    entry::Entry,
    form::LookupForm,
    lru,
    name::Name,
};
use crate::{Caching, Inode, lock::SleepLock};
use alloc::sync::Arc;
use core::ops::Deref;
use core::ptr::{NonNull, null};
use executor::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use executor::{
    rcu::{self, Linked},
    sync::SpinRwLock,
};
use smallvec::SmallVec;
use syscalls::Errno;

/// What makes a dentry a directory.
pub(crate) struct Directory {
    children: Children,
    /// Odd while a rename touches this directory; see [`Directory::find`].
    moves: AtomicU32,
    /// Removed: nothing can be made in it any more. Written under the lock.
    removed: AtomicBool,
    remember_absence: bool,
    /// Held by who looks a name up, with others, and by who changes the table, alone, while lookups are [locked](LookupForm).
    table: SpinRwLock<()>,
    /// Held across each change of the directory, in the file system and in the cache.
    pub lock: SleepLock,
}

/// What the cache knows about a name.
pub(crate) enum Cached<'g> {
    /// It leads to this file, which may have to confirm it: see [`Dentry::is_valid`].
    Positive(&'g Dentry),
    /// It does not exist.
    Negative,
    /// Nothing (or a rename is going on): ask under the directory's lock.
    Unknown,
}

impl Directory {
    pub fn new(caching: Caching) -> Self {
        Directory {
            children: Children::new(),
            moves: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            remember_absence: caching == Caching::Stable,
            table: SpinRwLock::new(()),
            lock: SleepLock::new(),
        }
    }

    /// Looks a name up without a lock, and writes nothing; or, if lookups are [`LOCKED`](LookupForm), with one. The answer held at
    /// some moment during the call, and at that moment no rename was half done in this directory.
    #[inline(always)]
    pub fn find<'g, const LOCKED: bool>(&self, name: Name<'_>, guard: &'g rcu::ReadGuard) -> Cached<'g> {
        let _shared = LOCKED.then(|| self.table.read());
        // Pairs with `begin_move` and `end_move`: an even, unchanged count around the search means that
        // no rename stored into the table meanwhile.
        let before = self.moves.load(Acquire);
        let entry = self.children.find(name, guard);
        fence(Acquire);
        if before & 1 != 0 || self.moves.load(Relaxed) != before {
            return Cached::Unknown;
        }
        match entry {
            None => Cached::Unknown,
            Some(entry) => match entry.positive() {
                None => Cached::Negative,
                Some(dentry) => Cached::Positive(dentry),
            },
        }
    }

    /// As [`find`](Self::find), in the form that is chosen.
    #[inline]
    pub fn find_as_chosen<'g>(&self, name: Name<'_>, guard: &'g rcu::ReadGuard) -> Cached<'g> {
        if LookupForm::is_locked() { self.find::<true>(name, guard) } else { self.find::<false>(name, guard) }
    }

    /// Changes the table.
    #[inline(always)]
    fn change<R>(&self, change: impl FnOnce(&Children) -> R) -> R {
        let _alone = LookupForm::is_locked().then(|| self.table.write());
        change(&self.children)
    }

    fn begin_move(&self) {
        self.moves.store(self.moves.load(Relaxed) | 1, Relaxed);
        fence(Release);
    }

    fn end_move(&self) {
        self.moves.store(self.moves.load(Relaxed).wrapping_add(1), Release);
    }
}

/// Takes an entry out of its directory's table and off the eviction list, and gives it to the caller. Under the directory's
/// lock.
pub(crate) fn remove_entry(parent: &Dentry, entry: &Entry) -> NonNull<Entry> {
    let removed = parent.as_directory().change(|children| children.remove(entry));
    lru::remove(entry);
    removed
}

/// Frees an entry that was taken out of its table and that no dentry has, and the use it had of its directory.
pub(crate) fn retire_entry(entry: NonNull<Entry>) {
    // SAFETY: made by `Entry::new`, taken out of its table once under the directory's lock, and owned by the caller.
    let entry = unsafe { Linked::from_raw(entry) };
    let parent = entry.parent;
    rcu::retire(entry);
    Dentry::release_parent(parent);
}

/// A directory whose lock is held. All changes of the cached tree go through this.
pub(crate) struct LockedDirectory {
    dentry: DentryRef,
}

impl Deref for LockedDirectory {
    type Target = DentryRef;

    fn deref(&self) -> &DentryRef {
        &self.dentry
    }
}

impl Drop for LockedDirectory {
    #[inline]
    fn drop(&mut self) {
        self.dentry.as_directory().lock.unlock();
        lru::trim();
    }
}

impl LockedDirectory {
    /// Locks a directory if it is free.
    #[inline]
    pub fn try_lock(dentry: DentryRef) -> Option<Self> {
        dentry.as_directory().lock.try_lock_raw().then(|| LockedDirectory { dentry })
    }

    /// Waits for the lock of a directory.
    pub async fn lock(dentry: DentryRef) -> Self {
        dentry.as_directory().lock.lock_raw().await;
        LockedDirectory { dentry }
    }

    /// `ENOENT` once the directory has been removed: nothing can be made in it any more.
    pub fn check_alive(&self) -> Result<(), Errno> {
        if self.dentry.as_directory().removed.load(Relaxed) { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Looks a name up; exact, because the directory is locked.
    pub fn find(&self, name: Name<'_>) -> Option<Option<DentryRef>> {
        let guard = rcu::read();
        let entry = self.dentry.as_directory().children.find(name, &guard)?;
        match entry.positive() {
            None => Some(None),
            Some(dentry) if !dentry.is_valid() => {
                self.forget(dentry);
                None
            }
            // A dentry found under its directory's lock has not ended: eviction takes the lock too.
            Some(dentry) => dentry.try_ref().map(Some),
        }
    }

    /// Unhashes a child whose file has vanished beneath the cache, with what is cached below it. Users keep what they use.
    fn forget(&self, dentry: &Dentry) {
        if let Some(held) = dentry.try_ref() {
            self.remove(&held);
            if held.directory().is_some() {
                let mut pruning = Pruning::of(held);
                while !pruning.step(usize::MAX) {}
            }
        }
    }

    /// Enters a file under a name, in the place of a negative entry if there is one.
    pub fn insert(&self, name: Name<'_>, inode: Arc<dyn Inode>) -> DentryRef {
        let dentry = DentryRef::new(inode);
        let entry = Entry::new(&self.dentry, name, dentry.as_non_null().as_ptr());
        dentry.set_entry(entry);
        self.put(name, entry);
        dentry
    }

    /// Remembers that a name does not exist.
    pub fn insert_negative(&self, name: Name<'_>) {
        if self.dentry.as_directory().remember_absence {
            self.put(name, Entry::new(&self.dentry, name, null()));
        }
    }

    /// Hashes `new`, replacing the entry of the same name, which is negative or has been unhashed from its dentry.
    fn put(&self, name: Name<'_>, new: NonNull<Entry>) {
        let _guard = rcu::read();
        let replaced = self.dentry.as_directory().change(|children| children.insert(name, new));
        if let Some(replaced) = replaced {
            // SAFETY: it was in the table until now, and readers may still look at it: it lives as long as the guard.
            let old = unsafe { replaced.as_ref() };
            lru::remove(old);
            match old.positive() {
                // A replaced file's entry stays with its dentry until that ends.
                Some(file) => file.set_unhashed(),
                None => retire_entry(replaced),
            }
        }
        lru::add(new);
    }

    /// Removes a child's name; the child stays with its users.
    pub fn remove(&self, child: &DentryRef) {
        let guard = rcu::read();
        if let Some(entry) = child.entry(&guard)
            && entry.hashed.load(Relaxed)
        {
            remove_entry(&self.dentry, entry);
            child.set_unhashed();
        }
    }

    /// Marks this directory, which its file system has removed, and drops what is cached in it. Afterwards
    /// nothing can be made in it.
    pub fn set_removed(&self) {
        let directory = self.dentry.as_directory();
        directory.removed.store(true, Relaxed);
        let guard = rcu::read();
        while let Some(entry) = directory.children.first(&guard) {
            let removed = remove_entry(&self.dentry, entry);
            match entry.positive() {
                // Only a file system that lost track of its entries gets here; the users keep the file.
                Some(child) => unhash_unused(child),
                None => retire_entry(removed),
            }
        }
    }
}

/// Unhashes a dentry that has been taken out of the table, ending it if nobody uses it.
fn unhash_unused(dentry: &Dentry) {
    if let Some(held) = dentry.try_ref() {
        held.set_unhashed();
    }
}

/// Renames of directories that have begun, and that have ended: what lies above a file is one picture if none was under way
/// while it was looked at. Written by such renames alone.
static MOVES_BEGUN: AtomicU32 = AtomicU32::new(0);
static MOVES_ENDED: AtomicU32 = AtomicU32::new(0);

/// A rename of a directory, from here to its drop.
struct DirectoryMove(bool);

impl DirectoryMove {
    fn begin(of_directory: bool) -> Self {
        if of_directory {
            // Before the first store of the rename: pairs with the fence in `undisturbed`.
            MOVES_BEGUN.fetch_add(1, SeqCst);
        }
        DirectoryMove(of_directory)
    }
}

impl Drop for DirectoryMove {
    fn drop(&mut self) {
        if self.0 {
            // Release: who sees the end sees the whole rename.
            MOVES_ENDED.fetch_add(1, Release);
        }
    }
}

/// Calls `look` until it has run while no directory was being renamed, and returns what it saw then.
pub(crate) fn undisturbed<R>(mut look: impl FnMut() -> R) -> R {
    loop {
        let ended = MOVES_ENDED.load(Acquire);
        let begun = MOVES_BEGUN.load(Acquire);
        if begun == ended {
            let seen = look();
            // What was looked at was loaded before the count is looked at again.
            fence(SeqCst);
            if MOVES_BEGUN.load(Relaxed) == begun {
                return seen;
            }
        }
        core::hint::spin_loop();
    }
}

/// Renames `child` in the cache, from its directory `from` to `name` in `to` (the same directory or another);
/// whatever has that name is unhashed. Both directories are locked, as is `to`'s victim if it is a directory.
pub(crate) fn rename(from: &LockedDirectory, child: &DentryRef, to: &LockedDirectory, name: Name<'_>) {
    let (source, target) = (from.as_directory(), to.as_directory());
    let _move = DirectoryMove::begin(child.directory().is_some());
    source.begin_move();
    target.begin_move();
    let new = Entry::new(to, name, child.as_non_null().as_ptr());
    to.put(name, new);
    let old = child.set_entry(new).expect("a file that is renamed has a name");
    // SAFETY: the old entry is in `from`'s table, which is locked.
    remove_entry(from, unsafe { old.as_ref() });
    target.end_move();
    if !core::ptr::eq(source, target) {
        source.end_move();
    }
    retire_entry(old);
}

/// Exchanges the names of two files. Both directories are locked.
pub(crate) fn exchange(from: &LockedDirectory, a: &DentryRef, to: &LockedDirectory, b: &DentryRef) {
    let guard = rcu::read();
    let (source, target) = (from.as_directory(), to.as_directory());
    let (Some(name_a), Some(name_b)) = (a.entry(&guard), b.entry(&guard)) else { return };
    let _move = DirectoryMove::begin(a.directory().is_some() || b.directory().is_some());
    source.begin_move();
    target.begin_move();
    let mut replaced: SmallVec<[NonNull<Entry>; 2]> = SmallVec::new();
    for (directory, old, dentry) in [(from, name_a, b), (to, name_b, a)] {
        let name = Name { bytes: &old.name, hash: old.hash, key: old.key };
        let new = Entry::new(directory, name, dentry.as_non_null().as_ptr());
        directory.as_directory().change(|children| children.replace(old, new));
        lru::remove(old);
        lru::add(new);
        replaced.extend(dentry.set_entry(new));
    }
    target.end_move();
    if !core::ptr::eq(source, target) {
        source.end_move();
    }
    replaced.into_iter().for_each(retire_entry);
}

/// Drops everything cached below a directory whose file system is going out of use, so that nobody can walk into it any more.
/// In steps, because there may be much.
pub(crate) struct Pruning {
    root: DentryRef,
    here: DentryRef,
}

impl Pruning {
    pub fn of(root: DentryRef) -> Self {
        Pruning { here: root.clone(), root }
    }

    /// Takes `count` steps, each to another directory or over one entry; true when nothing is left.
    pub fn step(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let guard = rcu::read();
            let directory = self.here.as_directory();
            while !directory.lock.try_lock_raw() {
                // Only an evictor can hold it, and not for long.
                core::hint::spin_loop();
            }
            let below = directory.children.first(&guard).map(|entry| {
                let positive = entry.positive();
                if let Some(child) = positive
                    && child.directory().is_some_and(|inner| inner.children.first(&guard).is_some())
                {
                    return child.try_ref();
                }
                let removed = remove_entry(&self.here, entry);
                match positive {
                    Some(child) => unhash_unused(child),
                    None => retire_entry(removed),
                }
                None
            });
            directory.lock.unlock();
            match below {
                Some(Some(child)) => self.here = child,
                Some(None) => (),
                None if self.here.same(&self.root) => return true,
                None => self.here = self.here.parent(),
            }
        }
        false
    }
}
