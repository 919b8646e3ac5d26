//! Watches: who is told of what happens to files (inotify(7)).
//!
//! ```text
//!   open, read, write, close ...  (the kernel)  ──┐                       ┌─► the file's watches
//!   make, unlink, rename, chmod ...  (here)     ──┴─► announce, if any    ┴─► its directory's, with the name
//!                                                     file is watched
//! ```
//!
//! Hardly ever is anything watched, and then all of this is one load per operation. A file that is watched has its watches
//! [attached](Attributes::attached), and a mark beside its attributes, by which the others are passed over.

use crate::{
    Attributes, Device, FileType, Inode, Result,
    dcache::{Dentry, DentryRef},
};
use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use bitflags::bitflags;
use core::any::Any;
use executor::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Relaxed, Release},
};
use executor::{rcu, sync::SpinMutex};
use linux_raw_sys::general as linux;
use syscalls::Errno;

bitflags! {
    /// What can happen to a file; the values are those of inotify(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Happening: u32 {
        /// Bytes or entries were read.
        const ACCESS = linux::IN_ACCESS;
        /// Bytes were written, or the size set.
        const MODIFY = linux::IN_MODIFY;
        /// Attributes were changed, the number of links among them.
        const ATTRIB = linux::IN_ATTRIB;
        /// An open file that could be written was closed.
        const CLOSE_WRITE = linux::IN_CLOSE_WRITE;
        /// Another open file was closed.
        const CLOSE_NOWRITE = linux::IN_CLOSE_NOWRITE;
        /// It was opened.
        const OPEN = linux::IN_OPEN;
        /// A name left the directory.
        const MOVED_FROM = linux::IN_MOVED_FROM;
        /// A name came into the directory from another, or by another name.
        const MOVED_TO = linux::IN_MOVED_TO;
        /// A name was made.
        const CREATE = linux::IN_CREATE;
        /// A name was removed.
        const DELETE = linux::IN_DELETE;
        /// The file is gone: it has neither names nor users.
        const DELETE_SELF = linux::IN_DELETE_SELF;
        /// The file was renamed.
        const MOVE_SELF = linux::IN_MOVE_SELF;
        /// Its file system is in use no more.
        const UNMOUNT = linux::IN_UNMOUNT;
    }
}

/// What is of interest to those who watch the directory, too.
const OF_CHILDREN: Happening = Happening::ACCESS
    .union(Happening::MODIFY)
    .union(Happening::ATTRIB)
    .union(Happening::CLOSE_WRITE)
    .union(Happening::CLOSE_NOWRITE)
    .union(Happening::OPEN);

/// One thing that has happened, as a watch is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// What.
    pub what: Happening,
    /// Whether it happened to a directory.
    pub is_directory: bool,
    /// The name it happened to, for a watch on the directory that the name is in.
    pub name: Option<&'a [u8]>,
    /// The same number, not 0, for both halves of a rename.
    pub cookie: u32,
    /// Whether it came about through an open file whose name had been removed before.
    pub is_unlinked: bool,
}

/// One who watches a file. Called with the lock of the file's watches held: it may take locks of its own, but wait for
/// nothing.
pub trait Watcher: Any + Send + Sync {
    /// Tells it; false when it does not watch any more.
    fn told(&self, notice: &Notice<'_>) -> bool;

    /// Nothing will happen to the file any more.
    fn ended(&self);
}

/// The watches of one file. Those who watch hold it, and the file with it.
pub struct Watches {
    device: Device,
    list: SpinMutex<Vec<Arc<dyn Watcher>>>,
}

/// How many files are watched. Relaxed: whoever makes a watch, and then has something done, orders the two.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// All that is watched, by address, for the day that a file system goes out of use.
static ALL: SpinMutex<BTreeMap<usize, Weak<Watches>>> = SpinMutex::new(BTreeMap::new());

/// Whether anything is watched at all.
#[inline(always)]
pub fn exist() -> bool {
    FILES.load(Relaxed) > 0
}

impl Watches {
    /// The watches of a file, made if there are none.
    pub fn of(inode: &dyn Inode) -> Arc<Self> {
        let attributes = inode.attributes();
        let watches = attributes.attached_or_insert(|| {
            FILES.fetch_add(1, Relaxed);
            Arc::new(Watches { device: attributes.dev, list: SpinMutex::new(Vec::new()) })
        });
        let address = Arc::as_ptr(&watches).addr();
        ALL.lock().entry(address).or_insert_with(|| Arc::downgrade(&watches));
        watches
    }

