//! Changing directories: making and removing names.
//!
//! Each change is one step for everybody else: the directory's lock is held from the checks over the file
//! system's operation to the update of the directory cache. A file system in memory does all that in one poll. Where it has
//! to wait, the rest of the change runs in a task of its own, so that a caller who is killed leaves no directory
//! changed on disk and unchanged in the cache.

use crate::{
    Credentials, FileType, Inode, Kind, LookupFlags, NewInode, Op, Path, Result, View,
    attributes::{Access, Attributes},
    credentials::Capabilities,
    dcache::{Dentry, DentryRef, directory::LockedDirectory, name::Name},
    fill::{fill_locked, known},
    permission,
    view::HeldPlace,
    watch,
};
use alloc::sync::Arc;
use executor::rcu;
use syscalls::Errno;

/// Locks a directory.
#[inline]
pub(crate) async fn lock(directory: &DentryRef) -> LockedDirectory {
    match LockedDirectory::try_lock(directory.clone()) {
        Some(locked) => locked,
        None => LockedDirectory::lock(directory.clone()).await,
    }
}

/// Brings a change to its end: the file system's part, then `update` of the cache, with `locks` held throughout.
/// Runs in a task of its own if the file system has to wait.
pub(crate) async fn commit<G, T, R>(
    op: Op<'static, Result<T>>,
    locks: G,
    update: impl FnOnce(&G, Result<T>) -> Result<R> + Send + 'static,
) -> Result<R>
where
    G: Send + 'static,
    T: Send + 'static,
    R: Send + 'static,
{
    match op {
        Op::Ready(result) => update(&locks, result),
        Op::Waiting(future) => {
            let rest = executor::try_spawn(async move {
                let result = future.await;
                update(&locks, result)
            });
            match rest {
                Ok(task) => task.await.unwrap_or(Err(Errno::EIO)),
                Err(_) => Err(Errno::ENOMEM),
            }
        }
    }
}

/// Enters a file that has just been made under its name.
#[inline(always)]
pub(crate) fn enter(directory: &LockedDirectory, name: &[u8], inode: Arc<dyn Inode>) -> DentryRef {
    let made = directory.insert(Name::new(name), inode);
    watch::made(directory, name, &made);
    made
}

/// Takes the name of a file that is no directory out of the cache.
#[inline(always)]
fn remove(directory: &LockedDirectory, file: &DentryRef) {
    directory.remove(file);
    watch::unlinked(directory, file, 1);
}

