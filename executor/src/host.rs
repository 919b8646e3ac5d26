//! The host platform: workers are threads, halting is `thread::park`, an IPI is `unpark`.
//!
//! ```ignore
//! let answer = executor::host::block_on(4, async { executor::spawn(async { 42 }).await });
//! ```

use crate::shared::{self, Shared};
use crate::task::JoinHandle;
use crate::worker::Worker;
use crate::{Builder, Platform};
use std::boxed::Box;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// A worker's thread.
struct HostCpu {
    thread: Thread,
    /// The one-shot timer, which the worker itself looks at: while it parks, and every few dozen
    /// polls.
    deadline: AtomicU64,
}

const MAX_HOST_CPUS: usize = shared::MAX_EXECUTORS * shared::MAX_CPUS;
static HOST_CPUS: [AtomicPtr<HostCpu>; MAX_HOST_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_HOST_CPUS];

thread_local! {
    static WORKER: Cell<Option<&'static Worker>> = const { Cell::new(None) };
    static IN_INTERRUPT: Cell<bool> = const { Cell::new(false) };
}

fn host_cpu(name: usize) -> Option<&'static HostCpu> {
    // Acquire pairs with the swap in `register`.
    // SAFETY: null or leaked.
    unsafe { HOST_CPUS[name].load(Acquire).as_ref() }
}

/// The calling thread becomes this worker's CPU.
fn register(worker: &'static Worker) {
    let cpu = HostCpu { thread: thread::current(), deadline: AtomicU64::new(u64::MAX) };
    HOST_CPUS[worker.name()].swap(Box::leak(Box::new(cpu)), AcqRel);
    WORKER.set(Some(worker));
}

/// Run `handler` as an interrupt handler on the calling worker: it may wake, and nothing else. For
/// tests.
pub fn as_interrupt<T>(handler: impl FnOnce() -> T) -> T {
    let nested = IN_INTERRUPT.replace(true);
    let result = handler();
    IN_INTERRUPT.set(nested);
    result
}

/// A point of the standard library's time in the executor's.
#[must_use]
pub fn instant(at: Instant) -> crate::Instant {
    crate::Instant(at.saturating_duration_since(*BOOT).as_nanos() as u64)
}

/// Host threads as a machine.
struct Host;

/// Leave to the simulator what happens inside a simulation.
macro_rules! simulated {
    ($sim:ident => $call:expr) => {
        #[cfg(feature = "sim")]
        if let Some($sim) = crate::sim::SimPlatform::current() {
            return $call;
        }
    };
    (nothing) => {
        #[cfg(feature = "sim")]
        if crate::sim::SimPlatform::current().is_some() {
            return;
        }
    };
}

static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Platform for Host {
    #[inline]
    fn now() -> u64 {
        simulated!(sim => sim.now());
        BOOT.elapsed().as_nanos() as u64
    }

    #[inline]
    fn cycles() -> u64 {
        simulated!(sim => sim.now());
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: every x86-64 processor has it, and it is enabled for user programs.
        let cycles = unsafe { core::arch::x86_64::_rdtsc() };
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let cycles = Self::now();
        cycles
    }

    #[inline(always)]
    fn worker() -> Option<&'static Worker> {
        simulated!(sim => sim.worker());
        WORKER.get()
    }

    #[inline(always)]
    fn in_interrupt() -> bool {
        simulated!(sim => sim.in_interrupt());
        IN_INTERRUPT.get()
    }

    fn park(name: usize, recheck: &mut dyn FnMut() -> bool) {
        simulated!(sim => sim.park(recheck));
        let Some(cpu) = host_cpu(name) else { return };
        if recheck() {
            // A wake since the recheck has left its token, and `park` returns at once.
            match cpu.deadline.load(Relaxed) {
                u64::MAX => thread::park(),
                deadline => {
                    let left = deadline.saturating_sub(Self::now());
                    if left > 0 {
                        thread::park_timeout(Duration::from_nanos(left));
                    }
                }
            }
        }
        Self::tick();
    }

    fn unpark(name: usize) {
        simulated!(sim => sim.unpark(name));
        if let Some(cpu) = host_cpu(name) {
            cpu.thread.unpark();
        }
    }

    fn arm_timer(deadline_ns: Option<u64>) {
        simulated!(sim => sim.arm_timer(deadline_ns));
        if let Some(cpu) = WORKER.get().and_then(|worker| host_cpu(worker.name())) {
            cpu.deadline.store(deadline_ns.unwrap_or(u64::MAX), Relaxed);
        }
    }

    fn tick() {
        // The simulator's timers interrupt.
        simulated!(nothing);
        let Some(worker) = WORKER.get() else { return };
        let Some(cpu) = host_cpu(worker.name()) else { return };
        let deadline = cpu.deadline.load(Relaxed);
        if deadline != u64::MAX && Self::now() >= deadline {
            cpu.deadline.store(u64::MAX, Relaxed);
            worker.on_timer_interrupt();
        }
    }

    fn relax() {
        simulated!(sim => sim.relax());
        core::hint::spin_loop();
        // There may be fewer CPUs than workers, and the one we wait for may not be running.
        thread_local!(static ROUNDS: Cell<u32> = const { Cell::new(0) });
        ROUNDS.set(ROUNDS.get().wrapping_add(1));
        if ROUNDS.get().is_multiple_of(64) {
            thread::yield_now();
        }
    }
}

