//! How long each CPU has been halted, what `/proc/uptime` and `/proc/stat` call idle; and what it has done otherwise.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    arch::{clock, cpu::MAX_CPUS},
    process::cpu_time::{Parts, Split},
};

/// One CPU's account, in cycles. Only its own CPU writes it; relaxed, for it is a statistic.
#[repr(align(64))]
struct Account {
    /// Halts that are over.
    total: AtomicU64,
    /// When the halt in progress began; 0 for none.
    since: AtomicU64,
    /// Where the rest of the time has passed.
    busy: Split,
}

static ACCOUNTS: [Account; MAX_CPUS] =
    [const { Account { total: AtomicU64::new(0), since: AtomicU64::new(0), busy: Split::new() } }; MAX_CPUS];

/// This CPU is about to halt.
#[inline]
pub fn begin(cpu: usize) {
    ACCOUNTS[cpu].since.store(clock::cycles(), Relaxed);
}

/// This CPU goes on.
#[inline]
pub fn end(cpu: usize) {
    let Account { total, since, .. } = &ACCOUNTS[cpu];
    let halted = clock::cycles().saturating_sub(since.load(Relaxed));
    // The end of the halt is seen before its length is counted, so a reader may miss a halt for a moment but does
    // not count it twice.
    since.store(0, Relaxed);
    total.store(total.load(Relaxed) + halted, Relaxed);
}

/// Nanoseconds that a CPU has been halted so far.
pub fn nanoseconds(cpu: usize) -> u64 {
    let Account { total, since, .. } = &ACCOUNTS[cpu];
    let over = total.load(Relaxed);
    let now = match since.load(Relaxed) {
        0 => 0,
        since => clock::cycles().saturating_sub(since),
    };
    clock::span_ns(over + now)
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
