//! The list of waiters under everything else here: intrusive, one word, with its lock in the word.
//!
//! ```text
//!   word: ┌── pointer to the first node ──┬─ lock bit ─┐     null: nobody waits, nobody holds the lock
//!         └───────────────┬───────────────┴────────────┘
//!                         ▼
//!              first ◄──► second ◄──► … ◄──► last       first.previous = last, last.next = null
//! ```
//!
//! A node lies inside a pinned future. While it is queued its fields belong to the list's lock. A
//! waker takes it out, takes its wakee, and stores the node's last state; after that store it never
//! touches the node again, so a future that sees that state may go without the lock.
//!
//! Lost wakes: a waiter queues itself, then (after a full fence) looks at its condition again; a
//! waker changes the condition, then (after a full fence) looks at the list.

use crate::platform::hooks;
use crate::primitive::{AtomicPtr, AtomicU8, Guarded};
use crate::task::Wakee;
use core::cell::Cell;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::task::Waker;

/// Not in a list, nothing happened.
pub(crate) const IDLE: u8 = 0;
/// In a list.
pub(crate) const QUEUED: u8 = 1;
/// Taken out by a waker.
pub(crate) const WOKEN: u8 = 2;

/// A waiter.
pub(crate) struct Node {
    next: Cell<*const Node>,
    previous: Cell<*const Node>,
    wakee: Guarded<Wakee>,
    /// What it waits for: events, a number of permits; up to the user of the list.
    pub(crate) tag: Cell<u32>,
    /// More of the list's user, in room that would be lost.
    pub(crate) note: Cell<u16>,
    state: AtomicU8,
    _pinned: PhantomPinned,
}

// SAFETY: queued nodes are touched under the list's lock; others only by their future.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new(tag: u32) -> Node {
        Node {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            wakee: Guarded::new(Wakee::NOBODY),
            tag: Cell::new(tag),
            note: Cell::new(0),
            state: AtomicU8::new(IDLE),
            _pinned: PhantomPinned,
        }
    }

    /// Acquire: pairs with the release when a waker takes the node out.
    #[inline(always)]
    pub(crate) fn state(&self) -> u8 {
        self.state.load(Acquire)
    }

    /// A woken node can be queued again. Only for the node's future.
    #[inline(always)]
    pub(crate) fn reset(&self) {
        self.state.store(IDLE, Relaxed);
    }
}

/// The list.
pub(crate) struct Waiters {
    head: AtomicPtr<Node>,
}

impl Waiters {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Waiters {
        Waiters { head: AtomicPtr::new(ptr::null_mut()) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Waiters {
        Waiters { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Does nobody wait? One load; false as well while somebody is about to.
    ///
    /// SeqCst: a waker changes its condition (by a SeqCst read-modify-write, or with a fence behind)
    /// before this load; a waiter takes the lock before it looks at the condition.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(SeqCst).is_null()
    }

    #[inline(always)]
    fn is_locked(head: *mut Node) -> bool {
        head.addr() & 1 != 0
    }

    /// Take the lock. Task context only.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Locked<'_> {
        #[cfg(debug_assertions)]
        assert!(!hooks::in_interrupt(), "an interrupt handler must not touch a wait queue");
        let head = self.head.load(Relaxed);
        if !Self::is_locked(head) && self.try_lock_at(head) {
            return Locked { list: self, first: Cell::new(head) };
        }
        self.lock_slowly()
    }

    #[inline(always)]
    fn try_lock_at(&self, head: *mut Node) -> bool {
        let locked = head.map_addr(|address| address | 1);
        // Acquire: pairs with the release in `Locked::drop`. SeqCst for `is_empty`.
        self.head.compare_exchange(head, locked, SeqCst, Relaxed).is_ok()
    }

    #[cold]
    fn lock_slowly(&self) -> Locked<'_> {
        loop {
            let head = self.head.load(Relaxed);
            if !Self::is_locked(head) && self.try_lock_at(head) {
                return Locked { list: self, first: Cell::new(head) };
            }
            hooks::relax();
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        debug_assert!(self.is_empty(), "dropped with waiters");
    }
}

/// The list, locked.
pub(crate) struct Locked<'a> {
    list: &'a Waiters,
    first: Cell<*mut Node>,
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: pairs with the acquire in `lock`.
        self.list.head.store(self.first.get(), Release);
    }
}

