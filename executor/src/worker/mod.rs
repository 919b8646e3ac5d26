//! A worker: one CPU's part of the executor.
//!
//! * `dispatch.rs`: what to poll next, and a poll's beginning and end;
//! * `wake.rs`: where woken and spawned tasks are queued;
//! * `line.rs`: those that use the CPU for long, who stand in line for it;
//! * `search.rs`: stealing, and going to sleep;
//! * `slice.rs`: timers, time slices, and the length of polls;
//! * `bell.rs`: how a busy CPU is told that something happened.

pub(crate) mod bell;
mod dispatch;
mod line;
mod search;
mod slice;
mod wake;

pub use slice::{
    attention, outside, outside_unless_wanted, poll_length, set_time_slice, should_yield, uncounted,
};

use crate::platform::hooks;
use crate::primitive::{AtomicBool, AtomicU64, CacheLine};
use crate::queue::{Fifo, Inbox, Order, Place, Ring};
use crate::rcu;
use crate::shared::Shared;
use crate::stats::Counters;
use crate::sync::SpinMutex;
use crate::task::slab::Cells;
use crate::task::{Header, TaskRef};
use crate::time::Wheel;
use crate::trace::TraceRing;
use bell::Bell;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering::{Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32};

/// One CPU's part of the executor. Made by [`init`](crate::init), run by [`Worker::run`].
#[repr(C)]
pub struct Worker {
    /// Touched only by this CPU, in task context (its interrupt handlers read `current`).
    own: CacheLine<Own>,
    /// Written by other CPUs and by interrupt handlers.
    door: CacheLine<Door>,
    ring: Ring<Header>,
    pub(crate) wheel: CacheLine<SpinMutex<Wheel>>,
    pub(crate) counters: CacheLine<Counters>,
    pub(crate) trace: TraceRing,
    pub(crate) rcu: rcu::Local,
    shared: AtomicPtr<Shared>,
    cpu: usize,
    /// The CPU as the platform's hooks name it: the CPU number, on the host with the executor's
    /// number above it.
    name: usize,
}

// SAFETY: `own` is touched only by the CPU whose worker this is; the rest is atomics and locks.
unsafe impl Sync for Worker {}
// SAFETY: as above.
unsafe impl Send for Worker {}

struct Own {
    /// The task being polled.
    current: Cell<*mut Header>,
    /// The running task woke itself: it yields.
    self_woken: Cell<bool>,
    /// Where the running task, which woke itself, will stand in line; null if it only yields.
    standing: Cell<*const Place>,
    /// What the running task woke last: it runs next, on a warm cache.
    lifo: Cell<*mut Header>,
    /// How often in a row the LIFO slot went first.
    streak: Cell<u8>,
    /// How many more times leaf futures may be ready in this poll.
    budget: Cell<u32>,
    /// The next one may be though there is no budget left.
    grace: Cell<bool>,
    /// The number of the next task spawned here: CPU numbers modulo 64 keep CPUs apart.
    next_id: AtomicU32,
    /// How many cells of ended tasks were freed here.
    freed: AtomicU32,
    /// How many wait in the next two lists; one more if it is the line's turn.
    specials: Cell<usize>,
    drivers: Fifo,
    /// Pinned tasks of the normal lane, which must not get into the ring.
    pinned: Fifo,
    /// Pinned tasks of the background lane.
    background: Fifo,
    /// Pinned tasks that stand in line.
    line: Order,
    /// How far that line's times are behind those of the line of all CPUs.
    lag: Cell<u64>,
    /// Whoever is first in line goes before those that were woken.
    line_turn: Cell<bool>,
    /// The last slice was the line's, and others waited.
    had_turn: Cell<bool>,
    cells: Cells,
    rng: Cell<u32>,
    /// The number of the last poll that asked whether it has gone on for long, and the cycle when it
    /// first did.
    asking_poll: Cell<u64>,
    asked_at: Cell<u64>,
    /// When the time slice that is armed ends.
    slice_end: Cell<u64>,
    /// What was left of the last one when the CPU went to sleep; `u64::MAX`: it ended before.
    slice_left: Cell<u64>,
    /// Cycles when the running poll began or came back from outside, later by what does not count; 0 if that was not
    /// measured. This CPU's interrupt handlers read and move it, too; relaxed.
    stretch_began: AtomicU64,
    /// Taken when the poll begins: a future that ends takes its name with it.
    poll_name: Cell<&'static str>,
}

struct Door {
    /// Rings when something happened that the running poll should make way for.
    bell: Bell,
    /// What is measured: bit 0 poll lengths, bit 1 the trace.
    instruments: AtomicU8,
    timer_fired: AtomicBool,
    /// The hardware timer fires before or when a time slice ends.
    slice_armed: AtomicBool,
    slice_over: AtomicBool,
    /// What the hardware timer is set to; `u64::MAX`: nothing.
    armed: AtomicU64,
    inbox: Inbox<TaskRef>,
    /// Like the inbox, for what nobody may steal.
    pinned_inbox: Inbox<TaskRef>,
}

