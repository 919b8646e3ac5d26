//! Mounts: file systems at places in the tree.

use crate::{
    Path, Superblock,
    dcache::{Dentry, DentryRef},
};
use alloc::{
    boxed::Box,
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use bitflags::bitflags;
use core::ops::Deref;
use core::ptr::NonNull;
use executor::atomic::{
    AtomicIsize, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use executor::{
    rcu::{self, RcuOption},
    sync::SpinMutex,
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

bitflags! {
    /// How files may be used through a mount; the values of mount(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct MountFlags: u32 {
        /// No writing.
        const READ_ONLY = linux::MS_RDONLY;
        /// Set-user-id and set-group-id bits have no effect.
        const NO_SUID = linux::MS_NOSUID;
        /// Device nodes cannot be opened.
        const NO_DEV = linux::MS_NODEV;
        /// Programs cannot be executed.
        const NO_EXEC = linux::MS_NOEXEC;
        /// Accesses are not noted.
        const NO_ATIME = linux::MS_NOATIME;
        /// Accesses of directories are not noted.
        const NO_DIRATIME = linux::MS_NODIRATIME;
        /// Accesses are noted seldom; the default.
        const RELATIME = linux::MS_RELATIME;
        /// Every access is noted.
        const STRICT_ATIME = linux::MS_STRICTATIME;
    }
}

impl MountFlags {
    /// What says which accesses are noted.
    const ATIME: Self =
        Self::NO_ATIME.union(Self::NO_DIRATIME).union(Self::RELATIME).union(Self::STRICT_ATIME);

    /// Of mount(2)'s flags those that are a mount's. To note every access is stronger than to note none.
    pub fn of_call(flags: u32) -> Self {
        let mut flags = Self::from_bits_truncate(flags);
        if flags.contains(Self::STRICT_ATIME) {
            flags.remove(Self::NO_ATIME | Self::RELATIME);
        }
        flags
    }

    /// Those of a mount that had these and is mounted anew with others: accesses are noted as before, unless something is said
    /// about them.
    #[must_use]
    pub fn remounted(self, new: Self) -> Self {
        if new.intersects(Self::ATIME) { new } else { new | self & Self::ATIME }
    }
}

bitflags! {
    /// umount2(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct UnmountFlags: u32 {
        /// Cut running requests short; no effect on file systems in memory.
        const FORCE = linux::MNT_FORCE;
        /// Take it out of the tree now, and end it when its last user is gone.
        const DETACH = linux::MNT_DETACH;
        /// Only mark it, and unmount at the second such call unless used in between.
        const EXPIRE = linux::MNT_EXPIRE;
        /// Do not follow a symbolic link.
        const NO_FOLLOW = linux::UMOUNT_NOFOLLOW;
    }
}

/// Users of a mount counted by one CPU: the sum over the CPUs is the count. Opening a file on one CPU and
/// closing it on another takes this count up there and down here.
#[derive(Default)]
#[repr(align(64))]
struct Users {
    paths: AtomicIsize,
    /// Files that are open for writing.
    writers: AtomicIsize,
}

/// Where a mount is attached.
struct Place {
    parent: Arc<Mount>,
    at: DentryRef,
}

/// A mount that is attached to this one.
struct Child {
    at: NonNull<Dentry>,
    mount: Arc<Mount>,
}

/// In `Mount::state`: counting is done under `count_lock`, so that a sum is exact.
const EXACT: u32 = 1;
/// In `Mount::state`: not in the tree any more; its last user ends it.
const DETACHED: u32 = 2;

/// A file system, or a part of one, at a place in the tree.
///
/// **Users** are paths: open files, working directories and roots. They are counted per CPU, so that opening files
/// writes no line that another CPU writes. Only unmounting needs the sum: it sets `EXACT`, waits for an RCU grace period,
/// after which every count goes through `count_lock`, and adds up.
///
/// **The tree** of mounts is read under RCU guards and changed under one lock ([`TREE`]), which is taken for mounting
/// and unmounting only.
pub struct Mount {
    me: Weak<Mount>,
    id: u64,
    superblock: Arc<Superblock>,
    root: DentryRef,
    source: String,
    flags: AtomicU32,
    place: RcuOption<Place>,
    children: RcuOption<Vec<Child>>,
    state: AtomicU32,
    count_lock: SpinMutex<()>,
    users: Box<[Users]>,
    /// What keeps a detached mount alive until its last user is gone.
    lingering: SpinMutex<Option<Arc<Mount>>>,
}

// SAFETY: the pointers in `Child` point to dentries that the child's `Place` counts.
unsafe impl Send for Child {}
// SAFETY: as for `Send`.
unsafe impl Sync for Child {}

/// The lock under which the tree of mounts changes. Never held across a wait.
static TREE: SpinMutex<()> = SpinMutex::new(());

impl Mount {
    fn new(superblock: Arc<Superblock>, root: DentryRef, source: &str, flags: MountFlags) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new_cyclic(|me| Mount {
            me: me.clone(),
            id: NEXT.fetch_add(1, Relaxed),
            superblock,
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            place: RcuOption::empty(),
            children: RcuOption::empty(),
            state: AtomicU32::new(0),
            count_lock: SpinMutex::new(()),
            users: (0..executor::cpus().max(1)).map(|_| Users::default()).collect(),
            lingering: SpinMutex::new(None),
        })
    }

    /// The mount's number in /proc/PID/mountinfo.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system.
    pub fn superblock(&self) -> &Arc<Superblock> {
        &self.superblock
    }

    /// The directory (or, bound, the file) that appears at the mount's place.
    #[inline]
    pub fn root(&self) -> &DentryRef {
        &self.root
    }

    /// What was mounted, as /proc/mounts shows it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How files may be used.
    #[inline]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Relaxed))
    }

    /// Changes how files may be used (`MS_REMOUNT`). `EBUSY` if there is to be no writing any more while files are open for it.
    pub fn set_flags(&self, flags: MountFlags) -> Result<(), Errno> {
        let before = MountFlags::from_bits_retain(self.flags.swap(flags.bits(), SeqCst));
        if flags.difference(before).contains(MountFlags::READ_ONLY) {
            // Never too few: whoever is counted on a CPU after that was looked at has seen the flags, and gives up.
            let writers: isize = self.users.iter().map(|users| users.writers.load(SeqCst)).sum();
            if writers > 0 {
                self.flags.store(before.bits(), SeqCst);
                return Err(Errno::EBUSY);
            }
        }
        Ok(())
    }

    /// `EROFS` on a mount without writing.
    #[inline]
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.flags().contains(MountFlags::READ_ONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The number of the mount that it is attached to; its own where it is attached to none.
    pub fn parent_id(&self) -> u64 {
        self.place(&rcu::read()).map_or(self.id, |(parent, _)| parent.id)
    }

    /// The path, within the file system, of the directory or file that appears: `/` but for a bound part.
    pub fn root_path(&self) -> Vec<u8> {
        let guard = rcu::read();
        let mut text = Vec::new();
        let mut here: &Dentry = &self.root;
        while let Some(entry) = here.entry(&guard) {
            text.splice(0..0, [b"/".as_slice(), &entry.name].concat());
            // SAFETY: a directory outlives its entries by a grace period.
            here = unsafe { entry.parent.as_ref() };
        }
        if text.is_empty() {
            text.push(b'/');
        }
        text
    }

    /// Where it is attached: the mount below and the covered directory.
    #[inline]
    pub(crate) fn place<'g>(&'g self, guard: &'g rcu::ReadGuard) -> Option<(&'g Mount, &'g Dentry)> {
        self.place.load(guard).map(|place| (&*place.parent, &*place.at))
    }

    /// What is mounted on a dentry of this mount.
    #[inline]
    pub(crate) fn mounted_on<'g>(&'g self, at: &Dentry, guard: &'g rcu::ReadGuard) -> Option<&'g Mount> {
        self.children
            .load(guard)?
            .iter()
            .find(|child| core::ptr::eq(child.at.as_ptr(), at))
            .map(|child| &*child.mount)
    }

    #[inline]
    fn users_here(&self) -> &Users {
        self.users.get(executor::current_cpu()).unwrap_or(&self.users[0])
    }

    fn count(&self, change: isize) {
        self.users_here().paths.fetch_add(change, Relaxed);
    }

    fn sum(&self) -> isize {
        self.users.iter().map(|users| users.paths.load(Relaxed)).sum()
    }

    /// Counts a file that is opened for writing; undone by [`end_write`](Self::end_write). `EROFS` on a mount without writing.
    #[inline]
    pub fn begin_write(&self) -> Result<(), Errno> {
        // SeqCst, as the look at the flags comes after it: either that sees what `set_flags` has stored, or `set_flags`
        // sees this.
        self.users_here().writers.fetch_add(1, SeqCst);
        let flags = MountFlags::from_bits_retain(self.flags.load(SeqCst));
        if flags.contains(MountFlags::READ_ONLY) {
            self.end_write();
            return Err(Errno::EROFS);
        }
        Ok(())
    }

    /// A file that was open for writing is closed.
    #[inline]
    pub fn end_write(&self) {
        self.users_here().writers.fetch_sub(1, SeqCst);
    }

    /// One more user. The caller found the mount in the tree under the guard, or is a user.
    #[inline]
    pub(crate) fn add_user(&self, _guard: &rcu::ReadGuard) -> MountRef {
        if self.state.load(Acquire) == 0 {
            self.count(1);
        } else {
            // Exact counting waits a grace period after it was switched on, so the branch above, inside
            // this guard, is over before anyone adds up.
            let _lock = self.count_lock.lock();
            self.count(1);
        }
        MountRef(NonNull::from(self))
    }

    #[inline]
    fn remove_user(&self, _guard: &rcu::ReadGuard) {
        if self.state.load(Acquire) == 0 {
            self.count(-1);
        } else {
            self.remove_user_exactly();
        }
    }

    #[cold]
    fn remove_user_exactly(&self) {
        let last = {
            let _lock = self.count_lock.lock();
            self.count(-1);
            self.state.load(Relaxed) & DETACHED != 0 && self.sum() == 0
        };
        if last {
            self.end();
        }
    }

    /// Lets go of a detached mount without users.
    fn end(&self) {
        let lingering = self.lingering.lock().take();
        // Walkers that found it before it was detached may still look at it.
        rcu::defer(move || drop(lingering));
    }

    fn children(&self) -> Vec<Arc<Mount>> {
        let guard = rcu::read();
        self.children
            .load(&guard)
            .map(|children| children.iter().map(|child| child.mount.clone()).collect())
            .unwrap_or_default()
    }

    /// Attaches `this` at a place. Under the tree lock.
    fn attach(this: &Arc<Mount>, parent: &Arc<Mount>, at: &DentryRef) {
        at.add_mounts(1);
        this.place.store(Some(Place { parent: parent.clone(), at: at.clone() }));
        parent.edit_children(|children| {
            children.push(Child { at: at.as_non_null(), mount: this.clone() });
        });
    }

    /// Takes `self` out of the tree. Under the tree lock.
    fn detach(&self) {
        let guard = rcu::read();
        let Some(place) = self.place.load(&guard) else { return };
        place.parent.edit_children(|children| children.retain(|child| !core::ptr::eq(&*child.mount, self)));
        place.at.add_mounts(-1);
        self.place.store(None);
    }

    fn edit_children(&self, edit: impl FnOnce(&mut Vec<Child>)) {
        let mut children: Vec<Child> = {
            let guard = rcu::read();
            let old = self.children.load(&guard).map(Vec::as_slice).unwrap_or_default();
            old.iter().map(|child| Child { at: child.at, mount: child.mount.clone() }).collect()
        };
        edit(&mut children);
        self.children.store((!children.is_empty()).then_some(children));
    }

    /// Ends a mount that has left the tree, at once or when its last user is gone.
    fn linger(this: Arc<Mount>) {
        *this.lingering.lock() = Some(this.clone());
        this.state.fetch_or(EXACT | DETACHED, Release);
        // From the end of the grace period on the sum is exact, and `remove_user_exactly` sees every last user.
        rcu::defer(move || {
            let unused = {
                let _lock = this.count_lock.lock();
                this.sum() == 0
            };
            if unused {
                this.end();
            }
        });
    }
}

