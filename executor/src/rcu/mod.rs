//! Read-copy-update, for free: a poll boundary is a quiescent state.
//!
//! Readers announce nothing. They hold a [`ReadGuard`], which is `!Send` and so cannot live across
//! `.await`; hence at every poll boundary of a CPU no reader there holds anything. What was taken out
//! of a shared structure is freed when every CPU has passed a boundary since.
//!
//! ```text
//!   updater: unpublish, grace += 1 ──► 7            frees what it unpublished
//!                                       ┆                  ▲
//!   CPU 0:  ──poll──┃──poll─────────────┃──poll── seen = 7 │
//!   CPU 1:  ──poll────────┃──user mode──┃──────── seen = 7 ┤  all seen ≥ 7, or asleep
//!   CPU 2:  ──asleep───────────────────────────── asleep   ┘
//! ```
//!
//! A boundary copies the domain's grace number into the CPU's `seen`: a load-acquire, so that the
//! CPU's later reads see what was unpublished before that number, and a store-release, so that its
//! earlier reads are over. No fences, no read-modify-writes. A CPU that sleeps counts as having
//! passed (both sides fence around that look); one that stays in user mode for long is called back.

mod grace;

pub(crate) use grace::{Grace, Passed};

use crate::boxed::try_box;
use crate::platform::hooks;
use crate::primitive::{AtomicBool, AtomicPtr, AtomicU64};
use crate::shared::{self, Shared};
use crate::sync::{SpinMutex, WaitQueue, oneshot};
use crate::worker::Worker;
use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A sleeping CPU looks again after this long whether its frees may happen.
const RETRY_NS: u64 = 1_000_000;
/// A CPU that passes no boundary for this long is interrupted.
const PATIENCE_NS: u64 = 5_000_000;

/// Shared by the CPUs of an executor.
pub(crate) struct Domain {
    grace: Grace,
    /// What was deferred by callers that run on no worker.
    orphans: SpinMutex<List>,
    has_orphans: AtomicBool,
    /// Woken when a CPU has freed something: for [`barrier`].
    freed: WaitQueue,
}

impl Domain {
    pub(crate) fn new() -> Domain {
        Domain {
            grace: Grace::new(),
            orphans: SpinMutex::new(List::EMPTY),
            has_orphans: AtomicBool::new(false),
            freed: WaitQueue::new(),
        }
    }
}

/// A CPU's part.
pub(crate) struct Local {
    passed: Passed,
    /// Deferred, waiting for the next grace period. This and all below: owner only.
    next: Cell<List>,
    /// Waiting for the grace period `target`, which began at `began` (nanoseconds).
    waiting: Cell<List>,
    target: Cell<u64>,
    began: Cell<u64>,
    /// How much was ever deferred here, and how much of it is freed. Written by the owner only.
    deferred: AtomicU64,
    freed: AtomicU64,
    /// Read guards alive on this CPU.
    #[cfg(debug_assertions)]
    guards: Cell<u32>,
}

impl Local {
    pub(crate) fn new() -> Local {
        Local {
            passed: Passed::new(),
            next: Cell::new(List::EMPTY),
            waiting: Cell::new(List::EMPTY),
            target: Cell::new(0),
            began: Cell::new(0),
            deferred: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            #[cfg(debug_assertions)]
            guards: Cell::new(0),
        }
    }

    /// This CPU's worker begins to run.
    pub(crate) fn start(&self) {
        self.passed.start();
    }

    /// A boundary.
    #[inline(always)]
    pub(crate) fn pass(&self, domain: &Domain) {
        self.passed.pass(&domain.grace);
    }

    /// When this CPU must look at its deferred frees again, if there are any.
    pub(crate) fn next_try(&self) -> Option<u64> {
        let idle = self.waiting.get().is_empty() && self.next.get().is_empty();
        (!idle).then(|| hooks::now() + RETRY_NS)
    }

