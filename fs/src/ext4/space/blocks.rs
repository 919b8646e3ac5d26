//! Giving out blocks.

use super::{bits::set_bits, group::Group};
use crate::{
    Result,
    ext4::{
        complaints::Place,
        layout::GroupFlags,
        transaction::Apply,
        volume::{Turns, Volume},
    },
};
use alloc::sync::Arc;
use core::ops::Range;
use executor::atomic::Ordering::Relaxed;
use syscalls::Errno;

/// Blocks that lie together and that nobody else gets, until they are taken or this is dropped.
pub struct Blocks {
    volume: Arc<Volume>,
    blocks: Range<u64>,
}

impl Blocks {
    /// The first.
    pub fn first(&self) -> u64 {
        self.blocks.start
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.blocks.end - self.blocks.start
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            self.volume.space.unpromise(self.count());
            self.volume.give_back(self.blocks.clone());
        }
    }
}

impl Volume {
    /// A group's part of some blocks, as places in it, and what follows.
    fn part_of_group(&self, blocks: &Range<u64>) -> (u32, Range<usize>, Range<u64>) {
        let group = self.geometry.group_of(blocks.start);
        let whole = self.geometry.blocks_of_group(group);
        let end = blocks.end.min(whole.end);
        let part = (blocks.start - whole.start) as usize..(end - whole.start) as usize;
        (group, part, end..blocks.end)
    }

    /// Lets others have blocks: those that were not taken after all, or that a committed transaction has freed.
    pub fn give_back(&self, blocks: Range<u64>) {
        let mut rest = blocks;
        while !rest.is_empty() {
            let (group, part, behind) = self.part_of_group(&rest);
            if let Some(group) = self.space.groups.get(group as usize) {
                group.with_maps(|maps| maps.blocks.set(part, false));
            }
            rest = behind;
        }
    }

    /// Reserves up to `most` blocks that lie together: from `goal` on if that is free, however few follow; else where as many are
    /// in a row, in the group of the goal or the ones behind it; else the longest run of a group that has any. When none has, but
    /// some were freed and wait for a commit, commits. `ENOSPC` when there are none after that but those that others were promised,
    /// and a few that are kept back.
    pub async fn reserve(self: &Arc<Self>, goal: u64, most: u64) -> Result<Blocks> {
        if self.space.available() == 0 {
            self.wait_for_room().await;
        }
        match self.space.available() {
            0 => Err(Errno::ENOSPC),
            free => self.reserve_promised(goal, most.min(free)).await,
        }
    }

    /// As [`reserve`](Self::reserve), for who has been [promised](super::Space::promise) blocks, or makes a file's tree with them: any
    /// that are free.
    pub async fn reserve_promised(self: &Arc<Self>, goal: u64, most: u64) -> Result<Blocks> {
        match self.reserve_near(goal, most).await {
            // What was freed and is not committed yet nobody can have: after a commit there may be some.
            Err(Errno::ENOSPC) if self.space.has_free() => {
                self.commit().await?;
                self.reserve_near(goal, most).await
            }
            reserved => reserved,
        }
    }

    /// Waits until files are gone that were removed before: programs expect their room to be there at once.
    pub async fn wait_for_room(&self) {
        // The last to use one may be an entry of the directory cache.
        executor::rcu::barrier().await;
        self.inodes.wait_for_ending().await;
    }

    async fn reserve_near(self: &Arc<Self>, goal: u64, most: u64) -> Result<Blocks> {
        let space = &self.space;
        let (goal_group, at) = if self.geometry.contains(goal, 1) {
            let group = self.geometry.group_of(goal);
            (group, (goal - self.geometry.blocks_of_group(group).start) as usize)
        } else {
            (0, 0)
        };
        let groups = self.geometry.groups;
        let mut turns = Turns::default();
        // First where there is as much as is wanted in a row, or enough for a small file system; then wherever there is anything.
        for least in [most.min(u64::from(groups) * 64), 1] {
            for step in 0..groups {
                turns.next().await;
                let number = (goal_group + step) % groups;
                let group = &space.groups[number as usize];
                if u64::from(group.descriptor(&self.geometry).free_blocks()) < least {
                    continue;
                }
                let Some(group) = space.load_any(self, number).await? else { continue };
                let from = if step == 0 { at } else { 0 };
                if let Some(blocks) = self.reserve_in(group, from, least as usize, most as usize) {
                    return Ok(blocks);
                }
            }
            if most == 1 {
                break;
            }
        }
        Err(Errno::ENOSPC)
    }

    fn reserve_in(self: &Arc<Self>, group: &Group, from: usize, least: usize, most: usize) -> Option<Blocks> {
        let found = group.with_maps(|maps| {
            // At the goal, right behind what the caller has already, even if it is less.
            let here = maps.blocks.run_from(from, most).filter(|run| run.start == from && from > 0);
            let run = here
                .or_else(|| maps.blocks.find(from, most))
                .filter(|run| run.len() >= least || run.start == from)?;
            maps.blocks.set(run.clone(), true);
            Some(run)
        })??;
        self.space.promised.fetch_add(found.len() as i64, Relaxed);
        let start = self.geometry.blocks_of_group(group.number).start;
        let blocks = start + found.start as u64..start + found.end as u64;
        Some(Blocks { volume: self.clone(), blocks })
    }

    /// Sees to it that blocks can be freed: afterwards [`Apply::free`] does not wait. How many groups they are in.
    pub async fn prepare_free(&self, blocks: &Range<u64>) -> Result<usize> {
        let mut rest = blocks.clone();
        let mut groups = 0;
        while !rest.is_empty() {
            let (group, _, behind) = self.part_of_group(&rest);
            self.space.load(self, group).await?;
            (rest, groups) = (behind, groups + 1);
        }
        Ok(groups)
    }
}

impl Apply<'_> {
    /// Takes reserved blocks: they are marked on the disk. Changes two blocks: the bitmap and the descriptor of their group.
    pub fn take(&self, mut reserved: Blocks) -> Range<u64> {
        let volume = self.volume();
        let blocks = core::mem::replace(&mut reserved.blocks, 0..0);
        let (group, part, _) = volume.part_of_group(&blocks);
        volume.space.unpromise(blocks.end - blocks.start);
        self.mark(group, part, true);
        blocks
    }

    /// Frees blocks, for which [`prepare_free`](Volume::prepare_free) was called: others get them when the transaction is
    /// committed. Changes two blocks for each group.
    pub fn free(&self, blocks: Range<u64>) {
        let volume = self.volume();
        let mut rest = blocks.clone();
        while !rest.is_empty() {
            let (group, part, behind) = volume.part_of_group(&rest);
            self.mark(group, part, false);
            rest = behind;
        }
        self.freed(blocks);
    }

    /// Marks blocks of a group in its bitmap.
    fn mark(&self, number: u32, part: Range<usize>, taken: bool) {
        let space = &self.volume().space;
        let Some(group) = space.groups.get(number as usize) else { return };
        let wanted = part.len();
        let changed = group.with_maps(|maps| set_bits(&mut maps.block_bitmap.write(self), part, taken));
        let changed = changed.unwrap_or(0);
        if changed != wanted {
            self.volume().corrupt(Place::Group(number), "blocks were freed or taken twice");
        }
        let gain = if taken { -(changed as i64) } else { changed as i64 };
        group.change(self, |descriptor| {
            descriptor.add_free_blocks(gain);
            descriptor.remove_flag(GroupFlags::BLOCKS_UNUSED);
        });
        space.free_blocks.fetch_add(gain, Relaxed);
    }
}
