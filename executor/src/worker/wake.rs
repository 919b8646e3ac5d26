//! Where a woken or spawned task is queued.
//!
//! | who wakes                    | normal task                         | driver task         | pinned elsewhere       |
//! |------------------------------|-------------------------------------|---------------------|------------------------|
//! | the running task, itself     | flag: after the poll, behind others | the same            | -                      |
//! | task code on this CPU        | LIFO slot: runs next, warm cache    | driver list         | that CPU's pinned inbox|
//! | an interrupt handler, busy   | a sleeping CPU's inbox, else ours   | our inbox, bell     | that CPU's pinned inbox|
//! | a thread that is no worker   | a sleeping CPU's inbox, else its last CPU's | the same    | that CPU's pinned inbox|

use super::Worker;
use crate::platform::hooks;
use crate::queue::Inbox;
use crate::stats::TRACE;
use crate::task::{Header, Lane, TaskRef};
use crate::trace::Event;
use core::ptr;

impl Worker {
    /// A wake by this CPU: by the task it polls, or by one of its interrupt handlers.
    #[inline(always)]
    pub(crate) fn wake(&self, task: TaskRef) {
        if self.own.current.get() == task.as_ptr() && !hooks::in_interrupt() {
            self.own.self_woken.set(true);
            return;
        }
        if task.header().state.wake() {
            self.enqueue(task);
        }
    }

    /// Queue a task that the caller has the right to queue.
    #[inline(always)]
    pub(crate) fn enqueue(&self, task: TaskRef) {
        self.counters.wakes.increment();
        if self.instruments() & TRACE != 0 {
            self.trace(Event::Wake, task);
        }
        if hooks::in_interrupt() || !task.kind().is_plain() || !self.is_ours(task) {
            return self.enqueue_special(task);
        }
        self.run_next(task);
    }

    /// Queue one of several that are woken together: the first runs next, the others keep their order.
    pub(crate) fn enqueue_in_turn(&self, task: TaskRef) {
        if !self.own.lifo.get().is_null() && self.is_ours(task) && task.kind().is_plain() {
            self.counters.wakes.increment();
            self.trace(Event::Wake, task);
            self.push_ring(task);
        } else {
            self.enqueue(task);
        }
    }

    /// Into the LIFO slot.
    #[inline(always)]
    fn run_next(&self, task: TaskRef) {
        let next = self.own.lifo.replace(task.as_ptr());
        if !next.is_null() {
            self.push_displaced(next);
        }
    }

    /// Does the task belong to this worker's executor? In a kernel there is only one.
    #[inline(always)]
    fn is_ours(&self, task: TaskRef) -> bool {
        cfg!(not(any(test, feature = "std"))) || task.is_of(self.shared().id)
    }

    /// What was in the LIFO slot goes to the ring.
    #[inline(never)]
    fn push_displaced(&self, next: *mut Header) {
        // SAFETY: the slot holds a task's pointer.
        if let Some(previous) = unsafe { TaskRef::from_ptr(next) } {
            self.push_ring(previous);
        }
    }

    /// All but plain tasks woken by task code.
    #[cold]
    #[inline(never)]
    fn enqueue_special(&self, task: TaskRef) {
        if !self.is_ours(task) {
            task.executor().push_from_outside(task);
        } else if hooks::in_interrupt() {
            self.enqueue_from_interrupt(task);
        } else if task.kind().is_plain() {
            self.push_ring(task);
        } else if self.is_elsewhere(task) {
            self.shared().push_to(usize::from(task.header().cpu.get()), task);
        } else {
            self.sort_in(task);
            if task.kind().lane() == Lane::Driver {
                // The waker is a task, which makes way when it asks `should_yield`.
                self.door.bell.ring_here();
            }
        }
    }

    /// In an interrupt handler: nothing but inboxes.
    #[cold]
    fn enqueue_from_interrupt(&self, task: TaskRef) {
        let shared = self.shared();
        let cpu = if self.is_elsewhere(task) {
            usize::from(task.header().cpu.get())
        } else if task.kind().is_plain() && !shared.idle.is_parked(self.cpu) {
            // This CPU is in the middle of something: leave it alone if another has nothing to do.
            shared.idle.any_parked(self.cpu).unwrap_or(self.cpu)
        } else {
            self.cpu
        };
        if cpu == self.cpu {
            // Running, it sees the byte; halted, it looks at its inbox when the handler returns.
            self.deliver(task);
            self.call_attention();
        } else {
            shared.push_to(cpu, task);
        }
    }

    /// Pinned to another CPU?
    pub(super) fn is_elsewhere(&self, task: TaskRef) -> bool {
        task.kind().is_pinned() && usize::from(task.header().cpu.get()) != self.cpu
    }

    /// A new task: behind what is here, for others to steal.
    #[inline(always)]
    pub(crate) fn push_spawned(&self, task: TaskRef, is_plain: bool) {
        if self.instruments() & TRACE != 0 {
            self.trace(Event::Spawn, task);
        }
        if is_plain {
            self.push_ring(task);
        } else {
            self.enqueue_special(task);
        }
    }

    /// Append to the ring, and ask for help if others are idle.
    #[inline(always)]
    pub(super) fn push_ring(&self, task: TaskRef) {
        if self.ring.push(task.as_ptr()).is_err() {
            return self.overflow(task);
        }
        // Plain loads: this CPU is awake and will run the task itself if nobody hears.
        if self.shared().idle.may_help() {
            self.shared().call_helper(self.cpu);
        }
    }

    /// The ring is full: half of it and the task go where all can take them.
    #[cold]
    fn overflow(&self, task: TaskRef) {
        let mut half = [ptr::null_mut(); crate::queue::RING_CAPACITY / 2];
        let count = self.ring.steal(&mut half);
        // SAFETY: the ring holds tasks' pointers.
        let half = half[..count].iter().filter_map(|&next| unsafe { TaskRef::from_ptr(next) });
        self.shared().inject(half.chain([task]));
    }

    /// Move the LIFO slot's task into the ring, where it can be stolen.
    pub(super) fn demote_lifo(&self) {
        // SAFETY: the slot holds a task's pointer, or null.
        if let Some(task) = unsafe { TaskRef::from_ptr(self.own.lifo.replace(ptr::null_mut())) } {
            self.push_ring(task);
        }
    }

    /// Leave a task at this worker's door. A full barrier.
    pub(crate) fn deliver(&self, task: TaskRef) {
        if task.kind().is_pinned() {
            self.door.pinned_inbox.push(task);
        } else {
            self.door.inbox.push(task);
        }
    }

    /// Ring this worker's bell. `true`: it takes an interrupt for it to be heard.
    pub(crate) fn call_attention(&self) -> bool {
        self.door.bell.ring()
    }

    /// Interrupt this worker's CPU.
    pub(crate) fn unpark(&self) {
        if let Some(here) = hooks::worker() {
            here.counters.unparks.increment();
        }
        self.trace_about(Event::Unpark, self.cpu as u64);
        hooks::unpark(self.name);
    }

    /// The inbox that thieves may empty.
    pub(super) fn inbox(&self) -> &Inbox<TaskRef> {
        &self.door.inbox
    }
}
