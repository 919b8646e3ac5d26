//! Changing how long a file is, and where it has blocks: truncate(2), fallocate(2).
//!
//! Each is a task of its own, which goes on to its end whatever happens to who waits for it: it may take several transactions.
//! A file that is being cut off is noted as an orphan meanwhile, so that whoever mounts the disk after a crash goes on.

use super::{
    memory,
    node::{Node, size_max},
    orphans::ORPHAN_CREDITS,
};
use crate::{Copies, FallocateFlags, PAGE_SIZE, Result, cache::PageCache, mapping};
use alloc::sync::Arc;
use core::ops::Range;
use syscalls::Errno;

const PAGE: u64 = PAGE_SIZE as u64;
/// Blocks that are allocated in one transaction, at most.
const MOST: u64 = 32767;

/// A regular file with its pages.
pub(super) struct File {
    pub node: Arc<Node>,
    pub cache: Arc<PageCache>,
}

impl File {
    fn block_size(&self) -> u64 {
        self.node.volume.geometry.block_size
    }

    /// Sets the size.
    pub async fn truncate(self, size: u64) -> Result<()> {
        let node = &self.node;
        if size > size_max(self.block_size(), node.flags()) {
            return Err(Errno::EFBIG);
        }
        let _whole = node.order.write().await;
        let old = node.attributes.size();
        if size >= old {
            return self.extend(old, size).await;
        }
        // The rest of the last page is zero on the disk before the file ends there: what is behind it never comes back.
        if !size.is_multiple_of(PAGE) && self.zero(size..old.min(size.next_multiple_of(PAGE))).await? {
            self.cache.sync().await?;
        }
        let _still = self.cache.hold_stores().await;
        {
            let apply = node.volume.begin(1 + ORPHAN_CREDITS).await?;
            node.attributes.set_size(size);
            node.set_stored_size(size.min(node.stored_size()));
            node.attributes.note_modification();
            apply.note_orphan(node);
            node.store(&apply);
        }
        let first = size.div_ceil(PAGE);
        self.cache.discard(first..u64::MAX).await;
        self.cache.zero_tail(size);
        drop(node.take_promises(first..u64::MAX));
        self.settle_size();
        // While nobody makes the file longer.
        mapping::lose(&node.attributes, first..u64::MAX, Copies::Go).await;
        node.cut_off(size).await
    }

    /// Makes the file longer, with zeros.
    async fn extend(&self, old: u64, size: u64) -> Result<()> {
        let node = &self.node;
        self.cache.zero_tail(old);
        let apply = node.volume.begin(1).await?;
        node.attributes.set_size(size);
        // What is only in memory yet brings its part of the size with it.
        if self.cache.is_clean() {
            node.grow_stored_size(size);
        }
        node.attributes.note_modification();
        node.store(&apply);
        Ok(())
    }

    /// Nothing is only in memory any more, perhaps because what was is no longer the file's: the size need not wait for it.
    /// While nothing is being stored.
    fn settle_size(&self) {
        if self.node.promised.lock().is_empty() {
            self.node.grow_stored_size(self.node.attributes.size());
        }
    }

    /// Stores contents that are only in memory, and the size with them.
    pub async fn store(&self) -> Result<()> {
        self.cache.sync().await?;
        if self.has_stored_size() {
            return Ok(());
        }
        // The end is a hole, and whatever was to bring the size was taken out before it was stored.
        let node = &self.node;
        let _whole = node.order.write().await;
        self.cache.sync().await?;
        let apply = node.volume.begin(1).await?;
        node.grow_stored_size(node.attributes.size());
        node.store(&apply);
        Ok(())
    }

    /// Whether there is nothing for [`store`](Self::store) to do.
    pub fn is_stored(&self) -> bool {
        self.cache.is_clean() && self.has_stored_size()
    }

    fn has_stored_size(&self) -> bool {
        self.node.stored_size() >= self.node.attributes.size()
    }

    /// Writes zeros, as programs do, but for pages of which there is nothing: they read as zeros. Whether there was anything.
    async fn zero(&self, range: Range<u64>) -> Result<bool> {
        let mut at = range.start;
        let mut has_any = false;
        while at < range.end {
            let page_end = range.end.min((at + 1).next_multiple_of(PAGE));
            // What is being stored is in neither state, for a moment.
            let stores = self.cache.hold_stores().await;
            let is_there = self.node.promise_existing(at / PAGE).await?;
            drop(stores);
            if !is_there {
                at = page_end;
                continue;
            }
            has_any = true;
            while at < page_end {
                let mut zeros = &[0u8; 512][..(page_end - at).min(512) as usize];
                let wanted = zeros.len();
                let written = self.cache.write(at, &mut zeros).await?;
                at += written as u64;
                if written < wanted {
                    return Ok(has_any);
                }
            }
        }
        Ok(has_any)
    }