impl Locked<'_> {
    /// Append a node.
    ///
    /// # Safety
    /// The node is in no list, and stays where it is until it was taken out.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, node: *const Node, waker: &Waker) {
        // SAFETY: the caller's promise; in no list, so the wakee is ours.
        unsafe {
            (*node).wakee.with(|wakee| *wakee = Wakee::new(waker));
            self.push_silent(node);
        }
    }

    /// Append a node that wakes nobody.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline(always)]
    pub(crate) unsafe fn push_silent(&self, node: *const Node) {
        let first = self.first.get();
        // SAFETY: the caller's promise for the node; queued nodes are alive and ours by the lock.
        unsafe {
            (*node).next.set(ptr::null());
            if first.is_null() {
                (*node).previous.set(node);
                self.first.set(node.cast_mut());
            } else {
                let last = (*first).previous.replace(node);
                (*last).next.set(node);
                (*node).previous.set(last);
            }
            (*node).state.store(QUEUED, Relaxed);
        }
    }

    /// Insert a node that wakes nobody before another one.
    ///
    /// # Safety
    /// As for [`push`](Self::push); the other one is in this list.
    pub(crate) unsafe fn insert_before(&self, other: *const Node, node: *const Node) {
        // SAFETY: the caller's promise for the node; queued nodes are alive and ours by the lock.
        unsafe {
            // The last one, if the other is the first.
            let previous = (*other).previous.replace(node);
            (*node).next.set(other);
            (*node).previous.set(previous);
            if ptr::eq(other, self.first.get()) {
                self.first.set(node.cast_mut());
            } else {
                (*previous).next.set(node);
            }
            (*node).state.store(QUEUED, Relaxed);
        }
    }

    /// The first node.
    #[inline(always)]
    pub(crate) fn first(&self) -> *const Node {
        self.first.get()
    }

    /// The node after this one.
    ///
    /// # Safety
    /// The node is in this list.
    pub(crate) unsafe fn next(&self, node: *const Node) -> *const Node {
        // SAFETY: queued nodes are alive.
        unsafe { (*node).next.get() }
    }

    /// Is this node the only one?
    ///
    /// # Safety
    /// The node is the first of this list.
    #[inline(always)]
    pub(crate) unsafe fn is_only(&self, node: *const Node) -> bool {
        // SAFETY: queued nodes are alive.
        unsafe { (*node).next.get().is_null() }
    }

    /// Take out the only node, and unlock; whom to wake.
    ///
    /// # Safety
    /// The node is the only one in this list.
    #[inline(always)]
    pub(crate) unsafe fn remove_only(self, node: *const Node, state: u8) -> Wakee {
        self.first.set(ptr::null_mut());
        // SAFETY: queued nodes are alive and ours by the lock.
        unsafe {
            let wakee = self.take_wakee(node);
            // Release: pairs with the acquire in `Node::state`.
            (*node).state.store(state, Release);
            wakee
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        let mut count = 0;
        let mut node = self.first();
        while !node.is_null() {
            count += 1;
            // SAFETY: from the list.
            node = unsafe { self.next(node) };
        }
        count
    }

    /// Set whom a queued node wakes.
    ///
    /// # Safety
    /// The node is in this list.
    pub(crate) unsafe fn refresh(&self, node: *const Node, waker: &Waker) {
        let refresh = |wakee: &mut Wakee| {
            if !wakee.is(waker) {
                *wakee = Wakee::new(waker);
            }
        };
        // SAFETY: under the lock the wakee is ours.
        unsafe { (*node).wakee.with(refresh) };
    }

    /// Take a node's wakee, and leave the node in the list.
    ///
    /// # Safety
    /// The node is in this list.
    #[inline(always)]
    pub(crate) unsafe fn take_wakee(&self, node: *const Node) -> Wakee {
        // SAFETY: under the lock the wakee is ours.
        unsafe { (*node).wakee.with(|wakee| core::mem::replace(wakee, Wakee::NOBODY)) }
    }

    /// Take a node out, into `state`; whom to wake once the lock is released. After this the node
    /// may vanish.
    ///
    /// # Safety
    /// The node is in this list.
    pub(crate) unsafe fn remove(&self, node: *const Node, state: u8) -> Wakee {
        // SAFETY: queued nodes are alive and ours by the lock.
        unsafe {
            let (next, previous) = ((*node).next.get(), (*node).previous.get());
            let first = self.first.get().cast_const();
            if ptr::eq(node, first) {
                self.first.set(next.cast_mut());
                if !next.is_null() {
                    (*next).previous.set(previous);
                }
            } else {
                (*previous).next.set(next);
                let after = if next.is_null() { first } else { next };
                (*after).previous.set(previous);
            }
            let wakee = self.take_wakee(node);
            // Release: pairs with the acquire in `Node::state`.
            (*node).state.store(state, Release);
            wakee
        }
    }
}

/// Whom to wake after the lock is released, a few at a time.
pub(crate) struct WakeBatch {
    /// The first `len` are there.
    wakees: [MaybeUninit<Wakee>; WakeBatch::SIZE],
    len: usize,
}

impl WakeBatch {
    const SIZE: usize = 16;

    #[inline(always)]
    pub(crate) fn new() -> WakeBatch {
        WakeBatch { wakees: [const { MaybeUninit::uninit() }; WakeBatch::SIZE], len: 0 }
    }

    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.len == Self::SIZE
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, wakee: Wakee) {
        self.wakees[self.len].write(wakee);
        self.len += 1;
    }

    /// Not under any lock.
    #[inline(always)]
    pub(crate) fn wake(mut self) {
        let len = core::mem::replace(&mut self.len, 0);
        for wakee in &self.wakees[..len] {
            // SAFETY: the first `len` are there, and each is read once.
            unsafe { wakee.assume_init_read() }.wake();
        }
    }
}

impl Drop for WakeBatch {
    #[inline(always)]
    fn drop(&mut self) {
        debug_assert_eq!(self.len, 0, "a batch is always woken");
    }
}