/// A counted use of a mount.
pub struct MountRef(NonNull<Mount>);

// SAFETY: as an `Arc<Mount>`: a `Mount` may be used and dropped on any CPU, and its users are counted by an atomic.
unsafe impl Send for MountRef {}
// SAFETY: as for `Send`; a shared handle gives no more than a shared `Mount`.
unsafe impl Sync for MountRef {}

impl Deref for MountRef {
    type Target = Mount;

    #[inline]
    fn deref(&self) -> &Mount {
        // SAFETY: a mount with users lives: in the tree, or lingering.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for MountRef {
    #[inline]
    fn clone(&self) -> Self {
        self.add_user(&rcu::read())
    }
}

impl Drop for MountRef {
    #[inline]
    fn drop(&mut self) {
        self.remove_user(&rcu::read());
    }
}

impl MountRef {
    /// Whether both are the same mount.
    #[inline]
    pub fn same(&self, other: &Mount) -> bool {
        core::ptr::eq(self.0.as_ptr(), other)
    }

    /// The owner in memory behind the use: a mount with users is in the tree or lingers.
    fn to_arc(&self) -> Arc<Mount> {
        self.me.upgrade().expect("a mount in use has an owner")
    }
}

/// The tree of mounts that a group of processes sees.
pub struct Namespace {
    root: SpinMutex<Arc<Mount>>,
}

impl Namespace {
    /// A tree that consists of one file system.
    pub fn new(superblock: Arc<Superblock>, source: &str, flags: MountFlags) -> Arc<Self> {
        let root = superblock.root().clone();
        Arc::new(Namespace { root: SpinMutex::new(Mount::new(superblock, root, source, flags)) })
    }

