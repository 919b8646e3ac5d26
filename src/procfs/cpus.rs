//! What each CPU has had to do: `/proc/interrupts` and `/proc/schedstat`.

use core::fmt::Write;

use super::{
    idle,
    text::{Made, TextBuffer},
};
use crate::{
    arch::{
        clock, cpu,
        interrupts::{self, Wiring, vector},
    },
    process::times::ticks,
};

/// Interrupts by their source and by the CPU that they came to. Under icount and on an idle machine the timer's are few: it
/// fires only when something is due.
pub(super) fn interrupts(out: &mut TextBuffer) -> Made {
    write!(out, "    ")?;
    for cpu in 0..cpu::count() {
        write!(out, "{:>11}", alloc::format!("CPU{cpu}"))?;
    }
    writeln!(out)?;
    let counts = |out: &mut TextBuffer, vectors: &[u8]| {
        (0..cpu::count()).try_for_each(|cpu| {
            let count: u64 = vectors.iter().map(|vector| interrupts::count(cpu, *vector)).sum();
            write!(out, " {count:>10}")
        })
    };
    for (vector, source) in interrupts::sources() {
        // Lines have their numbers; what has none is known by its vector.
        let (number, controller, trigger) = match source.wiring {
            Wiring::Line { line, is_level: true } => (line, "IO-APIC   ", "fasteoi"),
            Wiring::Line { line, is_level: false } => (line, "IO-APIC   ", "edge"),
            Wiring::Message => (u32::from(vector), "PCI-MSI ", "edge"),
        };
        write!(out, "{number:>3}:")?;
        counts(out, &[vector])?;
        writeln!(out, "   {controller}{number}-{trigger}      {}", source.name)?;
    }
    for (label, vectors, what) in [
        ("SPU", &[vector::SPURIOUS][..], "Spurious interrupts"),
        ("LOC", &[vector::TIMER], "Local timer interrupts"),
        ("RES", &[vector::WAKE, vector::KICK], "Rescheduling interrupts"),
        ("TLB", &[vector::TLB_SHOOTDOWN], "TLB shootdowns"),
        ("ERR", &[vector::APIC_ERROR], "Local APIC errors"),
    ] {
        write!(out, "{label}:")?;
        counts(out, vectors)?;
        writeln!(out, "   {what}")?;
    }
    Ok(())
}

/// Version 15 of Linux's format, without domains. Of a CPU: 0, 0, polls, parks, wakes that queued a task and those of them
/// that interrupted no other CPU, nanoseconds that it was not halted, 0, polls. What is 0 is not counted; a thread's own
/// `schedstat` has its waits.
pub(super) fn scheduling(out: &mut TextBuffer) -> Made {
    let now = clock::now_ns();
    writeln!(out, "version 15\ntimestamp {}", ticks(now))?;
    for cpu in 0..cpu::count() {
        let executor::Stats { polls, parks, wakes, ipis, .. } = executor::stats(cpu);
        let busy = now.saturating_sub(idle::nanoseconds(cpu));
        let local = wakes.saturating_sub(ipis);
        writeln!(out, "cpu{cpu} 0 0 {polls} {parks} {wakes} {local} {busy} 0 {polls}")?;
    }
    Ok(())
}
