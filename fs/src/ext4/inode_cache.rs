//! The inodes that are in use: one object per number.

use super::{inode::Ext4Inode, volume::Volume};
use crate::Result;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound::{Excluded, Unbounded};
use executor::sync::{SpinMutex, WaitQueue};

/// Parts of the cache, by number.
pub(super) const SHARDS: usize = 16;

/// The inodes of a file system that somebody holds.
pub(super) struct InodeCache {
    shards: [SpinMutex<BTreeMap<u32, Weak<Ext4Inode>>>; SHARDS],
    /// Woken when one ends.
    ended: WaitQueue,
}

impl InodeCache {
    pub const fn new() -> Self {
        InodeCache { shards: [const { SpinMutex::new(BTreeMap::new()) }; SHARDS], ended: WaitQueue::new() }
    }

    fn shard(&self, number: u32) -> &SpinMutex<BTreeMap<u32, Weak<Ext4Inode>>> {
        &self.shards[number as usize % SHARDS]
    }

    /// The inode of a number, or that there is none; `None` while one is ending.
    fn look(&self, number: u32) -> Option<Option<Arc<Ext4Inode>>> {
        match self.shard(number).lock().get(&number) {
            Some(inode) => inode.upgrade().map(Some),
            None => Some(None),
        }
    }

    /// Enters an inode, unless somebody else was faster; returns the one to use, if that has not ended meanwhile.
    fn enter(&self, number: u32, inode: Arc<Ext4Inode>) -> Option<Arc<Ext4Inode>> {
        let mut shard = self.shard(number).lock();
        let there = shard.get(&number).map(Weak::upgrade);
        if there.is_none() {
            shard.insert(number, Arc::downgrade(&inode));
        }
        drop(shard);
        match there {
            Some(there) => {
                // It was only read.
                inode.abandon();
                there
            }
            None => Some(inode),
        }
    }

    /// Whether somebody holds an inode.
    pub fn holds(&self, number: u32) -> bool {
        matches!(self.look(number), Some(Some(_)))
    }

    /// Enters an inode that has just been made, in the place of one that has ended.
    pub fn replace(&self, number: u32, inode: &Arc<Ext4Inode>) {
        let old = self.shard(number).lock().insert(number, Arc::downgrade(inode));
        drop(old);
    }

    /// The inode that was at an address has ended. Another of the same number may have taken its place; that one may have
    /// ended, too, and still have something to do.
    pub fn leave(&self, number: u32, address: usize) {
        let mut shard = self.shard(number).lock();
        // Nothing else is at the address while there is a weak reference.
        if shard.get(&number).is_some_and(|inode| inode.as_ptr().addr() == address) {
            let gone = shard.remove(&number);
            drop(shard);
            drop(gone);
            if !self.ended.is_empty() {
                self.ended.wake_all();
            }
        }
    }

    /// The next inode of a shard that somebody holds, after the one of this number.
    pub fn after(&self, shard: usize, number: Option<u32>) -> Option<Arc<Ext4Inode>> {
        let from = number.map_or(Unbounded, Excluded);
        let shard = self.shards[shard].lock();
        shard.range((from, Unbounded)).find_map(|(_, inode)| inode.upgrade())
    }

    /// Waits until nobody holds an inode any more.
    pub async fn wait_until_empty(&self) {
        let is_empty = || self.shards.iter().all(|shard| shard.lock().is_empty()).then_some(());
        self.ended.wait_until(is_empty).await;
    }
}

impl Volume {
    /// The inode of a number, read if nobody holds it.
    pub async fn get(self: &Arc<Self>, number: u32) -> Result<Arc<Ext4Inode>> {
        loop {
            // One that is on its way out may still have to be stored.
            if let Some(inode) = self.inodes.ended.wait_until(|| self.inodes.look(number)).await {
                return Ok(inode);
            }
            let read = Ext4Inode::read(self, number).await?;
            if let Some(inode) = self.inodes.enter(number, read) {
                return Ok(inode);
            }
        }
    }
}
