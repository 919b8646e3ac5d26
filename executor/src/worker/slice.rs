//! Time on a worker: timers, time slices, and the length of polls.

use super::Worker;
use crate::platform::hooks;
use crate::stats::MEASURE_POLLS;
use crate::task::TaskRef;
use crate::trace::Event;
use core::sync::atomic::Ordering::Relaxed;

/// A task waits at most this long for a user thread, if another CPU is idle.
const PATIENCE_NS: u64 = 50_000;
/// After so many cycles a poll makes way whether somebody wants the CPU or not: five to ten
/// microseconds, a hundred times what it costs to yield, so that the longest round of a loop may
/// take four times as long before a poll becomes longer than it should.
const LONG_POLL: u64 = 20_000;

impl Worker {
    /// The timer that [`Platform::arm_timer`](crate::Platform::arm_timer) set went off on this CPU.
    /// Callable from its interrupt handler.
    pub fn on_timer_interrupt(&self) {
        self.door.armed.store(u64::MAX, Relaxed);
        if self.door.slice_armed.load(Relaxed) {
            self.door.slice_armed.store(false, Relaxed);
            self.door.slice_over.store(true, Relaxed);
        }
        self.door.timer_fired.store(true, Relaxed);
        self.door.bell.ring_here();
        self.trace_about(Event::TimerInterrupt, self.cpu as u64);
    }

    /// Another CPU wants this one to look up: the handler of the interrupt that
    /// [`Platform::unpark`](crate::Platform::unpark) sends.
    ///
    /// The sender has rung the bell where it matters; a wake from sleep needs nothing.
    pub fn on_wake_interrupt(&self) {
        self.trace_about(Event::WakeInterrupt, self.cpu as u64);
    }

    /// The running task's turn ends in `ns` nanoseconds: the timer then rings the bell.
    ///
    /// [`outside`] does this when others wait; calling it is for slices of another length. One that
    /// begins while an earlier slice is still running inherits its end: that shortens a turn now and
    /// then, and saves setting the timer at every switch. One that begins after the CPU has slept goes on with
    /// what was left of the last: so the timer fires every so often in all the time that the CPU is busy
    /// with such tasks, however short their turns are.
    #[inline(always)]
    pub fn begin_slice(&self, ns: u64) {
        if !self.door.slice_armed.load(Relaxed) {
            self.arm_slice(ns);
        }
    }

    #[cold]
    fn arm_slice(&self, ns: u64) {
        // First the flag: if the timer goes off between the two, its handler has the last word.
        self.door.slice_armed.store(true, Relaxed);
        let ns = self.turn_length(ns).min(self.own.slice_left.replace(u64::MAX));
        let end = hooks::now().saturating_add(ns);
        self.own.slice_end.set(end);
        self.arm_before(end);
    }

    /// The running task's turn ends in `ns` nanoseconds at the latest, whether others wait or not.
    pub fn end_slice_within(&self, ns: u64) {
        let end = hooks::now().saturating_add(ns);
        if !self.door.slice_armed.load(Relaxed) || end < self.own.slice_end.get() {
            // First the flag, as in `arm_slice`.
            self.door.slice_armed.store(true, Relaxed);
            self.own.slice_end.set(end);
            self.arm_before(end);
        }
    }

    /// Make sure that the hardware timer fires at `deadline` or earlier.
    pub(crate) fn arm_before(&self, deadline: u64) {
        if deadline < self.door.armed.load(Relaxed) {
            // Our handler may run between the two; then the timer fires once for nothing.
            self.door.armed.store(deadline, Relaxed);
            hooks::arm_timer(Some(deadline));
        }
    }

    /// Set the hardware timer to exactly what is due next, or to nothing.
    pub(super) fn arm_for_sleep(&self) {
        if self.door.slice_armed.load(Relaxed) {
            self.door.slice_armed.store(false, Relaxed);
            self.own.slice_left.set(self.own.slice_end.get().saturating_sub(hooks::now()));
        }
        let mut next = self.wheel.lock().next_deadline();
        if let Some(retry) = self.rcu.next_try() {
            next = next.min(retry);
        }
        if next != self.door.armed.load(Relaxed) {
            self.door.armed.store(next, Relaxed);
            hooks::arm_timer((next != u64::MAX).then_some(next));
        }
    }

