//! A set of tasks that end in any order.

use crate::coop::consume_budget;
use crate::sync::{SpinMutex, WakeCell};
use crate::task::{JoinHandle, SpawnError, try_spawn};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;

struct Ended<T> {
    outputs: SpinMutex<VecDeque<T>>,
    owner: WakeCell,
}

/// Spawns tasks and gives their outputs in the order in which they end. Dropping the set cancels
/// those that still run.
///
/// For pieces that are plain function calls, [`fan_out`](crate::fan_out) is cheaper.
pub struct JoinSet<T: Send + 'static> {
    running: Vec<JoinHandle<()>>,
    left: usize,
    ended: Arc<Ended<T>>,
}

impl<T: Send + 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Without tasks.
    #[must_use]
    pub fn new() -> Self {
        let ended = Ended { outputs: SpinMutex::new(VecDeque::new()), owner: WakeCell::new() };
        JoinSet { running: Vec::new(), left: 0, ended: Arc::new(ended) }
    }

    /// Spawn a task into the set.
    ///
    /// # Errors
    /// [`SpawnError`]: no memory; the set is as before.
    pub fn try_spawn<F>(&mut self, future: F) -> Result<(), SpawnError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        if self.running.len() == self.running.capacity() {
            self.running.retain(|handle| !handle.is_finished());
            self.running.try_reserve(8).map_err(|_| SpawnError)?;
        }
        let ended = self.ended.clone();
        let handle = try_spawn(async move {
            let output = future.await;
            ended.outputs.lock().push_back(output);
            ended.owner.wake();
        })?;
        self.running.push(handle);
        self.left += 1;
        Ok(())
    }

    /// As [`try_spawn`](Self::try_spawn), for who cannot go on without.
    ///
    /// # Panics
    /// Without memory.
    pub fn spawn<F>(&mut self, future: F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.try_spawn(future).expect("no memory for a task");
    }

    /// How many outputs are still to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left
    }

    /// Are there none to come?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The output of the next task that ends; `None` when there are no more. Cancel-safe.
    pub async fn join_next(&mut self) -> Option<T> {
        if self.left == 0 {
            return None;
        }
        let ended = &self.ended;
        let output = poll_fn(|cx| {
            if consume_budget(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(output) = ended.outputs.lock().pop_front() {
                return Poll::Ready(output);
            }
            ended.owner.register(cx.waker());
            ended.outputs.lock().pop_front().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.left -= 1;
        if self.left == 0 {
            self.running.clear();
        }
        Some(output)
    }

    /// Wait for all; their outputs in the order in which they ended.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.left);
        while let Some(output) = self.join_next().await {
            outputs.push(output);
        }
        outputs
    }

    /// Cancel all that still run. Their futures are dropped soon, not at once.
    pub fn cancel_all(&mut self) {
        for handle in self.running.drain(..) {
            handle.cancel();
        }
        let outputs = core::mem::take(&mut *self.ended.outputs.lock());
        // Not under the lock.
        drop(outputs);
        self.left = 0;
    }
}

impl<T: Send + 'static> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.cancel_all();
    }
}