    /// The root of the tree, under whatever is mounted on it.
    pub fn root(&self) -> Path {
        let guard = rcu::read();
        let root = self.root.lock().clone();
        let mut mount = &*root;
        while let Some(above) = mount.mounted_on(mount.root(), &guard) {
            mount = above;
        }
        Path::new(mount.add_user(&guard), mount.root().clone())
    }

    /// Mounts a file system on a directory.
    pub fn mount(
        &self,
        superblock: Arc<Superblock>,
        at: &Path,
        source: &str,
        flags: MountFlags,
    ) -> Result<(), Errno> {
        let root = superblock.root().clone();
        self.attach(&Mount::new(superblock, root, source, flags), at)
    }

    /// Makes the tree at `from` (a directory or a file) appear at `at` too (`MS_BIND`), with the mounts below it when
    /// `recursive`.
    pub fn bind(&self, from: &Path, at: &Path, recursive: bool) -> Result<(), Errno> {
        let source = from.mount().to_arc();
        let copy =
            Mount::new(source.superblock.clone(), from.dentry().clone(), &source.source, source.flags());
        if recursive {
            let _tree = TREE.lock();
            copy_children(&source, &copy, from.dentry());
        }
        self.attach(&copy, at)
    }

    fn attach(&self, mount: &Arc<Mount>, at: &Path) -> Result<(), Errno> {
        let directory = at.dentry().directory();
        match (mount.root.directory(), directory) {
            (Some(_), None) => return Err(Errno::ENOTDIR),
            (None, Some(_)) => return Err(Errno::ENOTDIR),
            _ => (),
        }
        let _tree = TREE.lock();
        if at.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        // What is already mounted there is covered, not replaced.
        let guard = rcu::read();
        let (mut parent, mut covered) = (&**at.mount(), at.dentry());
        while let Some(above) = parent.mounted_on(covered, &guard) {
            (parent, covered) = (above, above.root());
        }
        let parent = parent.add_user(&guard).to_arc();
        if parent.state.load(Relaxed) & DETACHED != 0 {
            return Err(Errno::EINVAL);
        }
        Mount::attach(mount, &parent, covered);
        Ok(())
    }