    /// A time slice is over, so this CPU has more to run than it can at once. If another has no
    /// more than it is running, give it one: nobody there would come and steal while that one runs.
    ///
    /// The oldest stays and runs next: it has waited here, and would wait again elsewhere.
    pub(super) fn share_load(&self) {
        let shared = self.shared();
        if self.ring.len() < 2 || !self.own.lifo.get().is_null() {
            return;
        }
        let cpus = shared.cpus();
        let spare = (1..cpus)
            .map(|distance| (self.cpu + distance) % cpus)
            .find(|&cpu| shared.workers()[cpu].has_nothing_waiting());
        let Some(cpu) = spare else { return };
        if let Some((oldest, _)) = self.ring.pop() {
            self.own.lifo.set(oldest);
        }
        let Some((next, _)) = self.ring.pop() else { return };
        // SAFETY: the ring holds tasks' pointers.
        if let Some(task) = unsafe { TaskRef::from_ptr(next) } {
            shared.push_to(cpu, task);
        }
    }

    /// As far as another CPU can see.
    fn has_nothing_waiting(&self) -> bool {
        self.ring.is_empty() && self.inbox().is_empty()
    }

    /// Wake whoever's time has come, and set the hardware timer for the next.
    pub(super) fn run_timers(&self) {
        let now = hooks::now();
        crate::time::expire(&self.wheel, now);
        self.rcu.reclaim(self);
        let mut next = self.wheel.lock().next_deadline();
        if let Some(retry) = self.rcu.next_try() {
            next = next.min(retry);
        }
        if next != u64::MAX {
            self.arm_before(next);
        }
    }

    /// The running task is about to run for long, and others wait to run here: its turn must end.
    #[inline(always)]
    fn others_wait(&self) {
        let shared = self.shared();
        if !self.door.slice_armed.load(Relaxed) {
            self.arm_slice(shared.slice_ns.load(Relaxed));
        }
        if shared.idle.is_anybody() {
            self.ask_for_help();
        }
    }

    #[cold]
    fn ask_for_help(&self) {
        let shared = self.shared();
        // Whoever was called for what is in the ring may have found something else; and nobody can be
        // called for what is in the LIFO slot.
        if !self.ring.is_empty() && shared.idle.may_help() {
            shared.call_helper(self.cpu);
        }
        self.arm_before(hooks::now() + PATIENCE_NS);
    }

    /// Measuring is on: a poll begins.
    #[cold]
    pub(super) fn poll_begins(&self, task: TaskRef) {
        self.trace(Event::PollBegin, task);
        // SAFETY: we are its poller, and its future is about to be polled.
        self.own.poll_name.set(unsafe { task.name() });
        self.own.stretch_began.store(hooks::cycles(), Relaxed);
    }

    /// Measuring is on: a poll ended.
    #[cold]
    pub(super) fn poll_ends(&self, task: TaskRef, ended: bool) {
        self.stretch_ends();
        self.trace(if ended { Event::End } else { Event::PollEnd }, task);
    }

    /// What the running poll has done since it began, or since it came back from [`outside`], is a
    /// poll's length.
    fn stretch_ends(&self) {
        // Zero: measuring was switched on after that.
        let began = self.own.stretch_began.load(Relaxed);
        self.own.stretch_began.store(0, Relaxed);
        if began != 0 && self.instruments() & MEASURE_POLLS != 0 {
            let length = hooks::cycles().wrapping_sub(began);
            self.counters.record_poll(length, self.own.poll_name.get());
        }
    }

    /// The boundary before [`outside`]. Whether measuring is on.
    #[inline(always)]
    fn leave_poll(&self) -> bool {
        crate::rcu::assert_no_guard();
        self.pass_boundary();
        if !self.is_bare() {
            self.others_wait();
        }
        self.own.asking_poll.set(u64::MAX);
        self.instruments() != 0
    }

    /// [`outside`] while measuring is on.
    #[cold]
    #[inline(never)]
    fn measured<R>(&self, f: impl FnOnce() -> R) -> R {
        self.stretch_ends();
        self.trace_current(Event::Leave);
        let result = f();
        self.trace_current(Event::Return);
        self.own.stretch_began.store(hooks::cycles(), Relaxed);
        result
    }

    fn trace_current(&self, event: Event) {
        if let Some(task) = self.current() {
            self.trace(event, task);
        }
    }

