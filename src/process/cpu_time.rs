//! CPU time of a thread: how much, which is measured, and how much of it in user mode, which is sampled.

use core::{
    hint::spin_loop,
    ops::AddAssign,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, SeqCst},
        fence,
    },
};

use super::{Process, Thread, tree::Tree};
use crate::{
    arch::{clock, cpu, interrupts, user},
    procfs::idle,
    stopwatch::Stopwatch,
};

/// How much CPU time a thread has had, in cycles: how long it has been polled.
#[derive(Default)]
pub struct CpuTime {
    polled: Stopwatch,
    split: Split,
}

impl CpuTime {
    /// Begins a poll.
    #[inline(always)]
    pub fn begin(&self) {
        self.polled.start();
    }

    /// Ends the poll.
    #[inline(always)]
    pub fn end(&self) {
        self.polled.stop();
    }

    /// The time so far, that of the poll in progress included.
    pub fn get(&self) -> u64 {
        self.polled.get()
    }

    /// Its two parts.
    pub fn parts(&self) -> Parts {
        self.split.of(|| self.get())
    }
}

/// The parts of a time, in whatever unit that is in.
#[derive(Clone, Copy, Default, Debug)]
pub struct Parts {
    /// Spent in user mode.
    pub user: u64,
    /// Spent in the kernel.
    pub kernel: u64,
}

impl Parts {
    /// Those of a process so far, in cycles, its live threads' included. With the tree locked, each thread counts once.
    pub fn of(process: &Process, tree: &Tree) -> Self {
        let mut parts = process.time_of_dead.get();
        for thread in tree.node(process.pid).into_iter().flat_map(|node| &node.threads) {
            parts += thread.cpu_time.parts();
        }
        parts
    }

    /// Of cycles: nanoseconds in user mode.
    pub fn user_ns(&self) -> u64 {
        clock::span_ns(self.user)
    }

    /// Of cycles: nanoseconds in the kernel.
    pub fn kernel_ns(&self) -> u64 {
        clock::span_ns(self.kernel)
    }

    /// Of cycles: nanoseconds in all.
    pub fn total_ns(&self) -> u64 {
        self.user_ns() + self.kernel_ns()
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.kernel += other.kernel;
    }
}

/// What of a time that only grows was spent in user mode, and what in the kernel, by samples. Nobody reads a clock when a
/// program calls the kernel: the call may take less time than that.
///
/// What a sample finds is what counts from there on until the next: samples that come every so often find each as often as it
/// is, and what has been told once stays true. So one of the two parts stands still while the other grows with the whole, and
/// the one that stands still is all there is to keep: of the kernel's part, at first, nothing.
#[derive(Default)]
pub struct Split(AtomicU64);

/// The part that is kept is that of user mode.
const IN_KERNEL: u64 = 1 << 63;
/// They are about to change places.
const CHANGING: u64 = u64::MAX;

impl Split {
    /// None of it was spent yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Notes whether a sample has found the kernel. `whole` tells the time. For interrupt handlers on the CPU where it passes.
    pub fn sample(&self, in_kernel: bool, whole: impl Fn() -> u64) {
        let word = self.0.load(Relaxed);
        if (word & IN_KERNEL != 0) == in_kernel {
            return;
        }
        // A full barrier: whoever does not see this has read a time that is not later than the one which is read now.
        self.0.swap(CHANGING, SeqCst);
        let moving = whole().saturating_sub(word & !IN_KERNEL);
        self.0.store(if in_kernel { moving | IN_KERNEL } else { moving }, Relaxed);
    }

    /// The parts of the time that `whole` tells.
    pub fn of(&self, whole: impl Fn() -> u64) -> Parts {
        loop {
            let word = self.0.load(Acquire);
            let whole = whole();
            fence(Acquire);
            if word == CHANGING || self.0.load(Relaxed) != word {
                spin_loop();
                continue;
            }
            let still = word & !IN_KERNEL;
            let moving = whole.saturating_sub(still);
            return match word & IN_KERNEL {
                0 => Parts { user: moving, kernel: still },
                _ => Parts { user: still, kernel: moving },
            };
        }
    }
}

/// What threads that are no more have spent, in cycles. Relaxed: it is written and read under the tree's lock, or is a
/// statistic.
#[derive(Default)]
pub struct Account {
    user: AtomicU64,
    kernel: AtomicU64,
}

impl Account {
    /// What is in it.
    pub fn get(&self) -> Parts {
        Parts { user: self.user.load(Relaxed), kernel: self.kernel.load(Relaxed) }
    }

    /// Adds to it.
    pub fn add(&self, parts: Parts) {
        self.user.fetch_add(parts.user, Relaxed);
        self.kernel.fetch_add(parts.kernel, Relaxed);
    }
}

/// Takes a sample of what this CPU is doing: the timer has fired. For its interrupt handler.
pub fn sample() {
    let in_kernel = interrupts::came_in_kernel_mode() || user::was_held_back();
    idle::sample(cpu::id(), in_kernel);
    if let Some(thread) = Thread::current() {
        thread.cpu_time.split.sample(in_kernel, || thread.cpu_time.get());
    }
}
