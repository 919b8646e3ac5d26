//! Turns: how tasks that use the CPU for long share it.

use crate::platform::hooks;
use crate::queue::{Place, Stand};
use crate::task::TaskRef;
use crate::worker::Worker;
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::task::{Context, Poll};

/// How much of the CPU a task has had: its CPU time in nanoseconds, divided by its weight. It may wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// By the weight that it has had up to now.
    pub so_far: u64,
    /// The same CPU time, by the weight that it has from now on.
    pub from_now: u64,
}

/// Make way, as a task that wants the CPU for as long as it can have it: it goes on when all others of its kind have had
/// as much. What was woken goes before them, though not for ever. If the running task was asked to make way before its
/// [time slice](crate::set_time_slice) was over, it goes on before others of its kind.
///
/// What it has not used while it slept is lost, but for a turn. Tasks that take turns
/// [begin a slice](crate::Worker::begin_slice) in each poll: else nobody would end the turn of one that finds itself alone.
#[must_use = "a future does nothing unless awaited"]
pub fn take_turns(usage: Usage) -> TakeTurns {
    TakeTurns::new(Stand::There, usage)
}

/// As [`take_turns`], but those that are not far behind go first, even where the task has had less; and if nobody takes
/// turns, as [`yield_now`](crate::yield_now).
#[must_use = "a future does nothing unless awaited"]
pub fn let_pass(usage: Usage) -> TakeTurns {
    TakeTurns::new(Stand::Behind, usage)
}

/// As [`take_turns`], but before all of its kind, whatever each of them has had. For who uses the CPU no longer than it has a right
/// to.
#[must_use = "a future does nothing unless awaited"]
pub fn go_first(usage: Usage) -> TakeTurns {
    TakeTurns::new(Stand::First, usage)
}

/// The future of [`take_turns`], [`let_pass`] and [`go_first`].
pub struct TakeTurns {
    place: Place,
    from_now: u64,
    _pinned: PhantomPinned,
}

// SAFETY: the place is touched by whoever polls the task, and under the line's lock.
unsafe impl Send for TakeTurns {}
// SAFETY: `&TakeTurns` can do nothing.
unsafe impl Sync for TakeTurns {}

impl TakeTurns {
    fn new(stand: Stand, usage: Usage) -> TakeTurns {
        TakeTurns { place: Place::new(stand, usage.so_far), from_now: usage.from_now, _pinned: PhantomPinned }
    }

    /// The task asks for its turn; `false`: nobody is to be let pass, so it only yields.
    fn ask(&self, worker: &Worker, task: TaskRef) -> bool {
        let (place, origin) = (&self.place, &task.header().origin);
        place.time.set(origin.get().wrapping_add(place.time.get()));
        match place.stand.get() {
            Stand::Behind if !worker.is_line() => {
                self.has_got_to(place.time.get(), task);
                return false;
            }
            Stand::There if !worker.is_slice_over() => place.stand.set(Stand::First),
            _ => {}
        }
        worker.will_stand(place);
        true
    }

    /// Keeps for the next time what the task has had.
    fn has_got_to(&self, time: u64, task: TaskRef) {
        task.header().origin.set(time.wrapping_sub(self.from_now));
    }
}

impl Future for TakeTurns {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whoever polls futures of its own inside a task is told by its own waker when to poll this one, which can then
        // only yield.
        let polling = TaskRef::from_waker(cx.waker()).zip(hooks::worker());
        let polling = polling.filter(|(task, worker)| worker.current() == Some(*task));
        if self.place.is_polled.replace(true) {
            if let Some((task, _)) = polling
                && !self.place.task.get().is_null()
            {
                self.has_got_to(self.place.time.get(), task);
            }
            return Poll::Ready(());
        }
        if !polling.is_some_and(|(task, worker)| self.ask(worker, task)) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for TakeTurns {
    fn drop(&mut self) {
        if self.place.is_polled.get()
            && let Some(worker) = hooks::worker()
        {
            worker.forget(&raw const self.place);
        }
    }
}

impl fmt::Debug for TakeTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeTurns").field("stand", &self.place.stand.get()).finish_non_exhaustive()
    }
}
