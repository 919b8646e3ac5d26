//! Signals that wait to be delivered.

use alloc::{collections::VecDeque, sync::Arc};

use super::{Actions, SigInfo, SignalSet, numbers::SIGRTMIN};

/// Most queued instances of real-time signals per process or thread; further ones are refused with EAGAIN.
const QUEUE_LIMIT: usize = 1024;

/// Pending signals of a thread or of a process.
#[derive(Default)]
pub struct Pending {
    set: SignalSet,
    queue: VecDeque<SigInfo>,
}

impl Pending {
    /// Those that are pending.
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds an instance. A standard signal that is pending already absorbs it; a real-time signal is queued, unless
    /// the queue is full (`false`).
    pub fn add(&mut self, info: SigInfo) -> bool {
        if info.signal < SIGRTMIN && self.set.has(info.signal) {
            return true;
        }
        if info.signal >= SIGRTMIN && self.queue.len() >= QUEUE_LIMIT {
            return false;
        }
        self.set.add(info.signal);
        self.queue.push_back(info);
        true
    }

    /// Takes the first signal that is not in `blocked`.
    pub fn take(&mut self, blocked: SignalSet) -> Option<SigInfo> {
        let signal = self.set.minus(blocked).first()?;
        self.take_one(signal)
    }

    /// Takes the oldest instance of `signal`.
    pub fn take_one(&mut self, signal: u8) -> Option<SigInfo> {
        let index = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(index);
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set.remove(signal);
        }
        info
    }

    /// Drops all instances of the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if !SignalSet(self.set.0 & set.0).is_empty() {
            self.queue.retain(|info| !set.has(info.signal));
            self.set = self.set.minus(set);
        }
    }
}

/// A process's share of the signal state.
pub struct ProcessSignals {
    /// What it does about each signal.
    pub actions: Arc<Actions>,
    /// Sent to the process as a whole: any thread may take them.
    pub pending: Pending,
    /// Stopped by job control, by this signal.
    pub stopped: Option<u8>,
    /// Threads that have noticed the stop.
    pub halted_threads: usize,
}

impl ProcessSignals {
    /// Nothing pending.
    pub fn new(actions: Arc<Actions>) -> Self {
        Self { actions, pending: Pending::default(), stopped: None, halted_threads: 0 }
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
