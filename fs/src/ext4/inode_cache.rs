//! The inodes that are in use: one object per number.

use super::{
    inode::Ext4Inode,
    node::{Expected, Node},
    volume::Volume,
};
use crate::Result;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound::{Excluded, Unbounded};
use executor::sync::{SpinMutex, WaitQueue};

/// Parts of the cache, by number: so many that each has few inodes, which are found soon.
pub(super) const SHARDS: usize = 1024;

/// An inode that somebody holds, or that has not ended yet.
struct Entry {
    inode: Weak<Ext4Inode>,
    /// Where its node is, which is there until the inode leaves: so no two entries have the same.
    node: *const Node,
}

// SAFETY: the pointer is only compared.
unsafe impl Send for Entry {}

/// The inodes of a file system that somebody holds.
pub(super) struct InodeCache {
    shards: Box<[SpinMutex<BTreeMap<u32, Entry>>]>,
    /// Woken when one ends, or another takes its place.
    ended: WaitQueue,
}

impl InodeCache {
    pub fn new() -> Self {
        let shards = (0..SHARDS).map(|_| SpinMutex::new(BTreeMap::new()));
        InodeCache { shards: shards.collect(), ended: WaitQueue::new() }
    }

    fn shard(&self, number: u32) -> &SpinMutex<BTreeMap<u32, Entry>> {
        &self.shards[number as usize % SHARDS]
    }

    /// The inode of a number, or that there is none; `None` while one is ending.
    fn look(&self, number: u32) -> Option<Option<Arc<Ext4Inode>>> {
        match self.shard(number).lock().get(&number) {
            Some(entry) => entry.inode.upgrade().map(Some),
            None => Some(None),
        }
    }

    /// Enters an inode that was read, unless somebody else was faster; returns the one to use, if that has not ended meanwhile.
    fn enter(&self, inode: Arc<Ext4Inode>) -> Option<Arc<Ext4Inode>> {
        let mut shard = self.shard(inode.number()).lock();
        match shard.get(&inode.number()).map(|there| there.inode.upgrade()) {
            Some(there) => {
                drop(shard);
                there
            }
            None => {
                shard.insert(inode.number(), Entry::of(&inode));
                inode.note_entered();
                Some(inode)
            }
        }
    }

    /// An inode, if somebody holds it.
    pub fn held(&self, number: u32) -> Option<Arc<Ext4Inode>> {
        self.shard(number).lock().get(&number)?.inode.upgrade()
    }

    /// Whether somebody holds an inode.
    pub fn holds(&self, number: u32) -> bool {
        matches!(self.look(number), Some(Some(_)))
    }

    /// Enters an inode that has just been made, in the place of one that has ended.
    pub fn replace(&self, inode: &Arc<Ext4Inode>) {
        let old = self.shard(inode.number()).lock().insert(inode.number(), Entry::of(inode));
        inode.note_entered();
        // Whoever waits for that one's end gets this one.
        if old.is_some() {
            self.wake();
        }
    }

    /// An inode has ended. Another of the same number may have taken its place; that one may have ended, too, and still have
    /// something to do.
    pub fn leave(&self, node: &Arc<Node>) {
        let mut shard = self.shard(node.number).lock();
        if shard.get(&node.number).is_some_and(|there| core::ptr::eq(there.node, &raw const **node)) {
            let gone = shard.remove(&node.number);
            drop(shard);
            drop(gone);
            self.wake();
        }
    }

    /// An entry has changed, under the lock that who waits takes to look.
    fn wake(&self) {
        if !self.ended.is_empty() {
            self.ended.wake_all();
        }
    }

    /// The next inode of a shard that somebody holds, after the one of this number.
    pub fn after(&self, shard: usize, number: Option<u32>) -> Option<Arc<Ext4Inode>> {
        let from = number.map_or(Unbounded, Excluded);
        let shard = self.shards[shard].lock();
        shard.range((from, Unbounded)).find_map(|(_, entry)| entry.inode.upgrade())
    }

    /// Waits until inodes that nobody holds any more have ended.
    pub async fn wait_for_ending(&self) {
        let is_held = |entry: &Entry| entry.inode.strong_count() > 0;
        let have_ended = || self.shards.iter().all(|shard| shard.lock().values().all(is_held)).then_some(());
        self.ended.wait_until(have_ended).await;
    }

    /// Waits until nobody holds an inode any more.
    pub async fn wait_until_empty(&self) {
        let is_empty = || self.shards.iter().all(|shard| shard.lock().is_empty()).then_some(());
        self.ended.wait_until(is_empty).await;
    }
}

impl Entry {
    fn of(inode: &Arc<Ext4Inode>) -> Self {
        Entry { inode: Arc::downgrade(inode), node: Arc::as_ptr(inode.node()) }
    }
}

impl Volume {
    /// The inode of a number, read if nobody holds it; errors are those of [`Node::read`].
    pub async fn get(self: &Arc<Self>, number: u32, expected: Expected) -> Result<Arc<Ext4Inode>> {
        loop {
            // One that is on its way out may still have to be stored.
            if let Some(inode) = self.inodes.ended.wait_until(|| self.inodes.look(number)).await {
                return Ok(inode);
            }
            let read = Ext4Inode::read(self, number, expected).await?;
            if let Some(inode) = self.inodes.enter(read) {
                return Ok(inode);
            }
        }
    }
}
