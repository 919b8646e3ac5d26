//! Storing contents: blocks are chosen when pages are written, not before ("delayed allocation").
//!
//! ```text
//!   write: promise ─► page dirty ... later ... reserve blocks ─► write them ─► one transaction: the blocks are the file's
//! ```
//!
//! What leads to blocks is changed after they were written. So whatever a transaction on the disk leads to is there: contents
//! are "ordered" without being part of transactions.

use super::{
    contents::Parts,
    map::Run,
    node::Node,
    space::{Blocks, Space},
    volume::Turns,
};
use crate::{Op, PAGE_SIZE, Result, block::Direction, cache::Pages};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// Blocks that are promised to somebody.
pub(super) struct Promise<'a> {
    space: &'a Space,
    blocks: u64,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.space.unpromise(self.blocks);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.take_promises(0..u64::MAX));
    }
}

impl Node {
    /// Promises room for the blocks of a page that the file does not have yet.
    pub(super) fn promise_page(&self, index: u64) -> Op<'_, Result<()>> {
        match self.promise_page_now(index) {
            Some(done) => Op::Ready(done),
            None => Op::waiting(self.find_promise(index)),
        }
    }

    /// As [`promise_page`](Self::promise_page), if there is nothing to wait for.
    fn promise_page_now(&self, index: u64) -> Option<Result<()>> {
        if let Err(error) = self.volume.transactions() {
            return Some(Err(error));
        }
        let missing = match self.missing_now(index)? {
            Ok(missing) => missing,
            Err(error) => return Some(Err(error)),
        };
        if missing > 0 {
            self.volume.space.promise(missing).ok()?;
            self.note_promise(index, missing);
        }
        Some(Ok(()))
    }

    async fn find_promise(&self, index: u64) -> Result<()> {
        let _transactions = self.volume.transactions()?;
        let missing = self.missing(index).await?;
        if missing > 0 {
            if self.volume.space.promise(missing).is_err() {
                self.volume.wait_for_room().await;
                self.volume.space.promise(missing)?;
            }
            self.note_promise(index, missing);
        }
        Ok(())
    }

    /// Sees to it that a page of which there is something can be written to, however full the disk is; whether there is.
    pub(super) async fn promise_existing(&self, index: u64) -> Result<bool> {
        let has_promise = self.promised.lock().contains_key(&index);
        let missing = self.missing(index).await?;
        if missing == PAGE_SIZE as u64 / self.volume.geometry.block_size && !has_promise {
            return Ok(false);
        }
        self.volume.space.promise_kept(missing);
        self.note_promise(index, missing);
        Ok(true)
    }

    /// How many blocks of a page the file does not have and was not promised.
    async fn missing(&self, index: u64) -> Result<u64> {
        if self.has_promise(index) {
            return Ok(0);
        }
        let runs = self.runs(self.blocks_of_page(index)).await?;
        Ok(runs.iter().filter(|run| run.physical.is_none()).map(|run| run.count).sum())
    }

    /// As [`missing`](Self::missing), if there is nothing to wait for.
    fn missing_now(&self, index: u64) -> Option<Result<u64>> {
        if self.has_promise(index) {
            return Some(Ok(0));
        }
        let mut missing = 0;
        let _blocks = self.map_lock.try_read()?;
        let mut rest = self.blocks_of_page(index);
        while !rest.is_empty() {
            let run = match self.map_now(rest.start).transpose()? {
                Ok(run) => run,
                Err(error) => return Some(Err(error)),
            };
            let count = run.count.min(rest.end - rest.start);
            if run.physical.is_none() {
                missing += count;
            }
            rest.start += count;
        }
        Some(Ok(missing))
    }

    fn has_promise(&self, index: u64) -> bool {
        self.promised.lock().get(&index).is_some_and(|blocks| *blocks > 0)
    }

    fn blocks_of_page(&self, index: u64) -> Range<u64> {
        let per_page = PAGE_SIZE as u64 / self.volume.geometry.block_size;
        index * per_page..(index + 1) * per_page
    }

    /// A page was promised blocks.
    fn note_promise(&self, index: u64, blocks: u64) {
        if blocks == 0 {
            return;
        }
        let mut promised = self.promised.lock();
        let entry = promised.entry(index).or_insert(0);
        if *entry == 0 {
            *entry = blocks;
        } else {
            // Somebody else was as fast.
            self.volume.space.unpromise(blocks);
        }
    }

    /// Takes what was promised to the pages in a range over; it is given back when the result is dropped.
    pub(super) fn take_promises(&self, pages: Range<u64>) -> Promise<'_> {
        let mut taken = Promise { space: &self.volume.space, blocks: 0 };
        let mut promised = self.promised.lock();
        if pages == (0..u64::MAX) {
            taken.blocks = core::mem::take(&mut *promised).into_values().sum();
        }
        taken.blocks += promised.extract_if(pages, |_, _| true).map(|(_, blocks)| blocks).sum::<u64>();
        taken
    }

    /// Stores pages. Nobody takes blocks from the file meanwhile, and no other call stores the same pages.
    pub(super) async fn store_pages(self: &Arc<Self>, index: u64, pages: Pages) -> Result<()> {
        let block_size = self.volume.geometry.block_size;
        let per_page = PAGE_SIZE as u64 / block_size;
        let mut turns = Turns::default();
        turns.next().await;
        // What is written to them from now on is promised room for itself.
        let _promise = self.take_promises(index..index + pages.len() as u64);
        let size = self.attributes.size();
        let first = index * per_page;
        let end = size.div_ceil(block_size).min(first + pages.len() as u64 * per_page);
        // What programs have written behind the end is not the file's.
        self.zero_tail(index, &pages);
        let runs = self.runs(first..end).await?;
        let mut parts = Parts::new(block_size, &pages);
        let mut new = Vec::<(u64, Blocks)>::new();
        let mut logical = first;
        for run in &runs {
            turns.next().await;
            match run.physical {
                Some(physical) => parts.add(logical - first, physical, run.count),
                None => self.reserve_run(logical, run.count, first, &mut parts, &mut new).await?,
            }
            logical += run.count;
        }
        turns.next().await;
        parts.transfer(self, Direction::Write).await?;

        // The size that the disk knows grows with the blocks, not before.
        let reach = |end: u64| self.grow_stored_size(size.min(end * block_size));
        for (logical, blocks) in new {
            let end = logical + blocks.count();
            let _blocks = self.map_lock.write().await;
            let insertion = self.plan_insert(logical, blocks, true).await?;
            let apply = self.volume.begin(insertion.credits() + 1).await?;
            insertion.apply(&apply);
            reach(end);
            self.store(&apply);
        }
        let mut logical = first;
        for run in &runs {
            if run.physical.is_some() && !run.written {
                let _blocks = self.map_lock.write().await;
                let marking = self.plan_written(logical..logical + run.count).await?;
                let apply = self.volume.begin(marking.credits() + 1).await?;
                marking.apply(&apply);
                reach(logical + run.count);
                self.store(&apply);
            }
            logical += run.count;
        }
        // With the last of what was only in memory comes what the file was made longer by, behind it.
        let is_last = self.promised.lock().is_empty();
        let reached = if is_last { self.attributes.size() } else { size.min(end * block_size) };
        if reached > self.stored_size() {
            let apply = self.volume.begin(1).await?;
            self.grow_stored_size(reached);
            self.store(&apply);
        }
        Ok(())
    }

    /// What the file has in a range of its blocks.
    async fn runs(&self, range: Range<u64>) -> Result<Vec<Run>> {
        let _blocks = self.map_lock.read().await;
        let (mut runs, mut turns) = (Vec::new(), Turns::default());
        let mut logical = range.start;
        while logical < range.end {
            let mut run = self.map(logical).await?;
            run.count = run.count.min(range.end - logical);
            logical += run.count;
            runs.push(run);
            turns.next().await;
        }
        Ok(runs)
    }

    /// Reserves blocks for a hole, in as few pieces as there are.
    async fn reserve_run(
        self: &Arc<Self>,
        logical: u64,
        count: u64,
        first: u64,
        parts: &mut Parts<'_>,
        new: &mut Vec<(u64, Blocks)>,
    ) -> Result<()> {
        let (mut at, end) = (logical, logical + count);
        let mut goal = {
            let _blocks = self.map_lock.read().await;
            self.goal(logical).await?
        };
        while at < end {
            let blocks = self.volume.reserve_promised(goal, end - at).await?;
            parts.add(at - first, blocks.first(), blocks.count());
            goal = blocks.first() + blocks.count();
            at += blocks.count();
            new.push((at - blocks.count(), blocks));
        }
        Ok(())
    }
}
