//! CPU time of a thread.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
    fence,
};

use crate::arch::clock;

/// How much CPU time a thread has had, in cycles. One word, so that whoever reads it meanwhile sees the time of each poll
/// exactly once; nothing else hangs on it, so relaxed.
///
/// While the thread is not polled, the time itself; while it is, [`RUNNING`] and what the cycle counter would have shown at
/// its begin, had it run without a pause.
#[derive(Default)]
pub struct CpuTime(AtomicU64);

/// The thread is polled.
const RUNNING: u64 = 1 << 63;

impl CpuTime {
    /// Begins a poll.
    #[inline(always)]
    pub fn begin(&self) {
        let origin = clock::cycles().wrapping_sub(self.0.load(Relaxed));
        self.0.store(origin | RUNNING, Relaxed);
    }

    /// Ends the poll.
    #[inline(always)]
    pub fn end(&self) {
        self.0.store(since(self.0.load(Relaxed)), Relaxed);
    }

    /// The time so far, that of the poll in progress included.
    pub fn get(&self) -> u64 {
        loop {
            let word = self.0.load(Relaxed);
            if word & RUNNING == 0 {
                return word;
            }
            let time = since(word);
            // Whoever reads may be held up between the two; then the poll may have been over before the counter was read.
            fence(Acquire);
            if self.0.load(Relaxed) == word {
                return time;
            }
        }
    }
}

/// Cycles since then. Counters of two CPUs may differ a little: not less than none.
#[inline(always)]
fn since(origin: u64) -> u64 {
    let passed = clock::cycles().wrapping_sub(origin & !RUNNING);
    if passed & RUNNING == 0 { passed } else { 0 }
}
