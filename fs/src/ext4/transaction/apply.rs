//! Changing the disk's structures, in one poll.

use super::{DIRECTORIES, Running, Transactions, Volume};
use crate::{
    Page, Result, cache,
    ext4::{buffer::Buffer, node::Node},
};
use alloc::sync::Arc;
use core::ops::Range;
use executor::sync::SpinReadGuard;
use syscalls::Errno;

/// Held while something is changed: the running transaction does not end meanwhile. It cannot be held across an `.await`, and
/// what it permits does not fail, so that all is done or nothing.
pub struct Apply<'a> {
    volume: &'a Volume,
    running: SpinReadGuard<'a, Arc<Running>>,
    credits: usize,
}

impl Volume {
    /// Waits until the running transaction has room for a change with so many credits: it may change up to as many blocks, free up
    /// to as many runs of them, and forget up to as many blocks of metadata, each of the three. The caller has gathered all
    /// that it needs, and awaits nothing before the end of the change. `EROFS` when the file system cannot be written to, and
    /// `ENOMEM`. Not for who commits: the end of a full transaction is waited for.
    pub async fn begin(&self, credits: usize) -> Result<Apply<'_>> {
        loop {
            let obstacle = match self.try_begin(credits, || self.transactions())? {
                Ok(apply) => return Ok(apply),
                Err(obstacle) => obstacle,
            };
            match obstacle {
                Obstacle::NoPages(missing) => self.add_spares(missing).await?,
                // The next one begins as soon as this one has ended, which is before it is written, but after the one before
                // has been.
                Obstacle::Full(id) => self.transactions()?.end_of(id).await?,
            }
        }
    }

    /// As [`begin`](Self::begin), for who commits: also when nobody else may change anything any more because there are errors, and
    /// `None` when the running transaction is full.
    pub(in crate::ext4) async fn begin_unless_full(&self, credits: usize) -> Result<Option<Apply<'_>>> {
        let transactions = || self.transactions.as_ref().filter(|open| open.go_on()).ok_or(Errno::EROFS);
        loop {
            let obstacle = match self.try_begin(credits, transactions)? {
                Ok(apply) => return Ok(Some(apply)),
                Err(obstacle) => obstacle,
            };
            match obstacle {
                Obstacle::NoPages(missing) => self.add_spares(missing).await?,
                Obstacle::Full(_) => return Ok(None),
            }
        }
    }

    fn try_begin<'a>(
        &'a self,
        credits: usize,
        allowed: impl Fn() -> Result<&'a Transactions>,
    ) -> Result<core::result::Result<Apply<'a>, Obstacle>> {
        let transactions = allowed()?;
        let running = transactions.gate.read();
        // Under the gate, so that it stays so.
        allowed()?;
        let mut lists = running.lists.lock();
        if lists.is_full(credits, transactions.most) {
            return Ok(Err(Obstacle::Full(running.id)));
        }
        let missing = lists.claim(credits)?;
        drop(lists);
        Ok(match missing {
            0 => Ok(Apply { volume: self, running, credits }),
            _ => Err(Obstacle::NoPages(missing)),
        })
    }

    /// Brings pages for copies of blocks.
    async fn add_spares(&self, count: usize) -> Result<()> {
        for _ in 0..count {
            let page = cache::new_page().await?;
            let running = self.transactions.as_ref().ok_or(Errno::EROFS)?.gate.read();
            let mut lists = running.lists.lock();
            lists.spares.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            lists.spares.push(page);
        }
        Ok(())
    }
}

/// What stands against a change.
enum Obstacle {
    /// So many pages for copies of blocks are missing.
    NoPages(usize),
    /// This transaction is full.
    Full(u64),
}

impl<'a> Apply<'a> {
    /// The file system.
    pub fn volume(&self) -> &'a Volume {
        self.volume
    }

    /// The number of the transaction: what is changed now is on the disk when it is.
    pub fn transaction(&self) -> u64 {
        self.running.id
    }

    /// A page for a copy of a block, one for each block that was announced.
    pub(in crate::ext4) fn spare(&self) -> Page {
        let page = self.running.lists.lock().spares.pop();
        page.expect("a change of more blocks than were announced")
    }

    /// Enters a directory that is to be written to its place when the transaction ends; false if it has many already.
    pub(in crate::ext4) fn store_at_end(&self, directory: &Arc<Node>) -> bool {
        let mut directories = self.running.directories.lock();
        let has_room = directories.len() < DIRECTORIES && directories.try_reserve(1).is_ok();
        if has_room {
            directories.push(directory.clone());
        }
        has_room
    }

    /// Enters a block that is being changed, once.
    pub(in crate::ext4) fn join(&self, buffer: Arc<Buffer>) {
        let mut lists = self.running.lists.lock();
        debug_assert!(lists.buffers.len() < lists.buffers.capacity());
        lists.buffers.push(buffer);
    }

    /// Enters a run of blocks that were freed: nobody gets them before the transaction is committed.
    pub(in crate::ext4) fn freed(&self, blocks: Range<u64>) {
        let mut lists = self.running.lists.lock();
        debug_assert!(lists.freed.len() < lists.freed.capacity());
        lists.freed.push(blocks);
    }

    /// Forgets a block of metadata that is being freed, and sees to it that no older copy in the log gets in the way of what
    /// is written there next.
    pub fn forget(&self, number: u64) {
        if let Some(buffer) = self.volume.buffers.forget(number) {
            buffer.set_freed(self.transaction());
        }
        let mut lists = self.running.lists.lock();
        debug_assert!(lists.revoked.len() < lists.revoked.capacity());
        lists.revoked.push(number);
    }
}

impl Drop for Apply<'_> {
    fn drop(&mut self) {
        let mut lists = self.running.lists.lock();
        lists.claimed -= self.credits;
        let has_changes = !lists.is_empty();
        drop(lists);
        if has_changes && let Some(transactions) = &self.volume.transactions {
            transactions.note_begin();
        }
    }
}
