//! The end of files: blocks and inode become free when a file has neither names nor users, or when the disk is mounted after a
//! crash that came between.

use super::{
    complaints::Place,
    map::Removal,
    node::{Expected, Node},
    orphans::ORPHAN_CREDITS,
    volume::Volume,
    xattr,
};
use crate::{FileType, Result, Timestamp, cache::PageCache};
use alloc::sync::Arc;
use executor::atomic::Ordering::Relaxed;

impl Volume {
    /// Frees a file that nobody can reach any more.
    pub(super) async fn delete(self: &Arc<Self>, node: &Arc<Node>, cache: Option<&PageCache>) -> Result<()> {
        let _still = match cache {
            Some(cache) => Some(cache.hold_stores().await),
            None => None,
        };
        if let Some(cache) = cache {
            cache.discard(0..u64::MAX).await;
        }
        drop(node.take_promises(0..u64::MAX));
        let is_directory = node.attributes.kind == FileType::Directory;
        self.prepare_free_inode(node.number).await?;
        let mut rest = 0..u64::from(u32::MAX);
        loop {
            let _blocks = node.map_lock.write().await;
            let removal = if node.has_blocks() && !node.maps_nothing() {
                Some(node.plan_remove(rest.clone()).await?)
            } else {
                None
            };
            let left = removal.as_ref().map_or(0..0, Removal::rest);
            let credits = removal.as_ref().map_or(0, Removal::credits);
            if !left.is_empty() {
                let apply = self.begin(credits + 1).await?;
                if let Some(removal) = removal {
                    removal.apply(&apply);
                }
                node.store(&apply);
                rest = left;
                continue;
            }
            let release = xattr::plan_release(node).await?;
            let apply = self.begin(credits + release.credits() + 3 + ORPHAN_CREDITS).await?;
            if let Some(removal) = removal {
                removal.apply(&apply);
            }
            release.apply(&apply);
            apply.forget_orphan(node);
            node.next_orphan.store(Timestamp::now().seconds as u32, Relaxed);
            node.attributes.set_size(0);
            node.set_stored_size(0);
            node.store_last(&apply);
            apply.free_inode(node.number, is_directory);
            return Ok(());
        }
    }

    /// Finishes what a crash has interrupted: deletes files without names, and cuts off what was being cut off.
    pub(super) async fn clean_orphans(self: &Arc<Self>) -> Result<()> {
        let mut deleted = 0;
        let mut cut = 0;
        for number in self.orphans_on_disk().await? {
            match self.clean_orphan(number).await {
                Ok(true) => deleted += 1,
                Ok(false) => cut += 1,
                // It stays where it is noted, and the others do not wait for it.
                Err(error) => self.complaints.say(format_args!("inode {number}: {error}: left as it is")),
            }
        }
        if deleted + cut > 0 {
            self.complaints.say(format_args!("deleted {deleted} files without names, cut off {cut}"));
        }
        Ok(())
    }

    /// Whether it was deleted.
    async fn clean_orphan(self: &Arc<Self>, number: u32) -> Result<bool> {
        if !self.is_inode_taken(number).await? {
            return Err(self.corrupt(Place::Inode(number), "is noted as an orphan, but is free"));
        }
        let node = Arc::new(Node::read(self, number, Expected::Use).await?);
        self.adopt_orphan(&node);
        if node.attributes.links() == 0 {
            self.delete(&node, None).await?;
            return Ok(true);
        }
        node.cut_off(node.attributes.size()).await?;
        Ok(false)
    }
}

impl Node {
    /// Whether its contents are in blocks of its own.
    pub(super) fn has_blocks(&self) -> bool {
        match self.attributes.kind {
            FileType::Regular | FileType::Directory => true,
            // As Linux tells a link that is in its inode.
            FileType::Symlink => {
                let attributes =
                    if self.xattr_block() == 0 { 0 } else { self.volume.geometry.block_size / 512 };
                self.attributes.blocks.load(Relaxed) > attributes
            }
            _ => false,
        }
    }
}
