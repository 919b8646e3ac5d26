//! Opening files.

use crate::{
    Direct, FileType, Inode, Kind, LookupFlags, Op, Path, Result, View,
    attributes::Access,
    change::{commit, enter, lock},
    dcache::{
        DentryRef,
        directory::{Cached, LockedDirectory},
        name::Name,
    },
    file,
    fill::fill_locked,
    mount::MountFlags,
    permission,
    view::{HeldPlace, Target},
    walk::{Cursor, Last},
    watch::{self, Happening},
};
use alloc::sync::Arc;
use bitflags::bitflags;
use executor::rcu;
use linux_raw_sys::general as linux;
use syscalls::Errno;

bitflags! {
    /// The flags of open(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct OpenFlags: u32 {
        /// Open for writing only.
        const WRITE_ONLY = linux::O_WRONLY;
        /// Open for reading and writing.
        const READ_WRITE = linux::O_RDWR;
        /// Make the file if it does not exist.
        const CREATE = linux::O_CREAT;
        /// With `CREATE`: `EEXIST` if it exists.
        const EXCLUSIVE = linux::O_EXCL;
        /// Cut a regular file to no bytes.
        const TRUNCATE = linux::O_TRUNC;
        /// `ENOTDIR` unless it is a directory.
        const DIRECTORY = linux::O_DIRECTORY;
        /// `ELOOP` when the last component is a symbolic link.
        const NO_FOLLOW = linux::O_NOFOLLOW;
        /// Transfers go past the page cache.
        const DIRECT = linux::O_DIRECT;
        /// Writes go to the end.
        const APPEND = linux::O_APPEND;
        /// Do not note accesses; for owners only.
        const NO_ATIME = linux::O_NOATIME;
        /// Only a handle on the place; no permission on the file is needed.
        const PATH = linux::O_PATH;
        /// A file without a name, in the directory at the path (`O_TMPFILE` without `O_DIRECTORY`).
        const UNNAMED = linux::__O_TMPFILE;
        /// The other flags pass through unread.
        const _ = !0;
    }
}

impl OpenFlags {
    /// The accesses that opening asks for.
    pub fn access(self) -> Access {
        let access = match self.bits() & linux::O_ACCMODE {
            linux::O_RDONLY => Access::READ,
            linux::O_WRONLY => Access::WRITE,
            // 3 asks for both permissions while allowing no transfer (open(2)).
            _ => Access::READ.union(Access::WRITE),
        };
        if self.contains(OpenFlags::TRUNCATE) { access.union(Access::WRITE) } else { access }
    }

    /// Whether bytes can be written through the open file.
    pub fn writes(self) -> bool {
        !self.contains(OpenFlags::PATH) && self.bits() & linux::O_ACCMODE != linux::O_RDONLY
    }

    fn lookup(self) -> LookupFlags {
        let mut flags = LookupFlags::empty();
        flags.set(LookupFlags::DIRECTORY, self.contains(OpenFlags::DIRECTORY));
        // O_PATH ignores the flags that make a file.
        let exclusive =
            self.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) && !self.contains(OpenFlags::PATH);
        flags.set(LookupFlags::FOLLOW, !self.contains(OpenFlags::NO_FOLLOW) && !exclusive);
        flags
    }
}

/// A file that was opened.
pub struct Opened {
    /// Where it is.
    pub path: Path,
    /// What to read and write in the place of the path's inode, where that makes its contents for each opener; see
    /// [`Inode::open`](crate::Inode::open).
    pub stream: Option<Arc<dyn Inode>>,
    /// Whether it was made by this call.
    pub created: bool,
}