    /// Free what has become free, and begin a grace period for what has come since. By the owner, at
    /// a boundary.
    pub(crate) fn reclaim(&self, worker: &Worker) {
        let shared = worker.shared();
        let domain = &shared.rcu;
        if domain.has_orphans.load(Relaxed) {
            self.adopt(domain);
        }
        if self.waiting.get().is_empty() {
            if self.next.get().is_empty() {
                return;
            }
            self.waiting.set(self.next.replace(List::EMPTY));
            self.target.set(domain.grace.begin());
            self.began.set(hooks::now());
        }
        domain.grace.before_look();
        self.pass(domain);
        if self.all_passed(shared, worker) {
            let count = self.waiting.replace(List::EMPTY).run();
            // Release: whoever reads the count in `barrier` finds these freed.
            self.freed.store(self.freed.load(Relaxed) + count, Release);
            domain.freed.wake_all();
        }
    }

    /// Put something on the list for the next grace period.
    fn push(&self, head: NonNull<Head>) {
        let mut list = self.next.get();
        list.push(head);
        self.next.set(list);
        // Relaxed: `barrier` speaks of what its caller knows to be deferred.
        self.deferred.store(self.deferred.load(Relaxed) + 1, Relaxed);
    }

    /// Take over what callers without a worker have deferred.
    #[cold]
    fn adopt(&self, domain: &Domain) {
        let mut orphans = domain.orphans.lock();
        let mut list = core::mem::replace(&mut *orphans, List::EMPTY);
        while let Some(head) = list.pop() {
            self.push(head);
        }
        // Under the lock, and after they were counted here, for `barrier`.
        domain.has_orphans.store(false, Release);
    }

    fn all_passed(&self, shared: &Shared, worker: &Worker) -> bool {
        let target = self.target.get();
        let late = hooks::now().saturating_sub(self.began.get()) > PATIENCE_NS;
        let mut all = true;
        for other in shared.workers() {
            if !other.rcu.passed.has_passed(target, || shared.idle.is_parked(other.cpu())) {
                all = false;
                if late && !ptr::eq(other, worker) && other.call_attention() {
                    other.unpark();
                }
            }
        }
        if late {
            self.began.set(hooks::now());
        }
        all
    }
}

/// Something to be freed: intrusive, so that deferring never needs memory.
#[repr(C)]
struct Head {
    next: Cell<*const Head>,
    /// Frees the whole object, whose first field this is.
    free: unsafe fn(NonNull<Head>),
}

/// A chain of things to be freed.
#[derive(Clone, Copy)]
struct List {
    first: *const Head,
}

// SAFETY: what is deferred is Send.
unsafe impl Send for List {}

impl List {
    const EMPTY: List = List { first: ptr::null() };

    fn is_empty(self) -> bool {
        self.first.is_null()
    }

    fn push(&mut self, head: NonNull<Head>) {
        // SAFETY: the head is alive until `run`.
        unsafe { head.as_ref() }.next.set(self.first);
        self.first = head.as_ptr();
    }

    fn pop(&mut self) -> Option<NonNull<Head>> {
        let head = NonNull::new(self.first.cast_mut())?;
        // SAFETY: alive until `run`.
        self.first = unsafe { head.as_ref() }.next.get();
        Some(head)
    }

    /// Frees all; says how many there were.
    fn run(mut self) -> u64 {
        let mut count = 0;
        while let Some(head) = self.pop() {
            // SAFETY: alive until its `free` is called, once, here.
            unsafe { (head.as_ref().free)(head) };
            count += 1;
        }
        count
    }
}

fn defer_head(head: NonNull<Head>) {
    debug_assert!(!hooks::in_interrupt(), "an interrupt handler must not free");
    match hooks::worker() {
        Some(worker) => {
            let rcu = &worker.rcu;
            if rcu.next_try().is_none() {
                // The first in a while. A CPU that runs one long poll looks here when the timer
                // says so; one that is less busy looks sooner.
                worker.arm_before(hooks::now() + RETRY_NS);
            }
            rcu.push(head);
        }
        None => {
            let domain = &shared::default_executor().rcu;
            let mut orphans = domain.orphans.lock();
            orphans.push(head);
            domain.has_orphans.store(true, Relaxed);
        }
    }
}

/// Proof that this CPU will not pass a boundary: what RCU protects stays while it lives.
///
/// `!Send`, so a task cannot hold it across `.await`. Costs nothing.
#[must_use = "the protection ends when the guard is dropped"]
pub struct ReadGuard {
    _not_send: PhantomData<*const ()>,
}

