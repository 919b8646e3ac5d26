//! Signals that wait to be delivered.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{Actions, SigInfo, SignalSet, numbers::SIGRTMIN};

/// Most queued instances of real-time signals per process or thread; further ones are refused with EAGAIN.
const QUEUE_LIMIT: usize = 1024;

/// Pending signals of a thread or of a process.
#[derive(Default)]
pub struct Pending {
    set: SignalSet,
    /// Most threads never get a signal of their own.
    #[allow(clippy::box_collection, reason = "an empty queue is four words in every thread")]
    queue: Option<Box<VecDeque<SigInfo>>>,
}

impl Pending {
    /// Those that are pending.
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds an instance. A standard signal that is pending already absorbs it; a real-time signal is queued, unless
    /// the queue is full (`false`). A timer's signal has a place of its own in the queue, which it takes once.
    pub fn add(&mut self, info: SigInfo) -> bool {
        if info.of_timer().is_some() {
            self.add_of_timer(info);
            return true;
        }
        if info.signal < SIGRTMIN && self.set.has(info.signal) {
            return true;
        }
        let queue = self.queue.get_or_insert_default();
        if info.signal >= SIGRTMIN && queue.len() >= QUEUE_LIMIT {
            return false;
        }
        self.set.add(info.signal);
        queue.push_back(info);
        true
    }

    #[cold]
    fn add_of_timer(&mut self, info: SigInfo) {
        let queue = self.queue.get_or_insert_default();
        if !queue.iter().any(|other| other.of_timer() == info.of_timer()) {
            queue.push_back(info);
            self.set.add(info.signal);
        }
    }

    /// Takes the first signal that is not in `blocked`.
    #[inline]
    pub fn take(&mut self, blocked: SignalSet) -> Option<SigInfo> {
        let signal = self.set.minus(blocked).first()?;
        // The oldest of all, most times, and a standard signal, of which there is only one unless timers send it.
        if signal < SIGRTMIN
            && let Some(queue) = &mut self.queue
            && queue.front().is_some_and(|info| info.signal == signal)
        {
            let info = queue.pop_front();
            if queue.is_empty() || !queue.iter().any(|info| info.signal == signal) {
                self.set.remove(signal);
            }
            return info;
        }
        self.take_from_between(signal)
    }

    /// Takes the oldest instance of `signal`.
    #[inline(never)]
    fn take_from_between(&mut self, signal: u8) -> Option<SigInfo> {
        let queue = self.queue.as_mut()?;
        let index = queue.iter().position(|info| info.signal == signal)?;
        let info = queue.remove(index);
        if !queue.iter().any(|info| info.signal == signal) {
            self.set.remove(signal);
        }
        info
    }

    /// The instance that was sent as the `place`th of those that are pending.
    pub fn nth(&self, place: usize) -> Option<SigInfo> {
        self.queue.as_ref()?.get(place).copied()
    }

    /// Puts an instance back that has just been taken.
    pub fn put_back(&mut self, info: SigInfo) {
        self.set.add(info.signal);
        self.queue.get_or_insert_default().push_front(info);
    }

    /// Drops all instances of the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if !SignalSet(self.set.0 & set.0).is_empty()
            && let Some(queue) = &mut self.queue
        {
            queue.retain(|info| !set.has(info.signal));
            self.set = self.set.minus(set);
        }
    }
}

/// How many processes are stopped: when one ends, there is usually no need to look for groups that this orphans.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Whether any process is stopped. The caller holds the tree.
pub fn any_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed) > 0
}

/// A process's share of the signal state.
pub struct ProcessSignals {
    /// What it does about each signal.
    pub actions: Arc<Actions>,
    /// Sent to the process as a whole: any thread may take them.
    pub pending: Pending,
    /// The signal by which job control has stopped it. Changed under the tree's lock.
    stopped_by: Option<u8>,
}

impl ProcessSignals {
    /// Nothing pending.
    pub fn new(actions: Arc<Actions>) -> Self {
        Self { actions, pending: Pending::default(), stopped_by: None }
    }

    /// Whether job control has stopped the process.
    pub fn is_stopped(&self) -> bool {
        self.stopped_by.is_some()
    }

    /// The signal by which job control has stopped the process.
    pub fn stopped_by(&self) -> Option<u8> {
        self.stopped_by
    }

    /// Marks the process as stopped by a signal, or as not stopped any more: continued, or dead. Says whether that is
    /// news. The caller holds the tree.
    pub fn set_stopped(&mut self, by: Option<u8>) -> bool {
        let was_stopped = self.is_stopped();
        self.stopped_by = by;
        // Relaxed: the tree's lock orders it.
        match (was_stopped, by.is_some()) {
            (false, true) => drop(STOPPED.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(STOPPED.fetch_sub(1, Ordering::Relaxed)),
            _ => return false,
        }
        true
    }
}

/// A thread's share.
#[derive(Default)]
pub struct ThreadSignals {
    /// Sent to this thread.
    pub pending: Pending,
    /// Not delivered for now. Only the thread itself changes it.
    pub blocked: SignalSet,
    /// Signals that a `sigtimedwait` in progress takes although they are blocked.
    pub awaited: SignalSet,
}

impl ThreadSignals {
    /// Nothing pending, `blocked` blocked.
    pub fn with_mask(blocked: SignalSet) -> Self {
        Self { blocked, ..Self::default() }
    }
}
