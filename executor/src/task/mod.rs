//! Tasks: the cell a future lives in, and the handles that refer to it.
//!
//! ```text
//!   slab cell (64 B … 4 KiB, never given back, so a pointer to it is valid for ever)
//!   ┌───────────────────────────── Header, 48 bytes ──────────────────────────────┬──────────────────┐
//!   │ state: wakes │ link: queue │ vtable │ join: who awaits │ lane,cpu,id │ origin │ future or output │
//!   └─────────────────────────────────────────────────────────────────────────────┴──────────────────┘
//!        ▲                                      ▲
//!        │ TaskRef, Waker: one pointer, Copy    │ JoinHandle: keeps the cell until it is dropped
//! ```
//!
//! A task has no reference count. Its cell belongs to the task until it ends and to the
//! [`JoinHandle`] while there is one; whichever goes last frees it (`join.rs`). Everybody else may
//! hold the pointer as long as they like: the memory stays a task header, so the worst that a
//! forgotten waker can do is to wake the cell's next tenant once more than needed.

mod builder;
mod cell;
mod join;
pub(crate) mod slab;
pub(crate) mod state;
mod waker;

pub use builder::{Builder, Lane, SpawnError, spawn, spawn_on, try_spawn};
pub use cell::Titled;
#[cfg(all(test, loom))]
pub(crate) use join::Ended;
pub use join::{Cancelled, JoinHandle};
pub(crate) use join::{JoinWord, Outcome, settle};
pub(crate) use waker::Wakee;

use crate::platform::hooks;
use crate::shared::{ExecutorId, executor};
use cell::VTable;
use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU32};
use core::task::{Context, Waker};
use state::State;

/// The fixed part of a task's cell.
///
/// `state`, `join`, `link` and `id` are atomics. The rest is written by the spawner before the task
/// is published, and (`cpu`, `origin`, and pinning in `kind`) by whoever polls it; it is read by its poller and by the waker that won
/// the right to enqueue it. The state word orders all of these.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) state: State,
    /// The next in whatever intrusive list this cell is in: inbox, injector, lane or free list.
    pub(crate) link: AtomicPtr<Header>,
    vtable: Cell<*const VTable>,
    join: JoinWord,
    kind: Cell<Kind>,
    /// The CPU that polled it last, or to which it is pinned.
    pub(crate) cpu: Cell<u8>,
    executor: Cell<ExecutorId>,
    id: AtomicU32,
    /// The virtual time at which it had no CPU time yet, or would have had none with the weight that it has now
    /// ([`take_turns`](crate::take_turns)).
    pub(crate) origin: Cell<u64>,
}

/// Lane, pinning, whether the output must be dropped, and the size class, in one byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(u8);

impl Kind {
    const PINNED: u8 = 0b100;
    const DROPS_OUTPUT: u8 = 0b1000;

    #[inline(always)]
    fn new(lane: Lane, pinned: bool, drops_output: bool, class: usize) -> Kind {
        let pinned = if pinned { Self::PINNED } else { 0 };
        let drops_output = if drops_output { Self::DROPS_OUTPUT } else { 0 };
        Kind((class as u8) << 4 | drops_output | pinned | lane as u8)
    }

    /// Neither pinned nor in a special lane: the case that must be fast.
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & 0b111 == Lane::Normal as u8
    }

    #[inline]
    pub(crate) fn lane(self) -> Lane {
        match self.0 & 0b11 {
            0 => Lane::Normal,
            1 => Lane::Driver,
            _ => Lane::Background,
        }
    }

    #[inline]
    pub(crate) fn is_pinned(self) -> bool {
        self.0 & Self::PINNED != 0
    }

    fn with_pinned(self, pinned: bool) -> Kind {
        let bit = if pinned { Self::PINNED } else { 0 };
        Kind(self.0 & !Self::PINNED | bit)
    }

    #[inline(always)]
    fn drops_output(self) -> bool {
        self.0 & Self::DROPS_OUTPUT != 0
    }

    #[inline(always)]
    pub(crate) fn class(self) -> usize {
        usize::from(self.0 >> 4)
    }
}

/// A reference to a task, live or ended: one pointer, `Copy`, valid for ever.
///
/// After the task's end it may refer to the task that got the cell next.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskRef(NonNull<Header>);