crate::platform!(Host);

/// An executor on threads of its own. Several may exist at a time.
pub struct Runtime {
    shared: &'static Shared,
    stop: Arc<AtomicBool>,
    failure: Arc<Failure>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// The first panic of a task, and who waits for the outcome.
#[derive(Default)]
struct Failure {
    state: Mutex<Outcome>,
    changed: Condvar,
}

#[derive(Default)]
struct Outcome {
    panic: Option<Box<dyn core::any::Any + Send>>,
    finished: usize,
}

impl Failure {
    fn update(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl Runtime {
    /// Start this many workers, each on a thread.
    ///
    /// # Panics
    /// If the number is not 1 to 64, or the system has no more threads.
    #[must_use]
    pub fn new(workers: usize) -> Runtime {
        LazyLock::force(&BOOT);
        let shared = shared::create(workers);
        let stop = Arc::new(AtomicBool::new(false));
        let failure = Arc::new(Failure::default());
        let ready = Arc::new(std::sync::Barrier::new(workers + 1));
        let threads = shared
            .workers()
            .iter()
            .map(|worker| {
                let (stop, failure, ready) = (stop.clone(), failure.clone(), ready.clone());
                let main = move || {
                    register(worker);
                    ready.wait();
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run_until(&stop))) {
                        failure.update(|outcome| outcome.panic = Some(panic));
                    }
                };
                thread::Builder::new()
                    .name(std::format!("worker {}", worker.cpu()))
                    .spawn(main)
                    .expect("the system has no more threads")
            })
            .collect();
        ready.wait();
        Runtime { shared, stop, failure, threads }
    }

    /// Run `future` as a task, and wait for its output. Other tasks go on as long as the runtime
    /// exists.
    ///
    /// # Panics
    /// If a task panics.
    pub fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let (output, failure) = (slot.clone(), self.failure.clone());
        let before = self.outcome().finished;
        self.spawn(async move {
            let result = future.await;
            *output.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            failure.update(|outcome| outcome.finished += 1);
        })
        .detach();
        let mut outcome = self.outcome();
        loop {
            if let Some(panic) = outcome.panic.take() {
                drop(outcome);
                resume_unwind(panic);
            }
            if outcome.finished != before
                && let Some(result) = slot.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                return result;
            }
            outcome = self.failure.changed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.failure.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawn a task from outside.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Builder::new().spawn_in(self.shared, future)
    }

    /// The worker of a CPU, for tests that play interrupts.
    ///
    /// # Panics
    /// If there is no such CPU.
    #[must_use]
    pub fn worker(&self, cpu: usize) -> &'static Worker {
        &self.shared.workers()[cpu]
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for worker in self.shared.workers() {
            worker.call_attention();
            Host::unpark(worker.name());
        }
        for thread in self.threads.drain(..) {
            // A panic was kept for `block_on`.
            let _ = thread.join();
        }
    }
}

/// Run `future` on a fresh executor with this many workers, and wait for its output.
pub fn block_on<F>(workers: usize, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Runtime::new(workers).block_on(future)
}