    /// Moves a mount to another directory (`MS_MOVE`).
    pub fn move_mount(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        if !from.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if to.dentry().directory().is_some() != from.dentry().directory().is_some() {
            return Err(Errno::ENOTDIR);
        }
        let _tree = TREE.lock();
        let guard = rcu::read();
        if from.mount().place(&guard).is_none() {
            return Err(Errno::EINVAL);
        }
        let (mount, target) = (from.mount().to_arc(), to.mount().to_arc());
        let mut below: Option<&Mount> = Some(&target);
        while let Some(here) = below {
            if from.mount().same(here) {
                return Err(Errno::ELOOP);
            }
            below = here.place(&guard).map(|(parent, _)| parent);
        }
        mount.detach();
        Mount::attach(&mount, &target, to.dentry());
        Ok(())
    }

    /// Makes `new_root`, a mount, the root of the tree, and puts the old root at `put_old` under it (pivot_root(2)).
    /// Working directories and roots of processes are the caller's to change.
    pub fn pivot_root(&self, new_root: &Path, put_old: &Path) -> Result<(), Errno> {
        if !new_root.is_mount_root() || put_old.dentry().directory().is_none() {
            return Err(Errno::EINVAL);
        }
        let _tree = TREE.lock();
        let guard = rcu::read();
        let mut root = self.root.lock();
        let (new, put) = (new_root.mount().to_arc(), put_old.mount().to_arc());
        if new_root.mount().same(&root) {
            return Err(Errno::EBUSY);
        }
        // put_old must lie under the new root.
        let mut here: (&Mount, &Dentry) = (&put, put_old.dentry());
        while !core::ptr::eq(here.0, &*new) {
            here = here.0.place(&guard).ok_or(Errno::EINVAL)?;
        }
        if !is_below(here.1, new.root(), &guard) || new.place(&guard).is_none() {
            return Err(Errno::EINVAL);
        }
        new.detach();
        let old = core::mem::replace(&mut *root, new);
        Mount::attach(&old, &put, put_old.dentry());
        Ok(())
    }

