//! The commit: a transaction ends, gets its check sums, and is written to the log.

use super::{Lists, Running, Transactions};
use crate::{
    Page, Result,
    ext4::{
        buffer::{Buffer, Collected, seal_bitmap, seal_block},
        complaints::Place,
        layout::{RawSuperblock, SUPERBLOCK_OFFSET},
        memory,
        node::Node,
        volume::{Turns, Volume},
    },
    urgently,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::atomic::Ordering::{Acquire, Release, SeqCst};
use syscalls::Errno;
use zerocopy::FromBytes;

impl Volume {
    /// The task that commits: after a while, when somebody waits, when a transaction is full. It ends when nothing can be
    /// written any more, and, after a last commit, when [`close`](Transactions::close) was called. Nobody else commits, so that no
    /// commit is given up half way.
    pub async fn commit_until_closed(self: Arc<Self>) {
        let Some(transactions) = &self.transactions else { return };
        loop {
            transactions.beginning.notified().await;
            if !transactions.closing.load(Acquire) {
                let _ =
                    executor::timeout_after(transactions.hurry.notified(), self.settings.interval()).await;
            }
            let closing = transactions.closing.load(Acquire);
            // Before it is looked at what there is: a change from here on asks for the next commit.
            transactions.begun.store(false, SeqCst);
            if let Err(error) = self.commit_running(transactions).await {
                self.fail(error);
            }
            if closing || transactions.has_failed() {
                transactions.stopped.store(true, SeqCst);
                transactions.ended.wake_all();
                return;
            }
        }
    }

    /// Something could not be written that must be: nothing is from now on.
    pub fn fail(&self, error: Errno) {
        if let Some(transactions) = &self.transactions
            && transactions.fail()
        {
            self.complaints.say(format_args!("{error}: read-only from now on"));
        }
    }

    /// Has the disk bring to its medium what it was given. After an error nobody knows what is there.
    pub async fn flush(&self) -> Result<()> {
        let flushed = self.disk.device().flush().await;
        flushed.inspect_err(|error| self.fail(*error))
    }

    /// Waits until all that was changed so far, and contents that were stored, are on the disk. `EIO` when that cannot be.
    pub async fn commit(&self) -> Result<()> {
        let transactions = self.transactions()?;
        self.store_times().await;
        let (id, has_changes) = transactions.running();
        if has_changes {
            return transactions.wait_for(id).await;
        }
        transactions.wait_for(id - 1).await?;
        self.flush().await
    }

    /// Ends the running transaction and brings it to the log, or without one to the disk, with the times that have changed.
    async fn commit_running(self: &Arc<Self>, transactions: &Transactions) -> Result<()> {
        if transactions.has_failed() {
            return Ok(());
        }
        self.store_some_times().await;
        self.note_errors().await;
        if !transactions.running().1 {
            return Ok(());
        }
        let (id, lists) = transactions.end_running();
        transactions.ended.wake_all();
        // From here on nothing fails for want of memory: what has ended is nowhere else.
        let Lists { buffers, revoked, freed, .. } = lists;
        let pages = self.seal(id, buffers).await;
        if let Some(log) = &transactions.log {
            let next = self.write_to_log(log, id, &pages, &revoked).await?;
            self.note_committed(transactions, id, next, pages, &revoked).await;
        } else {
            self.store_blocks(&pages).await?;
            self.disk.device().flush().await?;
        }
        let mut turns = Turns::default();
        for blocks in freed {
            self.give_back(blocks);
            turns.next().await;
        }
        transactions.committed.store(id, Release);
        transactions.ended.wake_all();
        Ok(())
    }

    /// Notes in the superblock that there are errors, for e2fsck to look for.
    async fn note_errors(&self) {
        // If there is no room for it, it is done at the end.
        if self.complaints.has_unnoted_errors()
            && let Ok(Some(apply)) = self.begin_unless_full(1).await
        {
            let start = SUPERBLOCK_OFFSET as usize % self.geometry.block_size as usize;
            let mut bytes = self.space.superblock.write(&apply);
            if let Ok((raw, _)) = RawSuperblock::mut_from_prefix(&mut bytes[start..]) {
                self.put_errors(raw);
            }
        }
    }

    /// The blocks of a transaction that has ended, sorted, with their check sums.
    async fn seal(&self, id: u64, buffers: Vec<Arc<Buffer>>) -> Vec<(u64, Page)> {
        let mut turns = Turns::default();
        let mut blocks = memory::list::<Collected>(buffers.len()).await;
        for buffer in buffers {
            blocks.extend(buffer.collect(id));
            turns.next().await;
        }
        blocks.sort_unstable_by_key(|block| block.buffer.number());
        for block in &blocks {
            seal_bitmap(&self.geometry, block, &blocks);
            turns.next().await;
        }
        for block in &blocks {
            seal_block(&self.geometry, block);
            turns.next().await;
        }
        let mut pages = memory::list(blocks.len()).await;
        pages.extend(blocks.into_iter().map(|block| (block.buffer.number(), block.page)));
        pages
    }

    async fn write_to_log(
        self: &Arc<Self>,
        log: &super::Log,
        id: u64,
        pages: &[(u64, Page)],
        revoked: &[u64],
    ) -> Result<u32> {
        let needed = log.blocks_for(pages.len(), revoked.len());
        if log.free() < needed {
            self.checkpoint().await?;
        }
        if log.free() < needed {
            return Err(self.complaints.corrupt(Place::Superblock, "the journal is too short"));
        }
        let next = log.write(&self.disk, id, pages, revoked).await?;
        // Long before somebody has to wait for room.
        if log.free() < log.room() / 2 {
            let volume = self.clone();
            // Without memory for a task it is done when there is no room.
            if let Ok(task) = executor::try_spawn(urgently(async move {
                // What an error means is seen to there.
                let _ = volume.checkpoint().await;
            })) {
                task.detach();
            }
        }
        Ok(next)
    }
}

impl Transactions {
    /// Takes the running transaction, and has the next one run.
    fn end_running(&self) -> (u64, Lists) {
        let mut next = Arc::new(Running::new(0));
        let mut gate = self.gate.write();
        let directories = core::mem::take(&mut *gate.directories.lock());
        directories.iter().for_each(|directory| directory.store_now(gate.id));
        if let Some(next) = Arc::get_mut(&mut next) {
            next.id = gate.id + 1;
        }
        let ended = core::mem::replace(&mut *gate, next);
        drop(gate);
        directories.iter().for_each(Node::note_end);
        let lists = core::mem::take(&mut *ended.lists.lock());
        (ended.id, lists)
    }
}
