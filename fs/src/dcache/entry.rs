//! A name in a directory, as the cache knows it.

use super::{
    dentry::Dentry,
    lru::Links,
    name::{Key, Name, OwnedName},
};
use alloc::boxed::Box;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{AtomicBool, AtomicPtr, AtomicU32};
use executor::rcu::Linked;

/// A name, the directory it is in, and the file it leads to: none for a *negative* entry, a name known
/// not to exist. Name, directory and file never change; a rename makes a new entry.
///
/// **Life.** An entry is in its directory's table (`hashed`) from its birth until it is removed under the
/// directory's lock. A negative one then ends; a positive one whose file was unlinked while open
/// stays the file's `entry`, so that its old path can still be shown, and ends with the dentry. While it
/// lives it counts as one user of the directory. Its memory outlives it by an RCU grace period.
pub(crate) struct Entry {
    /// The next entry in the same slot of the directory's table. Stored with Release under the directory's
    /// lock; the Acquire loads of readers see the entry behind it whole.
    pub next: AtomicPtr<Entry>,
    pub hash: u64,
    pub key: Key,
    /// Null in a negative entry.
    pub dentry: *const Dentry,
    pub name: OwnedName,
    /// The directory; counted, see above.
    pub parent: NonNull<Dentry>,
    /// Whether it is in the table; written under the directory's lock.
    pub hashed: AtomicBool,
    /// Which list of entries that may be evicted it is in; written with `hashed`.
    pub list: AtomicU32,
    /// Its place in that list.
    pub links: Links,
}

// SAFETY: an entry is shared between CPUs by design: its plain fields never change, the others are atomics
// or (links) guarded by the lock of their list.
unsafe impl Send for Entry {}
// SAFETY: as for `Send`.
unsafe impl Sync for Entry {}

impl Entry {
    /// A new entry of `parent`, counted as one of its users, in no table yet: from [`Linked::into_raw`].
    pub fn new(parent: &Dentry, name: Name<'_>, dentry: *const Dentry) -> NonNull<Entry> {
        parent.add_ref();
        Linked::into_raw(Box::new(Linked::new(Entry {
            next: AtomicPtr::new(null_mut()),
            hash: name.hash,
            key: name.key,
            name: OwnedName::from_slice(name.bytes),
            dentry,
            parent: parent.as_non_null(),
            hashed: AtomicBool::new(false),
            list: AtomicU32::new(0),
            links: Links::new(),
        })))
    }

    /// Whether this is the entry of `name`.
    #[inline(always)]
    pub fn is(&self, name: Name<'_>) -> bool {
        name.is(&self.key, &self.name)
    }

    /// The file, when there is one.
    #[inline]
    pub fn positive(&self) -> Option<&Dentry> {
        // SAFETY: a dentry outlives its entry's removal by a grace period, and whoever holds `&self`
        // does so under an RCU guard or the directory's lock.
        unsafe { self.dentry.as_ref() }
    }
}
