//! CPU time of a process (times(2), getrusage(2)), and times as programs see them.

use core::sync::atomic::Ordering;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Process, tree};
use crate::arch::clock;

/// What user space calls a clock tick (`sysconf(_SC_CLK_TCK)`).
pub const TICKS_PER_SECOND: u64 = 100;

/// Nanoseconds that [`Process::delay`](super::Process) counts by.
const DELAY_UNIT: u64 = 1 << 16;

/// CPU time in nanoseconds, and page faults.
#[derive(Clone, Copy, Default, Debug)]
pub struct ResourceUsage {
    /// Time in user mode.
    pub user: u64,
    /// Time in the kernel.
    pub system: u64,
    /// Cycles of both together.
    pub cycles: u64,
    /// Page faults served without waiting, and with.
    pub faults: [u64; 2],
    /// Most memory at once, bytes; known when a process has ended.
    pub peak_resident: u64,
}

/// Splits a run time as the samples at slice ends say; without samples it counts as user time.
fn split(cycles: u64, samples: [u64; 2]) -> (u64, u64) {
    let total = clock::span_ns(cycles);
    let [user, system] = samples;
    let sum = user + system;
    if sum == 0 {
        return (total, 0);
    }
    let in_user = (u128::from(total) * u128::from(user) / u128::from(sum)) as u64;
    (in_user, total - in_user)
}

impl ResourceUsage {
    /// What a process has used so far, its live threads included.
    pub fn of(process: &Process) -> Self {
        let cycles = {
            let tree = tree::lock();
            let threads = tree.node(process.pid).into_iter().flat_map(|node| &node.threads);
            let live: u64 = threads.map(|thread| thread.cpu_time.get()).sum();
            live + process.cycles_of_dead.load(Ordering::Relaxed)
        };
        Self::from_cycles(process, cycles)
    }

    /// What a process used in all, once its threads are gone.
    pub fn of_dead(process: &Process) -> Self {
        Self::from_cycles(process, process.cycles_of_dead.load(Ordering::Relaxed))
    }

    /// What the children that a process has waited for used.
    pub fn of_children(process: &Process) -> Self {
        let cycles = process.cycles_of_children.load(Ordering::Relaxed);
        Self { user: clock::span_ns(cycles), cycles, ..Self::default() }
    }

    fn from_cycles(process: &Process, cycles: u64) -> Self {
        let load = |counters: &[core::sync::atomic::AtomicU64; 2]| {
            [counters[0].load(Ordering::Relaxed), counters[1].load(Ordering::Relaxed)]
        };
        let (user, system) = split(cycles, load(&process.samples));
        let peak_resident = process.peak_resident.load(Ordering::Relaxed);
        Self { user, system, cycles, faults: load(&process.faults), peak_resident }
    }

    /// Adds this to what `parent`'s children have used.
    pub fn add_to_children_of(&self, parent: &Process) {
        parent.cycles_of_children.fetch_add(self.cycles, Ordering::Relaxed);
    }
}

impl Process {
    /// Counts a page fault of one of its threads.
    #[inline]
    pub fn count_fault(&self) {
        self.faults[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one of its threads goes on after making way for others since this value of the cycle counter.
    pub fn note_delay(&self, since: u64) {
        let ns = clock::span_ns(clock::cycles().saturating_sub(since));
        // Rounded: one of less than half a unit does not count.
        self.delay.fetch_add(((ns + DELAY_UNIT / 2) / DELAY_UNIT) as u32, Ordering::Relaxed);
    }

    /// How long its threads have waited for a CPU after having made way, in nanoseconds; modulo 78 hours.
    pub fn delay_ns(&self) -> u64 {
        u64::from(self.delay.load(Ordering::Relaxed)) * DELAY_UNIT
    }

    /// Notes that an interrupt found the process in user mode.
    pub fn sample(&self) {
        self.samples[0].fetch_add(1, Ordering::Relaxed);
    }
}

/// `struct timeval`.
#[derive(Clone, Copy, Default, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct TimeVal {
    /// Whole seconds.
    pub seconds: i64,
    /// Microseconds.
    pub microseconds: i64,
}

impl TimeVal {
    /// From nanoseconds, rounded down.
    pub fn from_ns(ns: u64) -> Self {
        Self { seconds: (ns / 1_000_000_000) as i64, microseconds: (ns / 1000 % 1_000_000) as i64 }
    }

    /// In nanoseconds; `None` if it is negative or its second part is out of range.
    pub fn to_ns(self) -> Option<u64> {
        let valid = self.seconds >= 0 && (0..1_000_000).contains(&self.microseconds);
        valid.then(|| {
            (self.seconds as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(self.microseconds as u64 * 1000)
        })
    }
}

/// `struct timespec`.
#[derive(Clone, Copy, Default, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct TimeSpec {
    /// Whole seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl TimeSpec {
    /// From nanoseconds.
    pub fn from_ns(ns: u64) -> Self {
        Self { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as i64 }
    }

    /// In nanoseconds, saturated; `None` if it is negative or its second part is out of range.
    pub fn to_ns(self) -> Option<u64> {
        let valid = self.seconds >= 0 && (0..1_000_000_000).contains(&self.nanoseconds);
        valid.then(|| {
            (self.seconds as u64).saturating_mul(1_000_000_000).saturating_add(self.nanoseconds as u64)
        })
    }
}

/// `struct itimerspec`.
#[derive(Clone, Copy, Default, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Interval {
    /// Between expirations; zero for once only.
    pub period: TimeSpec,
    /// Until the next; zero when off.
    pub left: TimeSpec,
}
