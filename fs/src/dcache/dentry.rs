//! Dentries: files that were reached by a name, and the counted handles to them.

use super::{directory::Directory, entry::Entry};
use crate::{Attributes, Caching, FileType, Inode, watch};
use alloc::{boxed::Box, sync::Arc};
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{
    AtomicBool, AtomicPtr, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use executor::rcu::{self, Linked};

/// In `Dentry::state`: no longer in its directory's table; the last user ends it.
const UNHASHED: u32 = 1 << 30;
/// In `Dentry::state`: ended; its memory waits for a grace period.
const DEAD: u32 = 1 << 31;

/// In `Dentry::special`: a symbolic link.
const LINK: u32 = 1;
/// In `Dentry::special`: the inode must be asked at each use.
const REVALIDATE: u32 = 2;
/// In `Dentry::special`: one mount.
const MOUNT: u32 = 4;

/// A file in the directory cache.
///
/// ```text
///            insert                     unlink, rename over it
///   (made) ────────> hashed ──────────────────────────────────> unhashed
///                      │ evict, when it has no users               │ last user gone
///                      └────────────────> dead <────────────────────┘   (freed after a grace period)
/// ```
///
/// Users are open files, working directories, mounts (all through [`DentryRef`]) and the
/// entries cached in a directory. The count and the two flags share one word, so that taking a handle to
/// a dentry found without a lock, and ending it, exclude each other by one atomic operation each.
pub struct Dentry {
    /// Users in the low bits, `UNHASHED` and `DEAD` on top.
    state: AtomicU32,
    /// What a walk must stop and look at: `LINK`, `REVALIDATE`, and above them the number of mounts on this dentry in all
    /// namespaces, changed under the mount lock. Zero for nearly all files.
    special: AtomicU32,
    /// Used since the evictor last looked.
    pub(crate) referenced: AtomicBool,
    kind: FileType,
    /// The current name; null for a root or a nameless file. Swapped by rename with both directories locked.
    entry: AtomicPtr<Entry>,
    directory: Option<Box<Directory>>,
    /// This dentry as [`Linked::into_raw`] gave it: a reference to it may not free it, this may.
    me: NonNull<Dentry>,
    /// The inode's attributes: a permission check needs no call.
    attributes: NonNull<Attributes>,
    inode: Arc<dyn Inode>,
}

impl Dentry {
    fn new(inode: Arc<dyn Inode>) -> Box<Linked<Dentry>> {
        let kind = inode.attributes().kind;
        let caching = inode.caching();
        let mut special = 0;
        if kind == FileType::Symlink {
            special |= LINK;
        }
        if caching == Caching::Revalidate {
            special |= REVALIDATE;
        }
        Box::new(Linked::new(Dentry {
            state: AtomicU32::new(1),
            special: AtomicU32::new(special),
            referenced: AtomicBool::new(false),
            kind,
            entry: AtomicPtr::new(null_mut()),
            directory: (kind == FileType::Directory).then(|| Box::new(Directory::new(caching))),
            me: NonNull::dangling(),
            attributes: NonNull::from(inode.attributes()),
            inode,
        }))
    }

    /// The inode that the name stands for.
    #[inline]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory part: children and lock.
    #[inline]
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.directory.as_deref()
    }

    /// The directory part of a dentry known to be a directory.
    #[inline]
    pub(crate) fn as_directory(&self) -> &Directory {
        self.directory.as_deref().expect("a directory")
    }

    /// The type of the file.
    #[inline]
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// The file's attributes.
    #[inline]
    pub fn attributes(&self) -> &Attributes {
        // SAFETY: borrowed from the inode, which is held, and not given up or borrowed mutably, until the dentry is dropped.
        unsafe { self.attributes.as_ref() }
    }

    /// Whether something is mounted here in some namespace.
    #[inline]
    pub fn is_mountpoint(&self) -> bool {
        self.special.load(Relaxed) >= MOUNT
    }

    /// Counts a mount on this dentry, or one less. Under the mount lock.
    pub(crate) fn add_mounts(&self, change: i32) {
        self.special.fetch_add((change * MOUNT as i32) as u32, Relaxed);
    }

    /// Whether all that a walk that arrives here has to do is to enter what may be mounted on it.
    #[inline]
    pub(crate) fn is_but_covered(&self) -> bool {
        self.special.load(Relaxed).is_multiple_of(MOUNT)
    }

    /// Whether a walk that arrives here has more to do than to go on.
    #[inline(always)]
    pub(crate) fn is_special(&self) -> bool {
        self.special.load(Relaxed) != 0
    }

    /// Whether the file still is what its name leads to.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        self.special.load(Relaxed) & REVALIDATE == 0 || self.inode.still_valid()
    }

    /// Whether it had a name, and the name has been removed.
    #[inline]
    pub fn is_unlinked(&self) -> bool {
        self.state.load(Acquire) & UNHASHED != 0 && !self.entry.load(Relaxed).is_null()
    }

    /// The name, for as long as the RCU guard is held.
    #[inline]
    pub(crate) fn entry<'g>(&'g self, _guard: &'g rcu::ReadGuard) -> Option<&'g Entry> {
        // SAFETY: a replaced entry is freed a grace period after it was swapped out, and the
        // guard is older than that. Acquire pairs with the Release of `set_entry`.
        unsafe { self.entry.load(Acquire).as_ref() }
    }

    /// The directory it is in, for as long as the RCU guard is held.
    #[inline]
    pub(crate) fn parent<'g>(&'g self, guard: &'g rcu::ReadGuard) -> Option<&'g Dentry> {
        // SAFETY: the entry's directory outlives the entry by a grace period.
        self.entry(guard).map(|entry| unsafe { entry.parent.as_ref() })
    }

    /// Gives the dentry its (new) entry and returns the old one. The caller holds the locks of the directories
    /// concerned.
    pub(crate) fn set_entry(&self, entry: NonNull<Entry>) -> Option<NonNull<Entry>> {
        // Release pairs with the Acquire in `entry`.
        NonNull::new(self.entry.swap(entry.as_ptr(), AcqRel))
    }

    /// The pointer that may free it.
    pub(crate) fn as_non_null(&self) -> NonNull<Dentry> {
        self.me
    }

    /// How many users it has.
    pub(crate) fn users(&self) -> u32 {
        self.state.load(Relaxed) & !(UNHASHED | DEAD)
    }

    /// One more user; there is one already.
    #[inline]
    pub(crate) fn add_ref(&self) {
        self.state.fetch_add(1, Relaxed);
    }

    /// A handle to a dentry found under an RCU guard, unless it has ended meanwhile.
    #[inline]
    pub(crate) fn try_ref(&self) -> Option<DentryRef> {
        // Acquire pairs with the AcqRel that sets DEAD: whoever sees it unset uses the dentry before its end.
        if self.state.fetch_add(1, Acquire) & DEAD != 0 {
            self.state.fetch_sub(1, Relaxed);
            return None;
        }
        if !self.referenced.load(Relaxed) {
            self.referenced.store(true, Relaxed);
        }
        Some(DentryRef(self.me))
    }

    /// Marks that the name is gone: the last user ends the dentry. The caller is a user.
    pub(crate) fn set_unhashed(&self) {
        self.state.fetch_or(UNHASHED, Release);
    }

    /// Ends a hashed dentry that nobody uses; false when somebody does. After success the caller takes it out of the
    /// table and calls [`retire`](Self::retire).
    pub(crate) fn try_evict(&self) -> bool {
        // The failure of a concurrent `try_ref` and this success exclude each other on the one word.
        self.state.compare_exchange(0, UNHASHED | DEAD, AcqRel, Relaxed).is_ok()
    }

    /// Frees an ended dentry and its entry after a grace period, and returns its directory, of which the entry
    /// was a user; the caller must release that use.
    pub(crate) fn retire(this: NonNull<Dentry>) -> Option<NonNull<Dentry>> {
        // SAFETY: ended, so only readers under RCU guards still look at it, and they only read; the box
        // is freed after them.
        let entry = NonNull::new(unsafe { this.as_ref() }.entry.load(Acquire));
        // SAFETY: the entry lives as long as its dentry.
        let parent = entry.map(|entry| unsafe { entry.as_ref() }.parent);
        // SAFETY: made by `Linked::into_raw` in `DentryRef::leak`; DEAD was set once, so this runs once.
        rcu::retire(unsafe { Linked::from_raw(this) });
        parent
    }

    /// One user less. The last user of an unhashed dentry ends it, which may end its directory in turn.
    #[inline]
    fn release(this: NonNull<Dentry>) {
        // The guard keeps the memory valid between the subtraction and the exchange in `end`, should another CPU revive and
        // end the dentry in between.
        let _guard = rcu::read();
        if Dentry::subtract_user(this) {
            Dentry::end(this);
        }
    }

    /// Counts one user less; whether it was the last of an unhashed dentry.
    #[inline]
    fn subtract_user(this: NonNull<Dentry>) -> bool {
        // SAFETY: the caller's use keeps it alive up to the subtraction.
        let state = unsafe { &this.as_ref().state };
        // Release: what this user did happens before the end, which acquires.
        state.fetch_sub(1, Release) == UNHASHED | 1
    }

    /// Ends an unhashed dentry without users, unless one has been found meanwhile, and the directories above it that this
    /// leaves so in turn. Under an RCU guard that is older than the end of its last use.
    #[inline(never)]
    fn end(mut this: NonNull<Dentry>) {
        loop {
            // SAFETY: the guard keeps the memory valid; the dentry is only touched by whoever sets DEAD.
            let state = unsafe { &this.as_ref().state };
            if state.compare_exchange(UNHASHED, UNHASHED | DEAD, AcqRel, Relaxed).is_err() {
                return;
            }
            if watch::exist() {
                // SAFETY: as above. Its watches, which hold the inode, end here.
                watch::ended(unsafe { this.as_ref() });
            }
            // SAFETY: as above.
            let inode = unsafe { &this.as_ref().inode };
            // A file with several names has a dentry for each that somebody uses.
            if inode.attributes().links() == 0 && Arc::strong_count(inode) == 1 {
                inode.forsaken();
            }
            match Dentry::retire(this) {
                Some(parent) if Dentry::subtract_user(parent) => this = parent,
                _ => return,
            }
        }
    }

    /// Gives up the use that an entry had of its directory.
    pub(crate) fn release_parent(parent: NonNull<Dentry>) {
        Dentry::release(parent);
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        if let Some(entry) = NonNull::new(*self.entry.get_mut()) {
            // SAFETY: the entry is no longer in a table, and with its dentry its one owner ends. Made by `Entry::new`.
            drop(unsafe { Linked::from_raw(entry) });
        }
    }
}

