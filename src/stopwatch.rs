//! Time that passes at some times and not at others, measured by the one whom it passes for and read by anybody.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::arch::clock;

/// A stopwatch, in cycles: one side starts and stops it, and any other may look at it meanwhile. Two looks, one after the other
/// and on whatever CPUs, do not see it go back.
///
/// It is one word, so that each span is seen exactly once; nothing else hangs on it, so relaxed. While the watch stands still,
/// the word is the time itself; while it runs, [`RUNNING`] and what the cycle counter would have shown at its start, had it run
/// without a pause.
#[derive(Default)]
pub struct Stopwatch(AtomicU64);

/// The watch runs.
const RUNNING: u64 = 1 << 63;

impl Stopwatch {
    /// One that stands still at nothing.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Starts it, which stands still.
    #[inline(always)]
    pub fn start(&self) {
        let origin = clock::cycles().wrapping_sub(self.0.load(Relaxed));
        self.0.store(origin | RUNNING, Relaxed);
    }

    /// Stops it, which runs: at a time that nobody has been told more than.
    #[inline(always)]
    pub fn stop(&self) {
        let mut word = self.0.load(Relaxed);
        while let Err(looked_at) = self.0.compare_exchange(word, since(word), Relaxed, Relaxed) {
            word = looked_at;
        }
    }

    /// The time so far, that since its start included.
    ///
    /// A look at a watch that runs moves its start back by one cycle. So it fails if the watch was stopped before the counter
    /// was read; and a stop fails, and reads the counter again, if its CPU was held up in between, by its host say, and
    /// somebody has looked meanwhile.
    pub fn get(&self) -> u64 {
        let mut word = self.0.load(Relaxed);
        while word & RUNNING != 0 {
            let time = since(word);
            match self.0.compare_exchange(word, word - 1, Relaxed, Relaxed) {
                Ok(_) => return time,
                Err(changed) => word = changed,
            }
        }
        word
    }
}

/// Cycles since then. Counters of two CPUs may differ a little: not less than none.
#[inline(always)]
fn since(origin: u64) -> u64 {
    let passed = clock::cycles().wrapping_sub(origin & !RUNNING);
    if passed & RUNNING == 0 { passed } else { 0 }
}