/// The rights to remove (or rename) `victim` from `directory`; `as_directory` says what the caller takes it for.
#[inline]
pub(crate) fn check_removal(
    directory: &Dentry,
    victim: &Dentry,
    credentials: &Credentials,
    as_directory: bool,
) -> Result<()> {
    permission::check(directory.attributes(), credentials, Access::WRITE | Access::EXECUTE)?;
    permission::check_sticky(directory.attributes(), victim.attributes(), credentials)?;
    match (as_directory, victim.kind() == FileType::Directory) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

impl<'v> View<'v> {
    /// A file to be made in a directory with these permissions: a set-group-id directory passes on its group, and to directories
    /// the bit (inode(7)).
    pub(crate) fn inherit<'a>(
        &self,
        directory: &Attributes,
        kind: Kind<'a>,
        permissions: u32,
    ) -> NewInode<'a> {
        let View { credentials, umask, .. } = *self;
        let mut new = NewInode { kind, permissions, umask, uid: credentials.uid, gid: credentials.gid };
        if directory.permissions() & 0o2000 != 0 {
            new.gid = directory.gid();
            if matches!(kind, Kind::Directory) {
                new.permissions |= 0o2000;
            } else if new.permissions & 0o2010 == 0o2010
                && !credentials.in_group(new.gid)
                && !credentials.has(Capabilities::FSETID)
            {
                new.permissions &= !0o2000;
            }
        }
        new
    }

    /// The directory of a place, locked, and free for a new name: `EEXIST` when the name is taken. `before` is what else
    /// stands against it, more than the rights on the directory.
    async fn vacant(
        &self,
        place: &HeldPlace,
        is_directory: bool,
        before: Result<()>,
    ) -> Result<LockedDirectory> {
        let locked = lock(place.directory.dentry()).await;
        let known = known(&locked, &place.name)?;
        if matches!(known, Some(Some(_))) {
            return Err(Errno::EEXIST);
        }
        let allowed = if place.slashes && !is_directory {
            Err(Errno::ENOENT)
        } else {
            place.directory.mount().check_writable().and(before).and_then(|()| {
                permission::check(locked.attributes(), self.credentials, Access::WRITE | Access::EXECUTE)
            })
        };
        if let Err(error) = allowed {
            let exists = known.is_none() && fill_locked(&locked, &place.name).await?.is_some();
            return Err(if exists { Errno::EEXIST } else { error });
        }
        Ok(locked)
    }

    /// Makes a directory, symbolic link, node or file with `permissions` (before the umask); mkdir(2),
    /// symlink(2), mknod(2). Returns it.
    pub async fn make(self, path: &[u8], kind: Kind<'_>, permissions: u32) -> Result<Path> {
        if let Kind::Symlink(target) = kind {
            if target.is_empty() {
                return Err(Errno::ENOENT);
            }
            if target.len() >= crate::PATH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
        }
        let place = self.place(path, |_| Errno::EEXIST).await?;
        let locked = self.vacant(&place, matches!(kind, Kind::Directory), Ok(())).await?;
        if let Kind::Character(device) | Kind::Block(device) = kind
            && !self.credentials.has(Capabilities::MKNOD)
            // The one device node that everyone may make is an overlay's whiteout.
            && !(matches!(kind, Kind::Character(_)) && device.0 == 0)
        {
            return Err(Errno::EPERM);
        }
        let parent = locked.inode().clone();
        let op = parent.create(&place.name, self.inherit(parent.attributes(), kind, permissions));
        let name = place.name;
        let dentry =
            commit(op, locked, move |locked, made| made.map(|inode| enter(locked, &name, inode))).await?;
        Ok(place.directory.with(dentry))
    }

    /// Gives the file at `from` another name (link(2)). Without links it gets one only if it was made so, to get one.
    pub async fn link(self, from: &Path, path: &[u8]) -> Result<()> {
        let place = self.place(path, |_| Errno::EEXIST).await?;
        let reachable = if from.mount().same(place.directory.mount()) {
            permission::check_link_source(from, self.credentials)
        } else {
            Err(Errno::EXDEV)
        };
        let locked = self.vacant(&place, false, reachable).await?;
        if from.dentry().kind() == FileType::Directory {
            return Err(Errno::EPERM);
        }
        let parent = locked.inode().clone();
        let op = parent.link(&place.name, from.inode());
        let (name, inode) = (place.name, from.inode().clone());
        commit(op, locked, move |locked, made| {
            made.map(|()| watch::linked(locked, &name, &locked.insert(Name::new(&name), inode)))
        })
        .await
    }

    /// The directory of an existing name, locked, and the file.
    async fn occupied(&self, place: &HeldPlace) -> Result<(LockedDirectory, DentryRef)> {
        place.directory.mount().check_writable()?;
        let locked = lock(place.directory.dentry()).await;
        let found = fill_locked(&locked, &place.name).await?;
        Ok((locked, found.ok_or(Errno::ENOENT)?))
    }

    /// Removes a name of a file that is no directory (unlink(2)). The file ends with its last name and last user.
    #[inline]
    pub fn unlink<'a>(self, path: &'a [u8]) -> Op<'a, Result<()>>
    where
        'v: 'a,
    {
        match self.unlink_now(path) {
            Some(result) => Op::Ready(result),
            None => Op::waiting(self.unlink_around(path)),
        }
    }

    /// Removes a cached name on a straight path, with nothing to wait for; `None` for all else, and for most failures, in
    /// whose order [`unlink_around`](Self::unlink_around) is exact.
    #[inline(always)]
    fn unlink_now(&self, path: &[u8]) -> Option<Result<()>> {
        let guard = rcu::read();
        let (place, name) = self.walk_straight_to_place(path, LookupFlags::empty(), &guard)?;
        place.mount.check_writable().ok()?;
        let locked = LockedDirectory::try_lock(place.dentry.try_ref()?)?;
        let victim = locked.find(name)??;
        let parent = locked.inode();
        check_removal(&locked, &victim, self.credentials, false).ok()?;
        if victim.is_mountpoint() {
            return None;
        }
        let done = parent.unlink(name.bytes, victim.inode()).ready().ok()?;
        Some(done.map(|()| remove(&locked, &victim)))
    }

    async fn unlink_around(self, path: &[u8]) -> Result<()> {
        let place = self.place(path, |_| Errno::EISDIR).await?;
        let (locked, victim) = self.occupied(&place).await?;
        if place.slashes {
            return Err(if victim.kind() == FileType::Directory { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        let parent = locked.inode().clone();
        check_removal(&locked, &victim, self.credentials, false)?;
        if victim.is_mountpoint() {
            return Err(Errno::EBUSY);
        }
        let op = parent.unlink(&place.name, victim.inode());
        commit(op, locked, move |locked, done| done.map(|()| remove(locked, &victim))).await
    }

    /// Removes an empty directory (rmdir(2)).
    pub async fn rmdir(self, path: &[u8]) -> Result<()> {
        let place = self
            .place(path, |name| match name {
                b"." => Errno::EINVAL,
                b".." => Errno::ENOTEMPTY,
                _ => Errno::EBUSY,
            })
            .await?;
        let (locked, victim) = self.occupied(&place).await?;
        let parent = locked.inode().clone();
        check_removal(&locked, &victim, self.credentials, true)?;
        if victim.is_mountpoint() {
            return Err(Errno::EBUSY);
        }
        // A directory is locked after the one above it, here as everywhere.
        let inner = lock(&victim).await;
        let op = parent.rmdir(&place.name, victim.inode());
        commit(op, (locked, inner), move |(locked, inner), done| {
            done.map(|()| {
                inner.set_removed();
                locked.remove(&victim);
                // The lock is a user, too.
                watch::unlinked(locked, &victim, 2);
            })
        })
        .await
    }
}
