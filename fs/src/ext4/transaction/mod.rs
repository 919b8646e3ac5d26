//! Transactions: what is changed together on the disk.
//!
//! ```text
//!   a call:   gather ─── awaits locks, blocks, free space; changes nothing; may be dropped
//!                │
//!             begin ──── awaits room in the running transaction
//!                │
//!             apply ──── in one poll, without failure: all that the call changes                 apply.rs
//!
//!   running ──5 s, fsync, or full──► ended ──► sums, log, flush, commit block ──► committed      commit.rs
//!      ▲ the next one runs from here on                                              │
//!      └──── waits for nothing                      at its places, room in the log ◄─┘           checkpoint.rs
//! ```
//!
//! A call's changes are made in one poll, while a guard is held that cannot be kept across an `.await`. So whoever is killed
//! has changed all or nothing, and to end a transaction takes as long as the longest such moment: nobody waits for a transaction
//! to quiesce. What the commit then writes are the pages as they were; who changes them again works on copies
//! ([`Buffer`](super::buffer::Buffer)).
//!
//! At most two transactions are not on the disk: the one that runs, and the one that is being written. Who finds the running
//! one full while the other is written waits for that.
//!
//! **Locks**, in their order: of the inodes (awaited), of the buffers' loads, then, in the poll that changes, the gate, a
//! group, a buffer, the lists of a transaction (spinning). Who commits holds `committing`, and in it for moments `checkpointing`;
//! so a checkpoint may not commit, and nothing that may have to wait in `begin` is awaited under either.

mod apply;
mod checkpoint;
mod commit;

pub use apply::Apply;
pub use checkpoint::Checkpoint;

use super::{buffer::Buffer, journal::Log, node::Node, volume::Volume};
use crate::{Page, SleepLock, block::BlockInode};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use executor::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
};
use executor::sync::{Notify, SpinMutex, SpinRwLock, WaitQueue};
use syscalls::Errno;

/// The transactions of a file system that can be written to.
pub struct Transactions {
    /// The running one. Read while something is changed, written to end it.
    gate: SpinRwLock<Arc<Running>>,
    /// Where they are written to first; `None` without a journal.
    log: Option<Log>,
    /// Blocks in one, at most.
    most: usize,
    /// The last one that is on the disk.
    committed: AtomicU64,
    /// Whether anything was changed since a commit began, and what tells the task that commits.
    begun: AtomicBool,
    beginning: Notify,
    /// Makes that task commit now.
    hurry: Notify,
    /// Woken when one has ended, when one is on the disk, and when all is over.
    ended: WaitQueue,
    /// Whether anything may be changed.
    enabled: AtomicBool,
    /// Nothing can be written any more.
    failed: AtomicBool,
    /// No more is to come: the task that commits does so once more, and ends.
    closing: AtomicBool,
    /// Whether there is no such task.
    stopped: AtomicBool,
    checkpoint: SpinMutex<Checkpoint>,
    /// Held by who brings blocks to their places.
    checkpointing: SleepLock,
}

/// A transaction that is open for changes.
struct Running {
    id: u64,
    lists: SpinMutex<Lists>,
    /// Directories that are written to their places at the end: a few, as that keeps others waiting.
    directories: SpinMutex<Vec<Arc<Node>>>,
}

impl Running {
    fn new(id: u64) -> Self {
        Running { id, lists: SpinMutex::new(Lists::default()), directories: SpinMutex::new(Vec::new()) }
    }
}

/// Directories that are written to their places at the end of a transaction, at most.
const DIRECTORIES: usize = 32;

/// What a transaction has. There is room for more entries for all who have begun to change something.
#[derive(Default)]
struct Lists {
    /// Blocks that were changed.
    buffers: Vec<Arc<Buffer>>,
    /// Blocks of metadata that were freed: older copies of them in the log count no more.
    revoked: Vec<u64>,
    /// Blocks that were freed: they can be used again when this is committed.
    freed: Vec<Range<u64>>,
    /// Pages for copies of blocks.
    spares: Vec<Page>,
    /// What those who change something now may add to each list.
    claimed: usize,
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.buffers.is_empty() && self.revoked.is_empty() && self.freed.is_empty()
    }

    /// Whether there is no room for so many entries more. What is freed takes little room in the log.
    fn is_full(&self, credits: usize, most: usize) -> bool {
        let more = self.claimed + credits;
        !self.is_empty() && (self.buffers.len() + more > most || self.revoked.len() + more > 8 * most)
    }

    /// Makes room for so many entries more in each list, and has as many spare pages. Zero when that is done; else how many pages
    /// are missing, and nothing is claimed.
    fn claim(&mut self, credits: usize) -> Result<usize, Errno> {
        let all = self.claimed + credits;
        let room =
            [self.buffers.try_reserve(all), self.revoked.try_reserve(all), self.freed.try_reserve(all)];
        if room.iter().any(Result::is_err) || self.spares.try_reserve(all).is_err() {
            return Err(Errno::ENOMEM);
        }
        while self.spares.len() < all {
            match Page::zeroed() {
                Some(page) => self.spares.push(page),
                None => return Ok(all - self.spares.len()),
            }
        }
        self.claimed = all;
        Ok(0)
    }
}

