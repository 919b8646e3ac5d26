//! The state word: a counter of wakes.
//!
//! ```text
//!                 wake: 0 → 1, enqueue
//!        ┌────────────────────────────────────┐
//!        │                                    ▼
//!      idle (0)                         queued or polled (n > 0) ◄──┐ wake: n → n+1, nothing to do
//!        ▲                                    │        └────────────┘
//!        │ end(seen): n - seen = 0            │
//!        └────────────────────────────────────┤ end(seen): n - seen > 0: woken during the poll, requeue
//!                                             │
//!                                             ▼ finish
//!                                      done (bit 62, for good)
//! ```
//!
//! `begin` reads how many wakes this poll answers; `end` takes off exactly those. A wake that came
//! before `begin` is seen by the poll; one that came later leaves the counter above zero and
//! requeues the task. So a cycle of wake and poll costs two read-modify-writes, and a wake never
//! needs to know whether the task is queued or being polled. A finished or free cell keeps a
//! non-zero word, so a waker that outlived its task never queues a dead one.

use crate::primitive::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

const CANCELLED: u64 = 1 << 63;
const DONE: u64 = 1 << 62;

/// The state word of a task.
pub(crate) struct State(AtomicU64);

/// What [`State::begin`] saw: the wakes that the poll now beginning answers.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Was the task cancelled? Then it must not be polled again.
    #[inline(always)]
    pub(crate) fn cancelled(self) -> bool {
        self.0 & CANCELLED != 0
    }
}

impl State {
    /// A free cell's state.
    #[cfg(any(test, loom))]
    pub(crate) fn free() -> State {
        State(AtomicU64::new(DONE))
    }

    /// A new task that its spawner is about to queue.
    ///
    /// A plain store: a stale waker's concurrent increment may be lost, and it is nobody's wake.
    /// The push that follows publishes it.
    #[inline(always)]
    pub(crate) fn spawned(&self) {
        #[cfg(not(loom))]
        self.0.store(1, Relaxed);
        // loom would let this thread read the stale waker's increment of the old value after its own
        // store, which coherence forbids; a swap makes it see the order.
        #[cfg(loom)]
        self.0.swap(1, Relaxed);
    }

    /// Count a wake. `true`: the caller must enqueue the task.
    ///
    /// Release: the next `begin` sees what the waker wrote before. Acquire: pairs with the release
    /// in `end`, so that the caller may touch the header of the task it now has to enqueue.
    #[inline(always)]
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        self.0.fetch_add(1, AcqRel) == 0
    }

    /// Whether wakes are outstanding. Relaxed: for statistics, nothing follows from it.
    pub(crate) fn is_scheduled(&self) -> bool {
        let word = self.0.load(Relaxed);
        word != 0 && word & DONE == 0
    }

    /// Begin a poll. Acquire pairs with the release in every `wake` it counts.
    #[inline(always)]
    pub(crate) fn begin(&self) -> Seen {
        Seen(self.0.load(Acquire))
    }

    /// End a poll that is pending. `true`: woken since `begin`, so the caller must requeue the task.
    ///
    /// Release: whoever enqueues the task next, and so whoever polls it next, sees the future as
    /// this poll left it. Acquire: with the requeue, this CPU plays that role itself.
    #[inline(always)]
    #[must_use]
    pub(crate) fn end(&self, seen: Seen) -> bool {
        self.0.fetch_sub(seen.0, AcqRel) != seen.0
    }

    /// Ask for the future to be dropped. `true`: the caller must enqueue the task, so that a
    /// worker gets to do it. Ordered as `wake` is.
    #[inline]
    #[must_use]
    pub(crate) fn cancel(&self) -> bool {
        self.0.fetch_or(CANCELLED, AcqRel) == 0
    }

    /// The task has ended. Only its poller calls this; concurrent wakes may be lost or counted,
    /// both harmless. Release pairs with the acquire in `is_done`.
    #[inline(always)]
    pub(crate) fn finish(&self) {
        self.0.store(DONE, Release);
    }

    /// Has the task ended?
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Acquire) & DONE != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn first_wake_enqueues_later_ones_do_not() {
        let s = State::free();
        s.spawned();
        assert!(!s.wake(), "a queued task is not queued twice");
        let seen = s.begin();
        assert!(!s.end(seen), "both wakes came before the poll");
        assert!(s.wake());
        assert!(!s.wake());
    }

    #[test]
    fn a_wake_during_the_poll_requeues() {
        let s = State::free();
        s.spawned();
        let seen = s.begin();
        assert!(!s.wake());
        assert!(s.end(seen));
        let seen = s.begin();
        assert!(!s.end(seen));
    }

    #[test]
    fn a_finished_task_is_never_enqueued() {
        let s = State::free();
        s.spawned();
        s.finish();
        assert!(!s.wake());
        assert!(!s.cancel());
        assert!(s.is_done());
    }

    #[test]
    fn cancel_of_an_idle_task_enqueues_and_of_a_running_one_requeues() {
        let s = State::free();
        s.spawned();
        let seen = s.begin();
        assert!(!s.end(seen));
        assert!(s.cancel());
        assert!(s.begin().cancelled());

        s.spawned();
        let seen = s.begin();
        assert!(!s.cancel());
        assert!(!seen.cancelled());
        assert!(s.end(seen));
        assert!(s.begin().cancelled());
    }
}
