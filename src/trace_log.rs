//! What the executor has done, as lines for the host: `--trace` of the runner.

use alloc::{string::String, vec::Vec};
use core::{
    fmt::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use executor::trace::{self, Event, Record};

static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Makes the executor record a trace, to be written to the debug console when the machine is switched off.
pub fn want() {
    IS_WANTED.store(true, Ordering::Relaxed);
}

/// Whether a trace is to be written.
pub fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::Relaxed)
}

/// Records of all CPUs together that a trace keeps: the last before the machine is switched off.
const RECORDS: usize = 1 << 16;

/// Begins to record.
pub fn start_if_wanted() {
    if is_wanted() {
        trace::enable(RECORDS / executor::cpus());
    }
}

/// Ends the recording and gives it out, line by line, in the order in which things happened:
/// `trace: CPU NANOSECONDS KIND SUBJECT NAME BY`.
pub fn write(give: &mut dyn FnMut(&str)) {
    trace::disable();
    let mut records = Vec::new();
    let mut lost = 0;
    for cpu in 0..executor::cpus() {
        let mut parked = false;
        lost += trace::drain(cpu, |record| {
            // Nothing is recorded when a CPU comes back: the first thing it does then tells.
            if core::mem::replace(&mut parked, record.event == Event::Park) {
                records.push((cpu, "unpark", Record { subject: 0, by: 0, name: "", ..record }));
            }
            records.push((cpu, kind(record.event), record));
        });
    }
    // Stable, so what one CPU did at one moment stays in order.
    records.sort_by_key(|(_, _, record)| record.time);
    let mut line = String::new();
    for (cpu, kind, record) in records {
        let name = if record.name.is_empty() { "-" } else { &record.name.replace(' ', "-") };
        line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(line, "trace: {cpu} {} {kind} {} {name} {}", record.time, record.subject, record.by);
        give(&line);
    }
    if lost > 0 {
        give(&alloc::format!("trace-lost: {lost}\n"));
    }
}

/// What the lines of a trace call an event.
fn kind(event: Event) -> &'static str {
    match event {
        Event::Spawn => "spawn",
        Event::Wake => "wake",
        Event::PollBegin => "poll-begin",
        Event::PollEnd | Event::End => "poll-end",
        Event::Cancel => "cancel",
        Event::Steal => "steal",
        Event::Park => "park",
        Event::Unpark => "kick",
        Event::TimerInterrupt => "timer",
        Event::WakeInterrupt => "wake-interrupt",
        Event::Interrupt => "interrupt",
        Event::Leave => "leave",
        Event::Return => "return",
        Event::PieceBegin => "piece-begin",
        Event::PieceEnd => "piece-end",
    }
}