    /// Adds the watcher that `make` makes, unless `known` recognises one of the same type that is there already. Returns what
    /// either of them has to say.
    ///
    /// # Errors
    /// That of `make`; ENOMEM.
    pub fn add<T: Watcher, R>(
        &self,
        attributes: &Attributes,
        known: impl Fn(&T) -> Option<R>,
        make: impl FnOnce() -> Result<(Arc<T>, R)>,
    ) -> Result<R> {
        let mut list = self.list.lock();
        let found = list.iter().find_map(|watcher| {
            let watcher: &dyn Any = &**watcher;
            known(watcher.downcast_ref()?)
        });
        if let Some(found) = found {
            return Ok(found);
        }
        list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (watcher, made) = make()?;
        list.push(watcher);
        attributes.set_watched(true);
        Ok(made)
    }

    /// Removes a watcher, if it is there.
    pub fn remove(&self, attributes: &Attributes, watcher: &dyn Watcher) {
        let mut list = self.list.lock();
        let place = list.iter().position(|one| core::ptr::addr_eq(Arc::as_ptr(one), watcher));
        let removed = place.map(|place| list.swap_remove(place));
        attributes.set_watched(!list.is_empty());
        drop(list);
        drop(removed);
    }

    fn tell(&self, attributes: &Attributes, notice: &Notice<'_>) {
        let mut list = self.list.lock();
        list.retain(|watcher| watcher.told(notice));
        attributes.set_watched(!list.is_empty());
    }