/// Begin to read. Task context only.
#[inline(always)]
pub fn read() -> ReadGuard {
    #[cfg(debug_assertions)]
    if let Some(worker) = hooks::worker() {
        assert!(!hooks::in_interrupt(), "an interrupt handler must not read under RCU");
        worker.rcu.guards.set(worker.rcu.guards.get() + 1);
    }
    ReadGuard { _not_send: PhantomData }
}

#[cfg(debug_assertions)]
impl Drop for ReadGuard {
    fn drop(&mut self) {
        if let Some(worker) = hooks::worker() {
            worker.rcu.guards.set(worker.rcu.guards.get() - 1);
        }
    }
}

/// A boundary inside a poll while a guard lives would be a use after free.
#[inline(always)]
pub(crate) fn assert_no_guard() {
    #[cfg(debug_assertions)]
    if let Some(worker) = hooks::worker() {
        assert_eq!(worker.rcu.guards.get(), 0, "a quiescent state inside an RCU read section");
    }
}

#[repr(C)]
struct Deferred<F> {
    head: Head,
    run: F,
}

/// Call `run` after all readers that are reading now are done. One allocation.
///
/// It is called by this CPU's worker, in task context and outside of polls.
pub fn defer<F: FnOnce() + Send + 'static>(run: F) {
    unsafe fn call<F: FnOnce()>(head: NonNull<Head>) {
        // SAFETY: the head is the first field of a box leaked below.
        let deferred = unsafe { Box::from_raw(head.cast::<Deferred<F>>().as_ptr()) };
        (deferred.run)();
    }
    let head = Head { next: Cell::new(ptr::null()), free: call::<F> };
    let deferred = Box::into_raw(Box::new(Deferred { head, run }));
    // SAFETY: a box is not null.
    defer_head(unsafe { NonNull::new_unchecked(deferred.cast()) });
}

/// Drop `value` after all readers that are reading now are done. One allocation.
pub fn defer_drop<T: Send + 'static>(value: T) {
    defer(move || drop(value));
}

/// Wait until all readers that are reading now are done.
pub async fn synchronize() {
    let (done, wait) = oneshot::channel();
    defer(move || {
        let _ = done.send(());
    });
    // Only fails if the executor is torn down before, and then nobody reads.
    let _ = wait.await;
}

/// Wait until all that was deferred before, on whichever CPU, is done. What that defers in turn is
/// not waited for. Needs no memory, so whoever is out of it can wait for what is coming back.
pub async fn barrier() {
    let shared = hooks::worker().map_or_else(shared::default_executor, Worker::shared);
    let domain = &shared.rcu;
    // Acquire: adopted, and counted by the adopter.
    let adopted = || (!domain.has_orphans.load(Acquire)).then_some(());
    domain.freed.wait_until(adopted).await;
    // One after the other: what a later one defers meanwhile only makes the wait longer.
    for worker in shared.workers() {
        let target = worker.rcu.deferred.load(Relaxed);
        let freed = &worker.rcu.freed;
        // Acquire: see `reclaim`.
        domain.freed.wait_until(|| (freed.load(Acquire) >= target).then_some(())).await;
    }
}

/// A value with room for what queues it for its end, so that [`retire`] needs no memory.
#[repr(C)]
pub struct Linked<T> {
    head: Head,
    value: T,
}

// SAFETY: the head is only used by whoever owns the whole, in `retire`.
unsafe impl<T: Send> Send for Linked<T> {}
// SAFETY: as above; nobody reaches the head through a shared reference.
unsafe impl<T: Sync> Sync for Linked<T> {}

