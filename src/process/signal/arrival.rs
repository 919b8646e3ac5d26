//! Waiting for a signal itself, rather than for what its handler does (sigtimedwait(2), signalfd(2)).

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use executor::{Sleep, sleep_until, time::Instant};
use pin_project::pin_project;
use syscalls::Errno;

use super::{SigInfo, SignalSet, send};
use crate::process::{Thread, thread::Attention, timers};

/// Waits until one of the signals that `thread` awaits has been sent, and takes it: EAGAIN at `deadline`, unless that is
/// [`Instant::FAR_FUTURE`]; EINTR for anything else that calls the thread.
pub fn arrival(thread: &Thread, deadline: Instant) -> Arrival<'_> {
    Arrival { thread, sleep: sleep_until(deadline) }
}

/// The future of [`arrival`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct Arrival<'a> {
    thread: &'a Thread,
    /// Not even started if it is for ever.
    #[pin]
    sleep: Sleep,
}

impl Future for Arrival<'_> {
    type Output = Result<SigInfo, Errno>;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ends = this.sleep.deadline() != Instant::FAR_FUTURE;
        Poll::Ready(if let Some(info) = take_awaited(this.thread) {
            Ok(info)
        } else if this.thread.is_called() && is_interrupted(this.thread) {
            // Attention for a signal that is awaited has been answered above; anything else interrupts.
            Err(Errno::EINTR)
        } else if ends && this.sleep.poll(context).is_ready() {
            Err(Errno::EAGAIN)
        } else {
            return Poll::Pending;
        })
    }
}

fn take_awaited(thread: &Thread) -> Option<SigInfo> {
    let mut shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let others = SignalSet(!own.awaited.0);
    let taken = own.pending.take(others).or_else(|| shared.pending.take(others));
    drop((own, shared));
    taken.map(|mut info| {
        timers::delivered(&thread.process, &mut info);
        info
    })
}

/// Whether there is more to attend to than signals that stay blocked.
fn is_interrupted(thread: &Thread) -> bool {
    if thread.attention().difference(Attention::IN_USER_MODE) != Attention::SIGNAL {
        return true;
    }
    let shared = thread.process.signals.lock();
    let own = thread.signals.lock();
    let deliverable = own.pending.set().plus(shared.pending.set()).minus(own.blocked);
    if deliverable.is_empty() {
        thread.settle(Attention::SIGNAL);
    }
    !deliverable.is_empty()
}

/// Takes the next signal of `set` that is pending for `thread` or its process, if `tell` succeeds in telling of it; says
/// whether it did. None if there is no such signal.
pub fn take_if(thread: &Thread, set: SignalSet, tell: impl FnOnce(&SigInfo) -> bool) -> Option<bool> {
    let others = SignalSet(!set.0);
    let (mut info, is_own) = {
        let mut shared = thread.process.signals.lock();
        let mut own = thread.signals.lock();
        match own.pending.take(others) {
            Some(info) => (info, true),
            None => (shared.pending.take(others)?, false),
        }
    };
    timers::delivered(&thread.process, &mut info);
    let told = tell(&info);
    if !told {
        let mut shared = thread.process.signals.lock();
        let mut own = thread.signals.lock();
        let pending = if is_own { &mut own.pending } else { &mut shared.pending };
        pending.put_back(info);
    }
    Some(told)
}

/// Whether any signal of `set` is pending for `thread` or its process.
pub fn is_any_pending(thread: &Thread, set: SignalSet) -> bool {
    let shared = thread.process.signals.lock();
    let own = thread.signals.lock();
    own.pending.set().plus(shared.pending.set()).0 & set.0 != 0
}

/// Waits until a signal of `set` is pending, which stays so; ERESTARTSYS for anything else that calls the thread.
pub fn pending(thread: &Thread, set: SignalSet) -> AnyPending<'_> {
    thread.signals.lock().awaited = set;
    AnyPending { thread, set }
}

/// The future of [`pending`]. While it exists, the thread awaits the signals.
#[must_use = "a future does nothing unless awaited"]
pub struct AnyPending<'a> {
    thread: &'a Thread,
    set: SignalSet,
}

impl Future for AnyPending<'_> {
    type Output = Result<(), Errno>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        if Thread::is_called_off() {
            Poll::Ready(Err(Errno::ERESTARTSYS))
        } else if is_any_pending(self.thread, self.set) {
            Poll::Ready(Ok(()))
        } else if self.thread.is_called() && is_interrupted(self.thread) {
            Poll::Ready(Err(Errno::ERESTARTSYS))
        } else {
            Poll::Pending
        }
    }
}

impl Drop for AnyPending<'_> {
    fn drop(&mut self) {
        await_none(self.thread);
    }
}

/// The thread awaits no signals any more. Those that it was called for and has not taken are there for others.
pub fn await_none(thread: &Thread) {
    let shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let refused = own.refused();
    own.awaited = SignalSet::EMPTY;
    send::hand_on(thread, shared, own, refused);
}
