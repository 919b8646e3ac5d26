//! A counting semaphore: first come, first served.

use super::waiters::{IDLE, Node, QUEUED, WOKEN, Waiters, WakeBatch};
use crate::primitive::{AtomicUsize, fence, fence_after_rmw};
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::task::{Context, Poll};

/// A number of permits that tasks take and give back. A task that wants many is not overtaken by
/// those that want few. Task context only.
pub struct Semaphore {
    permits: AtomicUsize,
    waiters: Waiters,
}

impl Semaphore {
    /// With this many permits.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { permits: AtomicUsize::new(permits), waiters: Waiters::new() }
    }

    /// With this many permits.
    #[cfg(loom)]
    #[must_use]
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { permits: AtomicUsize::new(permits), waiters: Waiters::new() }
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.permits.load(Relaxed)
    }

    /// Take `n` permits if they are free and nobody waits.
    #[inline]
    pub fn try_acquire(&self, n: u32) -> Option<Permit<'_>> {
        self.try_take(n).then(|| Permit { semaphore: self, count: n })
    }

    /// Wait for `n` permits.
    pub fn acquire(&self, n: u32) -> Acquire<'_> {
        Acquire { semaphore: self, node: Node::new(n) }
    }

    /// Give permits back, or add new ones.
    #[inline]
    pub fn release(&self, n: u32) {
        // SeqCst: given back before the waiters are looked at; and a release for the next holder.
        self.permits.fetch_add(n as usize, SeqCst);
        fence_after_rmw();
        if !self.waiters.is_empty() {
            self.serve();
        }
    }

    #[inline]
    pub(super) fn try_take(&self, n: u32) -> bool {
        self.waiters.is_empty() && self.take(n)
    }

    #[inline]
    fn take(&self, n: u32) -> bool {
        let mut free = self.permits.load(Relaxed);
        while free >= n as usize {
            // Acquire (in SeqCst): pairs with `release`.
            match self.permits.compare_exchange_weak(free, free - n as usize, SeqCst, Relaxed) {
                Ok(_) => return true,
                Err(now) => free = now,
            }
        }
        false
    }

    /// Give what is free to those who wait, in order.
    #[cold]
    fn serve(&self) {
        loop {
            let mut batch = WakeBatch::new();
            let list = self.waiters.lock();
            loop {
                let node = list.first();
                // SAFETY: the first of the list, whose tag is what it wants.
                if node.is_null() || batch.is_full() || !self.take(unsafe { (*node).tag.get() }) {
                    break;
                }
                // SAFETY: the first of the list.
                batch.push(unsafe { list.remove(node, WOKEN) });
            }
            let done = !batch.is_full();
            drop(list);
            batch.wake();
            if done {
                return;
            }
        }
    }
}

/// The future of [`Semaphore::acquire`].
#[must_use = "a future does nothing unless awaited"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    node: Node,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        let count = self.node.tag.get();
        let permit = || Poll::Ready(Permit { semaphore, count });
        if self.node.state() == IDLE && semaphore.try_take(count) {
            return permit();
        }
        let node = &raw const self.node;
        let list = semaphore.waiters.lock();
        match self.node.state() {
            WOKEN => {
                self.node.reset();
                return permit();
            }
            // SAFETY: queued, and only taken out under this lock.
            QUEUED => unsafe { list.refresh(node, cx.waker()) },
            _ => {
                // SAFETY: in no list; pinned, and `drop` takes it out.
                unsafe { list.push(node, cx.waker()) };
                // Queued before the permits are looked at; pairs with SeqCst in `release`.
                fence(SeqCst);
                if core::ptr::eq(list.first(), node) && semaphore.take(count) {
                    // SAFETY: pushed just now.
                    drop(unsafe { list.remove(node, IDLE) });
                    return permit();
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.node.state() == IDLE {
            return;
        }
        let list = self.semaphore.waiters.lock();
        if self.node.state() == QUEUED {
            // SAFETY: queued, and only taken out under this lock.
            drop(unsafe { list.remove(&raw const self.node, IDLE) });
            drop(list);
            // We may have stood in the way of somebody who wants less.
            self.semaphore.serve();
        } else {
            drop(list);
            self.semaphore.release(self.node.tag.get());
        }
    }
}

/// Permits that go back when dropped.
#[must_use = "dropping the permit gives it back"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: u32,
}

impl Permit<'_> {
    /// Keep the permits for ever, or until somebody calls [`Semaphore::release`] for them.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}