// SAFETY: a header is only touched as its documentation says, from any CPU.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// The task that this CPU is polling; `None` outside of polls.
    #[inline]
    #[must_use]
    pub fn current() -> Option<TaskRef> {
        hooks::worker()?.current()
    }

    /// Wake the task: it will be polled again. Callable from everywhere, interrupt handlers
    /// included; takes no lock and allocates nothing.
    ///
    /// What the caller wrote before is seen by that poll.
    #[inline]
    pub fn wake(self) {
        match hooks::worker() {
            Some(worker) => worker.wake(self),
            None => self.wake_from_outside(),
        }
    }

    /// As [`wake`](Self::wake), for one of many that this CPU's worker wakes together.
    pub(crate) fn wake_in_turn(self) {
        match hooks::worker() {
            Some(worker) if self.header().state.wake() => worker.enqueue_in_turn(self),
            Some(_) => {}
            None => self.wake_from_outside(),
        }
    }

    /// A wake by a thread that is no worker (or before the first worker runs).
    #[cold]
    fn wake_from_outside(self) {
        if self.header().state.wake() {
            self.executor().push_from_outside(self);
        }
    }

    /// A standard waker for the task. Costs nothing to make, clone or drop.
    #[must_use]
    pub fn waker(self) -> Waker {
        waker::waker(self)
    }

    /// A number that tells tasks apart, in traces for instance. It wraps after 2³² spawns.
    #[must_use]
    pub fn id(self) -> u64 {
        u64::from(self.header().id.load(Relaxed))
    }

    /// The address of the cell in which the task and its future lie. The cell is never given back, but may be another task's
    /// once this one has ended.
    #[must_use]
    pub fn cell(self) -> usize {
        self.as_ptr().expose_provenance()
    }

    /// The task behind a waker of this crate; `None` for a foreign waker.
    #[inline]
    #[must_use]
    pub fn from_waker(waker: &Waker) -> Option<TaskRef> {
        waker::task(waker)
    }

    /// Whether the task is queued or being polled, as opposed to waiting or ended. A statistic: it may have changed
    /// by the time the caller looks at the answer.
    #[must_use]
    pub fn is_scheduled(self) -> bool {
        self.header().state.is_scheduled()
    }

    #[inline(always)]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: cells are never given back to the allocator and never hold anything else.
        unsafe { self.0.as_ref() }
    }

    /// The pointer as lists and packed words store it.
    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The task at a pointer from [`as_ptr`](Self::as_ptr), if not null.
    ///
    /// # Safety
    /// `pointer` is null or came from `as_ptr`.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr(pointer: *mut Header) -> Option<TaskRef> {
        NonNull::new(pointer).map(TaskRef)
    }

    /// Does the task live in this executor? Only for who may touch the header.
    #[inline(always)]
    pub(crate) fn is_of(&self, executor: ExecutorId) -> bool {
        self.header().executor.get() == executor
    }

    /// The executor that the task lives in. Only for who may touch the header (see [`Header`]).
    pub(crate) fn executor(&self) -> &'static crate::shared::Shared {
        executor(self.header().executor.get())
    }

    /// Lane and pinning. Only for who may touch the header.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Kind {
        self.header().kind.get()
    }

    /// Pin the task to a CPU, or to none. Its poll in progress still ends where it is.
    ///
    /// Only for its poller: the end of the poll hands the header over.
    pub(crate) fn pin(&self, cpu: Option<usize>) {
        let header = self.header();
        header.kind.set(header.kind.get().with_pinned(cpu.is_some()));
        if let Some(cpu) = cpu {
            header.cpu.set(cpu as u8);
        }
    }

    /// Poll the future. `true`: it ended, and its output lies in the cell.
    ///
    /// # Safety
    /// The caller owns the task as its poller, and the task has not ended.
    #[inline(always)]
    pub(crate) unsafe fn poll(&self, cx: &mut Context<'_>) -> bool {
        // SAFETY: the vtable was set at spawn; the rest is the caller's promise.
        unsafe { ((*self.header().vtable.get()).poll)(self.0, cx) }
    }

    /// Drop the future of a cancelled task.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll); the future is gone afterwards.
    pub(crate) unsafe fn drop_future(&self) {
        // SAFETY: as in `poll`.
        unsafe { ((*self.header().vtable.get()).drop_future)(self.0) }
    }

    /// The task's name: what `Builder::name` gave it, or else its future's type.
    ///
    /// # Safety
    /// The caller owns the task as its poller.
    pub(crate) unsafe fn name(&self) -> &'static str {
        // SAFETY: as in `poll`.
        unsafe { ((*self.header().vtable.get()).name)(self.0) }
    }
}

/// A place for a reference to a task, which anybody may read: one word.
#[derive(Default)]
pub struct TaskCell(AtomicPtr<Header>);

impl TaskCell {
    /// A place without a task.
    #[must_use]
    pub const fn empty() -> TaskCell {
        TaskCell(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Put a task in place of the one that is there.
    pub fn set(&self, task: TaskRef) {
        self.0.store(task.as_ptr(), Relaxed);
    }

    /// The task, if there is one. Relaxed here and in [`set`](Self::set): a task's state is ordered by its own word.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<TaskRef> {
        // SAFETY: null, or from a `TaskRef`.
        unsafe { TaskRef::from_ptr(self.0.load(Relaxed)) }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRef({})", self.id())
    }
}
