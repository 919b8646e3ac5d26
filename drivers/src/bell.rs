//! A driver's bell: rung by interrupt handlers and by whoever has work for the task.

use core::task::Poll;
use executor::atomic::AtomicBool;
use executor::atomic::Ordering::{Acquire, Release};

use executor::sync::WakeCell;

/// Wakes the one task that waits for it. A ring while nobody waits is kept; several count as one.
pub struct Bell {
    /// Release when rung, Acquire when answered: what was done before is seen.
    rang: AtomicBool,
    task: WakeCell,
}

impl Bell {
    /// Silent.
    pub const fn new() -> Self {
        Self { rang: AtomicBool::new(false), task: WakeCell::new() }
    }

    /// Rings. For tasks and interrupt handlers.
    pub fn ring(&self) {
        self.rang.store(true, Release);
        self.task.wake();
    }

    /// Resolves once it has rung since the last time. For one task at a time.
    pub async fn wait(&self) {
        core::future::poll_fn(|context| {
            self.task.register(context.waker());
            if self.rang.swap(false, Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
