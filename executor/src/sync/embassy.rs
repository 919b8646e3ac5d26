//! embassy-sync's static channels, over a lock that is safe on several CPUs.
//!
//! They need no allocation and can be statics, which suits drivers. embassy's own critical section
//! would be one lock for the whole machine with interrupts off; [`RawSpinMutex`] is one spin lock per
//! object. Task context only.

use super::spin::RawSpin;
use embassy_sync::blocking_mutex::raw::RawMutex;
use lock_api::RawMutex as _;

/// A spin lock in embassy-sync's terms.
pub struct RawSpinMutex(RawSpin);

// SAFETY: `lock` runs the closure with the spin lock held.
unsafe impl RawMutex for RawSpinMutex {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = RawSpinMutex(RawSpin::INIT);

    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.lock();
        let result = f();
        // SAFETY: locked above. (A panic in `f` leaves it locked; the kernel does not unwind.)
        unsafe { self.0.unlock() };
        result
    }
}

/// A queue of at most `N` values inside the object.
pub type Channel<T, const N: usize> = embassy_sync::channel::Channel<RawSpinMutex, T, N>;
/// The latest value of something, for one waiter.
pub type Signal<T> = embassy_sync::signal::Signal<RawSpinMutex, T>;
/// The latest value of something, for up to `N` waiters.
pub type Watch<T, const N: usize> = embassy_sync::watch::Watch<RawSpinMutex, T, N>;
/// A byte pipe of `N` bytes.
pub type Pipe<const N: usize> = embassy_sync::pipe::Pipe<RawSpinMutex, N>;