// SAFETY: fields are atomics or never change; the raw pointer to the entry is managed as described above.
unsafe impl Send for Dentry {}
// SAFETY: as for `Send`.
unsafe impl Sync for Dentry {}

/// A counted handle to a [`Dentry`]. While it lives the dentry does, in the cache or unlinked.
pub struct DentryRef(NonNull<Dentry>);

// SAFETY: as an `Arc<Dentry>`: a `Dentry` may be used and dropped on any CPU, and its users are counted by an atomic.
unsafe impl Send for DentryRef {}
// SAFETY: as for `Send`; a shared handle gives no more than a shared `Dentry`.
unsafe impl Sync for DentryRef {}

impl DentryRef {
    /// A dentry in no table, with one user.
    fn leak(dentry: Box<Linked<Dentry>>) -> Self {
        let me = Linked::into_raw(dentry);
        // SAFETY: nobody else knows this one yet.
        unsafe { (*me.as_ptr()).me = me };
        DentryRef(me)
    }

    /// A dentry to be hashed as an entry of some directory.
    pub(crate) fn new(inode: Arc<dyn Inode>) -> Self {
        Self::leak(Dentry::new(inode))
    }

    /// The root of a file system, or a file without a name: never in a table, so its last user ends it.
    pub(crate) fn new_root(inode: Arc<dyn Inode>) -> Self {
        let dentry = Dentry::new(inode);
        dentry.set_unhashed();
        Self::leak(dentry)
    }

