//! Giving out inodes.

use super::bits::{any_set, set_bits};
use crate::{
    Result,
    ext4::{
        buffer::Buffer,
        complaints::Place,
        layout::GroupFlags,
        transaction::Apply,
        volume::{Turns, Volume},
    },
};
use alloc::sync::Arc;
use executor::atomic::Ordering::Relaxed;
use syscalls::Errno;

/// The number of an inode that nobody else gets, until it is taken or this is dropped.
pub struct Number {
    volume: Arc<Volume>,
    /// Zero when it has been taken.
    number: u32,
}

impl Number {
    /// The number.
    pub fn get(&self) -> u32 {
        self.number
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if self.number != 0 {
            self.volume.give_back_inode(self.number);
        }
    }
}

impl Volume {
    /// The group of an inode, and its place in there.
    fn inode_place_in_group(&self, number: u32) -> (u32, usize) {
        let per_group = self.geometry.inodes_per_group;
        ((number - 1) / per_group, ((number - 1) % per_group) as usize)
    }

    /// Lets others have an inode.
    pub fn give_back_inode(&self, number: u32) {
        let (group, at) = self.inode_place_in_group(number);
        if let Some(group) = self.space.groups.get(group as usize) {
            group.with_maps(|maps| maps.inodes.set(at..at + 1, false));
        }
    }

    /// Reserves an inode for a file in a directory: near it, or, for a directory, where there is more room than elsewhere.
    /// `ENOSPC` when there are none.
    pub async fn reserve_inode(self: &Arc<Self>, parent: u32, is_directory: bool) -> Result<Number> {
        let groups = self.geometry.groups;
        let (near, _) = self.inode_place_in_group(parent);
        let start = if is_directory { self.group_for_directory(parent, near) } else { near };
        let mut turns = Turns::default();
        for step in 0..groups {
            turns.next().await;
            let number = (start + step) % groups;
            if self.space.groups[number as usize].descriptor(&self.geometry).free_inodes() == 0 {
                continue;
            }
            let Some(group) = self.space.load_any(self, number).await? else { continue };
            let found = group.with_maps(|maps| {
                let at = maps.inodes.run_from(0, 1)?.start;
                maps.inodes.set(at..at + 1, true);
                Some(at)
            });
            if let Some(Some(at)) = found {
                let number = number * self.geometry.inodes_per_group + at as u32 + 1;
                return Ok(Number { volume: self.clone(), number });
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Where a new directory goes: directories of the root are spread, others stay near the one above as long as there is room for
    /// their files.
    fn group_for_directory(&self, parent: u32, near: u32) -> u32 {
        let groups = self.geometry.groups;
        let (free_blocks, free_inodes) = self.space.free();
        let (mean_blocks, mean_inodes) = (free_blocks / u64::from(groups), free_inodes / u64::from(groups));
        let has_room = |number: &u32| {
            let descriptor = self.space.groups[*number as usize].descriptor(&self.geometry);
            u64::from(descriptor.free_inodes()) >= mean_inodes.max(1)
                && u64::from(descriptor.free_blocks()) >= mean_blocks
        };
        // Each look is short, and so many tell enough.
        let around = (0..groups.min(64)).map(|step| (near + step) % groups);
        if parent == super::super::ROOT {
            let directories =
                |number: &u32| self.space.groups[*number as usize].descriptor(&self.geometry).directories();
            around.filter(has_room).min_by_key(directories).unwrap_or(near)
        } else {
            around.into_iter().find(has_room).unwrap_or(near)
        }
    }

    /// Enters a block of zeros for the inodes from `first` on, unless there is one in memory, or one of them is in use.
    pub fn enter_unless_used(&self, first: u32, zeros: Arc<Buffer>) -> Result<()> {
        let (group, at) = self.inode_place_in_group(first);
        let inodes = at..at + self.geometry.inodes_per_block() as usize;
        let Some(group) = self.space.groups.get(group as usize) else { return Ok(()) };
        // Under the lock with which inodes are taken: whoever takes one next has the block from here.
        let entered = group.with_maps(|maps| {
            let is_used = any_set(&maps.inode_bitmap.read(), inodes);
            if is_used { Ok(()) } else { self.buffers.enter(zeros, false).map(drop) }
        });
        entered.unwrap_or(Ok(()))
    }

    /// Whether an inode is in use, as far as the disk says.
    pub async fn is_inode_taken(&self, number: u32) -> Result<bool> {
        let (group, at) = self.inode_place_in_group(number);
        let taken = self.space.load(self, group).await?.with_maps(|maps| maps.inodes.is_taken(at));
        Ok(taken == Some(true))
    }

    /// Sees to it that an inode can be freed: afterwards [`Apply::free_inode`] does not wait.
    pub async fn prepare_free_inode(&self, number: u32) -> Result<()> {
        self.space.load(self, self.inode_place_in_group(number).0).await.map(drop)
    }
}

impl Apply<'_> {
    /// Takes a reserved inode: it is marked on the disk. Changes the bitmap and the descriptor of its group.
    pub fn take_inode(&self, mut reserved: Number, is_directory: bool) {
        let number = core::mem::replace(&mut reserved.number, 0);
        self.mark_inode(number, is_directory, true);
    }

    /// Frees an inode, for which [`prepare_free_inode`](Volume::prepare_free_inode) was called. Others get it at once: whoever
    /// has it in the same transaction writes all of it.
    pub fn free_inode(&self, number: u32, is_directory: bool) {
        self.mark_inode(number, is_directory, false);
        self.volume().give_back_inode(number);
    }

    fn mark_inode(&self, inode: u32, is_directory: bool, taken: bool) {
        let volume = self.volume();
        let (number, at) = volume.inode_place_in_group(inode);
        let Some(group) = volume.space.groups.get(number as usize) else { return };
        let changed = group.with_maps(|maps| set_bits(&mut maps.inode_bitmap.write(self), at..at + 1, taken));
        if changed != Some(1) {
            volume.corrupt(Place::Inode(inode), "was freed or taken twice");
            return;
        }
        let gain = if taken { -1 } else { 1 };
        group.change(self, |descriptor| {
            descriptor.add_free_inodes(gain);
            if is_directory {
                descriptor.add_directories(-gain);
            }
            if taken {
                descriptor.remove_flag(GroupFlags::INODES_UNUSED);
                descriptor.use_inode(at as u32, volume.geometry.inodes_per_group);
            }
        });
        volume.space.free_inodes.fetch_add(gain, Relaxed);
    }
}
