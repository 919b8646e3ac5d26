//! Entering names.

use super::{
    super::{
        buffer::{Buffer, Form},
        hash_tree,
        node::Node,
        transaction::Apply,
        volume::Turns,
    },
    Draft, Format,
};
use crate::{FileType, NAME_MAX, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;

/// Steps in which room is made, at most: a hash tree may need one for each of its levels, twice.
const STEPS: usize = 16;

/// Room for a name in a directory.
pub struct Addition {
    block: Arc<Buffer>,
    format: Format,
    name: Box<[u8]>,
}

impl Addition {
    /// Blocks that are changed.
    pub fn credits(&self) -> usize {
        1
    }

    /// Enters the name. Entries of the directory may have been removed since it was planned, but no other one entered.
    pub fn apply(self, apply: &Apply<'_>, inode: u32, kind: FileType) {
        let entered = self.format.enter(&mut self.block.write(apply), &self.name, inode, kind);
        debug_assert!(entered, "room for a name is gone");
    }
}

impl Node {
    /// As [`plan_entry`](Self::plan_entry), for a name that may be there: `EEXIST` then.
    pub async fn plan_new_entry(self: &Arc<Self>, name: &[u8]) -> Result<Addition> {
        match self.find(name).await {
            Err(Errno::ENOENT) => self.plan_entry(name).await,
            Ok(_) => Err(Errno::EEXIST),
            Err(error) => Err(error),
        }
    }

    /// Plans to enter a name, which must not be there. If there is no room for it, some is made at once, in transactions
    /// of their own; with the plan or without, the directory is whole. `ENOSPC` when it cannot grow, `EOPNOTSUPP` when
    /// the entries are in the inode.
    pub async fn plan_entry(self: &Arc<Self>, name: &[u8]) -> Result<Addition> {
        self.check_blocks_of_directory()?;
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::EINVAL);
        }
        if self.is_indexed() && !hash_tree::is_enabled(self) {
            return Err(self.corrupt("has a hash tree, but the file system has none"));
        }
        let mut copy = alloc::vec::Vec::new();
        copy.try_reserve_exact(name.len()).map_err(|_| Errno::ENOMEM)?;
        copy.extend_from_slice(name);
        let copy = copy.into_boxed_slice();
        for _ in 0..STEPS {
            let block = if self.is_indexed() {
                self.room_by_hash(name).await?
            } else {
                self.room_in_list(name).await?
            };
            if let Some(block) = block {
                return Ok(Addition { block, format: self.format(), name: copy });
            }
        }
        Err(self.corrupt("has no room for a name, however much it grows"))
    }

    /// The first block of a list that has room for a name. If none has, makes room and returns `None`.
    async fn room_in_list(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Buffer>>> {
        let mut turns = Turns::default();
        for number in 0..self.directory_blocks() {
            turns.next().await;
            let block = self.directory_block(number).await?;
            if self.has_room(&block, number, name)? {
                return Ok(Some(block));
            }
        }
        if self.directory_blocks() == 1 && hash_tree::default_version(self).is_some() {
            self.plant_hash_tree().await?;
        } else {
            let mut empty = Draft::new(self, Form::Leaf)?;
            self.format().fill(&mut empty.bytes, core::iter::empty());
            self.rebuild(empty, [None, None], false).await?;
        }
        Ok(None)
    }

    /// Whether a block of entries has room for a name.
    pub fn has_room(&self, block: &Buffer, number: u64, name: &[u8]) -> Result<bool> {
        let found = self.format().find_room(&block.read(), name.len());
        found.map(|place| place.is_some()).map_err(|what| self.corrupt_directory(number, what))
    }
}
