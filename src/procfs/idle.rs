//! How long each CPU has been halted, what `/proc/uptime` and `/proc/stat` call idle; and what it has done otherwise.

use crate::{
    arch::{clock, cpu::MAX_CPUS},
    process::cpu_time::{Parts, Split},
    stopwatch::Stopwatch,
};

/// One CPU's account.
#[repr(align(64))]
struct Account {
    /// Runs while the CPU is halted, which alone starts and stops it.
    halted: Stopwatch,
    /// Where the rest of the time has passed, in nanoseconds.
    busy: Split,
}

static ACCOUNTS: [Account; MAX_CPUS] =
    [const { Account { halted: Stopwatch::new(), busy: Split::new() } }; MAX_CPUS];

/// This CPU is about to halt.
#[inline]
pub fn begin(cpu: usize) {
    ACCOUNTS[cpu].halted.start();
}

/// This CPU goes on.
#[inline]
pub fn end(cpu: usize) {
    ACCOUNTS[cpu].halted.stop();
}

/// Nanoseconds that a CPU has been halted so far.
pub fn nanoseconds(cpu: usize) -> u64 {
    clock::span_ns(ACCOUNTS[cpu].halted.get())
}

/// Takes a sample of what this CPU does while it is not halted. For the timer's interrupt handler.
pub fn sample(cpu: usize, in_kernel: bool) {
    ACCOUNTS[cpu].busy.sample(in_kernel, || not_halted(cpu));
}

/// Nanoseconds that a CPU has not been halted, by where they have passed.
pub fn busy(cpu: usize) -> Parts {
    ACCOUNTS[cpu].busy.of(|| not_halted(cpu))
}

fn not_halted(cpu: usize) -> u64 {
    clock::now_ns().saturating_sub(nanoseconds(cpu))
}
