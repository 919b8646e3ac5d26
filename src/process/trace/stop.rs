//! The future of a stop.

use alloc::sync::Arc;
use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Halt, Place, report};
use crate::{
    arch::user::UserContext,
    process::{
        Caller, Thread, exit,
        signal::{SavedMask, SigInfo},
        thread::Attention,
        tree,
    },
};

/// Stops the calling thread for its tracer, who is told this status, and may ask for the rest of it. How it is to go on: with
/// this signal, or none (0), and what is known of the signal. None if it has not stopped, or is killed.
pub(super) async fn stop(
    caller: &mut Caller,
    context: &mut UserContext,
    place: Place,
    status: u32,
    info: Option<SigInfo>,
) -> Option<(u8, Option<SigInfo>)> {
    stop_as(caller, context, place, |_| (status, info)).await
}

/// The same with a status that is looked up under the tree's lock: whatever changes it from then on, and calls the thread for
/// that, calls it out of this stop.
pub(super) async fn stop_as(
    caller: &mut Caller,
    context: &mut UserContext,
    place: Place,
    look: impl FnOnce(&Thread) -> (u32, Option<SigInfo>),
) -> Option<(u8, Option<SigInfo>)> {
    let lent = Lent::new(&caller.thread, context, &mut caller.saved_mask, place, look)?;
    lent.await
}

/// Registers, and the saved mask, that are held out to the tracer. It is told of them at the beginning; dropping this takes them back.
#[must_use = "a future does nothing unless awaited"]
struct Lent<'a> {
    thread: &'a Arc<Thread>,
    context: &'a mut UserContext,
    saved_mask: &'a mut SavedMask,
    is_end: bool,
}

impl<'a> Lent<'a> {
    fn new(
        thread: &'a Arc<Thread>,
        context: &'a mut UserContext,
        saved_mask: &'a mut SavedMask,
        place: Place,
        look: impl FnOnce(&Thread) -> (u32, Option<SigInfo>),
    ) -> Option<Self> {
        context.suspend();
        let is_end = place == Place::End;
        // The tree's lock keeps the tracer from going away before it is told.
        let mut tree = tree::lock();
        if is_cancelled(thread, is_end) {
            return None;
        }
        // Who has been let go meanwhile stops as anybody does.
        thread.traced(|_| ())?;
        let (status, info) = look(thread);
        thread.traced(|tracing| {
            let halt = Halt { status, info, place, is_told: false, is_listening: false, verdict: None };
            tracing.stop = Some(halt);
            mem::swap(&mut tracing.registers, context);
            mem::swap(&mut tracing.saved_mask, saved_mask);
            // It has come, whatever it was called for.
            thread.settle(Attention::TRAP);
        })?;
        let lent = Self { thread, context, saved_mask, is_end };
        report::tell_of_stop(&mut tree, thread, status);
        Some(lent)
    }
}

/// Whether no stop counts any more. That of its end ends before its time only if it is killed.
fn is_cancelled(thread: &Thread, is_end: bool) -> bool {
    if is_end { exit::is_hurried(&thread.process) } else { thread.is_killed() }
}

impl Future for Lent<'_> {
    type Output = Option<(u8, Option<SigInfo>)>;

    /// Whoever gives a verdict, kills the thread, or calls a listening one, wakes it afterwards.
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        if is_cancelled(self.thread, self.is_end) {
            return Poll::Ready(None);
        }
        let tracing = self.thread.process.tracing.lock();
        let Some(halt) = tracing.get(&self.thread.key()).and_then(|tracing| tracing.stop.as_ref()) else {
            return Poll::Ready(None);
        };
        if halt.is_listening && self.thread.attention().contains(Attention::TRAP) {
            return Poll::Ready(Some((0, None)));
        }
        match halt.verdict {
            Some(signal) => Poll::Ready(Some((signal, halt.info))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let key = self.thread.key();
        let mut all = self.thread.process.tracing.lock();
        let Some(tracing) = all.get_mut(&key) else { return };
        mem::swap(&mut tracing.registers, self.context);
        mem::swap(&mut tracing.saved_mask, self.saved_mask);
        tracing.stop = None;
        if tracing.tracer.is_none() {
            let old = all.remove(&key);
            drop(all);
            drop(old);
        }
    }
}