/// Leaf futures that may be ready in one poll before it has to yield.
const BUDGET: u32 = 256;
/// How often in a row the LIFO slot may go first. The time slice is what limits chains of wakes among
/// user threads; this limits those that never ask for one.
const LIFO_STREAK: u8 = 64;
/// Every so many polls the worker looks at what has no bell: injector, pinned tasks, clock, RCU.
const MAINTENANCE: u64 = 64;

impl Worker {
    pub(crate) fn new(executor: usize, cpu: usize) -> Worker {
        Worker {
            own: CacheLine(Own {
                current: Cell::new(ptr::null_mut()),
                self_woken: Cell::new(false),
                standing: Cell::new(ptr::null()),
                lifo: Cell::new(ptr::null_mut()),
                streak: Cell::new(0),
                budget: Cell::new(BUDGET),
                grace: Cell::new(false),
                next_id: AtomicU32::new(cpu as u32 + crate::shared::MAX_CPUS as u32),
                freed: AtomicU32::new(0),
                specials: Cell::new(0),
                drivers: Fifo::new(),
                pinned: Fifo::new(),
                background: Fifo::new(),
                line: Order::new(),
                lag: Cell::new(0),
                line_turn: Cell::new(false),
                had_turn: Cell::new(false),
                cells: Cells::new(),
                rng: Cell::new(0x9e37_79b9 ^ (cpu as u32 + 1).wrapping_mul(0x85eb_ca6b)),
                asking_poll: Cell::new(u64::MAX),
                asked_at: Cell::new(0),
                slice_end: Cell::new(0),
                slice_left: Cell::new(u64::MAX),
                stretch_began: AtomicU64::new(0),
                poll_name: Cell::new(""),
            }),
            door: CacheLine(Door {
                bell: Bell::new(),
                instruments: AtomicU8::new(0),
                timer_fired: AtomicBool::new(false),
                slice_armed: AtomicBool::new(false),
                slice_over: AtomicBool::new(false),
                armed: AtomicU64::new(u64::MAX),
                inbox: Inbox::new(),
                pinned_inbox: Inbox::new(),
            }),
            ring: Ring::new(),
            wheel: CacheLine(SpinMutex::new(Wheel::new())),
            counters: CacheLine(Counters::new()),
            trace: TraceRing::new(),
            rcu: rcu::Local::new(),
            shared: AtomicPtr::new(ptr::null_mut()),
            cpu,
            name: executor * crate::shared::MAX_CPUS + cpu,
        }
    }

    /// Tie the worker to its executor, once, before anything else.
    pub(crate) fn attach(&self, shared: *mut Shared) {
        self.shared.store(shared, Release);
    }

    /// The CPU that this worker is for.
    #[inline(always)]
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    #[inline(always)]
    pub(crate) fn shared(&self) -> &'static Shared {
        // Relaxed: whoever got to a worker got to it through the executor, which was published.
        // SAFETY: set by `attach` before the worker is reachable; executors are leaked.
        unsafe { &*self.shared.load(Relaxed) }
    }

    #[inline(always)]
    pub(crate) fn cells(&self) -> &Cells {
        &self.own.cells
    }

    /// The task being polled here.
    #[inline(always)]
    pub(crate) fn current(&self) -> Option<TaskRef> {
        // SAFETY: null or a task's pointer.
        unsafe { TaskRef::from_ptr(self.own.current.get()) }
    }

    /// The CPU as the platform's hooks name it.
    #[cfg(all(any(test, feature = "std"), not(loom)))]
    pub(crate) fn name(&self) -> usize {
        self.name
    }

    /// Panic if a task is to be pinned to a CPU that does not exist.
    pub(crate) fn check_cpu(&self, cpu: Option<usize>) {
        self.shared().check_cpu(cpu);
    }

    /// Is this the worker of the calling CPU?
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        hooks::worker().is_some_and(|here| ptr::eq(here, self))
    }

    /// A task number no other CPU gives.
    #[inline(always)]
    pub(crate) fn next_id(&self) -> u32 {
        let id = self.own.next_id.load(Relaxed);
        self.own.next_id.store(id.wrapping_add(crate::shared::MAX_CPUS as u32), Relaxed);
        id
    }

    /// The cell of an ended task is freed here.
    #[inline(always)]
    pub(crate) fn count_freed(&self) {
        self.own.freed.store(self.own.freed.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How many cells of ended tasks were freed here, modulo 2³².
    pub(crate) fn freed(&self) -> u64 {
        u64::from(self.own.freed.load(Relaxed))
    }

    /// How many tasks were spawned here, modulo 2²⁶.
    pub(crate) fn spawns(&self) -> u64 {
        u64::from(self.own.next_id.load(Relaxed) / crate::shared::MAX_CPUS as u32 - 1)
    }

    /// Nothing is queued that this CPU would run next by itself.
    #[inline(always)]
    fn is_bare(&self) -> bool {
        self.own.lifo.get().addr() | self.own.specials.get() | self.ring.difference() == 0
    }

    /// A small pseudo-random number, for the order in which victims are visited.
    fn random(&self) -> u32 {
        let mut x = self.own.rng.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.own.rng.set(x);
        x
    }
}
