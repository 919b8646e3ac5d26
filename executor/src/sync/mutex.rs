//! A lock that can be held across `.await`.

use super::waiters::{IDLE, Node, QUEUED, WOKEN, Waiters};
use crate::primitive::{AtomicBool, fence, fence_after_rmw};
use core::cell::UnsafeCell;
use core::fmt;
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::task::{Context, Poll};

/// A mutual-exclusion lock for data that is held across `.await`.
///
/// Uncontended, locking is one compare-and-swap and unlocking one read-modify-write. With waiters,
/// the lock is handed to the one that waits longest, so nobody starves. Task context only.
pub struct Mutex<T: ?Sized> {
    locked: AtomicBool,
    waiters: Waiters,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives access to the data to one at a time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Unlocked.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { locked: AtomicBool::new(false), waiters: Waiters::new(), data: UnsafeCell::new(value) }
    }

    /// Unlocked.
    #[cfg(loom)]
    pub fn new(value: T) -> Mutex<T> {
        Mutex { locked: AtomicBool::new(false), waiters: Waiters::new(), data: UnsafeCell::new(value) }
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Lock if nobody holds the lock.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.acquire().then(|| MutexGuard { mutex: self })
    }

    /// Wait for the lock.
    #[inline]
    pub fn lock(&self) -> MutexLock<'_, T> {
        MutexLock { mutex: self, node: Node::new(0) }
    }

    /// Is it held? A guess by the time the caller knows.
    pub fn is_locked(&self) -> bool {
        self.locked.load(Relaxed)
    }

    /// The data, without locking: nobody else has access.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    #[inline(always)]
    fn acquire(&self) -> bool {
        // Acquire: pairs with the swap in `release`.
        self.locked.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    #[inline(always)]
    fn release(&self) {
        if !self.waiters.is_empty() && self.hand_over() {
            return;
        }
        // SeqCst: unlocked before the waiters are looked at; and a release for the next holder.
        self.locked.swap(false, SeqCst);
        fence_after_rmw();
        if !self.waiters.is_empty() {
            self.release_late();
        }
    }

    /// Unlock for a guard that was forgotten.
    #[cfg(all(test, loom))]
    pub(crate) fn unlock_for_model(&self) {
        self.release();
    }

    /// Give the lock, still held, to the first waiter. `false` if there is none.
    #[cold]
    fn hand_over(&self) -> bool {
        let list = self.waiters.lock();
        let node = list.first();
        if node.is_null() {
            return false;
        }
        // SAFETY: the first of the list. The list's lock orders our data accesses before its.
        let wakee = unsafe { list.remove(node, WOKEN) };
        drop(list);
        wakee.wake();
        true
    }

    /// Somebody queued while we unlocked. Unless it has the lock by now, it gets it.
    #[cold]
    fn release_late(&self) {
        while !self.waiters.is_empty() && self.acquire() {
            if self.hand_over() {
                return;
            }
            self.locked.swap(false, SeqCst);
            fence_after_rmw();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

/// The future of [`Mutex::lock`].
#[must_use = "a future does nothing unless awaited"]
pub struct MutexLock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    node: Node,
}

impl<'a, T: ?Sized> Future for MutexLock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let mutex = self.mutex;
        // Those who wait already go first.
        if self.node.state() == IDLE && mutex.waiters.is_empty() && mutex.acquire() {
            return Poll::Ready(MutexGuard { mutex });
        }
        self.poll_queued(cx)
    }
}

impl<'a, T: ?Sized> MutexLock<'a, T> {
    fn poll_queued(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let mutex = self.mutex;
        let node = &raw const self.node;
        let list = mutex.waiters.lock();
        match self.node.state() {
            WOKEN => {
                self.node.reset();
                return Poll::Ready(MutexGuard { mutex });
            }
            // SAFETY: queued, and only taken out under this lock.
            QUEUED => unsafe { list.refresh(node, cx.waker()) },
            _ => {
                // SAFETY: in no list; pinned, and `drop` takes it out.
                unsafe { list.push(node, cx.waker()) };
                // Queued before the lock is looked at; pairs with the swap in `release`.
                fence(SeqCst);
                if core::ptr::eq(list.first(), node) && mutex.acquire() {
                    // SAFETY: pushed just now.
                    drop(unsafe { list.remove(node, IDLE) });
                    return Poll::Ready(MutexGuard { mutex });
                }
            }
        }
        Poll::Pending
    }
}

impl<T: ?Sized> Drop for MutexLock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.node.state() == IDLE {
            return;
        }
        let list = self.mutex.waiters.lock();
        if self.node.state() == QUEUED {
            // SAFETY: queued, and only taken out under this lock.
            drop(unsafe { list.remove(&raw const self.node, IDLE) });
        } else {
            // The lock was handed to us and we do not want it any more.
            drop(list);
            self.mutex.release();
        }
    }
}

/// The right to use the data; unlocks when dropped.
#[must_use = "dropping the guard unlocks"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: whoever holds the guard holds the lock; it may be released on another CPU.
unsafe impl<T: ?Sized + Send> Send for MutexGuard<'_, T> {}
// SAFETY: gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the lock is ours.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is ours.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
