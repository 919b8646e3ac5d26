//! The inodes that are in use: one object per number.

use super::{inode::Ext4Inode, volume::Volume};
use crate::Result;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use executor::sync::SpinMutex;

const SHARDS: usize = 16;

/// The inodes of a file system that somebody holds.
pub(super) struct InodeCache([SpinMutex<BTreeMap<u32, Weak<Ext4Inode>>>; SHARDS]);

impl InodeCache {
    pub const fn new() -> Self {
        InodeCache([const { SpinMutex::new(BTreeMap::new()) }; SHARDS])
    }

    fn shard(&self, number: u32) -> &SpinMutex<BTreeMap<u32, Weak<Ext4Inode>>> {
        &self.0[number as usize % SHARDS]
    }

    fn get(&self, number: u32) -> Option<Arc<Ext4Inode>> {
        self.shard(number).lock().get(&number)?.upgrade()
    }

    /// Enters an inode, unless somebody else was faster; returns the one to use.
    fn enter(&self, number: u32, inode: Arc<Ext4Inode>) -> Arc<Ext4Inode> {
        let mut shard = self.shard(number).lock();
        let there = shard.get(&number).and_then(Weak::upgrade);
        if there.is_none() {
            shard.insert(number, Arc::downgrade(&inode));
        }
        drop(shard);
        there.unwrap_or(inode)
    }

    /// An inode ends. Another of the same number may have taken its place.
    pub fn leave(&self, number: u32) {
        let mut shard = self.shard(number).lock();
        if shard.get(&number).is_some_and(|inode| inode.strong_count() == 0) {
            let gone = shard.remove(&number);
            drop(shard);
            drop(gone);
        }
    }
}

impl Volume {
    /// The inode of a number, read if nobody holds it.
    pub async fn get(self: &Arc<Self>, number: u32) -> Result<Arc<Ext4Inode>> {
        match self.inodes.get(number) {
            Some(inode) => Ok(inode),
            None => Ok(self.inodes.enter(number, Ext4Inode::read(self, number).await?)),
        }
    }
}
