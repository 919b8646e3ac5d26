//! Futures on the timer wheel.
//!
//! A [`Sleep`] and its expiry meet under the lock of the wheel the timer is in. Expiry takes the
//! entry out, takes the wakee, marks the sleep as fired, and after that last store never touches it
//! again; so a `Sleep` that sees the mark may go without taking the lock.

use super::Instant;
use super::wheel::{Entry, Wheel};
use crate::platform::hooks;
use crate::primitive::AtomicU8;
use crate::sync::SpinMutex;
use crate::task::Wakee;
use crate::worker::Worker;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::{Context, Poll};
use core::time::Duration;

const NEW: u8 = 0;
const QUEUED: u8 = 1;
const FIRED: u8 = 2;

/// Waits until a point in time; made by [`sleep_until`]. Cancel-safe: dropping it stops the timer.
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    timer: Timer,
    deadline: Instant,
    /// Where the timer is queued, once it is.
    worker: Cell<Option<&'static Worker>>,
    _pinned: PhantomPinned,
}

/// What the wheel knows of a sleep. The entry comes first, so a pointer to it is one to the timer.
#[repr(C)]
struct Timer {
    entry: Entry,
    /// Under the wheel's lock while queued.
    wakee: UnsafeCell<Wakee>,
    state: AtomicU8,
}

// SAFETY: entry and wakee are touched under the wheel's lock, or before they are queued.
unsafe impl Send for Sleep {}
// SAFETY: `&Sleep` can only read the deadline.
unsafe impl Sync for Sleep {}

/// Wait until a point in time (an [`Instant`] or nanoseconds since boot).
pub fn sleep_until(at: impl Into<Instant>) -> Sleep {
    Sleep {
        timer: Timer {
            entry: Entry::new(),
            wakee: UnsafeCell::new(Wakee::NOBODY),
            state: AtomicU8::new(NEW),
        },
        deadline: at.into(),
        worker: Cell::new(None),
        _pinned: PhantomPinned,
    }
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
        this.timer.state.store(NEW, Relaxed);
        this.deadline = at.into();
    }

    /// The timer as the wheel knows it, with a pointer that is good for the whole timer.
    #[inline(always)]
    fn entry(&self) -> *const Entry {
        (&raw const self.timer).cast()
    }

    /// Queue the timer on this CPU's wheel.
    #[inline]
    fn start(&self, cx: &mut Context<'_>, now: u64) {
        let worker = hooks::worker().expect("a sleep can only be polled by a worker");
        // SAFETY: not queued, so the wakee is ours.
        unsafe { *self.timer.wakee.get() = Wakee::new(cx.waker()) };
        self.worker.set(Some(worker));
        self.timer.state.store(QUEUED, Relaxed);
        // SAFETY: in no wheel; pinned, and `drop` takes it out.
        unsafe { worker.wheel.lock().insert(self.entry(), self.deadline.0, now) };
        worker.arm_before(self.deadline.0);
    }

    /// Take the timer out of its wheel, if it is still there.
    #[inline]
    fn stop(&self) {
        // Acquire: pairs with the release in `expire`, after which the wheel has forgotten us.
        if self.timer.state.load(Acquire) == QUEUED
            && let Some(worker) = self.worker.get()
        {
            let mut wheel = worker.wheel.lock();
            if self.timer.entry.is_queued() {
                // SAFETY: in this wheel, under its lock.
                unsafe { wheel.remove(self.entry()) };
            }
        }
    }

    /// Still queued: make sure that the right task is woken.
    fn refresh(&self, cx: &mut Context<'_>) {
        if let Some(worker) = self.worker.get() {
            let _wheel = worker.wheel.lock();
            if self.timer.entry.is_queued() {
                // SAFETY: queued, and we hold the wheel's lock.
                let wakee = unsafe { &mut *self.timer.wakee.get() };
                if !wakee.is(cx.waker()) {
                    *wakee = Wakee::new(cx.waker());
                }
            }
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Acquire: pairs with the release in `expire`.
        match self.timer.state.load(Acquire) {
            FIRED => return Poll::Ready(()),
            NEW => {
                let now = hooks::now();
                if now >= self.deadline.0 {
                    self.timer.state.store(FIRED, Relaxed);
                    return Poll::Ready(());
                }
                self.start(cx, now);
            }
            _ => {
                self.refresh(cx);
                if self.timer.state.load(Acquire) == FIRED {
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
                    batch[count] = core::mem::replace(&mut *(*timer).wakee.get(), Wakee::NOBODY);
                    // Release: the sleep that sees it may be freed, after all of the above.
                    (*timer).state.store(FIRED, Release);
                }
                count += 1;
            }
        }
        for wakee in batch.into_iter().take(count) {
            wakee.wake();
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
/// ready by then, the answer is [`Elapsed`], and the future is dropped with the `Timeout`.
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
        let (future, sleep) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), Pin::new_unchecked(&mut this.sleep))
        };
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.poll(cx).map(|()| Err(Elapsed))
    }
}