    /// Has the running poll gone on for long, counted from the first time that it asked?
    #[inline]
    fn has_run_long(&self) -> bool {
        let (poll, now) = (self.counters.polls.get(), hooks::cycles());
        if self.own.asking_poll.get() == poll {
            return now.wrapping_sub(self.own.asked_at.get()) > LONG_POLL;
        }
        self.own.asking_poll.set(poll);
        self.own.asked_at.set(now);
        false
    }

    #[inline(always)]
    pub(crate) fn instruments(&self) -> u8 {
        self.door.instruments.load(Relaxed)
    }

    pub(crate) fn set_instruments(&self, on: bool, bits: u8) {
        if on {
            self.door.instruments.fetch_or(bits, Relaxed);
        } else {
            self.door.instruments.fetch_and(!bits, Relaxed);
        }
    }

    /// Poll with grace: the first leaf future for which there is no budget may be ready all the same.
    pub(crate) fn with_grace<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.own.grace.set(true);
        let result = poll();
        self.own.grace.set(false);
        result
    }

    /// Use up one unit of the poll's budget. `false`: none is left.
    #[inline(always)]
    pub(crate) fn spend_budget(&self) -> bool {
        let left = self.own.budget.get();
        if left == 0 || self.door.bell.is_ringing() {
            return self.own.grace.take();
        }
        self.own.budget.set(left - 1);
        true
    }
}

/// Should the running poll make way? True when somebody [wants the CPU](attention), and when the poll
/// has gone on for long: no poll is to take much more than a hundred thousand instructions, so that
/// whoever is woken meanwhile need not wait for longer. For loops whose every round takes some
/// thousand instructions at most; asked once a round.
#[inline]
#[must_use]
pub fn should_yield() -> bool {
    hooks::worker().is_some_and(|worker| worker.door.bell.is_ringing() || worker.has_run_long())
}

/// This CPU's attention byte: non-zero when driver-lane work waits, a timer is due, the time slice is
/// over, or another CPU left something here.
#[inline(always)]
#[must_use]
pub fn attention() -> u8 {
    hooks::worker().map_or(0, |worker| worker.door.bell.attention())
}

/// Run `f`, which is not the running poll's own work and may last: user mode. Before it is a boundary
/// inside the poll: the caller holds nothing that [`rcu`](crate::rcu) protects. So `f` does not hold up
/// memory that waits to be freed, and if others wait to run on this CPU, the attention byte will be set
/// when its [time slice](set_time_slice) is over. The lengths of polls are counted up to here, and from
/// the return of `f`.
///
/// `f` must stay on this CPU and return when the attention byte is set. A handful of instructions.
#[inline(always)]
pub fn outside<R>(f: impl FnOnce() -> R) -> R {
    match hooks::worker() {
        Some(worker) if worker.leave_poll() => worker.measured(f),
        _ => f(),
    }
}

/// [`outside`], unless this CPU's [attention] byte is set already: `None`, and the poll had better make way.
#[inline(always)]
pub fn outside_unless_wanted<R>(f: impl FnOnce() -> R) -> Option<R> {
    match hooks::worker() {
        Some(worker) if worker.door.bell.is_ringing() => None,
        Some(worker) if worker.leave_poll() => Some(worker.measured(f)),
        _ => Some(f()),
    }
}

/// How long this CPU's running poll has gone on so far, in [`Platform::cycles`](crate::Platform::cycles), since it began
/// or came back from [`outside`]; 0 if none runs, or unless [accounting](crate::set_accounting) is on. An interrupt
/// handler may ask.
#[must_use]
pub fn poll_length() -> u64 {
    match hooks::worker().map(|worker| worker.own.stretch_began.load(Relaxed)) {
        None | Some(0) => 0,
        Some(began) => hooks::cycles().wrapping_sub(began),
    }
}

/// Run `f`, a part of an interrupt handler that is not to count into the length of the poll that was interrupted: what
/// measures, say, not what is measured.
pub fn uncounted<R>(f: impl FnOnce() -> R) -> R {
    let entered = hooks::cycles();
    let result = f();
    if let Some(worker) = hooks::worker() {
        let began = worker.own.stretch_began.load(Relaxed);
        if began != 0 {
            let spent = hooks::cycles().wrapping_sub(entered);
            worker.own.stretch_began.store(began.wrapping_add(spent), Relaxed);
        }
    }
    result
}

/// How long a task that runs for long keeps a CPU for which others wait, in nanoseconds. Four
/// milliseconds at first.
pub fn set_time_slice(ns: u64) {
    crate::shared::current().slice_ns.store(ns, Relaxed);
}
