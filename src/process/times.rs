//! What processes use (times(2), getrusage(2)), and times as programs see them.

use core::sync::atomic::Ordering;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Process, Thread, cpu_time::Parts, switches::Switches, tree};
use crate::{arch::clock, memory::PAGE_SIZE};

/// What user space calls a clock tick (`sysconf(_SC_CLK_TCK)`).
pub const TICKS_PER_SECOND: u64 = 100;

/// Nanoseconds that [`Process::delay`](super::Process) counts by.
const DELAY_UNIT: u64 = 1 << 16;

/// What a process or a thread has used.
#[derive(Clone, Copy, Default, Debug)]
pub struct ResourceUsage {
    /// CPU time in cycles.
    cycles: Parts,
    /// Page faults. None of them has ever to wait for a device.
    pub faults: u64,
    /// Most memory at once, pages.
    pub peak_resident: u32,
    /// How often it has left a CPU.
    pub switches: Switches,
}

impl ResourceUsage {
    /// What a process has used so far, its live threads included.
    pub fn of(process: &Process) -> Self {
        let tree = tree::lock();
        let (cycles, switches) = (Parts::of(process, &tree), Switches::of(process, &tree));
        drop(tree);
        Self { cycles, switches, ..Self::of_dead(process) }.with_live_space(process)
    }

    /// What a process used, once its threads are gone.
    pub fn of_dead(process: &Process) -> Self {
        Self {
            cycles: process.time_of_dead.get(),
            faults: process.faults.load(Ordering::Relaxed),
            peak_resident: process.peak_resident.load(Ordering::Relaxed),
            switches: process.switches.with(0),
        }
    }

    /// What the children that a process has waited for used, with theirs.
    pub fn of_children(process: &Process) -> Self {
        Self {
            cycles: process.time_of_children.get(),
            faults: process.faults_of_children.load(Ordering::Relaxed),
            peak_resident: process.peak_of_children.load(Ordering::Relaxed),
            switches: process.switches.of_children(),
        }
    }

    /// What a process used that has ended, with the children that it has waited for.
    pub fn of_family(process: &Process) -> Self {
        let (mut usage, children) = (Self::of_dead(process), Self::of_children(process));
        usage.cycles += children.cycles;
        usage.faults += children.faults;
        usage.peak_resident = usage.peak_resident.max(children.peak_resident);
        usage.switches += children.switches;
        usage
    }

    /// What a thread has used so far: its page faults are not counted apart from those of its process.
    pub fn of_thread(thread: &Thread) -> Self {
        let (cycles, switches) = (thread.cpu_time.parts(), Switches::of_thread(thread));
        Self { cycles, switches, ..Self::of_dead(&thread.process) }.with_live_space(&thread.process)
    }

    /// With the most memory that the process has had in its present address space.
    fn with_live_space(self, process: &Process) -> Self {
        let present =
            process.space.lock().as_ref().map_or(0, |space| space.usage().peak_resident / PAGE_SIZE);
        Self { peak_resident: self.peak_resident.max(present as u32), ..self }
    }

    /// Nanoseconds in user mode.
    pub fn user(&self) -> u64 {
        self.cycles.user_ns()
    }

    /// Nanoseconds in the kernel.
    pub fn system(&self) -> u64 {
        self.cycles.kernel_ns()
    }

    /// Adds this to what `parent`'s children have used.
    pub fn add_to_children_of(&self, parent: &Process) {
        parent.time_of_children.add(self.cycles);
        parent.faults_of_children.fetch_add(self.faults, Ordering::Relaxed);
        parent.peak_of_children.fetch_max(self.peak_resident, Ordering::Relaxed);
        parent.switches.add_child(self.switches);
    }
}

/// Nanoseconds as clock ticks.
pub fn ticks(ns: u64) -> u64 {
    ns / (1_000_000_000 / TICKS_PER_SECOND)
}

impl Process {
    /// Counts a page fault of one of its threads.
    #[inline]
    pub fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one of its threads goes on after making way for others, who wanted its CPU, since this value of the cycle
    /// counter.
    pub fn note_delay(&self, since: u64) {
        self.switches.note_involuntary();
        let ns = clock::span_ns(clock::cycles().saturating_sub(since));
        // Rounded: one of less than half a unit does not count.
        self.delay.fetch_add(((ns + DELAY_UNIT / 2) / DELAY_UNIT) as u32, Ordering::Relaxed);
    }

    /// How long its threads have waited for a CPU after having made way, in nanoseconds; modulo 78 hours.
    pub fn delay_ns(&self) -> u64 {
        u64::from(self.delay.load(Ordering::Relaxed)) * DELAY_UNIT
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
