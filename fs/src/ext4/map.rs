//! Where a file's blocks are, and changing that.
//!
//! ```text
//!   map ─► Run                                                      extents/find.rs    indirect/find.rs
//!   plan_* ─► Draft: the nodes concerned, in memory, changed there  extents/draft.rs   indirect/draft.rs
//!                │ finish                                           extents/*.rs       indirect/*.rs
//!             Rewrite: the nodes as they will be ─► apply           rewrite.rs ledger.rs
//! ```
//!
//! Who calls [`Node::map`] holds [`Node::map_lock`] for reading; who makes a plan and applies it holds it for writing from
//! before the one until after the other.

use super::{
    extents, indirect, layout::InodeFlags, ledger::Ledger, node::Node, rewrite::Rewrite, space::Blocks,
    transaction::Apply,
};
use crate::{FileType, Result};
use alloc::sync::Arc;
use core::ops::Range;
use syscalls::Errno;

/// Credits after which a removal leaves the rest to another one.
pub(super) const ENOUGH: usize = 40;
/// Blocks of metadata that one step of a removal frees, at most.
pub(super) const METADATA_STEP: u64 = 16;

/// Neighbouring blocks of a file that also lie together on the disk, or a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// The first on the disk; `None` for a hole.
    pub physical: Option<u64>,
    /// Whether they have been written to. If not they read as zeros, as a hole does, which counts as written.
    pub written: bool,
    /// How many, at least one.
    pub count: u64,
}

impl Run {
    pub fn hole(count: u64) -> Self {
        Run { physical: None, written: true, count }
    }

    /// The first on the disk of blocks that do not just read as zeros.
    pub fn data(&self) -> Option<u64> {
        self.physical.filter(|_| self.written)
    }
}

impl Node {
    fn has_extents(&self) -> bool {
        self.has(InodeFlags::EXTENTS)
    }

    /// Whether its blocks are read and changed as metadata are.
    pub(super) fn is_metadata(&self) -> bool {
        matches!(self.attributes.kind, FileType::Directory | FileType::Symlink)
    }

    /// What the file has from block `logical` on.
    pub async fn map(&self, logical: u64) -> Result<Run> {
        if let Some(run) = self.map_now(logical)? {
            return Ok(run);
        }
        let run = if self.has_extents() {
            extents::find(self, logical).await?
        } else {
            indirect::find(self, logical).await?
        };
        self.check_run(run)
    }

    /// As [`map`](Self::map), mostly: `None` when that has to read a block, or takes long.
    pub fn map_now(&self, logical: u64) -> Result<Option<Run>> {
        self.find_now(logical)?.map(|run| self.check_run(run)).transpose()
    }

    /// As [`map_now`](Self::map_now), but whether blocks can be where they are said to be is not looked at.
    pub fn find_now(&self, logical: u64) -> Result<Option<Run>> {
        if self.has_extents() { extents::find_now(self, logical) } else { Ok(None) }
    }

    fn check_run(&self, run: Run) -> Result<Run> {
        if let Some(first) = run.physical {
            self.volume.check_blocks(first, run.count, self.place())?;
        }
        Ok(run)
    }

    /// Whether the root of the tree leads to no block.
    pub fn maps_nothing(&self) -> bool {
        let root = self.block();
        if self.has_extents() { extents::is_empty(&root) } else { root.iter().all(|byte| *byte == 0) }
    }

    /// The first block of the inode's group.
    pub(super) fn home(&self) -> u64 {
        let geometry = &self.volume.geometry;
        geometry.blocks_of_group((self.number - 1) / geometry.inodes_per_group).start
    }

    /// A good place for block `logical` of the file: behind its neighbour on the disk, else in the inode's group.
    pub async fn goal(&self, logical: u64) -> Result<u64> {
        let near = if self.has_extents() {
            extents::near(self, logical).await?
        } else {
            indirect::near(self, logical).await?
        };
        Ok(near.filter(|near| self.volume.geometry.contains(*near, 1)).unwrap_or_else(|| self.home()))
    }

    /// Plans to put reserved blocks at `logical`, where there is a hole for all of them; written to, or to be read as zeros.
    /// `EFBIG` behind the last block that a file can have, `EOPNOTSUPP` for blocks to be read as zeros without extents, and
    /// `ENOSPC` without room for the nodes that lead to the blocks.
    pub async fn plan_insert(
        self: &Arc<Self>,
        logical: u64,
        blocks: Blocks,
        written: bool,
    ) -> Result<Insertion> {
        if self.has_extents() {
            extents::insert(self, logical, blocks, written).await.map(Insertion)
        } else if written {
            indirect::insert(self, logical, blocks).await.map(Insertion)
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    /// Plans to mark the blocks of a range as written to, all in one transaction; holes in it stay. `ENOSPC` without room for
    /// the nodes that this takes.
    pub async fn plan_written(self: &Arc<Self>, logical: Range<u64>) -> Result<Marking> {
        if self.has_extents() {
            extents::mark(self, logical).await.map(Marking)
        } else {
            // All blocks are.
            Ok(Marking(Rewrite::new(self, Ledger::new(&self.volume))))
        }
    }

    /// Plans to free the blocks of a range, from its end backwards, as many as fit a transaction comfortably. `ENOSPC` when
    /// what is around the range needs a node more, and there is no room for that.
    pub async fn plan_remove(self: &Arc<Self>, logical: Range<u64>) -> Result<Removal> {
        let (rewrite, rest) = if self.has_extents() {
            extents::remove(self, logical).await?
        } else {
            indirect::remove(self, logical).await?
        };
        Ok(Removal { rewrite, rest })
    }
}

/// Blocks that a file will have.
pub(super) struct Insertion(Rewrite);

/// Blocks that will be marked as written to.
pub(super) struct Marking(Rewrite);

/// Blocks that a file will have no more.
pub(super) struct Removal {
    rewrite: Rewrite,
    rest: Range<u64>,
}

impl Insertion {
    /// What [`Volume::begin`](super::volume::Volume::begin) must be asked for, without the inode.
    pub fn credits(&self) -> usize {
        self.0.credits()
    }

    /// Makes the change, but for the inode's size and [`store`](Node::store).
    pub fn apply(self, apply: &Apply<'_>) {
        self.0.apply(apply);
    }
}

impl Marking {
    /// What [`Volume::begin`](super::volume::Volume::begin) must be asked for, without the inode.
    pub fn credits(&self) -> usize {
        self.0.credits()
    }

    /// Makes the change, but for the inode's [`store`](Node::store).
    pub fn apply(self, apply: &Apply<'_>) {
        self.0.apply(apply);
    }
}

impl Removal {
    /// What of the range is left to be removed after this; empty when all is done.
    pub fn rest(&self) -> Range<u64> {
        self.rest.clone()
    }

    /// What [`Volume::begin`](super::volume::Volume::begin) must be asked for, without the inode.
    pub fn credits(&self) -> usize {
        self.rewrite.credits()
    }

    /// Makes the change, but for the inode's size and [`store`](Node::store).
    pub fn apply(self, apply: &Apply<'_>) {
        self.rewrite.apply(apply);
    }
}

#[cfg(test)]
mod tests;
