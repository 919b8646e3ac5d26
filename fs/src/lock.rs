//! A lock that a task may hold while it waits.

use core::future::Future;
use executor::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, SeqCst},
};
use executor::sync::WaitQueue;

/// A mutual exclusion without data: held by directories across the file system's operations, and by
/// files across writes. Locking a free one is one compare-and-swap. It is not handed over, so
/// whoever asks first after it is free gets it.
pub struct SleepLock {
    held: AtomicBool,
    waiters: WaitQueue,
}

impl SleepLock {
    /// A free lock.
    pub const fn new() -> Self {
        SleepLock { held: AtomicBool::new(false), waiters: WaitQueue::new() }
    }

    /// Takes the lock if it is free. Success must be paired with one [`unlock`](Self::unlock).
    #[inline]
    pub fn try_lock_raw(&self) -> bool {
        // Acquire pairs with the Release in `unlock`: the holder sees what the last one did.
        !self.held.load(Relaxed) && self.held.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Waits until the lock is the caller's. Cancel-safe: dropped before it is ready, it holds nothing.
    /// Success must be paired with one [`unlock`](Self::unlock).
    pub fn lock_raw(&self) -> impl Future<Output = ()> + Send + '_ {
        self.waiters.wait_until(|| self.try_lock_raw().then_some(()))
    }

    /// Gives the lock back.
    #[inline]
    pub fn unlock(&self) {
        // Release pairs with the Acquire in `try_lock_raw`; SeqCst orders the store before the look at the queue, and pairs
        // with the fence of a waiter that queues before it looks at `held` again.
        self.held.swap(false, SeqCst);
        if !self.waiters.is_empty() {
            self.waiters.wake_one();
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<SleepGuard<'_>> {
        self.try_lock_raw().then(|| SleepGuard(self))
    }

    /// Waits for the lock.
    pub async fn lock(&self) -> SleepGuard<'_> {
        self.lock_raw().await;
        SleepGuard(self)
    }
}

impl Default for SleepLock {
    fn default() -> Self {
        Self::new()
    }
}

/// A held [`SleepLock`], given back on drop. May be held across `.await`.
pub struct SleepGuard<'a>(&'a SleepLock);

impl Drop for SleepGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlock();
    }
}
