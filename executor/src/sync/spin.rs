//! Spin locks for a few instructions at a time.

use crate::platform::hooks;
#[cfg(not(loom))]
use crate::primitive::AtomicBool;
#[cfg(loom)]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

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

/// A spin lock with many readers or one writer. Its guards are `!Send`, too. A writer that waits keeps new readers out, so a
/// task that reads must not read again.
pub type SpinRwLock<T> = lock_api::RwLock<RawSpinRw, T>;

/// The guard of a reader of a [`SpinRwLock`].
pub type SpinReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawSpinRw, T>;

/// The guard of a writer of a [`SpinRwLock`].
pub type SpinWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawSpinRw, T>;

/// The lock itself: how many read, and in the top bit whether one writes or waits for the readers to end.
pub struct RawSpinRw(AtomicU32);

const WRITER: u32 = 1 << 31;

impl RawSpinRw {
    #[cold]
    fn wait(&self, bits: u32) {
        while self.0.load(Relaxed) & bits != 0 {
            hooks::relax();
        }
    }
}

// SAFETY: the top bit is given to one caller at a time, who goes on when no reader is counted; readers that find it take their
// count back.
unsafe impl lock_api::RawRwLock for RawSpinRw {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawSpinRw = RawSpinRw(AtomicU32::new(0));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline(always)]
    fn lock_shared(&self) {
        while !self.try_lock_shared() {
            self.wait(WRITER);
        }
    }

    #[inline(always)]
    fn try_lock_shared(&self) -> bool {
        #[cfg(debug_assertions)]
        assert!(!hooks::in_interrupt(), "an interrupt handler must not take a spin lock");
        // Acquire pairs with the Release in `unlock_exclusive`.
        let free = self.0.fetch_add(1, Acquire) & WRITER == 0;
        if !free {
            self.0.fetch_sub(1, Relaxed);
        }
        free
    }

    #[inline(always)]
    unsafe fn unlock_shared(&self) {
        // Release pairs with the Acquire loads in `lock_exclusive`.
        self.0.fetch_sub(1, Release);
    }

    #[inline(always)]
    fn lock_exclusive(&self) {
        #[cfg(debug_assertions)]
        assert!(!hooks::in_interrupt(), "an interrupt handler must not take a spin lock");
        while self.0.fetch_or(WRITER, Acquire) & WRITER != 0 {
            self.wait(WRITER);
        }
        while self.0.load(Acquire) != WRITER {
            hooks::relax();
        }
    }

    #[inline(always)]
    fn try_lock_exclusive(&self) -> bool {
        self.0.compare_exchange(0, WRITER, Acquire, Relaxed).is_ok()
    }

    #[inline(always)]
    unsafe fn unlock_exclusive(&self) {
        self.0.fetch_and(!WRITER, Release);
    }
}
