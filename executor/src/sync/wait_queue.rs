//! Waiting for any condition.

use super::waiters::{IDLE, Node, QUEUED, WOKEN, Waiters, WakeBatch};
use crate::coop::consume_budget;
use crate::primitive::fence;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering::SeqCst;
use core::task::{Context, Poll};

/// A queue of tasks that wait until some condition holds; 8 bytes.
///
/// ```ignore
/// let job = queue.wait_until(|| jobs.lock().pop_front()).await;   // waiter
/// jobs.lock().push_back(job); queue.wake_one();                   // waker: condition first
/// ```
///
/// First come, first served. Task context only: an interrupt handler wakes a task, and the task
/// wakes the queue.
pub struct WaitQueue {
    waiters: Waiters,
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// A queue without waiters.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> WaitQueue {
        WaitQueue { waiters: Waiters::new() }
    }

    /// A queue without waiters.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> WaitQueue {
        WaitQueue { waiters: Waiters::new() }
    }

    /// Does nobody wait? One plain load. Enough to skip a wake only if the condition was changed
    /// under a lock that the waiters' check takes, or by a sequentially consistent read-modify-write.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// How many wait. Takes the lock and counts.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_empty() { 0 } else { self.waiters.lock().len() }
    }

    /// Wait until `check` answers `Some`, and answer that.
    ///
    /// `check` is called first thing, then each time the task is woken, and in between once after
    /// queueing, so no wake is lost. It may be called while nothing changed.
    pub fn wait_until<T, F: FnMut() -> Option<T>>(&self, check: F) -> WaitUntil<'_, F> {
        WaitUntil { queue: self, check, node: Node::new(0) }
    }

    /// Wake the one that waits longest. Returns whether there was one.
    ///
    /// Change the condition before; a fence between is included.
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.wake_n(1) == 1
    }

    /// Wake up to `n`, in the order in which they came; how many. See [`wake_one`](Self::wake_one).
    #[inline]
    pub fn wake_n(&self, n: usize) -> usize {
        // The condition is changed before the list is looked at.
        fence(SeqCst);
        if self.waiters.is_empty() { 0 } else { self.wake_some(n) }
    }

    /// Wake all that wait now; how many. See [`wake_one`](Self::wake_one).
    #[inline]
    pub fn wake_all(&self) -> usize {
        // As in `wake_n`.
        fence(SeqCst);
        if self.waiters.is_empty() {
            return 0;
        }
        // Those that queue while we wake come behind, so counting is enough to leave them alone.
        let waiting = self.waiters.lock().len();
        if waiting == 1 { self.wake_some(1) } else { self.wake_many(waiting) }
    }

    fn wake_some(&self, n: usize) -> usize {
        let list = self.waiters.lock();
        let node = list.first();
        if node.is_null() || n == 0 {
            return 0;
        }
        // SAFETY: the first of the list.
        if unsafe { list.is_only(node) } {
            // SAFETY: it is the only one.
            unsafe { list.remove_only(node, WOKEN) }.wake();
            return 1;
        }
        if n == 1 {
            // SAFETY: the first of the list.
            let wakee = unsafe { list.remove(node, WOKEN) };
            drop(list);
            wakee.wake();
            return 1;
        }
        drop(list);
        self.wake_many(n)
    }

    #[cold]
    fn wake_many(&self, n: usize) -> usize {
        let mut woken = 0;
        loop {
            let mut batch = WakeBatch::new();
            let list = self.waiters.lock();
            while woken < n && !batch.is_full() {
                let node = list.first();
                if node.is_null() {
                    break;
                }
                // SAFETY: the first of the list.
                batch.push(unsafe { list.remove(node, WOKEN) });
                woken += 1;
            }
            let done = !batch.is_full();
            drop(list);
            batch.wake();
            if done || woken == n {
                return woken;
            }
        }
    }
}

/// The future of [`WaitQueue::wait_until`].
#[must_use = "a future does nothing unless awaited"]
pub struct WaitUntil<'a, F> {
    queue: &'a WaitQueue,
    check: F,
    node: Node,
}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the node is never moved; `check` is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let state = this.node.state();
        if state != QUEUED {
            if state == IDLE && consume_budget(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(value) = (this.check)() {
                // A wake that led here is used up.
                this.node.reset();
                return Poll::Ready(value);
            }
        }
        this.poll_queued(cx)
    }
}

impl<F> WaitUntil<'_, F> {
    fn poll_queued<T>(&mut self, cx: &mut Context<'_>) -> Poll<T>
    where
        F: FnMut() -> Option<T>,
    {
        let node = &raw const self.node;
        if self.node.state() == QUEUED {
            let list = self.queue.waiters.lock();
            if self.node.state() == QUEUED {
                // SAFETY: queued, and only taken out under this lock.
                unsafe { list.refresh(node, cx.waker()) };
            }
        }
        if self.node.state() != QUEUED {
            self.node.reset();
            // SAFETY: in no list; pinned, and `drop` takes it out.
            unsafe { self.queue.waiters.lock().push(node, cx.waker()) };
            // Queued before the condition is looked at; pairs with the fence in `wake_n`.
            fence(SeqCst);
        }
        match (self.check)() {
            Some(value) => {
                self.leave();
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }

    /// Get out of the queue, if in it. The next gets the wake if one has come meanwhile. It may have been the reason why
    /// the condition holds, and is used up then; or it was for whoever comes next, and we were still the first: a check that
    /// leaves something behind, and wakes one for it, finds itself here.
    fn leave(&self) {
        if self.node.state() == QUEUED {
            let list = self.queue.waiters.lock();
            if self.node.state() == QUEUED {
                // SAFETY: queued, and only taken out under this lock.
                drop(unsafe { list.remove(&raw const self.node, IDLE) });
                return;
            }
        }
        if self.node.state() == WOKEN {
            self.node.reset();
            self.queue.wake_one();
        }
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    #[inline]
    fn drop(&mut self) {
        if self.node.state() != IDLE {
            self.leave();
        }
    }
}
