//! The simulated machine: CPUs as coroutines, a clock, timers, interrupts, and who runs next.

use crate::shared::Shared;
use crate::worker::Worker;
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;
use std::thread_local;
use std::vec::Vec;

type Handler = Box<dyn FnOnce() + Send>;

/// The turn of a CPU is on average so many points long.
const MEAN_TURN: u64 = 12;
/// What an access to shared memory takes, in virtual nanoseconds.
const POINT_NS: u64 = 5;
/// The longest time that passes at once on a CPU which is busy with itself.
const GRAIN_NS: u64 = 500;
/// How far the clocks of CPUs may be apart when one is chosen to go on.
const WINDOW_NS: u64 = 1_000;

thread_local! {
    /// The machine that this thread simulates at the moment.
    static MACHINE: Cell<*const Machine> = const { Cell::new(ptr::null()) };
}

/// Set when the main future has ended.
#[derive(Clone)]
pub(super) struct Finished(Arc<AtomicBool>);

impl Finished {
    pub(super) fn set(&self) {
        self.0.store(true, SeqCst);
    }
}

struct Cpu {
    worker: &'static Worker,
    /// Its own time; see [`Machine::choose`].
    clock: Cell<u64>,
    /// How its coroutine gives the thread away; null while it does not run.
    yielder: Cell<*const Yielder<(), ()>>,
    in_interrupt: Cell<bool>,
    interrupts_off: Cell<bool>,
    /// Whether an interrupt has come since somebody last asked.
    interrupted: Cell<bool>,
    parked: Cell<bool>,
    ended: Cell<bool>,
    timer: Cell<Option<u64>>,
    /// When another CPU interrupted it.
    wake: Cell<Option<u64>>,
    /// Device interrupts by time; the number keeps those of one time in order.
    devices: RefCell<BTreeMap<(u64, u64), Handler>>,
}

impl Cpu {
    /// Is there an interrupt to be taken?
    fn is_interrupted(&self) -> bool {
        self.next_event().is_some_and(|time| time <= self.clock.get())
    }

    /// When there will be one, as far as is known.
    fn next_event(&self) -> Option<u64> {
        let device = self.devices.borrow().first_key_value().map(|(&(time, _), _)| time);
        [self.wake.get(), self.timer.get(), device].into_iter().flatten().min()
    }

    /// When it can go on; `None`: not as long as nothing happens to it.
    fn ready_at(&self) -> Option<u64> {
        if self.ended.get() {
            None
        } else if self.parked.get() {
            self.next_event().map(|time| time.max(self.clock.get()))
        } else {
            Some(self.clock.get())
        }
    }

    fn spend(&self, ns: u64) {
        self.clock.set(self.clock.get() + ns);
    }
}

pub(super) struct Machine {
    cpus: Vec<Cpu>,
    current: Cell<usize>,
    /// The latest time that anybody has read.
    now: Cell<u64>,
    rng: Cell<u64>,
    seed: u64,
    /// Points until the CPU changes.
    fuel: Cell<u64>,
    switches: Cell<u64>,
    max_switches: u64,
    digest: Cell<u64>,
    scheduled: Cell<u64>,
    /// Nothing happens at points for the moment.
    undisturbed: Cell<bool>,
    /// What each CPU does before it halts.
    before_park: fn(),
    finished: Arc<AtomicBool>,
}

impl Machine {
    pub(super) fn new(executor: &'static Shared, seed: u64, max_switches: u64, before_park: fn()) -> Machine {
        let cpu = |worker| Cpu {
            worker,
            clock: Cell::new(0),
            yielder: Cell::new(ptr::null()),
            in_interrupt: Cell::new(false),
            interrupts_off: Cell::new(false),
            interrupted: Cell::new(false),
            parked: Cell::new(false),
            ended: Cell::new(false),
            timer: Cell::new(None),
            wake: Cell::new(None),
            devices: RefCell::new(BTreeMap::new()),
        };
        Machine {
            cpus: executor.workers().iter().map(cpu).collect(),
            current: Cell::new(0),
            now: Cell::new(0),
            // Neighbouring seeds must not give similar runs.
            rng: Cell::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            seed,
            fuel: Cell::new(0),
            switches: Cell::new(0),
            max_switches,
            digest: Cell::new(0xcbf2_9ce4_8422_2325),
            scheduled: Cell::new(0),
            undisturbed: Cell::new(false),
            before_park,
            finished: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The machine of the calling thread.
    pub(super) fn current() -> &'static Machine {
        Self::try_current().expect("outside of a simulation")
    }

    fn try_current() -> Option<&'static Machine> {
        // SAFETY: set for the duration of `run` only; the reference is used while that lasts.
        unsafe { MACHINE.get().as_ref() }
    }

    pub(super) fn finished(&self) -> Finished {
        Finished(self.finished.clone())
    }