    /// Whether the file system of a place is mounted in other places, too.
    pub fn is_mounted_elsewhere(&self, place: &Path) -> bool {
        let superblock = place.mount().superblock();
        let same = |other: &Path| Arc::ptr_eq(other.mount().superblock(), superblock);
        self.mounts().iter().filter(|other| same(other)).count() > 1
    }

    /// Unmounts what is mounted at `path` (its root). `EBUSY` while it has users or mounts on it, unless detached.
    pub async fn unmount(&self, path: Path, flags: UnmountFlags) -> Result<(), Errno> {
        if !path.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if flags.contains(UnmountFlags::EXPIRE) {
            return Err(if flags.intersects(UnmountFlags::FORCE | UnmountFlags::DETACH) {
                Errno::EINVAL
            } else {
                Errno::EAGAIN
            });
        }
        let mount = path.mount().to_arc();
        drop(path);
        if mount.place(&rcu::read()).is_none() {
            return Err(Errno::EINVAL);
        }
        if flags.contains(UnmountFlags::DETACH) {
            let _tree = TREE.lock();
            detach_tree(&mount);
            return Ok(());
        }
        mount.state.fetch_or(EXACT, Release);
        rcu::synchronize().await;
        let _tree = TREE.lock();
        let busy = {
            let guard = rcu::read();
            let _lock = mount.count_lock.lock();
            mount.sum() != 0 || mount.children.load(&guard).is_some()
        };
        if busy {
            mount.state.fetch_and(!EXACT, Release);
            return Err(Errno::EBUSY);
        }
        mount.detach();
        Mount::linger(mount);
        Ok(())
    }

    /// The mounts of the tree, each after the one it is mounted on, for /proc/mounts.
    pub fn mounts(&self) -> Vec<Path> {
        let guard = rcu::read();
        let mut list = Vec::new();
        let mut stack = alloc::vec![self.root.lock().clone()];
        while let Some(mount) = stack.pop() {
            list.push(Path::new(mount.add_user(&guard), mount.root().clone()));
            stack.extend(mount.children().into_iter().rev());
        }
        list
    }
}

impl Drop for Namespace {
    /// The mounts leave the tree; those in use stay until they are not.
    fn drop(&mut self) {
        let root = self.root.get_mut().clone();
        let _tree = TREE.lock();
        detach_tree(&root);
    }
}

/// Whether `dentry` is `ancestor` or lies under it, in one file system.
pub(crate) fn is_below(dentry: &Dentry, ancestor: &Dentry, guard: &rcu::ReadGuard) -> bool {
    let mut here = Some(dentry);
    while let Some(dentry) = here {
        if core::ptr::eq(dentry, ancestor) {
            return true;
        }
        here = dentry.parent(guard);
    }
    false
}

/// Copies the mounts under `below` from one mount to its copy, and all on them. Under the tree lock.
fn copy_children(from: &Arc<Mount>, to: &Arc<Mount>, below: &Dentry) {
    let guard = rcu::read();
    // A list, as mounts may lie on each other deeper than the stack is.
    let mut left = alloc::vec![(from.clone(), to.clone())];
    while let Some((mount, its_copy)) = left.pop() {
        let below = if Arc::ptr_eq(&mount, from) { below } else { &*mount.root };
        for child in mount.children() {
            let Some(place) = child.place.load(&guard) else { continue };
            if is_below(&place.at, below, &guard) {
                let copy =
                    Mount::new(child.superblock.clone(), child.root.clone(), &child.source, child.flags());
                Mount::attach(&copy, &its_copy, &place.at);
                left.push((child, copy));
            }
        }
    }
}

/// Takes a mount and all mounts on it out of the tree, the topmost first. Under the tree lock.
fn detach_tree(lowest: &Arc<Mount>) {
    let mut mount = lowest.clone();
    loop {
        if let Some(child) = mount.children().pop() {
            mount = child;
            continue;
        }
        let parent = mount.place.load(&rcu::read()).map(|place| place.parent.clone());
        let is_last = Arc::ptr_eq(&mount, lowest);
        mount.detach();
        Mount::linger(mount);
        match parent {
            Some(parent) if !is_last => mount = parent,
            _ => return,
        }
    }
}
