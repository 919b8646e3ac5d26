//! The queue of no CPU in particular: overflow of the rings, and the background lane.

use super::Fifo;
use crate::primitive::AtomicUsize;
use crate::sync::SpinMutex;
use crate::task::TaskRef;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A list under a short lock, with a length that can be read without it.
pub(crate) struct Injector {
    list: SpinMutex<Fifo>,
    len: AtomicUsize,
}

impl Injector {
    pub(crate) fn new() -> Injector {
        Injector { list: SpinMutex::new(Fifo::new()), len: AtomicUsize::new(0) }
    }

    /// SeqCst: a CPU about to sleep checks this after it announced its sleep; a pusher checks for
    /// sleepers after this.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(SeqCst) == 0
    }

    /// How many wait, a guess.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    pub(crate) fn push(&self, tasks: impl IntoIterator<Item = TaskRef>) {
        let list = self.list.lock();
        let mut count = 0;
        for task in tasks {
            list.push(task);
            count += 1;
        }
        self.len.store(self.len.load(Relaxed) + count, SeqCst);
    }

    /// Take one, and give up to `more` others to `rest`.
    pub(crate) fn pop(&self, more: usize, mut rest: impl FnMut(TaskRef)) -> Option<TaskRef> {
        if self.is_empty() {
            return None;
        }
        let list = self.list.lock();
        let first = list.pop()?;
        let mut count = 1;
        while count <= more {
            let Some(task) = list.pop() else { break };
            rest(task);
            count += 1;
        }
        self.len.store(self.len.load(Relaxed) - count, SeqCst);
        Some(first)
    }

    /// An even share of what waits, for one of `cpus`.
    pub(crate) fn share(&self, cpus: usize) -> usize {
        (self.len() / cpus).min(super::ring::CAPACITY / 2)
    }
}
