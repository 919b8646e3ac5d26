//! What transfers past the cache ask of it: that nobody finds older bytes afterwards than those that were transferred.
//!
//! ```text
//!   read:   settle ─► the disk has what was written ─► transfer
//!   write:  settle, withdraw ─► transfer ─► overwritten: pages that have come back, or were dirty again, get the new bytes
//! ```
//!
//! A page that came back while the transfer went on has bytes of before or after it, nobody knows which, and may have been
//! stored with them meanwhile. So it gets the new ones, and is stored once more.

use super::{PageCache, clock, within};
use crate::{
    Copies, Memory, PAGE_SIZE, Result, mapping,
    tree::{index_of, pages_to},
};
use alloc::sync::Arc;
use core::ops::Range;
use executor::rcu;

impl PageCache {
    /// Stores what is dirty in a range of bytes, and waits for what is being stored. The error is that of storing.
    pub async fn settle(self: &Arc<Self>, bytes: Range<u64>) -> Result<()> {
        let pages = index_of(bytes.start)..pages_to(bytes.end);
        let mut is_unstored = false;
        self.tree.each(pages.clone(), &rcu::read(), |_, item| {
            is_unstored |= item.with(|entry| entry.is_unstored());
        });
        if is_unstored { self.store_range(pages).await } else { Ok(()) }
    }

    /// Takes out pages in a range of bytes, but for those that are dirty, or in use at this moment. Programs that see them look
    /// again.
    pub async fn withdraw(&self, bytes: Range<u64>) {
        let pages = index_of(bytes.start)..pages_to(bytes.end);
        let (mut index, mut has_any) = (pages.start, false);
        loop {
            let next = self.tree.next(index, pages.end, true, &rcu::read());
            let Some(at) = next else { break };
            index = at + 1;
            has_any |= self.take_clean(at);
            executor::make_way().await;
        }
        if has_any {
            mapping::lose(self.backing.attributes(), pages, Copies::Stay).await;
        }
    }

    /// Takes a page out, if it is clean.
    fn take_clean(&self, index: u64) -> bool {
        let removed = {
            let guard = rcu::read();
            let _shape = self.shape.lock();
            let is_clean =
                self.tree.get(index, &guard).is_some_and(|item| item.with(|entry| entry.take_clean()));
            is_clean.then(|| self.tree.remove(index, index + 1))
        };
        let Some(removed) = removed else { return false };
        clock::removed(removed.pages as usize);
        rcu::defer_drop(removed);
        true
    }

    /// Memory was stored from `offset` on: the pages that are there get the same bytes.
    pub async fn overwritten(self: &Arc<Self>, offset: u64, memory: &Memory) {
        let end = pages_to(offset + memory.len() as u64);
        let mut index = index_of(offset);
        loop {
            let next = self.tree.next(index, end, true, &rcu::read());
            let Some(at) = next else { return };
            let is_done = self.overwrite_page(at, offset, memory);
            index = if is_done { at + 1 } else { at };
            // One that is on its way out is so for a moment.
            if !is_done || executor::should_yield() {
                executor::yield_now().await;
            }
        }
    }

    /// The same for one page. False if it is on its way out.
    fn overwrite_page(self: &Arc<Self>, index: u64, offset: u64, memory: &Memory) -> bool {
        let start = offset.max(index * PAGE_SIZE as u64);
        let from = (start - offset) as usize;
        let len = (PAGE_SIZE - within(start)).min(memory.len() - from);
        let guard = rcu::read();
        self.tree.get(index, &guard).is_none_or(|item| {
            item.with(|entry| {
                if entry.spoil() {
                    return true;
                }
                let Some(_pin) = entry.pin() else { return false };
                memory.copy_to(from, entry.page(), within(start), len);
                self.wrote(entry, false);
                true
            })
        })
    }
}