impl<T: Send + 'static> Linked<T> {
    /// The value, with room.
    pub fn new(value: T) -> Self {
        Linked { head: Head { next: Cell::new(ptr::null()), free: Self::free }, value }
    }

    /// The same in a box; `None` without memory.
    pub fn try_boxed(value: T) -> Option<Box<Self>> {
        try_box(Self::new(value))
    }

    /// Give up a box for a pointer to the value in it.
    pub fn into_raw(this: Box<Self>) -> NonNull<T> {
        let whole = Box::into_raw(this);
        // SAFETY: a field of a box; the pointer may still be used for the whole.
        unsafe { NonNull::new_unchecked(&raw mut (*whole).value) }
    }

    /// The box again.
    ///
    /// # Safety
    /// `value` came from [`into_raw`](Self::into_raw), and is given back once.
    #[must_use]
    pub unsafe fn from_raw(value: NonNull<T>) -> Box<Self> {
        // SAFETY: the value is a field of the box that was given up.
        unsafe { Box::from_raw(value.byte_sub(offset_of!(Self, value)).cast().as_ptr()) }
    }

    unsafe fn free(head: NonNull<Head>) {
        // SAFETY: the head is the first field of a box that was given up.
        drop(unsafe { Box::from_raw(head.cast::<Self>().as_ptr()) });
    }
}

impl<T> Deref for Linked<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Linked<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Drop `value` after all readers that are reading now are done. Needs no memory.
pub fn retire<T: Send + 'static>(value: Box<Linked<T>>) {
    // SAFETY: a box is not null.
    defer_head(unsafe { NonNull::new_unchecked(Box::into_raw(value).cast()) });
}

/// A pointer that readers follow without a lock, to a value that writers replace whole. May be empty.
///
/// Writers that base the new value on the old keep a lock of their own.
pub struct RcuOption<T: Send + 'static> {
    pointer: AtomicPtr<Linked<T>>,
    _owns: PhantomData<T>,
}

// SAFETY: readers on all CPUs share `&T`; the last one to go may drop it anywhere.
unsafe impl<T: Send + Sync + 'static> Send for RcuOption<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync + 'static> Sync for RcuOption<T> {}

impl<T: Send + 'static> RcuOption<T> {
    /// Empty.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn empty() -> Self {
        RcuOption { pointer: AtomicPtr::new(ptr::null_mut()), _owns: PhantomData }
    }

    /// Holding `value`. One allocation.
    #[must_use]
    pub fn new(value: T) -> Self {
        RcuOption { pointer: AtomicPtr::new(Self::leak(value)), _owns: PhantomData }
    }

    /// The value now.
    #[inline(always)]
    pub fn load<'a>(&'a self, _guard: &'a ReadGuard) -> Option<&'a T> {
        // Acquire: pairs with the release in `store`; the value is whole.
        // SAFETY: null or a box that is freed only after the guard is gone.
        unsafe { self.pointer.load(Acquire).as_ref() }.map(|linked| &linked.value)
    }

    /// Put another value (or none) in place; the old one is dropped when no reader can have it.
    pub fn store(&self, value: Option<T>) {
        let new = value.map_or(ptr::null_mut(), Self::leak);
        let old = self.pointer.swap(new, AcqRel);
        if !old.is_null() {
            // SAFETY: leaked below, and swapped out once.
            retire(unsafe { Box::from_raw(old) });
        }
    }

    fn leak(value: T) -> *mut Linked<T> {
        Box::into_raw(Box::new(Linked::new(value)))
    }
}

impl<T: Send + 'static> Drop for RcuOption<T> {
    fn drop(&mut self) {
        // Readers borrow the cell, so there are none; nobody else has access.
        let last = self.pointer.load(Relaxed);
        if !last.is_null() {
            // SAFETY: leaked by `leak` and not freed since.
            drop(unsafe { Box::from_raw(last) });
        }
    }
}

/// As [`RcuOption`], never empty.
pub struct Rcu<T: Send + 'static>(RcuOption<T>);

impl<T: Send + 'static> Rcu<T> {
    /// Holding `value`. One allocation.
    #[must_use]
    pub fn new(value: T) -> Self {
        Rcu(RcuOption::new(value))
    }

    /// The value now.
    #[inline(always)]
    pub fn load<'a>(&'a self, guard: &'a ReadGuard) -> &'a T {
        match self.0.load(guard) {
            Some(value) => value,
            None => unreachable!("an Rcu is never empty"),
        }
    }

    /// Put another value in place; the old one is dropped when no reader can have it.
    pub fn replace(&self, value: T) {
        self.0.store(Some(value));
    }
}
