//! Time that passes at some times and not at others, measured by the one whom it passes for and read by anybody.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
    fence,
};

use crate::arch::clock;

/// A stopwatch, in cycles: one side starts and stops it, and any other may look at it meanwhile. Two looks, one after the other
/// and on whatever CPUs, never see it go back.
///
/// The time is one word, so that each span is seen exactly once; nothing else hangs on it, so relaxed. While the watch stands
/// still, it is the time itself; while it runs, [`RUNNING`] and what the cycle counter would have shown at its start, had it run
/// without a pause.
#[derive(Default)]
pub struct Stopwatch {
    word: AtomicU64,
    /// The longest time that a look has found. Between the reading of the counter that stops the watch and the write of what it
    /// has shown, its CPU may be held up, by its host say: who looks meanwhile finds more than it will have been.
    told: AtomicU64,
}

/// The watch runs.
const RUNNING: u64 = 1 << 63;

impl Stopwatch {
    /// One that stands still at nothing.
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    /// Starts it, which stands still.
    #[inline(always)]
    pub fn start(&self) {
        let origin = clock::cycles().wrapping_sub(self.word.load(Relaxed));
        self.word.store(origin | RUNNING, Relaxed);
    }

    /// Stops it, which runs.
    #[inline(always)]
    pub fn stop(&self) {
        self.word.store(since(self.word.load(Relaxed)), Relaxed);
    }

    /// The time so far, that since its start included.
    pub fn get(&self) -> u64 {
        let time = loop {
            let word = self.word.load(Relaxed);
            if word & RUNNING == 0 {
                break word;
            }
            let time = since(word);
            // Whoever looks may be held up between the two; then it may have been stopped before the counter was read.
            fence(Acquire);
            if self.word.load(Relaxed) == word {
                break time;
            }
        };
        // Each look exchanges this word, so it finds what all before it have told.
        time.max(self.told.fetch_max(time, SeqCst))
    }
}

/// Cycles since then. Counters of two CPUs may differ a little: not less than none.
#[inline(always)]
fn since(origin: u64) -> u64 {
    let passed = clock::cycles().wrapping_sub(origin & !RUNNING);
    if passed & RUNNING == 0 { passed } else { 0 }
}
