//! Files by their handles: a number, and which of the files that have had it.

use super::{
    ROOT,
    inode::Ext4Inode,
    node::Expected,
    volume::{Turns, Volume},
};
use crate::{DirEntry, FileType, Handle, Inode, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// Directories in directories, at most: a spoiled file system may have rings of them.
const DEPTH: usize = 2048;

impl Volume {
    /// A file of which the number comes from outside: `ESTALE` if it is not in use, or is the file system's own.
    async fn get_foreign(self: &Arc<Self>, number: u64) -> Result<Arc<Ext4Inode>> {
        let geometry = &self.geometry;
        let number = u32::try_from(number).map_err(|_| Errno::ESTALE)?;
        let is_own = number < geometry.first_inode || number == geometry.orphan_file;
        if number != ROOT && is_own || number > geometry.inodes {
            return Err(Errno::ESTALE);
        }
        if !self.is_inode_taken(number).await? {
            return Err(Errno::ESTALE);
        }
        self.get(number, Expected::Nothing).await
    }

    /// The file of a handle.
    pub async fn get_by_handle(self: &Arc<Self>, handle: Handle) -> Result<Arc<Ext4Inode>> {
        let inode = self.get_foreign(handle.number).await?;
        if inode.node().generation == handle.generation { Ok(inode) } else { Err(Errno::ESTALE) }
    }

    /// The names that lead from the root to a directory, as the directories above it have them.
    pub async fn names_of(self: &Arc<Self>, directory: Arc<Ext4Inode>) -> Result<Vec<Box<[u8]>>> {
        let mut names = Vec::new();
        let mut at = directory;
        let mut turns = Turns::default();
        while at.number() != ROOT {
            turns.next().await;
            let above = self.get_foreign(at.node().parent().await?.into()).await?;
            if names.len() == DEPTH || above.attributes().kind != FileType::Directory {
                return Err(Errno::ESTALE);
            }
            names.push(above.name_of(at.number()).await?);
            at = above;
        }
        names.reverse();
        Ok(names)
    }
}

impl Ext4Inode {
    /// The name of an inode in this directory.
    async fn name_of(&self, number: u32) -> Result<Box<[u8]>> {
        let mut found = None;
        let mut look = |entry: DirEntry<'_>| {
            if entry.ino == u64::from(number) {
                found = Some(entry.name.into());
            }
            found.is_none()
        };
        self.read_dir(2, &mut look).await?;
        found.ok_or(Errno::ESTALE)
    }
}
