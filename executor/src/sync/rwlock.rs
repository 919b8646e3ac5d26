//! A reader-writer lock that can be held across `.await`.

use super::semaphore::Semaphore;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

/// A reader takes one permit, a writer all.
const ALL: u32 = 1 << 30;

/// Many readers or one writer. First come, first served: readers that come after a waiting writer
/// wait behind it. Task context only.
pub struct RwLock<T: ?Sized> {
    permits: Semaphore,
    data: UnsafeCell<T>,
}

// SAFETY: the permits keep writers apart from everybody.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; readers on several CPUs share `&T`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Unlocked.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { permits: Semaphore::new(ALL as usize), data: UnsafeCell::new(value) }
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

#[cfg(not(loom))]
impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Wait until no writer holds the lock or waits before us.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        self.permits.acquire(1).await.forget();
        RwLockReadGuard { lock: self }
    }

    /// Wait until nobody holds the lock or waits before us.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.permits.acquire(ALL).await.forget();
        RwLockWriteGuard { lock: self }
    }

    /// Read if no writer holds the lock and nobody waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.permits.try_take(1).then(|| RwLockReadGuard { lock: self })
    }

    /// Write if nobody holds the lock.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.permits.try_take(ALL).then(|| RwLockWriteGuard { lock: self })
    }

    /// The data, without locking: nobody else has access.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// Shared access; unlocks when dropped.
#[must_use = "dropping the guard unlocks"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// Exclusive access; unlocks when dropped.
#[must_use = "dropping the guard unlocks"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

// SAFETY: the guard gives `&T` wherever it is.
unsafe impl<T: ?Sized + Sync> Send for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: the guard gives `&mut T` wherever it is.
unsafe impl<T: ?Sized + Send> Send for RwLockWriteGuard<'_, T> {}
// SAFETY: `&guard` gives `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Let readers in, and go on reading; no writer gets between.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.permits.release(ALL - 1);
        RwLockReadGuard { lock }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: we hold a permit, so no writer has all.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: we hold all permits.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold all permits.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.permits.release(1);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.permits.release(ALL);
    }
}
