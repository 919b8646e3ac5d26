//! The one-shot timer of each CPU. There is no periodic tick.

use super::{apic, clock, cpu};

/// Prepares this CPU's timer; nothing is armed.
pub(super) fn init() {
    apic::init_timer(mode());
}

fn mode() -> apic::TimerMode {
    if cpu::features().tsc_deadline { apic::TimerMode::Deadline } else { apic::TimerMode::OneShot }
}

/// Arms this CPU's timer for a time as `clock::now_ns` counts it (at once if that is past), or disarms it. The
/// interrupt has the vector `interrupts::vector::TIMER`. A far deadline may fire early: whoever armed it looks at
/// the time and arms again.
#[inline]
pub fn arm(deadline_ns: Option<u64>) {
    match (mode(), deadline_ns) {
        (apic::TimerMode::Deadline, None) => apic::set_deadline(0),
        // Zero would disarm; any past time fires at once.
        (apic::TimerMode::Deadline, Some(deadline)) => apic::set_deadline(clock::to_cycles(deadline).max(1)),
        (apic::TimerMode::OneShot, None) => apic::set_ticks(0),
        (apic::TimerMode::OneShot, Some(deadline)) => {
            let ns = deadline.saturating_sub(clock::now_ns());
            let ticks = (u128::from(ns) * u128::from(clock::parameters().timer_ticks)) >> 32;
            // Rounded up, so that it does not fire before its time.
            apic::set_ticks(u32::try_from(ticks + 1).unwrap_or(u32::MAX));
        }
    }
}
