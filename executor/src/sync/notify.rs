//! A signal that is remembered until somebody takes it.

use super::wait_queue::WaitQueue;
use crate::primitive::AtomicBool;
use core::future::Future;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

/// A flag to wait for: [`notify`](Self::notify) sets it and wakes one waiter,
/// [`notified`](Self::notified) waits for it and clears it. Signals do not add up.
#[derive(Default)]
pub struct Notify {
    signalled: AtomicBool,
    queue: WaitQueue,
}

impl Notify {
    /// Not signalled.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Notify {
        Notify { signalled: AtomicBool::new(false), queue: WaitQueue::new() }
    }

    /// Set the flag and wake one waiter. Task context only; for interrupt handlers there is
    /// [`WakeCell`](super::WakeCell).
    pub fn notify(&self) {
        // Release: what the caller did before is seen by the task that takes the signal.
        self.signalled.store(true, Release);
        self.queue.wake_one();
    }

    /// Take the signal if there is one.
    pub fn try_take(&self) -> bool {
        // Acquire pairs with the release in `notify`. The load first keeps idle polling cheap.
        self.signalled.load(Relaxed) && self.signalled.swap(false, AcqRel)
    }

    /// Wait for the signal, and take it.
    pub fn notified(&self) -> impl Future<Output = ()> + Send + '_ {
        self.queue.wait_until(|| self.try_take().then_some(()))
    }
}