    /// Allocates, punches or zeroes a range.
    pub async fn fallocate(self, flags: FallocateFlags, range: Range<u64>) -> Result<()> {
        if flags.intersects(FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE)
            || !self.node.has(super::layout::InodeFlags::EXTENTS)
        {
            return Err(Errno::EOPNOTSUPP);
        }
        let node = self.node.clone();
        if range.end > size_max(self.block_size(), node.flags()) {
            return Err(Errno::EFBIG);
        }
        let _whole = node.order.write().await;
        if flags.intersects(FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE) {
            self.punch(range.start..range.end.min(node.attributes.size())).await?;
        }
        if !flags.contains(FallocateFlags::PUNCH_HOLE) {
            self.allocate(&range).await?;
        }
        let apply = node.volume.begin(1).await?;
        if !flags.contains(FallocateFlags::KEEP_SIZE) && range.end > node.attributes.size() {
            self.cache.zero_tail(node.attributes.size());
            node.attributes.set_size(range.end);
            if self.cache.is_clean() {
                node.grow_stored_size(range.end);
            }
        }
        node.attributes.note_modification();
        node.store(&apply);
        Ok(())
    }

    /// Makes whole pages in a range a hole, and sets what else is in the range to zero.
    async fn punch(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let size = self.node.attributes.size();
        let first = range.start.div_ceil(PAGE);
        // The last page of the file is whole where the file ends.
        let end = if range.end >= size { size.div_ceil(PAGE) } else { range.end / PAGE };
        if first >= end {
            return self.zero(range).await.map(drop);
        }
        self.zero(range.start..first * PAGE).await?;
        self.zero(end * PAGE..range.end).await?;
        let _still = self.cache.hold_stores().await;
        let per_page = PAGE / self.block_size();
        let mut rest = first * per_page..end * per_page;
        while !rest.is_empty() {
            // Nobody reads from the blocks meanwhile, so that nothing is brought that was there before.
            let _blocks = self.node.map_lock.write().await;
            self.cache.discard(first..end).await;
            // While nobody has other pages in their place.
            mapping::lose(&self.node.attributes, first..end, Copies::Stay).await;
            drop(self.node.take_promises(first..end));
            self.settle_size();
            let removal = self.node.plan_remove(rest.clone()).await?;
            let left = removal.rest();
            let apply = self.node.volume.begin(removal.credits() + 1).await?;
            removal.apply(&apply);
            self.node.store(&apply);
            rest = left;
        }
        Ok(())
    }

    /// Fills holes in a range with blocks that read as zeros.
    async fn allocate(&self, range: &Range<u64>) -> Result<()> {
        let node = &self.node;
        let _still = self.cache.hold_stores().await;
        let block_size = self.block_size();
        let (mut logical, end) = (range.start / block_size, range.end.div_ceil(block_size));
        while logical < end {
            let _blocks = node.map_lock.write().await;
            let run = node.map(logical).await?;
            let count = run.count.min(end - logical);
            if run.physical.is_some() {
                logical += count;
                continue;
            }
            let blocks = node.volume.reserve(node.goal(logical).await?, count.min(MOST)).await?;
            logical += blocks.count();
            let insertion = node.plan_insert(logical - blocks.count(), blocks, false).await?;
            let apply = node.volume.begin(insertion.credits() + 1).await?;
            insertion.apply(&apply);
            node.store(&apply);
        }
        Ok(())
    }
}

impl Node {
    /// Frees the blocks behind a size of a file that is noted as an orphan, and notes it no more. It does not fail for want of
    /// memory: what is behind the end must be gone before the file grows again.
    pub(super) async fn cut_off(self: &Arc<Self>, size: u64) -> Result<()> {
        memory::carry_through(&self.volume.scarce, || self.try_cut_off(size)).await
    }

    async fn try_cut_off(self: &Arc<Self>, size: u64) -> Result<()> {
        self.cut(size.div_ceil(self.volume.geometry.block_size)).await?;
        let apply = self.volume.begin(1 + ORPHAN_CREDITS).await?;
        apply.forget_cut(self);
        self.store(&apply);
        Ok(())
    }

    /// Frees all blocks from one on. Nothing reads them or stores in them.
    async fn cut(self: &Arc<Self>, first: u64) -> Result<()> {
        let mut rest = first..u64::from(u32::MAX);
        while !rest.is_empty() {
            let _blocks = self.map_lock.write().await;
            let removal = self.plan_remove(rest.clone()).await?;
            let left = removal.rest();
            let apply = self.volume.begin(removal.credits() + 1).await?;
            removal.apply(&apply);
            self.store(&apply);
            rest = left;
        }
        Ok(())
    }
}

impl File {
    /// Whether cutting it to no bytes changes nothing but times.
    pub fn is_empty(&self) -> bool {
        let blocks = self.node.attributes.blocks.load(executor::atomic::Ordering::Relaxed);
        self.node.attributes.size() == 0 && blocks == 0 && self.node.promised.lock().is_empty()
    }
}