impl<'v> View<'v> {
    /// Opens the file at `path`, making it with `permissions` (before the umask) where the flags say so. `resolve` may
    /// add flags of openat2(2).
    ///
    /// This is the file system's part of open(2): the path, the rights, creation and truncation. What the open file does with
    /// devices, fifos and sockets is the caller's, as is counting writers
    /// ([`Attributes::begin_write`](crate::Attributes::begin_write)).
    #[inline]
    pub fn open<'a>(
        self,
        path: &'a [u8],
        flags: OpenFlags,
        permissions: u32,
        resolve: LookupFlags,
    ) -> Op<'a, Result<Opened>>
    where
        'v: 'a,
    {
        match self.open_now(path, flags, permissions, resolve) {
            Some(result) => Op::Ready(result),
            None => Op::waiting(self.open_around(path, flags, permissions, resolve)),
        }
    }

    /// Opens a file whose path is cached and straight, with nothing to wait for; `None` for all else, and for
    /// most failures, in whose order [`open_around`](Self::open_around) is exact.
    #[inline(always)]
    fn open_now(
        &self,
        path: &[u8],
        flags: OpenFlags,
        permissions: u32,
        resolve: LookupFlags,
    ) -> Option<Result<Opened>> {
        const AROUND: OpenFlags =
            OpenFlags::PATH.union(OpenFlags::UNNAMED).union(OpenFlags::DIRECTORY).union(OpenFlags::NO_ATIME);
        if flags.intersects(AROUND) || resolve.intersects(LookupFlags::IN_ROOT) {
            return None;
        }
        let guard = rcu::read();
        let cursor = if flags.contains(OpenFlags::CREATE) {
            let (place, name) = self.walk_straight_to_place(path, resolve, &guard)?;
            match place.dentry.as_directory().find_as_chosen(name, &guard) {
                Cached::Positive(child)
                    if !child.is_special()
                        && matches!(child.kind(), FileType::Regular | FileType::Fifo)
                        && !flags.contains(OpenFlags::EXCLUSIVE) =>
                {
                    Cursor { dentry: child, ..place }
                }
                Cached::Positive(_) => return None,
                _ => return self.create_now(place, name, permissions, &guard),
            }
        } else {
            let end = self.set_out::<false>(path, resolve, &guard)?;
            if end.used != path.len() {
                return None;
            }
            end.at
        };
        if flags.contains(OpenFlags::TRUNCATE) {
            return None;
        }
        let path = cursor.to_path(&guard)?;
        if let Err(error) = self.check_open(&path, flags) {
            return Some(Err(error));
        }
        Some(path.inode().open().map(|stream| Opened { path, stream, created: false }))
    }

    /// Makes a regular file under a new name. As [`open_now`](Self::open_now), `None` also when the name exists.
    fn create_now(
        &self,
        place: Cursor<'_>,
        name: Name<'_>,
        permissions: u32,
        guard: &rcu::ReadGuard,
    ) -> Option<Result<Opened>> {
        let locked = LockedDirectory::try_lock(place.dentry.try_ref()?)?;
        locked.check_alive().ok()?;
        if matches!(locked.find(name), Some(Some(_))) {
            return None;
        }
        let parent = locked.inode();
        place.mount.check_writable().ok()?;
        permission::check(parent.attributes(), self.credentials, Access::WRITE | Access::EXECUTE).ok()?;
        let new = self.inherit(locked.attributes(), Kind::Regular, permissions);
        match parent.create(name.bytes, new).ready().ok()? {
            Ok(inode) => {
                let dentry = locked.insert(name, inode);
                watch::made(&locked, name.bytes, &dentry);
                let path = Path::new(place.mount.add_user(guard), dentry);
                Some(Ok(Opened { path, stream: None, created: true }))
            }
            Err(Errno::EEXIST) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Opens any file.
    async fn open_around(
        self,
        path: &[u8],
        flags: OpenFlags,
        permissions: u32,
        resolve: LookupFlags,
    ) -> Result<Opened> {
        let lookup = flags.lookup() | resolve;
        if flags.contains(OpenFlags::PATH) {
            let path = self.lookup(path, lookup).await?;
            return Ok(Opened { path, stream: None, created: false });
        }
        if flags.contains(OpenFlags::UNNAMED) {
            let directory = self.lookup(path, lookup | LookupFlags::DIRECTORY).await?;
            return self.open_unnamed(&directory, flags, permissions).await;
        }
        if !flags.contains(OpenFlags::CREATE) {
            let path = self.lookup(path, lookup).await?;
            let stream = self.open_existing(&path, flags).await?;
            return Ok(Opened { path, stream, created: false });
        }
        loop {
            match self.target(path, lookup, Last::FileOrPlace).await? {
                Target::File(path) => {
                    if flags.contains(OpenFlags::EXCLUSIVE) {
                        return Err(Errno::EEXIST);
                    }
                    if path.dentry().kind() == FileType::Directory {
                        return Err(Errno::EISDIR);
                    }
                    let directory = path.dentry().parent();
                    let found = path.dentry().attributes();
                    permission::check_sticky_open(directory.attributes(), found, self.credentials)?;
                    let stream = self.open_existing(&path, flags).await?;
                    return Ok(Opened { path, stream, created: false });
                }
                Target::Place(place) => {
                    if place.slashes {
                        return Err(Errno::EISDIR);
                    }
                    if let Some(dentry) = self.create_at(&place, permissions).await? {
                        let path = place.directory.with(dentry);
                        return Ok(Opened { path, stream: None, created: true });
                    }
                    // Somebody has made it meanwhile, or the cache did not know it: now it does.
                }
            }
        }
    }

    async fn open_existing(&self, path: &Path, flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        self.check_open(path, flags)?;
        if flags.contains(OpenFlags::TRUNCATE) && path.dentry().kind() == FileType::Regular {
            // What cannot be opened is not cut.
            if flags.contains(OpenFlags::DIRECT) && path.inode().direct() == Direct::Refused {
                return Err(Errno::EINVAL);
            }
            self.cut(path).await?;
        }
        path.inode().open()
    }

    /// The rights that opening an existing file needs.
    #[inline(always)]
    fn check_open(&self, path: &Path, flags: OpenFlags) -> Result<()> {
        let access = flags.access();
        match path.dentry().kind() {
            FileType::Regular => (),
            FileType::Symlink => return Err(Errno::ELOOP),
            FileType::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR),
            FileType::Character | FileType::Block if path.mount().flags().contains(MountFlags::NO_DEV) => {
                return Err(Errno::EACCES);
            }
            _ => (),
        }
        permission::check_at(path, self.credentials, access)?;
        if flags.contains(OpenFlags::NO_ATIME)
            && !permission::is_owner(path.dentry().attributes(), self.credentials)
        {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Cuts a regular file to no bytes; `ETXTBSY` while it is being executed.
    async fn cut(&self, path: &Path) -> Result<()> {
        let _writing = path.dentry().attributes().write_access()?;
        file::truncate(&**path.inode(), self.credentials, 0).await?;
        watch::changed(path.dentry(), Happening::MODIFY);
        Ok(())
    }

    /// Makes a regular file at a place; `None` when the name turns out to exist. Then it is in the cache.
    async fn create_at(&self, place: &HeldPlace, permissions: u32) -> Result<Option<DentryRef>> {
        let locked = lock(place.directory.dentry()).await;
        locked.check_alive()?;
        let name = Name::new(&place.name);
        let known = locked.find(name);
        if matches!(known, Some(Some(_))) {
            return Ok(None);
        }
        let parent = locked.inode().clone();
        let allowed = place.directory.mount().check_writable().and_then(|()| {
            permission::check(parent.attributes(), self.credentials, Access::WRITE | Access::EXECUTE)
        });
        if let Err(error) = allowed {
            // Whoever may not make the file may still open it, if it exists.
            return if known.is_none() && fill_locked(&locked, &place.name).await?.is_some() {
                Ok(None)
            } else {
                Err(error)
            };
        }
        let new = self.inherit(parent.attributes(), Kind::Regular, permissions);
        let op = parent.create(&place.name, new);
        let kept = place.name.clone();
        let made = commit(op, locked, move |locked, made| made.map(|inode| enter(locked, &kept, inode)));
        match made.await {
            Ok(dentry) => Ok(Some(dentry)),
            Err(Errno::EEXIST) if known.is_none() => {
                let locked = lock(place.directory.dentry()).await;
                fill_locked(&locked, &place.name).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn open_unnamed(&self, directory: &Path, flags: OpenFlags, permissions: u32) -> Result<Opened> {
        if !flags.writes() {
            return Err(Errno::EINVAL);
        }
        directory.mount().check_writable()?;
        let parent = directory.inode();
        permission::check(parent.attributes(), self.credentials, Access::WRITE | Access::EXECUTE)?;
        let new = self.inherit(parent.attributes(), Kind::Regular, permissions);
        let inode = parent.create_unnamed(new).await?;
        if !flags.contains(OpenFlags::EXCLUSIVE) {
            inode.attributes().set_linkable();
        }
        Ok(Opened { path: directory.with(DentryRef::new_root(inode)), stream: None, created: true })
    }
}
