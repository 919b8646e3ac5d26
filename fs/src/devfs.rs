//! `/dev`: device nodes, made as the kernel's drivers register their devices.
//!
//! The nodes are ordinary inodes of a file system in memory, so programs may add their own, change rights and
//! make links as they may in any directory. What opening a node reaches is the kernel's to say: it has a table by
//! device number.

use crate::{
    Credentials, Kind, LookupFlags, MountFlags, Namespace, Result, Superblock, View,
    memfs::{Limits, MemFs, TMPFS},
};
use alloc::sync::Arc;
use syscalls::Errno;

/// The device file system. Every mount of its superblock shows the same nodes.
pub struct DevFs {
    superblock: Arc<Superblock>,
    /// A tree of its own, through which nodes are made whether or not anyone has mounted it.
    inner: Arc<Namespace>,
}

impl DevFs {
    /// A device file system without nodes.
    pub fn new() -> Arc<Self> {
        Self::named("devtmpfs", TMPFS)
    }

    /// One of another type: its name in /proc/mounts and its number in statfs(2).
    pub fn named(kind: &'static str, magic: u64) -> Arc<Self> {
        let file_system = MemFs::named(kind, magic, Limits { size: None, inodes: None }, 0o755);
        let superblock = Superblock::new(file_system);
        let inner = Namespace::new(superblock.clone(), kind, MountFlags::empty());
        Arc::new(DevFs { superblock, inner })
    }

    /// What to mount at `/dev`.
    pub fn superblock(&self) -> &Arc<Superblock> {
        &self.superblock
    }

    /// Makes the node `path` (relative, "tty", "pts/0") with its directories; replaces an older one of the name. A
    /// symbolic link, directory or fifo can be made too.
    pub async fn register(
        &self,
        path: &[u8],
        kind: Kind<'_>,
        permissions: u32,
        uid: u32,
        gid: u32,
    ) -> Result<()> {
        let root = self.inner.root();
        let owner = Credentials { uid, gid, ..Credentials::root() };
        let superuser = Credentials::root();
        let above = View { root: &root, start: &root, credentials: &superuser, umask: 0 };
        let view = View { root: &root, start: &root, credentials: &owner, umask: 0 };
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            match above.make(&path[..at], Kind::Directory, 0o755).await {
                Ok(_) | Err(Errno::EEXIST) => (),
                Err(error) => return Err(error),
            }
        }
        match view.make(path, kind, permissions).await {
            Err(Errno::EEXIST) if !matches!(kind, Kind::Directory) => {
                above.unlink(path).await?;
                view.make(path, kind, permissions).await.map(drop)
            }
            Err(Errno::EEXIST) => Ok(()),
            made => made.map(drop),
        }
    }

    /// Removes a node.
    pub async fn unregister(&self, path: &[u8]) -> Result<()> {
        let root = self.inner.root();
        let superuser = Credentials::root();
        let view = View { root: &root, start: &root, credentials: &superuser, umask: 0 };
        if view.metadata(path, LookupFlags::empty()).await?.kind == crate::FileType::Directory {
            view.rmdir(path).await
        } else {
            view.unlink(path).await
        }
    }
}
