//! Waiting for a signal itself, rather than for what its handler does (sigtimedwait(2)).

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use executor::{Sleep, sleep_until, time::Instant};
use pin_project::pin_project;
use syscalls::Errno;

use super::{SigInfo, SignalSet};
use crate::process::{Thread, thread::Attention};

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
    own.pending.take(others).or_else(|| shared.pending.take(others))
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
