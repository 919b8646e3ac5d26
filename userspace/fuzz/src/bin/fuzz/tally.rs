//! What calls were made, and how they went, over all processes of a run.

use crate::calls;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of calls are below this.
const NUMBERS: usize = 512;

/// Counts that all processes share. Nothing pairs with them: they are read when the processes have ended.
pub struct Tally {
    failed: [AtomicU64; NUMBERS],
    succeeded: [AtomicU64; NUMBERS],
}

impl Tally {
    pub const fn new() -> Self {
        Self {
            failed: [const { AtomicU64::new(0) }; NUMBERS],
            succeeded: [const { AtomicU64::new(0) }; NUMBERS],
        }
    }

    /// Counts a call that came back.
    pub fn count(&self, number: i64, succeeded: bool) {
        let counts = if succeeded { &self.succeeded } else { &self.failed };
        counts[number as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, number: i64) -> (u64, u64) {
        let at = number as usize;
        (self.succeeded[at].load(Ordering::Relaxed), self.failed[at].load(Ordering::Relaxed))
    }

    /// All calls made, and how many of them succeeded.
    pub fn total(&self) -> (u64, u64) {
        (0..NUMBERS as i64)
            .map(|number| self.of(number))
            .fold((0, 0), |(all, good), (succeeded, failed)| (all + succeeded + failed, good + succeeded))
    }

    /// Prints a line for each number of the table: how often it was called, and how often with success.
    pub fn print(&self) {
        let mut rows: Vec<(i64, &str)> = calls::all().iter().map(|call| (call.number, call.name)).collect();
        rows.sort_unstable();
        rows.dedup_by_key(|(number, _)| *number);
        for (number, name) in rows {
            let (succeeded, failed) = self.of(number);
            println!("{name}: {} calls, {succeeded} succeeded", succeeded + failed);
        }
    }
}
