//! The deterministic simulator: P virtual CPUs and virtual time, interleaved by a seed.
//!
//! ```ignore
//! for seed in 0..1000 {
//!     Simulation::new(seed, 4).run(async { /* a storm */ });
//! }
//! ```
//!
//! Every virtual CPU is a coroutine that runs the real worker loop. Before each access to the shared
//! memory of the lock-free parts, each lock and each look at the clock, the seed decides whether
//! another CPU goes on instead, and pending interrupts are handled. So a run is a sequentially
//! consistent interleaving, fine enough to split a push from the look for sleepers, and the same
//! seed gives the same run (weak memory is loom's part). When all CPUs sleep, time jumps to the next
//! timer; when there is none, nothing can ever happen again, and the run fails with its seed.
//!
//! What a simulated task must not do is wait for another in any other way than by `.await` or a lock
//! of this crate: nobody else would get a turn.
//!
//! Virtual time passes on all CPUs at once (their clocks are kept within a microsecond), so a run also
//! shows how long something takes on P CPUs.

pub mod atomic;
mod machine;

use crate::Builder;
use crate::shared;
use core::future::Future;
use machine::Machine;
pub use machine::point;
pub(crate) use machine::{SimPlatform, undisturbed};
use std::boxed::Box;
use std::sync::{Arc, Mutex, PoisonError};

/// A run to be: a seed, a number of CPUs, and a limit.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    seed: u64,
    cpus: usize,
    max_switches: u64,
    before_park: fn(),
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// What the main future returned.
    pub output: T,
    /// Virtual nanoseconds.
    pub time: u64,
    /// How often the CPU changed.
    pub switches: u64,
    /// A digest of all decisions: equal for equal runs.
    pub digest: u64,
}

impl Simulation {
    /// A run of `cpus` virtual CPUs, interleaved by `seed`.
    #[must_use]
    pub const fn new(seed: u64, cpus: usize) -> Simulation {
        Simulation { seed, cpus, max_switches: 10_000_000, before_park: || () }
    }

    /// Fail after so many changes of the CPU: a livelock, most likely.
    #[must_use]
    pub const fn max_switches(self, max_switches: u64) -> Simulation {
        Simulation { max_switches, ..self }
    }

    /// Have each CPU do this before it halts, as a kernel's idle loop might.
    #[must_use]
    pub const fn before_park(self, before_park: fn()) -> Simulation {
        Simulation { before_park, ..self }
    }

    /// Run `main` as the first task, until it has ended. Tasks that are left then are abandoned
    /// where they are: neither polled again nor dropped.
    ///
    /// # Panics
    /// If a task panics, if nothing can happen any more, or after too many switches. The seed is
    /// written to the error output.
    pub fn run<F>(self, main: F) -> Outcome<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let executor = shared::recycled(self.cpus);
        let id = executor.id;
        let machine = Machine::new(executor, self.seed, self.max_switches, self.before_park);
        let slot = Arc::new(Mutex::new(None));
        let output = slot.clone();
        let finished = machine.finished();
        let main = Builder::new().spawn_in(executor, async move {
            let result = main.await;
            *output.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            finished.set();
        });
        main.detach();
        let (time, switches, digest) = machine.run();
        let output = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        // SAFETY: no CPU of this executor runs any more, and nothing here refers to it.
        unsafe { shared::recycle(id) };
        Outcome { output: output.expect("the run ends when main has"), time, switches, digest }
    }
}

/// Have `handler` run as an interrupt handler on `cpu`, `delay` virtual nanoseconds from now, or as
/// soon after as that CPU does anything.
///
/// # Panics
/// Outside of a simulation, or if there is no such CPU.
pub fn interrupt_after(cpu: usize, delay: u64, handler: impl FnOnce() + Send + 'static) {
    Machine::current().schedule(cpu, delay, Box::new(handler));
}

/// Use up virtual time on this CPU, as a long computation or user mode would, taking interrupts
/// meanwhile.
///
/// # Panics
/// Outside of a simulation.
pub fn spend(ns: u64) {
    Machine::current().spend(ns);
}

/// The virtual time, in nanoseconds; looking at it is no place where another CPU goes on.
///
/// # Panics
/// Outside of a simulation.
#[must_use]
pub fn now() -> u64 {
    Machine::current().now()
}

/// A number that the seed decides, below `bound`.
///
/// # Panics
/// Outside of a simulation, or if `bound` is zero.
pub fn random(bound: u64) -> u64 {
    assert!(bound > 0, "there is no number below zero");
    Machine::current().random(bound)
}

/// The number of the virtual CPU that the caller runs on. None outside of a simulation.
#[must_use]
pub fn cpu() -> Option<usize> {
    Machine::here()
}

/// Let others go on, as one must who waits for another CPU by looking again and again.
pub fn relax() {
    if let Some(platform) = SimPlatform::current() {
        platform.relax();
    }
}

/// Whether an interrupt has come to this CPU since this was last asked here, as who enters user mode wants to know.
///
/// # Panics
/// Outside of a simulation.
#[must_use]
pub fn take_interrupted() -> bool {
    Machine::current().take_interrupted()
}

/// Keep interrupts out of this CPU for the length of `body`; those that came meanwhile are taken behind it. Nothing more than
/// `body` outside of a simulation.
pub fn without_interrupts<T>(body: impl FnOnce() -> T) -> T {
    if cpu().is_some() { Machine::current().without_interrupts(body) } else { body() }
}
