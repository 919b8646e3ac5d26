//! A place for the one task to wake.

use crate::primitive::AtomicPtr;
use crate::task::Wakee;
use core::ptr;
use core::sync::atomic::Ordering::SeqCst;
use core::task::Waker;

/// Holds who is to be woken: one word, one read-modify-write to register and one to wake.
///
/// The usual pair, with the condition in some atomic:
///
/// ```text
///   waiter: cell.register(cx.waker());       waker: condition.store(true, Release);
///           if condition.load(Acquire) …            cell.wake();
/// ```
///
/// Both calls are full barriers, so at least one side sees the other. `wake` is legal in interrupt
/// handlers if only tasks of this crate register.
pub struct WakeCell(AtomicPtr<()>);

impl WakeCell {
    /// Nobody to wake.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> WakeCell {
        WakeCell(AtomicPtr::new(ptr::null_mut()))
    }

    /// Nobody to wake.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> WakeCell {
        WakeCell(AtomicPtr::new(ptr::null_mut()))
    }

    /// Make `waker` the one to wake, instead of any before. Look at the condition after this.
    #[inline]
    pub fn register(&self, waker: &Waker) {
        // SeqCst on this and the next: whoever comes second in their order sees the first.
        let old = self.0.swap(Wakee::new(waker).into_raw(), SeqCst);
        // SAFETY: the word's ownership came with the swap.
        drop(unsafe { Wakee::from_raw(old) });
    }

    /// Wake whoever is registered, once. Change the condition before this.
    #[inline]
    pub fn wake(&self) {
        // SAFETY: the word's ownership comes with the swap.
        unsafe { Wakee::from_raw(self.0.swap(ptr::null_mut(), SeqCst)) }.wake();
    }
}

impl Default for WakeCell {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for WakeCell {
    fn drop(&mut self) {
        // SAFETY: nobody else has access.
        drop(unsafe { Wakee::from_raw(self.0.load(SeqCst)) });
    }
}
