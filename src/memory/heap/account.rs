//! Whose memory it is: charging heap use to tasks.

use crate::memory::cpu;
use core::sync::atomic::{AtomicI64, Ordering};

/// How much kernel heap some task (or group of tasks) has allocated beyond what it has freed.
///
/// Charged at the end of each poll, so its own running poll is not in it yet. An object counts for the task that
/// allocated it and against the one that frees it: memory that is handed on makes one account grow and another
/// shrink.
#[derive(Debug, Default)]
pub struct Account {
    bytes: AtomicI64,
}

impl Account {
    /// Bytes allocated minus bytes freed; negative for a task that frees what others allocate.
    pub fn bytes(&self) -> i64 {
        // Relaxed: a plain number.
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Runs `work` (a poll) and charges what it allocates on this CPU's heap to `account`.
#[inline(always)]
pub fn charge<T>(account: &Account, work: impl FnOnce() -> T) -> T {
    let Some(cpu) = cpu::this() else { return work() };
    let before = cpu.heap.live.load(Ordering::Relaxed);
    let result = work();
    let grown = cpu.heap.live.load(Ordering::Relaxed).wrapping_sub(before);
    if grown != 0 {
        account.bytes.fetch_add(grown, Ordering::Relaxed);
    }
    result
}
