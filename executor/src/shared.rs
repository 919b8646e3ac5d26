//! What the CPUs of one executor share, and how it is found.
//!
//! A kernel has one executor. Host programs may have several at a time (each test has its own), so
//! with `std` there is a table of them and every task knows its number.

use crate::idle::Idle;
use crate::platform::hooks;
use crate::primitive::CacheLine;
use crate::queue::{Injector, Line};
use crate::rcu;
use crate::task::TaskRef;
use crate::task::slab::Depot;
use crate::worker::Worker;
use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// An executor's number. Always 0 in a kernel.
pub(crate) type ExecutorId = u16;

/// The most CPUs of an executor: one bit each in one word.
pub(crate) const MAX_CPUS: usize = 64;

#[cfg(any(test, feature = "std"))]
pub(crate) const MAX_EXECUTORS: usize = 1024;
#[cfg(not(any(test, feature = "std")))]
const MAX_EXECUTORS: usize = 1;

static EXECUTORS: [AtomicPtr<Shared>; MAX_EXECUTORS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_EXECUTORS];

/// One executor.
pub(crate) struct Shared {
    pub(crate) id: ExecutorId,
    pub(crate) idle: Idle,
    pub(crate) injector: Injector,
    pub(crate) background: Injector,
    /// Those that use the CPU for long.
    pub(crate) line: CacheLine<Line>,
    pub(crate) slab: Depot,
    pub(crate) rcu: rcu::Domain,
    /// How long a turn lasts when others wait, in nanoseconds.
    pub(crate) slice_ns: AtomicU64,
    workers: Box<[Worker]>,
    ids: AtomicU32,
    /// Cells that were freed on no worker.
    pub(crate) freed: AtomicU32,
}

impl Shared {
    pub(crate) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    #[inline]
    pub(crate) fn cpus(&self) -> usize {
        self.workers.len()
    }

    /// # Panics
    /// If a task is to be pinned to a CPU that does not exist.
    pub(crate) fn check_cpu(&self, cpu: Option<usize>) {
        if let Some(cpu) = cpu {
            assert!(cpu < self.cpus(), "cannot pin a task to CPU {cpu} of {}", self.cpus());
        }
    }

    /// A task number for a spawner that is no worker.
    pub(crate) fn next_id(&self) -> u32 {
        self.ids.fetch_add(1, Relaxed)
    }

    /// How many tasks there are: spawned and not yet freed. Exact while none is spawned or ends.
    pub(crate) fn live_tasks(&self) -> u64 {
        let spawned =
            self.workers.iter().map(Worker::spawns).sum::<u64>() + u64::from(self.ids.load(Relaxed));
        let freed = self.workers.iter().map(Worker::freed).sum::<u64>() + u64::from(self.freed.load(Relaxed));
        // The counts of spawns wrap before those of frees do.
        spawned.wrapping_sub(freed) % (1 << 26)
    }

    /// Queue a task from a thread that is no worker. The caller owns the right to.
    pub(crate) fn push_from_outside(&self, task: TaskRef) {
        let home = usize::from(task.header().cpu.get());
        let kind = task.kind();
        let cpu = if kind.is_pinned() { home } else { self.idle.any_parked(home).unwrap_or(home) };
        self.push_to(cpu, task);
    }

    /// Queue a task for another CPU, or from an interrupt handler for this one. Lock-free and
    /// allocation-free. The target is woken if it sleeps and called back from a long poll if not.
    pub(crate) fn push_to(&self, cpu: usize, task: TaskRef) {
        let target = &self.workers[cpu];
        target.deliver(task);
        if self.idle.claim(cpu) {
            target.unpark();
        } else if target.call_attention() && !target.is_here() {
            // It runs something, perhaps user code: only an interrupt makes that look up.
            target.unpark();
        }
    }

    /// Tasks for any CPU; wakes one if nobody is looking. Task context only.
    pub(crate) fn inject(&self, tasks: impl IntoIterator<Item = TaskRef>) {
        self.injector.push(tasks);
        self.call_helper(0);
    }

    /// A background task that any CPU may run.
    pub(crate) fn push_background(&self, task: TaskRef, near: usize) {
        self.background.push([task]);
        self.call_helper(near);
    }

    /// Wake a sleeper to search, unless somebody searches.
    #[cold]
    pub(crate) fn call_helper(&self, near: usize) {
        if let Some(cpu) = self.idle.claim_helper(near) {
            self.workers[cpu].unpark();
        }
    }
}

/// A place in the table, known to be in it.
#[inline(always)]
fn index(id: ExecutorId) -> usize {
    if MAX_EXECUTORS == 1 { 0 } else { usize::from(id) }
}

/// The executor with this number.
#[inline(always)]
pub(crate) fn executor(id: ExecutorId) -> &'static Shared {
    // Acquire: pairs with the release in `create`.
    let shared = EXECUTORS[index(id)].load(Acquire);
    assert!(!shared.is_null(), "executor::init was not called");
    // SAFETY: entries point to leaked executors.
    unsafe { &*shared }
}

/// The executor of callers that run on no worker.
#[cold]
pub(crate) fn default_executor() -> &'static Shared {
    executor(0)
}

