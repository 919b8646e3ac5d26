//! The shared memory of the lock-free parts: the machine's; under `cfg(loom)` the model checker's;
//! with the simulator, the machine's with a chance for other CPUs before every access.

#[cfg(all(feature = "sim", not(loom)))]
pub(crate) use crate::sim::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(not(any(loom, feature = "sim")))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};

/// A full barrier between a sequentially consistent read-modify-write and the loads after it. The
/// read-modify-write is one already; loom, which takes it for acquire-release, needs to be told.
#[inline(always)]
pub(crate) fn fence_after_rmw() {
    #[cfg(loom)]
    fence(core::sync::atomic::Ordering::SeqCst);
}

/// Data that a protocol keeps apart, not the compiler. The model checker watches that it does.
pub(crate) struct Guarded<T>(cell::UnsafeCell<T>);

#[cfg(not(loom))]
use core::cell;
#[cfg(loom)]
use loom::cell;

impl<T> Guarded<T> {
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Guarded<T> {
        Guarded(cell::UnsafeCell::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded(cell::UnsafeCell::new(value))
    }

    /// Use the data.
    ///
    /// # Safety
    /// Nobody else uses it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(not(loom))]
        // SAFETY: the caller's promise.
        let result = f(unsafe { &mut *self.0.get() });
        #[cfg(loom)]
        // SAFETY: the caller's promise, and checked by the model.
        let result = self.0.with_mut(|data| f(unsafe { &mut *data }));
        result
    }
}

/// Whoever frees the data uses it, too.
#[cfg(loom)]
impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the last use, and checked by the model.
        self.0.with_mut(|_| ());
    }
}

/// Keeps its contents on cache lines of their own. 128 bytes, because x86 prefetches lines in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct CacheLine<T>(pub(crate) T);

impl<T> core::ops::Deref for CacheLine<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