    /// Tells all watchers of the file's end, and is rid of them.
    fn end(&self, notice: &Notice<'_>) {
        let list = core::mem::take(&mut *self.list.lock());
        for watcher in list {
            watcher.told(notice);
            watcher.ended();
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        ALL.lock().remove(&core::ptr::from_ref(self).addr());
        FILES.fetch_sub(1, Release);
    }
}

/// The watches of a file that is watched.
fn watches_of(attributes: &Attributes) -> Option<Arc<Watches>> {
    if attributes.is_watched() { attributes.attached() } else { None }
}

/// Tells those who watch a file itself.
fn tell_file(file: &Dentry, what: Happening, is_unlinked: bool) {
    if let Some(watches) = watches_of(file.attributes()) {
        let is_directory = file.kind() == FileType::Directory;
        watches.tell(file.attributes(), &Notice { what, is_directory, name: None, cookie: 0, is_unlinked });
    }
}

/// Tells those who watch a directory about one of its names.
fn tell_directory(directory: &Dentry, notice: &Notice<'_>) {
    if let Some(watches) = watches_of(directory.attributes()) {
        watches.tell(directory.attributes(), notice);
    }
}

/// Announces that something was done to a file by way of an open file: opened, read, written, closed. To be asked for if
/// watches [exist].
#[cold]
pub fn used(file: &Dentry, what: Happening) {
    announce(file, what, file.is_unlinked());
}

/// Announces that something was done to a file that is not [open](used) for it.
#[inline(always)]
pub fn changed(file: &Dentry, what: Happening) {
    if exist() {
        announce(file, what, false);
    }
}

#[cold]
#[inline(never)]
fn announce(file: &Dentry, what: Happening, is_unlinked: bool) {
    let guard = rcu::read();
    // As on Linux, a directory is not told of the bytes that go through what is not in the file system.
    let through = file.kind().is_special() && (Happening::ACCESS | Happening::MODIFY).contains(what);
    if OF_CHILDREN.contains(what)
        && !through
        && let Some(entry) = file.entry(&guard)
    {
        let is_directory = file.kind() == FileType::Directory;
        let notice = Notice { what, is_directory, name: Some(&entry.name), cookie: 0, is_unlinked };
        // SAFETY: a directory outlives its entries by a grace period.
        tell_directory(unsafe { entry.parent.as_ref() }, &notice);
    }
    tell_file(file, what, is_unlinked);
}

/// Tells those who watch a directory what has happened to one of its names, which leads or led to `file`.
fn tell_name(directory: &Dentry, name: &[u8], what: Happening, file: &Dentry, cookie: u32) {
    let is_directory = file.kind() == FileType::Directory;
    tell_directory(directory, &Notice { what, is_directory, name: Some(name), cookie, is_unlinked: false });
}

/// Announces a new name of a file that had none before. The directory is locked, here and below.
#[inline(always)]
pub(crate) fn made(directory: &Dentry, name: &[u8], file: &Dentry) {
    if exist() {
        announce_name(directory, name, Happening::CREATE, file);
    }
}

#[cold]
#[inline(never)]
fn announce_name(directory: &Dentry, name: &[u8], what: Happening, file: &Dentry) {
    tell_name(directory, name, what, file, 0);
}

/// Announces one more name of a file.
#[inline(always)]
pub(crate) fn linked(directory: &Dentry, name: &[u8], file: &Dentry) {
    if exist() {
        tell_file(file, Happening::ATTRIB, false);
        tell_name(directory, name, Happening::CREATE, file, 0);
    }
}

/// Announces that a name was removed. `users` is how many uses of the file the caller has: if there are no others, the file
/// is at its end.
#[inline(always)]
pub(crate) fn unlinked(directory: &Dentry, file: &Dentry, users: u32) {
    if exist() {
        announce_removal(directory, file, users);
    }
}

#[cold]
#[inline(never)]
fn announce_removal(directory: &Dentry, file: &Dentry, users: u32) {
    let guard = rcu::read();
    let Some(entry) = file.entry(&guard) else { return };
    if file.kind() != FileType::Directory {
        tell_file(file, Happening::ATTRIB, false);
    }
    if file.users() <= users {
        ended(file);
    }
    tell_name(directory, &entry.name, Happening::DELETE, file, 0);
}

/// Announces that a file has another name, and perhaps another directory; and that this took the name from another.
#[inline(always)]
pub(crate) fn renamed(
    (from, old_name): (&Dentry, &[u8]),
    (to, new_name): (&Dentry, &[u8]),
    file: &Dentry,
    replaced: Option<&Dentry>,
) {
    if exist() {
        announce_rename((from, old_name), (to, new_name), file, replaced);
    }
}

#[cold]
#[inline(never)]
fn announce_rename(
    (from, old_name): (&Dentry, &[u8]),
    (to, new_name): (&Dentry, &[u8]),
    file: &Dentry,
    replaced: Option<&Dentry>,
) {
    static COOKIE: AtomicU32 = AtomicU32::new(0);
    let cookie = COOKIE.fetch_add(1, Relaxed).wrapping_add(1).max(1);
    tell_name(from, old_name, Happening::MOVED_FROM, file, cookie);
    tell_name(to, new_name, Happening::MOVED_TO, file, cookie);
    if let Some(replaced) = replaced {
        tell_file(replaced, Happening::ATTRIB, false);
    }
    tell_file(file, Happening::MOVE_SELF, false);
}

/// Announces the end of a file that nobody uses any more, if it has no names: its watches end with it.
#[cold]
#[inline(never)]
pub(crate) fn ended(file: &Dentry) {
    if file.attributes().links() == 0 {
        end(file.attributes(), Happening::DELETE_SELF);
    }
}

fn end(attributes: &Attributes, what: Happening) {
    if let Some(watches) = watches_of(attributes) {
        attributes.set_watched(false);
        let is_directory = attributes.kind == FileType::Directory;
        watches.end(&Notice { what, is_directory, name: None, cookie: 0, is_unlinked: false });
    }
}

/// Announces that a file system has gone out of use; the watches of its files end.
pub(crate) fn unmounted(root: &DentryRef) {
    if !exist() {
        return;
    }
    let device = root.attributes().dev;
    // One after the other, as an end takes itself out of the list.
    let mut from = 0;
    loop {
        let next = ALL.lock().range(from..).next().map(|(address, watches)| (*address, watches.upgrade()));
        let Some((address, watches)) = next else { return };
        if let Some(watches) = watches
            && watches.device == device
        {
            let what = Happening::UNMOUNT;
            watches.end(&Notice { what, is_directory: false, name: None, cookie: 0, is_unlinked: false });
        }
        from = address + 1;
    }
}
