//! Futures on the timer wheel.
//!
//! A [`Sleep`] and its expiry meet under the lock of the wheel the timer is in. Expiry takes the
//! entry out, takes the wakee, marks the sleep as fired, and after that last store never touches it
//! again; so a `Sleep` that sees the mark may go without taking the lock.

use super::Instant;
use super::wheel::{Entry, Wheel, due};
use crate::coop::poll_at_last;
use crate::platform::hooks;
use crate::primitive::Guarded;
use crate::sync::SpinMutex;
use crate::task::Wakee;
use crate::worker::Worker;
use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// As entries begin.
const NEW: u8 = 0;
const QUEUED: u8 = 1;
const FIRED: u8 = 2;

/// What the wheel knows of a sleep. The entry comes first, so a pointer to it is one to the timer.
#[repr(C)]
pub(crate) struct Timer {
    entry: Entry,
    /// Under the wheel's lock while queued.
    wakee: Guarded<Wakee>,
}

// SAFETY: entry and wakee are touched under the wheel's lock, or before they are queued.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    #[inline(always)]
    pub(crate) fn new() -> Timer {
        Timer { entry: Entry::new(), wakee: Guarded::new(Wakee::NOBODY) }
    }

    /// The timer as the wheel knows it, with a pointer that is good for the whole timer.
    #[inline(always)]
    fn entry(&self) -> *const Entry {
        (&raw const *self).cast()
    }

    /// Acquire: pairs with the release in `expire`, after which the wheel has forgotten the timer.
    #[inline(always)]
    fn state(&self) -> u8 {
        self.entry.state.load(Acquire)
    }

    #[cfg(all(test, loom))]
    pub(crate) fn has_fired(&self) -> bool {
        self.state() == FIRED
    }

    /// Queue the timer.
    ///
    /// # Safety
    /// It is in no wheel, and stays where it is until it has fired or was stopped.
    #[inline]
    pub(crate) unsafe fn start(&self, wheel: &SpinMutex<Wheel>, deadline: u64, now: u64, waker: &Waker) {
        // SAFETY: not queued, so the wakee is ours.
        unsafe { self.wakee.with(|wakee| *wakee = Wakee::new(waker)) };
        self.entry.state.store(QUEUED, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { wheel.lock().insert(self.entry(), deadline, now) };
    }

    /// Take the timer out of the wheel, if it is still there. Not inlined: a sleep's drop is, and most never began.
    #[inline(never)]
    pub(crate) fn stop(&self, wheel: &SpinMutex<Wheel>) {
        if self.state() == QUEUED {
            let mut wheel = wheel.lock();
            if self.entry.is_queued() {
                // SAFETY: in this wheel, under its lock.
                unsafe { wheel.remove(self.entry()) };
                self.entry.state.store(NEW, Relaxed);
            }
        }
    }

    /// Still queued: make sure that the right task is woken.
    pub(crate) fn refresh(&self, wheel: &SpinMutex<Wheel>, waker: &Waker) {
        let _wheel = wheel.lock();
        if self.entry.is_queued() {
            let refresh = |wakee: &mut Wakee| {
                if !wakee.is(waker) {
                    *wakee = Wakee::new(waker);
                }
            };
            // SAFETY: queued, and we hold the wheel's lock.
            unsafe { self.wakee.with(refresh) };
        }
    }
}

/// Waits until a point in time; made by [`sleep_until`]. Cancel-safe: dropping it stops the timer.
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    timer: Timer,
    deadline: Instant,
    /// Where the timer is queued, once it is.
    worker: Cell<Option<&'static Worker>>,
    _pinned: PhantomPinned,
}

// SAFETY: `&Sleep` can only read the deadline.
unsafe impl Sync for Sleep {}

/// Wait until a point in time (an [`Instant`] or nanoseconds since boot).
#[inline(always)]
pub fn sleep_until(at: impl Into<Instant>) -> Sleep {
    Sleep { timer: Timer::new(), deadline: at.into(), worker: Cell::new(None), _pinned: PhantomPinned }
}

