//! Blocks that a plan takes and frees.

use super::{
    space::Blocks,
    transaction::Apply,
    volume::{Turns, Volume},
};
use crate::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use smallvec::{Array, SmallVec};
use syscalls::Errno;

/// Adds to a list whose length the disk decides.
pub(super) fn push<T>(list: &mut Vec<T>, new: T) -> Result<()> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(new);
    Ok(())
}

/// The same for one that is mostly short.
pub(super) fn push_small<A: Array>(list: &mut SmallVec<A>, new: A::Item) -> Result<()> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(new);
    Ok(())
}

/// Blocks that a plan takes and frees, and what that changes. The blocks that it takes are reserved as long as it exists.
pub(super) struct Ledger {
    volume: Arc<Volume>,
    taken: SmallVec<[Blocks; 1]>,
    freed: SmallVec<[Range<u64>; 1]>,
    /// Freed blocks that were metadata.
    forgotten: SmallVec<[u64; 1]>,
    /// Groups whose bitmap and descriptor change.
    groups: SmallVec<[u32; 2]>,
}

impl Ledger {
    pub fn new(volume: &Arc<Volume>) -> Self {
        Ledger {
            volume: volume.clone(),
            taken: SmallVec::new(),
            freed: SmallVec::new(),
            forgotten: SmallVec::new(),
            groups: SmallVec::new(),
        }
    }

    fn note_group(&mut self, block: u64) -> Result<()> {
        let group = self.volume.geometry.group_of(block);
        if self.groups.contains(&group) { Ok(()) } else { push_small(&mut self.groups, group) }
    }

    /// Will take blocks.
    pub fn take(&mut self, blocks: Blocks) -> Result<()> {
        self.note_group(blocks.first())?;
        push_small(&mut self.taken, blocks)
    }

    /// Reserves a block near `goal` and will take it.
    pub async fn take_one(&mut self, goal: u64) -> Result<u64> {
        let blocks = self.volume.reserve_promised(goal, 1).await?;
        let number = blocks.first();
        self.take(blocks)?;
        Ok(number)
    }

    /// Will not take a block after all that was to be taken alone.
    pub fn leave(&mut self, number: u64) {
        self.taken.retain(|blocks| blocks.first() != number || blocks.count() != 1);
    }

    /// Will free blocks, which were metadata or not.
    pub async fn free(&mut self, blocks: Range<u64>, metadata: bool) -> Result<()> {
        self.volume.prepare_free(&blocks).await?;
        let mut turns = Turns::default();
        let mut at = blocks.start;
        while at < blocks.end {
            self.note_group(at)?;
            at = self.volume.geometry.blocks_of_group(self.volume.geometry.group_of(at)).end;
            turns.next().await;
        }
        if metadata {
            for number in blocks.clone() {
                push_small(&mut self.forgotten, number)?;
                turns.next().await;
            }
        }
        match self.freed.last_mut() {
            Some(last) if last.start == blocks.end => last.start = blocks.start,
            Some(last) if last.end == blocks.start => last.end = blocks.end,
            _ => push_small(&mut self.freed, blocks)?,
        }
        Ok(())
    }

    /// How many blocks more are in use than before.
    pub fn balance(&self) -> i64 {
        let taken: u64 = self.taken.iter().map(Blocks::count).sum();
        let freed: u64 = self.freed.iter().map(|blocks| blocks.end - blocks.start).sum();
        taken as i64 - freed as i64
    }

    /// What [`Volume::begin`] must be asked for if `others` more blocks are changed.
    pub fn credits(&self, others: usize) -> usize {
        (others + 2 * self.groups.len()).max(self.freed.len()).max(self.forgotten.len())
    }

    /// Takes and frees.
    pub fn apply(self, apply: &Apply<'_>) {
        for blocks in self.taken {
            apply.take(blocks);
        }
        for number in self.forgotten {
            apply.forget(number);
        }
        for blocks in self.freed {
            apply.free(blocks);
        }
    }
}
