//! Renaming (rename(2)): the one change that touches two directories.

use crate::{
    FileType, Path, Renaming, Result, Superblock, View,
    attributes::Access,
    change::{check_removal, commit, lock},
    dcache::{
        DentryRef,
        directory::{self, LockedDirectory},
        name::Name,
    },
    fill::fill_locked,
    mount::is_below,
    permission, watch,
};
use alloc::sync::Arc;
use bitflags::bitflags;
use executor::rcu;
use linux_raw_sys::general as linux;
use syscalls::Errno;

bitflags! {
    /// The flags of renameat2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct RenameFlags: u32 {
        /// `EEXIST` instead of replacing.
        const NO_REPLACE = linux::RENAME_NOREPLACE;
        /// The two names change places.
        const EXCHANGE = linux::RENAME_EXCHANGE;
    }
}

/// The lock on the shape of a file system's tree, held.
struct TreeLock(Arc<Superblock>);

impl Drop for TreeLock {
    fn drop(&mut self) {
        self.0.tree.unlock();
    }
}

/// The locks of a rename. Fields drop in order, so the tree's lock is given back last.
struct Locks {
    /// A directory that is replaced.
    victim: Option<LockedDirectory>,
    from: LockedDirectory,
    /// `None` when the file stays in its directory.
    to: Option<LockedDirectory>,
    _tree: Option<TreeLock>,
}

impl Locks {
    fn to(&self) -> &LockedDirectory {
        self.to.as_ref().unwrap_or(&self.from)
    }

    /// Locks the two directories: the one above first, so that whoever locks downwards cannot meet us. Two directories
    /// where neither is above the other are only ever locked together under the tree's lock.
    async fn take(from: &Path, to: &Path) -> Self {
        if from.dentry().same(to.dentry()) {
            return Locks { victim: None, from: lock(from.dentry()).await, to: None, _tree: None };
        }
        let superblock = from.mount().superblock().clone();
        if !superblock.tree.try_lock_raw() {
            superblock.tree.lock_raw().await;
        }
        let tree = TreeLock(superblock);
        let to_first = is_below(from.dentry(), to.dentry(), &rcu::read());
        let (from, to) = if to_first {
            let to = lock(to.dentry()).await;
            (lock(from.dentry()).await, to)
        } else {
            let from = lock(from.dentry()).await;
            let to = lock(to.dentry()).await;
            (from, to)
        };
        Locks { victim: None, from, to: Some(to), _tree: Some(tree) }
    }
}

impl View<'_> {
    /// Renames the file at `old_path` to `new_path`, which is walked in the view `new_view` (renameat2(2)). Whoever
    /// looks the new name up finds the old file or the new one, never none.
    pub async fn rename(
        self,
        old_path: &[u8],
        new_view: View<'_>,
        new_path: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let keep = flags.contains(RenameFlags::NO_REPLACE);
        if exchange && keep {
            return Err(Errno::EINVAL);
        }
        let old = self.any_place(old_path).await?;
        let new = new_view.any_place(new_path).await?;
        if !old.directory.mount().same(new.directory.mount()) {
            return Err(Errno::EXDEV);
        }
        if old.is_fixed() {
            return Err(Errno::EBUSY);
        }
        if new.is_fixed() {
            return Err(if keep { Errno::EEXIST } else { Errno::EBUSY });
        }
        old.directory.mount().check_writable()?;

        let mut locks = Locks::take(&old.directory, &new.directory).await;
        let moved = fill_locked(&locks.from, &old.name).await?.ok_or(Errno::ENOENT)?;
        let target = fill_locked(locks.to(), &new.name).await?;
        let moves_directory = moved.kind() == FileType::Directory;
        match &target {
            Some(_) if keep => return Err(Errno::EEXIST),
            None if exchange => return Err(Errno::ENOENT),
            Some(target) if exchange && target.kind() != FileType::Directory && new.slashes => {
                return Err(Errno::ENOTDIR);
            }
            _ => (),
        }
        if !moves_directory && (old.slashes || !exchange && new.slashes) {
            return Err(Errno::ENOTDIR);
        }
        {
            let guard = rcu::read();
            if moves_directory && is_below(locks.to(), &moved, &guard) {
                return Err(Errno::EINVAL);
            }
            if let Some(target) = &target
                && target.kind() == FileType::Directory
                && is_below(&locks.from, target, &guard)
            {
                return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
        }
        let same =
            |target: &DentryRef| core::ptr::addr_eq(Arc::as_ptr(target.inode()), Arc::as_ptr(moved.inode()));
        if target.as_ref().is_some_and(same) {
            // Two names of one file: both stay.
            return Ok(());
        }
        self.check_rename(&locks, &moved, target.as_ref(), exchange)?;

        if let Some(target) = &target
            && !exchange
            && target.kind() == FileType::Directory
        {
            locks.victim = Some(lock(target).await);
        }
        let (from, to) = (locks.from.inode().clone(), locks.to().inode().clone());
        let op = from.rename(Renaming {
            old_name: &old.name,
            moved: moved.inode(),
            new_directory: &to,
            new_name: &new.name,
            replaced: target.as_ref().map(|target| target.inode()),
            exchange,
        });
        let (old_name, name) = (old.name, new.name);
        commit(op, locks, move |locks, done| {
            done.map(|()| {
                let (here, there) = ((&**locks.from, &*old_name), (&***locks.to(), &*name));
                match target {
                    Some(target) if exchange => {
                        directory::exchange(&locks.from, &moved, locks.to(), &target);
                        watch::renamed(here, there, &moved, None);
                        watch::renamed(there, here, &target, None);
                    }
                    target => {
                        if let Some(victim) = &locks.victim {
                            victim.set_removed();
                        }
                        directory::rename(&locks.from, &moved, locks.to(), Name::new(&name));
                        watch::renamed(here, there, &moved, target.as_deref());
                    }
                }
            })
        })
        .await
    }

    /// The rights and the state that a rename needs.
    fn check_rename(
        &self,
        locks: &Locks,
        moved: &DentryRef,
        target: Option<&DentryRef>,
        exchange: bool,
    ) -> Result<()> {
        let moves_directory = moved.kind() == FileType::Directory;
        check_removal(&locks.from, moved, self.credentials, moves_directory)?;
        match target {
            None => {
                locks.to().check_alive()?;
                permission::check(
                    locks.to().attributes(),
                    self.credentials,
                    Access::WRITE | Access::EXECUTE,
                )?;
            }
            Some(target) => {
                let as_directory =
                    if exchange { target.kind() == FileType::Directory } else { moves_directory };
                check_removal(locks.to(), target, self.credentials, as_directory)?;
            }
        }
        // A directory that gets another parent has its ".." changed, which needs the right to write it.
        if locks.to.is_some() {
            for dentry in [Some(moved), target.filter(|_| exchange)].into_iter().flatten() {
                if dentry.kind() == FileType::Directory {
                    permission::check(dentry.attributes(), self.credentials, Access::WRITE)?;
                }
            }
        }
        if moved.is_mountpoint() || target.is_some_and(|target| target.is_mountpoint()) {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }
}
