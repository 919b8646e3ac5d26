//! Counters per CPU, and the lengths of polls.
//!
//! The longest poll is this kernel's longest pause: nothing else can run on that CPU meanwhile. So
//! it is measured: with [`set_accounting`] on, every poll's length goes into a histogram. A poll that
//! goes [`outside`](crate::outside), to user mode, counts as one up to there and another from there.
//! Off, it costs a byte test for each.

use crate::shared;
use crate::sync::SpinMutex;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Instrument bits of a worker.
pub(crate) const MEASURE_POLLS: u8 = 1;
/// As above.
pub(crate) const TRACE: u8 = 2;

/// Buckets of the histogram: bucket n counts polls of 2ⁿ⁻¹ to 2ⁿ − 1 cycles; bucket 0 those of none.
pub const HISTOGRAM_BUCKETS: usize = 40;

/// A counter that one CPU writes and all may read. Not a read-modify-write: an interrupt handler
/// that counts at the same moment may lose a count, which a statistic can bear.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Count one; the count before.
    #[inline(always)]
    pub(crate) fn increment(&self) -> u64 {
        let before = self.0.load(Relaxed);
        self.0.store(before.wrapping_add(1), Relaxed);
        before
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A worker's counters.
pub(crate) struct Counters {
    pub(crate) polls: Counter,
    pub(crate) wakes: Counter,
    pub(crate) steals: Counter,
    pub(crate) parks: Counter,
    pub(crate) unparks: Counter,
    longest: AtomicU64,
    /// Under a lock, because a name is two words.
    longest_name: SpinMutex<&'static str>,
    histogram: [Counter; HISTOGRAM_BUCKETS],
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters {
            polls: Counter::new(),
            wakes: Counter::new(),
            steals: Counter::new(),
            parks: Counter::new(),
            unparks: Counter::new(),
            longest: AtomicU64::new(0),
            longest_name: SpinMutex::new(""),
            histogram: [const { Counter::new() }; HISTOGRAM_BUCKETS],
        }
    }

    pub(crate) fn record_poll(&self, cycles: u64, name: &'static str) {
        let bucket = (u64::BITS - cycles.leading_zeros()) as usize;
        self.histogram[bucket.min(HISTOGRAM_BUCKETS - 1)].increment();
        if cycles > self.longest.load(Relaxed) {
            *self.longest_name.lock() = name;
            self.longest.store(cycles, Relaxed);
        }
    }

    fn reset_polls(&self) {
        self.longest.store(0, Relaxed);
        *self.longest_name.lock() = "";
        for bucket in &self.histogram {
            bucket.0.store(0, Relaxed);
        }
    }
}

/// What a CPU has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Polls.
    pub polls: u64,
    /// Tasks spawned by this CPU, modulo 2²⁶.
    pub spawns: u64,
    /// Wakes by this CPU that queued a task.
    pub wakes: u64,
    /// Times this CPU took work from another.
    pub steals: u64,
    /// Times this CPU went to sleep.
    pub parks: u64,
    /// Times this CPU interrupted another (IPIs).
    pub ipis: u64,
    /// The longest poll, in [`Platform::cycles`](crate::Platform::cycles); 0 unless accounting is on.
    pub longest_poll: u64,
    /// The task of the longest poll.
    pub longest_poll_name: &'static str,
}

/// The counters of one CPU. Read while it runs, they may be a moment apart.
///
/// # Panics
/// If there is no such CPU.
#[must_use]
pub fn stats(cpu: usize) -> Stats {
    let worker = shared::worker(cpu);
    let counters = &worker.counters;
    Stats {
        polls: counters.polls.get(),
        spawns: worker.spawns(),
        wakes: counters.wakes.get(),
        steals: counters.steals.get(),
        parks: counters.parks.get(),
        ipis: counters.unparks.get(),
        longest_poll: counters.longest.load(Relaxed),
        longest_poll_name: *counters.longest_name.lock(),
    }
}

/// How many polls of each length a CPU has had; see [`HISTOGRAM_BUCKETS`]. Empty unless accounting
/// is on.
///
/// # Panics
/// If there is no such CPU.
#[must_use]
pub fn poll_histogram(cpu: usize) -> [u64; HISTOGRAM_BUCKETS] {
    let counters = &shared::worker(cpu).counters;
    core::array::from_fn(|bucket| counters.histogram[bucket].get())
}

/// Switch the measuring of poll lengths on (from zero) or off, on all CPUs.
pub fn set_accounting(on: bool) {
    for worker in shared::current().workers() {
        if on {
            worker.counters.reset_polls();
        }
        worker.set_instruments(on, MEASURE_POLLS);
    }
}

/// How many tasks there are: spawned, and not yet ended with their output taken. Exact while none comes or goes.
#[must_use]
pub fn live_tasks() -> u64 {
    shared::current().live_tasks()
}

/// Bytes that task cells hold: the peak so far, for the slab is never given back.
#[must_use]
pub fn slab_bytes() -> usize {
    shared::current().slab.bytes()
}
