//! The executor's view of the machine: clock, idle CPUs, wake-ups, timers.

use alloc::{string::String, vec::Vec};
use core::{
    fmt::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use executor::{
    Platform, Worker,
    trace::{self, Event, Record},
};

use crate::{
    arch::{clock, cpu, interrupts, interrupts::vector, ipi, percpu, timer},
    memory,
    process::cpu_time,
    procfs::{idle, load},
    profile,
};

struct Machine;

impl Platform for Machine {
    #[inline(always)]
    fn now() -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn cycles() -> u64 {
        clock::cycles()
    }

    #[inline(always)]
    fn worker() -> Option<&'static Worker> {
        percpu::worker_of_this_cpu()
    }

    #[inline(always)]
    fn in_interrupt() -> bool {
        interrupts::in_handler()
    }

    fn park(cpu: usize, recheck: &mut dyn FnMut() -> bool) {
        // An idle CPU keeps no address space loaded, so that others need not interrupt it for its TLB.
        if cpu::count() > 1 {
            memory::leave();
        }
        interrupts::disable();
        if recheck() {
            profile::pause(cpu);
            idle::begin(cpu);
            interrupts::enable_and_halt();
            idle::end(cpu);
            profile::resume(cpu);
            load::on_work();
        } else {
            interrupts::enable();
        }
    }

    #[inline]
    fn unpark(cpu: usize) {
        ipi::kick(cpu);
    }

    #[inline]
    fn arm_timer(deadline_ns: Option<u64>) {
        timer::arm(profile::next_deadline(deadline_ns));
    }
}

executor::platform!(Machine);

fn on_timer(_vector: u8) {
    cpu_time::sample();
    if profile::on_timer() {
        return;
    }
    if let Some(worker) = percpu::worker_of_this_cpu() {
        worker.on_timer_interrupt();
    }
}

fn on_wake(_vector: u8) {
    if let Some(worker) = percpu::worker_of_this_cpu() {
        worker.on_wake_interrupt();
    }
}

fn run(cpu: usize) -> ! {
    let worker = executor::worker(cpu);
    percpu::set_worker_of_this_cpu(worker);
    worker.run()
}

/// What each CPU but the first does after its start.
pub fn run_cpu(cpu: usize) -> ! {
    memory::init_cpu();
    run(cpu)
}

/// Runs the executor on the boot CPU, with `first` as its first task.
pub fn run_first_cpu(first: impl Future<Output = ()> + Send + 'static) -> ! {
    for (vector, handler) in
        [(vector::TIMER, on_timer as fn(u8)), (vector::WAKE, on_wake), (vector::KICK, on_wake)]
    {
        if interrupts::register(vector, handler).is_err() {
            log::error!("interrupt vector {vector:#x} is taken");
        }
    }
    if is_traced() {
        trace::enable(TRACE_RECORDS / executor::cpus());
    }
    if POLLS_FROM_START.load(Ordering::Relaxed) {
        executor::set_accounting(true);
    }
    executor::Builder::new().name("start-up").spawn(first).detach();
    run(cpu::id())
}

static POLLS_FROM_START: AtomicBool = AtomicBool::new(false);

/// Makes the executor measure the lengths of polls from its start; `/proc/executor` shows them.
pub fn measure_polls_from_start() {
    POLLS_FROM_START.store(true, Ordering::Relaxed);
}

static TRACE_AT_POWER_OFF: AtomicBool = AtomicBool::new(false);

/// Makes the executor record a trace, to be written to the debug console when the machine is switched off.
pub fn trace_at_power_off() {
    TRACE_AT_POWER_OFF.store(true, Ordering::Relaxed);
}

/// Whether a trace is to be written.
pub fn is_traced() -> bool {
    TRACE_AT_POWER_OFF.load(Ordering::Relaxed)
}

/// Records of all CPUs together that a trace keeps: the last before the machine is switched off.
const TRACE_RECORDS: usize = 1 << 16;

/// Ends the recording and gives it out, line by line, in the order in which things happened:
/// `trace: CPU NANOSECONDS KIND SUBJECT NAME BY`.
pub fn write_trace(write: &mut dyn FnMut(&str)) {
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
        write(&line);
    }
    if lost > 0 {
        write(&alloc::format!("trace-lost: {lost}\n"));
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