    /// Whether both are the same dentry.
    #[inline]
    pub fn same(&self, other: &Dentry) -> bool {
        core::ptr::eq(self.0.as_ptr(), other)
    }

    /// The handle to the directory it is in; the dentry itself when it is a root.
    pub fn parent(&self) -> DentryRef {
        let guard = rcu::read();
        loop {
            match Dentry::parent(self, &guard) {
                None => return self.clone(),
                // A directory that ended has been replaced as the parent by a rename: look again.
                Some(parent) => {
                    if let Some(parent) = parent.try_ref() {
                        return parent;
                    }
                }
            }
        }
    }
}

impl Deref for DentryRef {
    type Target = Dentry;

    #[inline]
    fn deref(&self) -> &Dentry {
        // SAFETY: counted.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for DentryRef {
    #[inline]
    fn clone(&self) -> Self {
        self.add_ref();
        DentryRef(self.0)
    }
}

impl Drop for DentryRef {
    #[inline]
    fn drop(&mut self) {
        Dentry::release(self.0);
    }
}

impl core::fmt::Debug for DentryRef {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let guard = rcu::read();
        let name = self.entry(&guard).map(|entry| alloc::string::String::from_utf8_lossy(&entry.name));
        formatter.debug_tuple("Dentry").field(&name.as_deref().unwrap_or("/")).finish()
    }
}
