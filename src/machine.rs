//! The executor's view of the machine: clock, idle CPUs, wake-ups, timers.

use core::sync::atomic::{AtomicBool, Ordering};

use executor::{Platform, Worker};

use crate::{
    arch::{clock, cpu, interrupts, interrupts::vector, ipi, percpu, timer},
    memory,
    process::cpu_time,
    procfs::{idle, load},
    profile, trace_log,
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
    trace_log::start_if_wanted();
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
