//! A channel for one value.

use super::wake_cell::WakeCell;
use crate::primitive::AtomicU8;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use core::task::{Context, Poll};

const EMPTY: u8 = 0;
const SENT: u8 = 1;
const CLOSED: u8 = 2;

struct Inner<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
    receiver: WakeCell,
}

// SAFETY: the value belongs to the sender until SENT, to the receiver afterwards.
unsafe impl<T: Send> Send for Inner<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Inner<T> {}

/// Sends the value.
pub struct Sender<T>(Option<Arc<Inner<T>>>);

/// Receives the value: a future.
pub struct Receiver<T>(Arc<Inner<T>>);

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl core::fmt::Display for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the other side is gone")
    }
}

impl core::error::Error for Closed {}

/// A channel for one value. One allocation.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let inner = Arc::new(Inner {
        state: AtomicU8::new(EMPTY),
        value: UnsafeCell::new(None),
        receiver: WakeCell::new(),
    });
    (Sender(Some(inner.clone())), Receiver(inner))
}

impl<T> Sender<T> {
    /// Send the value. Does not wait.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(inner) = self.0.take() else { return Err(value) };
        // SAFETY: not sent yet, so the value is ours.
        unsafe { *inner.value.get() = Some(value) };
        // Release: the receiver that sees SENT sees the value. Acquire: see CLOSED.
        if inner.state.compare_exchange(EMPTY, SENT, AcqRel, Acquire).is_err() {
            // SAFETY: the receiver is gone.
            return unsafe { (*inner.value.get()).take() }.map_or(Ok(()), Err);
        }
        inner.receiver.wake();
        Ok(())
    }

    /// Is the receiver gone?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.state.load(Acquire) == CLOSED)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            // Release: orders the drop of our side before the receiver's end.
            inner.state.store(CLOSED, Release);
            inner.receiver.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The value, if it was sent and not taken yet; `Err` if it never will be.
    ///
    /// # Errors
    /// [`Closed`]: the sender is gone, or the value was taken.
    pub fn try_receive(&mut self) -> Result<Option<T>, Closed> {
        // Acquire: pairs with the release in `send`.
        match self.0.state.load(Acquire) {
            EMPTY => Ok(None),
            SENT => {
                self.0.state.store(CLOSED, Release);
                // SAFETY: sent, so the value is ours.
                unsafe { (*self.0.value.get()).take() }.map(Some).ok_or(Closed)
            }
            _ => Err(Closed),
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(end) = self.try_receive().transpose() {
            return Poll::Ready(end);
        }
        self.0.receiver.register(cx.waker());
        self.try_receive().transpose().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Either nothing was sent, and the sender will see that we are gone, or the value goes
        // with the last reference.
        let _ = self.0.state.compare_exchange(EMPTY, CLOSED, AcqRel, Acquire);
    }
}
