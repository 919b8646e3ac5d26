//! Signals that wait to be delivered.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{Actions, SigInfo, SignalSet, numbers::SIGRTMIN};

/// Most queued instances of real-time signals per process or thread; further ones are refused with EAGAIN.
const QUEUE_LIMIT: usize = 1024;

/// Pending signals of a thread or of a process: one word, as most threads never get a signal of their own.
#[derive(Default)]
pub struct Pending(Option<Box<Queue>>);

/// Signals in the order in which they were sent, and which ones are among them.
#[derive(Default)]
struct Queue {
    set: SignalSet,
    infos: VecDeque<SigInfo>,
}

impl Pending {
    /// Those that are pending.
    #[inline]
    pub fn set(&self) -> SignalSet {
        self.0.as_ref().map_or(SignalSet::EMPTY, |queue| queue.set)
    }

    /// Adds an instance. A standard signal that is pending already absorbs it; a real-time signal is queued, unless
    /// the queue is full (`false`). A timer's signal has a place of its own in the queue, which it takes once.
    pub fn add(&mut self, info: SigInfo) -> bool {
        let queue = self.0.get_or_insert_default();
        if info.of_timer().is_some() {
            queue.add_of_timer(info);
            return true;
        }
        if info.signal < SIGRTMIN && queue.set.has(info.signal) {
            return true;
        }
        if info.signal >= SIGRTMIN && queue.infos.len() >= QUEUE_LIMIT {
            return false;
        }
        queue.set.add(info.signal);
        queue.infos.push_back(info);
        true
    }

    /// Takes the first signal that is not in `blocked`.
    #[inline]
    pub fn take(&mut self, blocked: SignalSet) -> Option<SigInfo> {
        let queue = self.0.as_mut()?;
        let signal = queue.set.minus(blocked).first()?;
        // The oldest of all, most times, and a standard signal, of which there is only one unless timers send it.
        if signal < SIGRTMIN && queue.infos.front().is_some_and(|info| info.signal == signal) {
            let info = queue.infos.pop_front();
            if queue.infos.is_empty() || !queue.infos.iter().any(|info| info.signal == signal) {
                queue.set.remove(signal);
            }
            return info;
        }
        queue.take_from_between(signal)
    }

    /// The instance that was sent as the `place`th of those that are pending.
    pub fn nth(&self, place: usize) -> Option<SigInfo> {
        self.0.as_ref()?.infos.get(place).copied()
    }

    /// Puts an instance back that has just been taken.
    pub fn put_back(&mut self, info: SigInfo) {
        let queue = self.0.get_or_insert_default();
        queue.set.add(info.signal);
        queue.infos.push_front(info);
    }

    /// Drops all instances of the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if let Some(queue) = &mut self.0
            && !SignalSet(queue.set.0 & set.0).is_empty()
        {
            queue.infos.retain(|info| !set.has(info.signal));
            queue.set = queue.set.minus(set);
        }
    }
}

impl Queue {
    #[cold]
    fn add_of_timer(&mut self, info: SigInfo) {
        if !self.infos.iter().any(|other| other.of_timer() == info.of_timer()) {
            self.infos.push_back(info);
            self.set.add(info.signal);
        }
    }

    /// Takes the oldest instance of `signal`.
    #[inline(never)]
    fn take_from_between(&mut self, signal: u8) -> Option<SigInfo> {
        let index = self.infos.iter().position(|info| info.signal == signal)?;
        let info = self.infos.remove(index);
        if !self.infos.iter().any(|info| info.signal == signal) {
            self.set.remove(signal);
        }
        info
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

    /// What it does not take.
    pub fn refused(&self) -> SignalSet {
        self.blocked.minus(self.awaited)
    }

    /// Whether another thread must be [called](super::send::hand_on): something is pending for the process that this one has
    /// taken as long as it `refused` no more than this.
    #[inline]
    pub fn leaves_some(&self, shared: &ProcessSignals, refused: SignalSet) -> bool {
        let pending = shared.pending.set();
        // Mostly there is nothing.
        !pending.is_empty() && pending.0 & self.refused().minus(refused).0 != 0
    }
}