    /// The time: that of the current CPU, but never earlier than any CPU has read before.
    pub(super) fn now(&self) -> u64 {
        self.now.set(self.now.get().max(self.cpu().clock.get()));
        self.now.get()
    }

    /// Use up this CPU's time, taking interrupts as they come and giving others their turn.
    pub(super) fn spend(&self, ns: u64) {
        let mut left = ns;
        while left > 0 {
            // Not past the next interrupt, and not so long that others fall behind unseen.
            let cpu = self.cpu();
            let event = cpu.next_event().map_or(u64::MAX, |time| time.saturating_sub(cpu.clock.get()));
            let step = left.min(GRAIN_NS).min(event.max(1));
            cpu.spend(step);
            left -= step;
            self.step();
        }
    }

    /// xorshift64*.
    pub(super) fn random(&self, bound: u64) -> u64 {
        let mut x = self.rng.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.rng.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(super) fn schedule(&self, cpu: usize, delay: u64, handler: Handler) {
        let number = self.scheduled.replace(self.scheduled.get() + 1);
        let time = self.now() + delay;
        self.cpus[cpu].devices.borrow_mut().insert((time, number), handler);
    }

    fn cpu(&self) -> &Cpu {
        &self.cpus[self.current.get()]
    }

    /// The number of the virtual CPU that the caller runs on; none while the scheduler sets up, and outside.
    pub(super) fn here() -> Option<usize> {
        let machine = Self::try_current()?;
        (!machine.cpu().yielder.get().is_null()).then(|| machine.current.get())
    }

    /// Whether an interrupt has come to this CPU since this was last asked.
    pub(super) fn take_interrupted(&self) -> bool {
        self.cpu().interrupted.replace(false)
    }

    /// Keeps interrupts out for the length of `body`.
    pub(super) fn without_interrupts<T>(&self, body: impl FnOnce() -> T) -> T {
        let before = self.cpu().interrupts_off.replace(true);
        let result = body();
        // The same CPU: a coroutine stays on it.
        self.cpu().interrupts_off.set(before);
        if !before && Self::here().is_some() {
            self.take_interrupts();
        }
        result
    }

    /// One access: time passes, interrupts come, perhaps another CPU goes on.
    fn step(&self) {
        let cpu = self.cpu();
        if cpu.yielder.get().is_null() || self.undisturbed.get() {
            // The scheduler itself, setting up.
            return;
        }
        cpu.spend(POINT_NS);
        self.take_interrupts();
        let fuel = self.fuel.get();
        if fuel == 0 {
            self.give_way();
        } else {
            self.fuel.set(fuel - 1);
        }
    }

    /// Handle what is pending on the current CPU, unless it is in a handler or has interrupts off.
    fn take_interrupts(&self) {
        let cpu = self.cpu();
        if cpu.in_interrupt.get() || cpu.interrupts_off.get() {
            return;
        }
        while cpu.is_interrupted() {
            cpu.in_interrupt.set(true);
            cpu.interrupted.set(true);
            let now = cpu.clock.get();
            if cpu.wake.get().is_some_and(|time| time <= now) {
                cpu.wake.set(None);
                cpu.worker.on_wake_interrupt();
            } else if cpu.timer.get().is_some_and(|deadline| deadline <= now) {
                cpu.timer.set(None);
                cpu.worker.on_timer_interrupt();
            } else {
                let device = cpu.devices.borrow_mut().pop_first();
                if let Some((_, handler)) = device {
                    handler();
                }
            }
            cpu.in_interrupt.set(false);
        }
    }

    /// Back to the scheduler; returns when this CPU is chosen again.
    fn give_way(&self) {
        let yielder = self.cpu().yielder.get();
        // SAFETY: the current CPU's coroutine is running, so its yielder is alive.
        unsafe { (*yielder).suspend(()) };
    }

    /// Run until main has ended: virtual time, number of switches, digest.
    pub(super) fn run(self) -> (u64, u64, u64) {
        let _active = Active::enter(&self);
        // Suspended coroutines own frames of the executor; after a failure they are left as they are.
        let mut coroutines: Vec<_> = (0..self.cpus.len())
            .map(|index| {
                let machine: *const Machine = &raw const self;
                ManuallyDrop::new(Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
                    // SAFETY: the machine outlives the loop below, in which the coroutine runs.
                    let machine = unsafe { &*machine };
                    let cpu = &machine.cpus[index];
                    cpu.yielder.set(yielder);
                    cpu.worker.run_until(&machine.finished);
                    cpu.ended.set(true);
                }))
            })
            .collect();
        loop {
            if self.finished.load(SeqCst) {
                // Whoever sleeps or polls has to see that it is over.
                for cpu in &self.cpus {
                    cpu.wake.set(Some(0));
                    // No CPU is running that could make way.
                    undisturbed(|| cpu.worker.call_attention());
                }
            }
            let Some(index) = self.choose() else { break };
            self.switches.set(self.switches.get() + 1);
            assert!(
                self.switches.get() <= self.max_switches,
                "the simulation does not end; its time is {} ns",
                self.now.get()
            );
            self.current.set(index);
            self.fuel.set(self.random(2 * MEAN_TURN));
            let clock = self.cpu().clock.get();
            let mix = (self.digest.get() ^ index as u64 ^ clock << 8).wrapping_mul(0x0100_0000_01b3);
            self.digest.set(mix);
            match coroutines[index].resume(()) {
                CoroutineResult::Yield(()) => {}
                CoroutineResult::Return(()) => {
                    // SAFETY: ended, so there are no frames; it is not resumed again.
                    unsafe { ManuallyDrop::drop(&mut coroutines[index]) };
                }
            }
        }
        (self.now.get(), self.switches.get(), self.digest.get())
    }

    /// Who goes on: one of those that are furthest behind in time, so that all CPUs' clocks go
    /// together and virtual time passes on all at once. `None` when all have ended.
    fn choose(&self) -> Option<usize> {
        if self.cpus.iter().all(|cpu| cpu.ended.get()) {
            return None;
        }
        let ready = |index: &usize| self.cpus[*index].ready_at();
        let first = (0..self.cpus.len()).filter_map(|index| ready(&index)).min();
        let first = first.expect("all CPUs sleep, and nothing will ever wake them");
        let able: Vec<usize> = (0..self.cpus.len())
            .filter(|index| ready(index).is_some_and(|time| time <= first + WINDOW_NS))
            .collect();
        let index = able[self.random(able.len() as u64) as usize];
        let cpu = &self.cpus[index];
        if let Some(time) = cpu.ready_at() {
            cpu.clock.set(time);
        }
        Some(index)
    }
}