/// Wait for a while, from now.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

impl Sleep {
    /// When it ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Change when it ends. A sleep that was over sleeps again if the new time is in the future.
    pub fn reset(self: Pin<&mut Self>, at: impl Into<Instant>) {
        // SAFETY: nothing is moved; a queued entry leaves the wheel before its deadline changes.
        let this = unsafe { self.get_unchecked_mut() };
        this.stop();
        this.timer.entry.state.store(NEW, Relaxed);
        this.deadline = at.into();
    }

    /// Queue the timer on this CPU's wheel.
    #[inline]
    fn start(&self, cx: &mut Context<'_>, now: u64) {
        let worker = hooks::worker().expect("a sleep can only be polled by a worker");
        self.worker.set(Some(worker));
        // SAFETY: in no wheel; pinned, and `drop` takes it out.
        unsafe { self.timer.start(&worker.wheel, self.deadline.0, now, cx.waker()) };
        worker.arm_before(due(self.deadline.0));
    }

    #[inline]
    fn stop(&self) {
        if let Some(worker) = self.worker.get() {
            self.timer.stop(&worker.wheel);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.timer.state() {
            FIRED => return Poll::Ready(()),
            NEW => {
                let now = hooks::now();
                if now >= self.deadline.0 {
                    self.timer.entry.state.store(FIRED, Relaxed);
                    return Poll::Ready(());
                }
                self.start(cx, now);
            }
            _ => {
                if let Some(worker) = self.worker.get() {
                    self.timer.refresh(&worker.wheel, cx.waker());
                }
                if self.timer.state() == FIRED {
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Wake all whose time has come, some at a time, never under the lock.
pub(crate) fn expire(wheel: &SpinMutex<Wheel>, now: u64) {
    const BATCH: usize = 32;
    loop {
        let mut batch = [const { Wakee::NOBODY }; BATCH];
        let mut count = 0;
        {
            let mut wheel = wheel.lock();
            while count < BATCH
                && let Some(entry) = wheel.pop_due(now)
            {
                let timer = entry.cast::<Timer>();
                // SAFETY: every entry is the first field of a timer, which lives at least until
                // the store that marks it as fired; the lock makes the wakee ours.
                unsafe {
                    batch[count] = (*timer).wakee.with(|wakee| core::mem::replace(wakee, Wakee::NOBODY));
                    // Release: the sleep that sees it may be freed, after all of the above.
                    (*timer).entry.state.store(FIRED, Release);
                }
                count += 1;
            }
        }
        for wakee in batch.into_iter().take(count) {
            wakee.wake_in_turn();
        }
        if count < BATCH {
            return;
        }
    }
}

/// The time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl core::error::Error for Elapsed {}

/// A future with a time limit; made by [`timeout`].
#[must_use = "a future does nothing unless awaited"]
#[derive(Debug)]
pub struct Timeout<F> {
    future: F,
    sleep: Sleep,
}

/// Await `future` until a point in time (an [`Instant`] or nanoseconds since boot). If it is not
/// ready by then, the answer is [`Elapsed`], and the future is dropped with the `Timeout`. It is polled once
/// more before that, so a limit that is over at once is a look at what is there.
pub fn timeout<F: Future>(future: F, deadline: impl Into<Instant>) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

/// Await `future` for a while, from now.
pub fn timeout_after<F: Future>(future: F, duration: Duration) -> Timeout<F> {
    timeout(future, Instant::now() + duration)
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: both fields are pinned with the whole.
        let (mut future, sleep) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), Pin::new_unchecked(&mut this.sleep))
        };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match sleep.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(match poll_at_last(future, cx) {
                Poll::Ready(output) => Ok(output),
                Poll::Pending => Err(Elapsed),
            }),
        }
    }
}
