//! A spin lock for a few instructions at a time.

use crate::platform::hooks;
#[cfg(not(loom))]
use crate::primitive::AtomicBool;
#[cfg(loom)]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A spin lock. Its guard is `!Send`, so it cannot be held across `.await` in a task.
///
/// Not for data that interrupt handlers touch: a handler that finds its own CPU's lock taken would
/// wait for ever. Debug builds assert it.
#[cfg(not(loom))]
pub type SpinMutex<T> = lock_api::Mutex<RawSpin, T>;

/// In a model, a lock that the model checker knows.
#[cfg(loom)]
pub struct SpinMutex<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> SpinMutex<T> {
    /// Unlocked.
    pub fn new(value: T) -> Self {
        SpinMutex(loom::sync::Mutex::new(value))
    }

    /// Wait for the lock.
    pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The guard of a [`SpinMutex`].
pub type SpinMutexGuard<'a, T> = lock_api::MutexGuard<'a, RawSpin, T>;

/// The lock itself: one byte.
pub struct RawSpin(AtomicBool);

impl RawSpin {
    #[cold]
    fn wait(&self) {
        while self.0.load(Relaxed) {
            hooks::relax();
        }
    }
}

// SAFETY: only one caller at a time sees the swap's `false`.
unsafe impl lock_api::RawMutex for RawSpin {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawSpin = RawSpin(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline(always)]
    fn lock(&self) {
        #[cfg(debug_assertions)]
        assert!(!hooks::in_interrupt(), "an interrupt handler must not take a spin lock");
        // Acquire: pairs with the release in `unlock`.
        while self.0.swap(true, Acquire) {
            self.wait();
        }
    }

    #[inline(always)]
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Acquire)
    }

    #[inline(always)]
    unsafe fn unlock(&self) {
        self.0.store(false, Release);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.load(Relaxed)
    }
}
