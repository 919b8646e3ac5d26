//! Time: the TSC, calibrated once, and the wall clock at start.
//!
//! All CPUs' TSCs count together on the machines that Rusk runs on (invariant and reset together; QEMU's always
//! do), so time is one multiplication away and the same everywhere.

use super::{acpi, apic, cpu};
use core::cell::UnsafeCell;
use core::time::Duration;
use drivers::rtc;
use x86_64::instructions::port::Port;

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

/// A number of cycles as nanoseconds.
#[inline]
pub fn span_ns(cycles: u64) -> u64 {
    ((u128::from(cycles) * u128::from(parameters().multiplier)) >> 32) as u64
}

/// The TSC's value at a time.
#[inline]
pub(super) fn to_cycles(ns: u64) -> u64 {
    let parameters = parameters();
    let elapsed = (u128::from(ns) * u128::from(parameters.cycles_per_ns)) >> 20;
    parameters.base.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
}

/// The wall clock as the machine has it, whatever it has been set to since: nanoseconds since 1970, UTC.
#[inline]
pub fn machine_wall_ns() -> u64 {
    parameters().boot_time + now_ns()
}

/// Reads a counter and the TSC at one moment, as nearly as that goes: on an emulated CPU the host may take the
/// processor away between two readings, so the tightest of a few is taken.
fn tightest(read: impl Fn() -> u64) -> (u64, u64) {
    const TRIES: usize = 16;
    let once = || {
        let before = cycles();
        let value = read();
        let width = cycles() - before;
        (width, value, before + width / 2)
    };
    let (_, value, tsc) =
        core::iter::repeat_with(once).take(TRIES).min_by_key(|try_| try_.0).unwrap_or_default();
    (value, tsc)
}

/// Measures the TSC and the local APIC's timer against a clock whose rate is known. Once, on the boot CPU.
pub(super) fn init() {
    const WINDOW_NS: u64 = 5_000_000;
    apic::init_timer(apic::TimerMode::OneShot);
    apic::mask_timer();
    let clock = acpi::reference_clock();
    let timer = || u64::from(u32::MAX - apic::ticks_left());
    apic::set_ticks(u32::MAX);
    let (timer_start, timer_tsc_start) = tightest(timer);
    let (start, tsc_start) = tightest(|| clock.read());
    while clock.difference(start, clock.read()) * 1_000_000_000 < WINDOW_NS * clock.frequency {
        core::hint::spin_loop();
    }
    let (end, tsc_end) = tightest(|| clock.read());
    let (timer_end, timer_tsc_end) = tightest(timer);
    apic::set_ticks(0);
    let frequency = ((tsc_end - tsc_start) * clock.frequency / clock.difference(start, end)).max(1);
    let timer_frequency = (timer_end - timer_start) * frequency / (timer_tsc_end - timer_tsc_start).max(1);
    let parameters = Parameters {
        base: tsc_start,
        multiplier: ((1_000_000_000_u128 << 32) / u128::from(frequency)) as u64,
        frequency,
        timer_ticks: ((u128::from(timer_frequency) << 32) / 1_000_000_000) as u64,
        cycles_per_ns: ((u128::from(frequency) << 20) / 1_000_000_000) as u64,
        boot_time: 0,
    };
    // SAFETY: the boot CPU is alone.
    unsafe { *PARAMETERS.0.get() = parameters };
    let boot_time = boot_time();
    // SAFETY: as above.
    unsafe { (*PARAMETERS.0.get()).boot_time = boot_time };
    log::info!(
        "clock: TSC {} kHz{}, APIC timer {} kHz, by {}",
        parameters.frequency / 1000,
        if cpu::features().invariant_tsc { "" } else { " (not marked invariant)" },
        timer_frequency / 1000,
        clock.name
    );
}

/// The wall clock at time 0, by the machine's real-time clock; 1970 where that cannot be read.
fn boot_time() -> u64 {
    // Bit 7 of the index port keeps NMIs from being turned off.
    // SAFETY: the real-time clock's two ports; reading a register has no side effect (status C is not read).
    let register = |number| unsafe {
        Port::<u8>::new(0x70).write(number);
        Port::<u8>::new(0x71).read()
    };
    let wall = rtc::read(register, || Duration::from_nanos(now_ns())).unwrap_or_else(|error| {
        log::warn!("clock: the real-time clock cannot be read, {error}: it is 1970");
        Duration::ZERO
    });
    u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX).saturating_sub(now_ns())
}
