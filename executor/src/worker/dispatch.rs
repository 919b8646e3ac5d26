//! The heart of a worker: choose a task, poll it, and see to what comes of it.

use super::{BUDGET, LIFO_STREAK, MAINTENANCE, Worker};
use crate::platform::hooks;
use crate::queue::Fifo;
use crate::task::state::Seen;
use crate::task::{Lane, Outcome, TaskRef, settle};
use crate::trace::Event;
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;
#[cfg(all(any(test, feature = "std"), not(loom)))]
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::task::Context;

impl Worker {
    /// Run this CPU's part of the executor, for ever. [`Platform::worker`](crate::Platform::worker)
    /// must answer this worker on this CPU from now on.
    pub fn run(&'static self) -> ! {
        self.rcu.start();
        loop {
            self.turn();
        }
    }

    /// Run until `stop` is set (and this worker was woken to see it).
    #[cfg(all(any(test, feature = "std"), not(loom)))]
    pub(crate) fn run_until(&'static self, stop: &AtomicBool) {
        self.rcu.start();
        while !stop.load(SeqCst) {
            self.turn();
        }
    }

    /// Poll one task, or sleep until there may be one.
    #[inline]
    pub(crate) fn turn(&self) {
        match self.next() {
            Some(task) => self.poll(task),
            None => self.without_work(),
        }
    }

    /// What to poll now, of what is queued here.
    ///
    /// The order: drivers; what the last poll or an interrupt woke, as long as such a chain lasts for
    /// less than a time slice; the ring, with pinned tasks in alternation; the line, which every other slice is for.
    #[inline(always)]
    fn next(&self) -> Option<TaskRef> {
        self.pass_boundary();
        if self.door.bell.is_ringing() {
            self.attend();
            self.end_slice();
        }
        if self.counters.polls.get() % MAINTENANCE == MAINTENANCE - 1
            && let Some(task) = self.maintain()
        {
            return Some(task);
        }
        if self.own.specials.get() != 0
            && let Some(task) = self.next_special()
        {
            return Some(task);
        }
        let next = self.own.lifo.get();
        if !next.is_null() {
            let streak = self.own.streak.get();
            if streak < LIFO_STREAK || self.ring.is_empty() {
                self.own.streak.set(streak + u8::from(streak < LIFO_STREAK));
                self.own.lifo.set(ptr::null_mut());
                // SAFETY: the slot holds a task's pointer.
                return unsafe { TaskRef::from_ptr(next) };
            }
            // Enough of this chain: let the others have a turn.
            self.demote_lifo();
        }
        self.own.streak.set(0);
        let Some((next, more)) = self.ring.pop() else { return self.next_in_line() };
        if more && self.shared().idle.may_help() {
            self.shared().call_helper(self.cpu);
        }
        // SAFETY: the ring holds tasks' pointers.
        unsafe { TaskRef::from_ptr(next) }
    }

    /// A driver; or whoever is first in line, if it is the line's turn, but not before what an interrupt has woken just
    /// now; or a pinned task, in alternation with the ring.
    #[cold]
    fn next_special(&self) -> Option<TaskRef> {
        let task = self.own.drivers.pop().or_else(|| {
            if self.own.line_turn.get() && self.own.lifo.get().is_null() {
                self.own.line_turn.set(false);
                if let Some(first) = self.first_in_line() {
                    return Some(first);
                }
                self.own.specials.set(self.own.specials.get() - 1);
            }
            let others = !self.ring.is_empty() || !self.own.lifo.get().is_null();
            let pinned = self.counters.polls.get() & 1 == 0 || !others;
            if pinned { self.own.pinned.pop() } else { None }
        })?;
        self.own.specials.set(self.own.specials.get() - 1);
        Some(task)
    }

    /// Queue a driver, or a pinned task of the normal lane.
    fn push_special(&self, list: &Fifo, task: TaskRef) {
        list.push(task);
        self.own.specials.set(self.own.specials.get() + 1);
    }

    /// A poll boundary: nothing that RCU protects is in use on this CPU.
    #[inline(always)]
    pub(crate) fn pass_boundary(&self) {
        self.rcu.pass(&self.shared().rcu);
    }

    /// Something rang the bell: timers, or tasks at the door.
    #[cold]
    pub(crate) fn attend(&self) {
        self.door.bell.answer();
        if self.door.slice_over.load(Relaxed) {
            // A chain of wakes has had its slice, too.
            self.demote_lifo();
        }
        if self.door.timer_fired.swap(false, Relaxed) {
            self.run_timers();
        }
        self.take_in();
        self.call_for_line();
    }

    /// If a time slice is over: all that wait are queued again; give some away.
    fn end_slice(&self) {
        if self.door.slice_over.swap(false, Relaxed) {
            self.share_load();
            self.alternate();
        }
    }

    /// Bring in what others left at the door.
    pub(super) fn take_in(&self) {
        for task in self.door.pinned_inbox.take() {
            self.sort_in(task);
        }
        for task in self.door.inbox.take() {
            if self.own.lifo.get().is_null() && task.kind().is_plain() {
                // Woken by an interrupt, most likely: it runs next, ahead of those that only wait
                // for another slice.
                self.own.lifo.set(task.as_ptr());
            } else {
                self.sort_in(task);
            }
        }
    }

