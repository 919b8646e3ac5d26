//! Waiting for something to happen after one has looked.

use super::wait_queue::WaitQueue;
use crate::primitive::AtomicU32;
use core::future::Future;
use core::sync::atomic::Ordering::{Acquire, Release};

/// A count of events, for those who look at something that is dear to look at: they look once per event.
///
/// ```ignore
/// let seen = events.count();                       // waiter: the count first
/// while find(&state).is_none() { events.later_than(seen).await; ... }
/// change(&state); events.advance();                // whoever changes something: the change first
/// ```
///
/// Task context only, as with a [`WaitQueue`]. The count wraps around: nobody sleeps through 2³² events.
#[derive(Default)]
pub struct EventCount {
    count: AtomicU32,
    queue: WaitQueue,
}

impl EventCount {
    /// Nothing has happened yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> EventCount {
        EventCount { count: AtomicU32::new(0), queue: WaitQueue::new() }
    }

    /// How many events there have been.
    ///
    /// Acquire pairs with the release in [`advance`](Self::advance): what was changed before those is seen.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Acquire)
    }

    /// Count an event, and wake all that wait.
    #[inline]
    pub fn advance(&self) {
        self.count.fetch_add(1, Release);
        self.queue.wake_all();
    }

    /// Wait until there have been more events than `seen`.
    pub fn later_than(&self, seen: u32) -> impl Future<Output = ()> + Send + '_ {
        self.queue.wait_until(move || (self.count() != seen).then_some(()))
    }
}