/// Make an executor and enter it into the table.
pub(crate) fn create(cpus: usize) -> &'static Shared {
    assert!((1..=MAX_CPUS).contains(&cpus), "an executor has 1 to {MAX_CPUS} CPUs, not {cpus}");
    let make = |id: usize| {
        let shared = Box::leak(Box::new(Shared {
            id: id as ExecutorId,
            idle: Idle::new(cpus),
            injector: Injector::new(),
            background: Injector::new(),
            line: CacheLine(Line::new()),
            slab: Depot::new(),
            rcu: rcu::Domain::new(),
            slice_ns: AtomicU64::new(DEFAULT_SLICE_NS),
            workers: (0..cpus).map(|cpu| Worker::new(id, cpu)).collect(),
            ids: AtomicU32::new(0),
            freed: AtomicU32::new(0),
        }));
        let pointer: *mut Shared = shared;
        for worker in &shared.workers {
            worker.attach(pointer);
        }
        pointer
    };
    let mut made = ptr::null_mut();
    for (id, entry) in EXECUTORS.iter().enumerate() {
        if !entry.load(Relaxed).is_null() {
            continue;
        }
        made = make(id);
        // Release (in AcqRel) pairs with the acquire in `executor`.
        if entry
            .compare_exchange(ptr::null_mut(), made, core::sync::atomic::Ordering::AcqRel, Relaxed)
            .is_ok()
        {
            // SAFETY: leaked.
            return unsafe { &*made };
        }
        // Another thread took the number; nothing refers to this one yet.
        // SAFETY: made from a Box just now.
        drop(unsafe { Box::from_raw(made) });
    }
    assert!(!made.is_null(), "executor::init was called twice");
    unreachable!("the table of executors is full")
}

/// Executors of ended simulations, ready for the next. They cannot be freed, for wakers live for ever.
#[cfg(all(feature = "sim", not(loom)))]
static ENDED: std::sync::Mutex<std::vec::Vec<ExecutorId>> = std::sync::Mutex::new(std::vec::Vec::new());

/// An executor in its first state, new or from an ended simulation.
#[cfg(all(feature = "sim", not(loom)))]
pub(crate) fn recycled(cpus: usize) -> &'static Shared {
    let mut ended = ENDED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match ended.iter().position(|&id| executor(id).cpus() == cpus) {
        Some(index) => executor(ended.swap_remove(index)),
        None => create(cpus),
    }
}

/// Bring an executor back into its first state, for [`recycled`]. Its cells stay cells; those of
/// tasks that have not ended are lost.
///
/// # Safety
/// No CPU runs it, and there is no reference to it.
#[cfg(all(feature = "sim", not(loom)))]
pub(crate) unsafe fn recycle(id: ExecutorId) {
    let pointer = EXECUTORS[index(id)].load(Acquire);
    // SAFETY: the caller's promise makes this the only reference.
    let shared = unsafe { &mut *pointer };
    for worker in &shared.workers {
        worker.cells().return_all(&shared.slab);
    }
    shared.idle = Idle::new(shared.workers.len());
    shared.injector = Injector::new();
    shared.background = Injector::new();
    shared.line = CacheLine(Line::new());
    shared.rcu = rcu::Domain::new();
    shared.slice_ns = AtomicU64::new(DEFAULT_SLICE_NS);
    shared.ids = AtomicU32::new(0);
    shared.freed = AtomicU32::new(0);
    for (cpu, worker) in shared.workers.iter_mut().enumerate() {
        *worker = Worker::new(usize::from(id), cpu);
        worker.attach(pointer);
    }
    ENDED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(id);
}

const DEFAULT_SLICE_NS: u64 = 4_000_000;

/// Make the executor: one [`Worker`] per CPU, in the order of CPU numbers. Call once, on the boot
/// CPU, before any spawn; then each CPU calls [`Worker::run`] on its own.
///
/// # Panics
/// If called twice, or with a number of CPUs outside of 1 to 64.
pub fn init(cpus: usize) -> &'static [Worker] {
    create(cpus).workers()
}

/// The worker of a CPU of the current executor.
///
/// # Panics
/// Before [`init`], or if there is no such CPU.
#[must_use]
pub fn worker(cpu: usize) -> &'static Worker {
    &current().workers()[cpu]
}

/// The executor of the caller's CPU.
#[inline]
pub(crate) fn current() -> &'static Shared {
    hooks::worker().map_or_else(default_executor, Worker::shared)
}

/// The number of CPUs of the executor.
#[must_use]
pub fn cpus() -> usize {
    current().cpus()
}

/// The CPU that the caller runs on; 0 before its worker runs.
///
/// In task code it holds until the next `.await`.
#[must_use]
#[inline]
pub fn current_cpu() -> usize {
    hooks::worker().map_or(0, Worker::cpu)
}

/// How many CPUs have nothing to do right now: what decides into how many pieces work is cut.
#[must_use]
#[inline]
pub fn idle_cpus() -> usize {
    current().idle.count()
}

/// Wake a CPU that sleeps, if there is one and no other is looking for work: it will search the rings of all.
pub(crate) fn call_for_help() {
    if let Some(worker) = hooks::worker() {
        worker.shared().call_helper(worker.cpu());
    }
}

/// Queue a task that the caller has the right to queue, from wherever it is.
pub(crate) fn enqueue(task: TaskRef) {
    match hooks::worker() {
        Some(worker) => worker.enqueue(task),
        None => task.executor().push_from_outside(task),
    }
}
