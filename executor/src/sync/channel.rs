//! A queue of values between any number of senders and receivers.

use super::spin::SpinMutex;
use super::wait_queue::WaitQueue;
use crate::primitive::AtomicUsize;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

struct Inner<T> {
    queue: SpinMutex<VecDeque<T>>,
    capacity: usize,
    not_empty: WaitQueue,
    not_full: WaitQueue,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// The sending side. Clone it for more senders.
pub struct Sender<T>(Arc<Inner<T>>);

/// The receiving side. Clone it for more receivers; each value goes to one of them.
pub struct Receiver<T>(Arc<Inner<T>>);

/// Why a value was not sent. Gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The channel is full.
    Full(T),
    /// All receivers are gone.
    Closed(T),
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full",
            SendError::Closed(_) => "Closed",
        })
    }
}

/// Why no value was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// The channel is empty.
    Empty,
    /// The channel is empty and all senders are gone.
    Closed,
}

/// A channel for at most `capacity` values; sending to a full one waits. Its memory is allocated
/// here and now.
///
/// # Panics
/// If the capacity is zero.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel must hold at least one value");
    make(capacity, VecDeque::with_capacity(capacity))
}

/// A channel that grows as needed.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(usize::MAX, VecDeque::new())
}

fn make<T>(capacity: usize, queue: VecDeque<T>) -> (Sender<T>, Receiver<T>) {
    let inner = Arc::new(Inner {
        queue: SpinMutex::new(queue),
        capacity,
        not_empty: WaitQueue::new(),
        not_full: WaitQueue::new(),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
    });
    (Sender(inner.clone()), Receiver(inner))
}

impl<T> Sender<T> {
    /// Send if there is room.
    ///
    /// # Errors
    /// The value, with the reason.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        // Acquire: pairs with the last receiver's decrement.
        if self.0.receivers.load(Acquire) == 0 {
            return Err(SendError::Closed(value));
        }
        let mut queue = self.0.queue.lock();
        if queue.len() >= self.0.capacity {
            return Err(SendError::Full(value));
        }
        queue.push_back(value);
        drop(queue);
        self.0.not_empty.wake_one();
        Ok(())
    }

    /// Wait for room, and send.
    ///
    /// # Errors
    /// The value, if all receivers are gone.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = Some(value);
        let attempt = || match self.try_send(value.take()?) {
            Err(SendError::Full(back)) => {
                value = Some(back);
                None
            }
            end => Some(end),
        };
        self.0.not_full.wait_until(attempt).await
    }
}

impl<T> Receiver<T> {
    /// Receive if there is something.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn try_receive(&self) -> Result<T, ReceiveError> {
        // Before the look into the queue: a sender's last value comes before its end.
        let closed = self.0.senders.load(Acquire) == 0;
        let value = self.0.queue.lock().pop_front();
        match value {
            Some(value) => {
                if self.0.capacity != usize::MAX {
                    self.0.not_full.wake_one();
                }
                Ok(value)
            }
            None if closed => Err(ReceiveError::Closed),
            None => Err(ReceiveError::Empty),
        }
    }

    /// Wait for a value; `None` when the channel is empty and all senders are gone.
    pub async fn receive(&self) -> Option<T> {
        let attempt = || match self.try_receive() {
            Ok(value) => Some(Some(value)),
            Err(ReceiveError::Closed) => Some(None),
            Err(ReceiveError::Empty) => None,
        };
        self.0.not_empty.wait_until(attempt).await
    }

    /// How many values wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.queue.lock().len()
    }

    /// Does none wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Relaxed);
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.receivers.fetch_add(1, Relaxed);
        Receiver(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `try_receive`.
        if self.0.senders.fetch_sub(1, AcqRel) == 1 {
            self.0.not_empty.wake_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `try_send`.
        if self.0.receivers.fetch_sub(1, AcqRel) == 1 {
            self.0.not_full.wake_all();
        }
    }
}