impl Transactions {
    /// The first transaction is `first`, at least 1. One has up to `most` blocks, unless a single change has more.
    pub fn new(log: Option<Log>, first: u64, most: usize) -> Self {
        Transactions {
            gate: SpinRwLock::new(Arc::new(Running::new(first))),
            log,
            most,
            committed: AtomicU64::new(first - 1),
            begun: AtomicBool::new(false),
            beginning: Notify::new(),
            hurry: Notify::new(),
            ended: WaitQueue::new(),
            enabled: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            stopped: AtomicBool::new(true),
            checkpoint: SpinMutex::new(Checkpoint::new()),
            checkpointing: SleepLock::new(),
        }
    }

    /// Where on the disk the journal is.
    pub fn log_blocks(&self) -> impl Iterator<Item = Range<u64>> {
        self.log.iter().flat_map(Log::places)
    }

    /// Whether nothing can be written any more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Acquire)
    }

    /// Whether changes can be made, if there is no reason against them.
    fn go_on(&self) -> bool {
        self.enabled.load(Relaxed) && !self.has_failed()
    }

    /// Whether a transaction is on the disk.
    pub fn is_committed(&self, id: u64) -> bool {
        self.committed.load(Acquire) >= id
    }

    /// Something was changed: in a while it is committed.
    #[inline]
    pub fn note_begin(&self) {
        if !self.begun.load(Relaxed) && !self.begun.swap(true, SeqCst) {
            self.beginning.notify();
        }
    }

    /// Has what was changed so far written now.
    pub fn hurry(&self) {
        self.hurry.notify();
        self.beginning.notify();
    }

    /// Waits until a transaction, which is full, is no longer the running one. `EROFS` when nothing ends any more.
    async fn end_of(&self, id: u64) -> Result<(), Errno> {
        self.hurry();
        let over = || {
            if self.gate.read().id > id {
                Some(Ok(()))
            } else {
                self.has_failed().then_some(Err(Errno::EROFS))
            }
        };
        self.ended.wait_until(over).await
    }

    /// Waits until a transaction is on the disk; `EIO` when that cannot be.
    pub async fn wait_for(&self, id: u64) -> Result<(), Errno> {
        if self.is_committed(id) {
            return Ok(());
        }
        self.hurry();
        let over = || {
            if self.is_committed(id) { Some(Ok(())) } else { self.has_failed().then_some(Err(Errno::EIO)) }
        };
        self.ended.wait_until(over).await
    }

    /// Lets go of directories that would be written to their places at the end: nothing is written any more.
    pub fn forget_directories(&self) {
        let directories = core::mem::take(&mut *self.gate.read().directories.lock());
        directories.iter().for_each(Node::forget_changes);
    }

    /// The running transaction's number, and whether there is anything in it.
    pub fn running(&self) -> (u64, bool) {
        let gate = self.gate.read();
        let empty = gate.lists.lock().is_empty();
        (gate.id, !empty)
    }

    /// Permits changes, or not any more: those that have begun end.
    pub fn enable(&self, enabled: bool) {
        // With the gate closed nobody is changing anything.
        let _gate = self.gate.write();
        self.enabled.store(enabled, SeqCst);
        if enabled {
            self.closing.store(false, SeqCst);
        }
    }

    /// Notes on the disk that the log is in use.
    pub async fn begin_log(&self, disk: &BlockInode) -> Result<(), Errno> {
        let next = self.gate.read().id;
        match &self.log {
            Some(log) => log.begin(disk, next).await,
            None => Ok(()),
        }
    }

    /// Everything is at its place: the log is left empty.
    pub async fn end_log(&self, disk: &BlockInode) -> Result<(), Errno> {
        let next = self.gate.read().id;
        match &self.log {
            Some(log) => log.set_start(disk, next, None).await,
            None => Ok(()),
        }
    }

    /// Notes whether there is no task that commits.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, SeqCst);
    }

    /// No more will come: the task that commits does so once more and ends.
    pub fn hurry_to_close(&self) {
        self.closing.store(true, SeqCst);
        self.hurry();
    }

    /// No more will come: waits until the task that commits has done so once more and has ended.
    pub async fn close(&self) {
        self.hurry_to_close();
        self.ended.wait_until(|| self.stopped.load(SeqCst).then_some(())).await;
    }
}

impl Volume {
    /// The transactions; `EROFS` when the file system cannot be written to, any more or at all.
    pub fn transactions(&self) -> Result<&Transactions, Errno> {
        self.transactions
            .as_ref()
            .filter(|transactions| transactions.go_on() && !self.must_stop())
            .ok_or(Errno::EROFS)
    }
}
