//! Free space: which blocks and inodes are free, and who gets them.
//!
//! ```text
//!   gather: reserve ──► Blocks, Number: nobody else gets them; given back when dropped        blocks.rs inodes.rs
//!   apply:  take    ──► marked in the bitmap on the disk
//!           free    ──► marked there; given to others when that is committed: `give_back`
//! ```
//!
//! Pages that are dirty are *promised* their blocks, which are chosen when they are stored; so that all can be, and files can always
//! be removed, a few blocks are kept back for the nodes of files' trees.
//!
//! Each group knows what may be given out ([`Maps`](group::Maps)), under a spin lock of its own, so that who works in different
//! groups does not meet.

mod bits;
mod blocks;
mod group;
mod inodes;
mod own;

pub use blocks::Blocks;
pub use group::Group;
pub use own::Own;

use super::{
    buffer::{Buffer, Owner},
    layout::SUPERBLOCK_OFFSET,
    volume::{Turns, Volume},
};
use crate::{Result, SleepLock};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::atomic::{AtomicI64, Ordering::Relaxed};
use syscalls::Errno;

/// Groups whose bitmaps are read at the same time, at most.
const LOADS: usize = 16;

/// The free space of a file system.
pub struct Space {
    groups: Box<[Group]>,
    /// The block with the superblock.
    pub superblock: Arc<Buffer>,
    /// Free on the disk, as the running transaction has it.
    free_blocks: AtomicI64,
    free_inodes: AtomicI64,
    /// Of the free blocks, how many somebody has reserved or been promised. While pages are stored, theirs count twice.
    promised: AtomicI64,
    /// Free blocks that nobody is promised.
    kept: i64,
    /// Blocks that are the file system's own.
    own: Own,
    /// Held by who finds out what is taken in a group whose number falls to it.
    loads: [SleepLock; LOADS],
}

impl Space {
    /// Reads the descriptors of all groups.
    pub async fn open(volume: &Volume) -> Result<Self> {
        let geometry = &volume.geometry;
        let mut groups = Vec::new();
        groups.try_reserve_exact(geometry.groups as usize).map_err(|_| Errno::ENOMEM)?;
        let (mut free_blocks, mut free_inodes) = (0, 0);
        let mut turns = Turns::default();
        for number in 0..geometry.groups {
            let group = Group::open(volume, number).await?;
            let descriptor = group.descriptor(geometry);
            free_blocks += i64::from(descriptor.free_blocks());
            free_inodes += i64::from(descriptor.free_inodes());
            groups.push(group);
            turns.next().await;
        }
        let block = SUPERBLOCK_OFFSET / geometry.block_size;
        Ok(Space {
            // Where nothing is written, nobody asks.
            own: match &volume.transactions {
                Some(transactions) => Own::find(geometry, &groups, transactions.log_blocks()).await?,
                None => Own::default(),
            },
            // As much as Linux.
            kept: (geometry.blocks / 50).min(4096) as i64,
            groups: groups.into(),
            superblock: volume.buffer(block, Owner::Superblock).await?,
            free_blocks: AtomicI64::new(free_blocks),
            free_inodes: AtomicI64::new(free_inodes),
            ..Self::empty()
        })
    }

    /// That of a file system that has not been looked at.
    pub fn empty() -> Self {
        Space {
            groups: Box::default(),
            superblock: Arc::new(Buffer::empty(0, 0)),
            free_blocks: AtomicI64::new(0),
            free_inodes: AtomicI64::new(0),
            promised: AtomicI64::new(0),
            kept: 0,
            own: Own::default(),
            loads: [const { SleepLock::new() }; LOADS],
        }
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Free blocks, without those that are spoken for, and inodes.
    pub fn free(&self) -> (u64, u64) {
        let blocks = self.free_blocks.load(Relaxed) - self.promised.load(Relaxed);
        (blocks.max(0) as u64, self.free_inodes.load(Relaxed).max(0) as u64)
    }

    /// Whether there are free blocks at all, be they spoken for or not to be had before a commit.
    pub fn has_free(&self) -> bool {
        self.free_blocks.load(Relaxed) > 0
    }

    /// Free blocks that nobody was promised, without those that are kept back.
    pub fn available(&self) -> u64 {
        self.free().0.saturating_sub(self.kept())
    }

    /// Free blocks that are kept back.
    pub fn kept(&self) -> u64 {
        self.kept as u64
    }

    /// The blocks of the file system's own.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Promises blocks, which are chosen later: `ENOSPC` when there are not so many. It is a number, not blocks.
    pub fn promise(&self, blocks: u64) -> Result<()> {
        let promised = self.promised.fetch_add(blocks as i64, Relaxed) + blocks as i64;
        if promised + self.kept > self.free_blocks.load(Relaxed) {
            self.promised.fetch_sub(blocks as i64, Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Promises blocks of those that are kept back, too: for what frees others.
    pub fn promise_kept(&self, blocks: u64) {
        self.promised.fetch_add(blocks as i64, Relaxed);
    }

    /// Takes a promise back, as the blocks have been reserved or are not wanted.
    pub fn unpromise(&self, blocks: u64) {
        self.promised.fetch_sub(blocks as i64, Relaxed);
    }

    /// Sees to it that what is taken in a group is known. `EUCLEAN` when that cannot be, and from then on: nothing in there counts
    /// as free any more.
    pub async fn load(&self, volume: &Volume, group: u32) -> Result<&Group> {
        let found = self.groups.get(group as usize).ok_or(Errno::EUCLEAN)?;
        if !found.has_maps() {
            let _turn = self.loads[group as usize % LOADS].lock().await;
            if found.is_unusable() {
                return Err(Errno::EUCLEAN);
            }
            if !found.has_maps() {
                let loaded = found.load(volume).await;
                if loaded == Err(Errno::EUCLEAN) {
                    let descriptor = found.descriptor(&volume.geometry);
                    found.set_unusable();
                    self.free_blocks.fetch_sub(descriptor.free_blocks().into(), Relaxed);
                    self.free_inodes.fetch_sub(descriptor.free_inodes().into(), Relaxed);
                }
                loaded?;
            }
        }
        Ok(found)
    }

    /// As [`load`](Self::load), for who can take another group: `None` if this one cannot be used.
    async fn load_any(&self, volume: &Volume, group: u32) -> Result<Option<&Group>> {
        match self.load(volume, group).await {
            Err(Errno::EUCLEAN) => Ok(None),
            loaded => loaded.map(Some),
        }
    }
}