/// The thread simulates this machine while it lives.
struct Active {
    seed: u64,
}

impl Active {
    fn enter(machine: &Machine) -> Active {
        assert!(MACHINE.get().is_null(), "a simulation inside a simulation");
        MACHINE.set(machine);
        Active { seed: machine.seed }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        MACHINE.set(ptr::null());
        if std::thread::panicking() {
            std::eprintln!("the simulation with seed {} failed", self.seed);
        }
    }
}

/// A place where another CPU may go on. Nothing outside of simulations.
#[inline]
pub fn point() {
    if let Some(machine) = Machine::try_current() {
        machine.step();
    }
}

/// Do something that must not depend on the seed, nor the run on it: how the slab gets its cells is
/// different in the second run of a process, and the run must not be.
pub(crate) fn undisturbed<T>(action: impl FnOnce() -> T) -> T {
    let machine = Machine::try_current();
    let before = machine.is_some_and(|machine| machine.undisturbed.replace(true));
    let result = action();
    if let Some(machine) = machine {
        machine.undisturbed.set(before);
    }
    result
}

/// The simulated machine as the host platform sees it; `None` outside of simulations.
pub(crate) struct SimPlatform(&'static Machine);

impl SimPlatform {
    #[inline]
    pub(crate) fn current() -> Option<SimPlatform> {
        Machine::try_current().map(SimPlatform)
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.step();
        self.0.now()
    }

    /// The worker of the virtual CPU; none while the scheduler sets up.
    pub(crate) fn worker(&self) -> Option<&'static Worker> {
        let cpu = self.0.cpu();
        (!cpu.yielder.get().is_null()).then_some(cpu.worker)
    }

    pub(crate) fn in_interrupt(&self) -> bool {
        self.0.cpu().in_interrupt.get()
    }

    pub(crate) fn park(&self, recheck: &mut dyn FnMut() -> bool) {
        (self.0.before_park)();
        let cpu = self.0.cpu();
        cpu.interrupts_off.set(true);
        if recheck() {
            cpu.parked.set(true);
            // Chosen again when there is an interrupt, which is taken below.
            self.0.give_way();
            cpu.parked.set(false);
        }
        cpu.interrupts_off.set(false);
        self.0.take_interrupts();
    }

    pub(crate) fn unpark(&self, name: usize) {
        if let Some(cpu) = self.0.cpus.iter().find(|cpu| cpu.worker.name() == name) {
            cpu.wake.set(Some(self.0.now()));
        }
        self.0.step();
    }

    pub(crate) fn arm_timer(&self, deadline: Option<u64>) {
        self.0.cpu().timer.set(deadline);
    }

    /// Whoever waits for a lock cannot go on before another CPU has.
    pub(crate) fn relax(&self) {
        self.0.cpu().spend(POINT_NS);
        self.0.take_interrupts();
        if !self.0.cpu().yielder.get().is_null() {
            self.0.give_way();
        }
    }
}