    /// Queue a task by its lane, behind what is there.
    pub(super) fn sort_in(&self, task: TaskRef) {
        let kind = task.kind();
        match (kind.lane(), kind.is_pinned()) {
            (Lane::Driver, _) => self.push_special(&self.own.drivers, task),
            (Lane::Normal, false) => self.push_ring(task),
            (Lane::Normal, true) => self.push_special(&self.own.pinned, task),
            (Lane::Background, false) => self.shared().push_background(task, self.cpu),
            (Lane::Background, true) => self.own.background.push(task),
        }
    }

    /// Every few dozen polls: look at what has no bell.
    #[cold]
    fn maintain(&self) -> Option<TaskRef> {
        hooks::tick();
        self.rcu.reclaim(self);
        // A turn for those that a busy LIFO slot or ring would keep waiting.
        if let Some(task) = self.own.pinned.pop() {
            self.own.specials.set(self.own.specials.get() - 1);
            return Some(task);
        }
        let task = self.shared().injector.pop(0, |_| {})?;
        self.call_for_line();
        Some(task)
    }

    /// Poll a task that this CPU has taken from a queue.
    #[inline(always)]
    pub(super) fn poll(&self, task: TaskRef) {
        let header = task.header();
        let seen = header.state.begin();
        if seen.cancelled() {
            return self.reap(task);
        }
        header.cpu.set(self.cpu as u8);
        self.own.current.set(task.as_ptr());
        self.own.budget.set(BUDGET);
        let waker = ManuallyDrop::new(task.waker());
        let mut cx = Context::from_waker(&waker);
        let measured = self.door.instruments.load(Relaxed) != 0;
        if measured {
            self.poll_begins(task);
        }
        // SAFETY: the queue gave us the task, and with it the poller's role; it has not ended, for
        // an ended task is never queued.
        let ended = unsafe { task.poll(&mut cx) };
        if measured {
            self.poll_ends(task, ended);
        }
        // An interrupt handler that wakes the task from here on goes by the state word.
        self.own.current.set(ptr::null_mut());
        self.counters.polls.increment();
        if ended {
            self.own.self_woken.set(false);
            header.state.finish();
            // SAFETY: we polled it to its end just now.
            unsafe { settle(task, Outcome::Complete) };
        } else {
            self.after_pending(task, seen);
        }
    }

    /// The poll was pending: requeue if the task was woken meanwhile.
    #[inline(always)]
    fn after_pending(&self, task: TaskRef, seen: Seen) {
        if self.own.self_woken.get() {
            self.own.self_woken.set(false);
            // The wakes that this poll answered stay in the counter and keep it queued.
            self.requeue(task);
        } else if task.header().state.end(seen) {
            // Woken by others while it ran: no yield, but a wake like any other.
            self.enqueue(task);
        }
    }

    /// A task that wants to go on: behind the others, if there are any.
    #[inline(always)]
    fn requeue(&self, task: TaskRef) {
        if self.door.bell.is_ringing() {
            return self.make_way(task);
        }
        self.requeue_quietly(task);
    }

    /// What the task was asked to make way for goes first.
    #[cold]
    fn make_way(&self, task: TaskRef) {
        self.attend();
        self.requeue_quietly(task);
        self.end_slice();
    }

    #[inline(always)]
    fn requeue_quietly(&self, task: TaskRef) {
        if !task.kind().is_plain() || !self.own.standing.get().is_null() {
            self.requeue_special(task);
        } else if self.is_bare() {
            // Alone: no trip through the ring.
            self.own.streak.set(0);
            self.own.lifo.set(task.as_ptr());
        } else {
            self.push_ring(task);
        }
    }

    #[cold]
    fn requeue_special(&self, task: TaskRef) {
        let place = self.own.standing.replace(ptr::null());
        if self.is_elsewhere(task) {
            // It has just been pinned there.
            return self.shared().push_to(usize::from(task.header().cpu.get()), task);
        }
        let kind = task.kind();
        match kind.lane() {
            Lane::Normal if !place.is_null() => self.stand_in_line(task, place),
            // Its turn is over; for this round it stands in line with everybody.
            Lane::Driver if kind.is_pinned() => self.push_special(&self.own.pinned, task),
            Lane::Driver => self.push_ring(task),
            _ => self.sort_in(task),
        }
    }

    /// Drop a cancelled task's future.
    #[cold]
    fn reap(&self, task: TaskRef) {
        self.own.current.set(task.as_ptr());
        // SAFETY: we are its poller, and it has not ended.
        unsafe { task.drop_future() };
        self.own.current.set(ptr::null_mut());
        self.own.self_woken.set(false);
        task.header().state.finish();
        self.trace(Event::Cancel, task);
        // SAFETY: the future is gone and the state says so.
        unsafe { settle(task, Outcome::Cancelled) };
    }
}
