//! Time-outs that end when there have been so many completions.
//!
//! They lie in the order in which they come due, so that a completion wakes none that is not. A program may have made a
//! hundred thousand that are due at once: a completion wakes a few, and each of these a few more when it ends.

use alloc::{collections::BTreeMap, sync::Arc};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use executor::sync::SpinMutex;

use super::{Request, Ring};

/// How many are woken at once.
const FEW: usize = 8;

/// Those of a ring.
#[derive(Default)]
pub struct Counting {
    /// Whether there are any. Relaxed: it is set before, and read after, the completions are looked at under their lock.
    is_used: AtomicBool,
    state: SpinMutex<State>,
}

#[derive(Default)]
struct State {
    /// How many completions there had been at the last look. The ring's own count wraps around.
    counted: u64,
    /// By the count that they wait for, and what tells them apart.
    waiting: BTreeMap<(u64, u64), Arc<Request>>,
    next: u64,
}

impl State {
    /// Brings the count up to date. Who comes late with an older one changes nothing.
    fn advance(&mut self, count: u32) {
        let more = count.wrapping_sub(self.counted as u32) as i32;
        self.counted += u64::try_from(more).unwrap_or(0);
    }
}

/// A request that waits for completions, until this is dropped.
pub struct Counted {
    ring: Arc<Ring>,
    key: (u64, u64),
}

impl Counted {
    /// Whether there have been enough.
    pub fn is_due(&self) -> bool {
        let count = self.ring.counted_completions();
        let mut state = self.ring.counting.state.lock();
        state.advance(count);
        state.counted >= self.key.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.ring.counting.state.lock();
        let removed = state.waiting.remove(&self.key);
        self.ring.counting.is_used.store(!state.waiting.is_empty(), Relaxed);
        drop(state);
        drop(removed);
        self.ring.wake_counting();
    }
}

impl Ring {
    /// Has the request woken when there have been `count` more completions, but for those of time-outs.
    pub fn wake_after(self: &Arc<Self>, count: u32, request: Arc<Request>) -> Counted {
        let now = self.counted_completions();
        let mut state = self.counting.state.lock();
        if state.waiting.is_empty() {
            state.counted = now.into();
        }
        state.advance(now);
        let key = (state.counted + u64::from(count), state.next);
        state.next += 1;
        state.waiting.insert(key, request);
        self.counting.is_used.store(true, Relaxed);
        Counted { ring: self.clone(), key }
    }

    /// After a completion: wakes some of those whose count has come.
    #[inline]
    pub fn wake_counting(&self) {
        if self.counting.is_used.load(Relaxed) {
            self.wake_due();
        }
    }

    #[cold]
    fn wake_due(&self) {
        let count = self.counted_completions();
        let mut due = [const { None }; FEW];
        {
            let mut state = self.counting.state.lock();
            state.advance(count);
            let counted = state.counted;
            for place in &mut due {
                let next = state.waiting.first_entry().filter(|first| first.key().0 <= counted);
                let Some(first) = next else { break };
                *place = Some(first.remove());
            }
            self.counting.is_used.store(!state.waiting.is_empty(), Relaxed);
        }
        for request in due.into_iter().flatten() {
            request.wake();
        }
    }
}
