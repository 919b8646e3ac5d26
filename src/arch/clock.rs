//! Time: the TSC, calibrated once, and the wall clock at start.
//!
//! All CPUs' TSCs count together on the machines that Rusk runs on (invariant and reset together; QEMU's always
//! do), so time is one multiplication away and the same everywhere.

use super::{acpi, apic, cpu, rtc};
use core::cell::UnsafeCell;

/// How time follows from the TSC: `ns = ((tsc - base) * multiplier) >> 32`.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The TSC at time 0.
    pub base: u64,
    /// Nanoseconds per 2³² cycles.
    pub multiplier: u64,
    /// Cycles per second.
    pub frequency: u64,
    /// Ticks of the local APIC's timer per 2³² nanoseconds.
    pub(super) timer_ticks: u64,
    /// TSC cycles per 2²⁰ nanoseconds.
    pub(super) cycles_per_ns: u64,
    /// The wall clock at time 0: nanoseconds since 1970, UTC.
    pub boot_time: u64,
}

struct Calibrated(UnsafeCell<Parameters>);

// SAFETY: written once by the boot CPU while it is alone (`init`), only read afterwards.
unsafe impl Sync for Calibrated {}

static PARAMETERS: Calibrated = Calibrated(UnsafeCell::new(Parameters {
    base: 0,
    multiplier: 0,
    frequency: 0,
    timer_ticks: 0,
    cycles_per_ns: 0,
    boot_time: 0,
}));

/// The clock's parameters; all zero before the clock is calibrated.
#[inline(always)]
pub fn parameters() -> &'static Parameters {
    // SAFETY: no writer after start-up, see `Calibrated`.
    unsafe { &*PARAMETERS.0.get() }
}

/// Cycles: the cheapest counter. Not ordered with the instructions around it.
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: RDTSC exists on every x86-64 processor.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds since the clock was started, the same on all CPUs; 0 before that.
#[inline(always)]
pub fn now_ns() -> u64 {
    to_ns(cycles())
}

/// The time at which the TSC had this value.
#[inline(always)]
pub fn to_ns(cycles: u64) -> u64 {
    let parameters = parameters();
    let elapsed = cycles.saturating_sub(parameters.base);
    ((u128::from(elapsed) * u128::from(parameters.multiplier)) >> 32) as u64
}

/// The TSC's value at a time.
#[inline]
pub(super) fn to_cycles(ns: u64) -> u64 {
    let parameters = parameters();
    let elapsed = (u128::from(ns) * u128::from(parameters.cycles_per_ns)) >> 20;
    parameters.base.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
}

/// The wall clock: nanoseconds since 1970, UTC.
#[inline]
pub fn wall_ns() -> u64 {
    parameters().boot_time + now_ns()
}

/// Measures the TSC and the local APIC's timer against a clock whose rate is known. Once, on the boot CPU.
pub(super) fn init() {
    const WINDOW_NS: u64 = 5_000_000;
    apic::init_timer(apic::TimerMode::OneShot);
    apic::mask_timer();
    let reference = acpi::reference_clock();
    // A tick's edge first, so that the window is whole ticks.
    let start = reference.next_tick();
    apic::set_ticks(u32::MAX);
    let tsc_start = cycles();
    let (mut elapsed, mut now) = (0, start);
    while elapsed * 1_000_000_000 < WINDOW_NS * reference.frequency {
        let next = reference.read();
        elapsed += reference.difference(now, next);
        now = next;
    }
    let tsc = cycles() - tsc_start;
    let ticks = u64::from(u32::MAX - apic::ticks_left());
    apic::set_ticks(0);
    let per_second = |count: u64| count * reference.frequency / elapsed;
    let frequency = per_second(tsc).max(1);
    let parameters = Parameters {
        base: tsc_start,
        multiplier: ((1_000_000_000_u128 << 32) / u128::from(frequency)) as u64,
        frequency,
        timer_ticks: ((u128::from(per_second(ticks)) << 32) / 1_000_000_000) as u64,
        cycles_per_ns: ((u128::from(frequency) << 20) / 1_000_000_000) as u64,
        boot_time: 0,
    };
    // SAFETY: the boot CPU is alone.
    unsafe { *PARAMETERS.0.get() = parameters };
    let boot_time = rtc::read().saturating_sub(now_ns());
    // SAFETY: as above.
    unsafe { (*PARAMETERS.0.get()).boot_time = boot_time };
    log::info!(
        "clock: TSC {} kHz{}, APIC timer {} kHz, by {}",
        frequency / 1000,
        if cpu::features().invariant_tsc { "" } else { " (not marked invariant)" },
        per_second(ticks) / 1000,
        reference.name
    );
}
