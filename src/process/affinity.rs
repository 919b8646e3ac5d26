//! Which CPUs a thread may run on (sched_setaffinity(2)).
//!
//! A thread that may run on some CPUs only is pinned to one of them; which one its id decides, so that several threads
//! with the same set spread over it. It goes there on its way to user mode: in the kernel it is no burden to others.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Thread, thread::Attention};
use crate::arch::cpu;

/// A set of CPUs, of those that there are: bit `n` for CPU `n`.
pub struct CpuSet(AtomicU64);

impl Default for CpuSet {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl CpuSet {
    /// The set. Relaxed: nothing hangs on which of two changes a reader sees.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed) & all()
    }
}

/// All CPUs that there are.
pub fn all() -> u64 {
    u64::MAX >> (64 - cpu::count())
}

impl Thread {
    /// Lets the thread run on the CPUs in `set` only, of which there is at least one.
    pub fn confine(&self, set: u64) {
        self.cpus.0.store(set, Relaxed);
        self.raise(Attention::PLACE);
    }

    /// A new thread may run where its maker may.
    pub(super) fn inherit_cpus(&self, maker: &Self) {
        if maker.cpus.get() != all() {
            self.confine(maker.cpus.get());
        }
    }

    /// The CPU that the thread has to be on, or none if any will do.
    fn place(&self) -> Option<usize> {
        let set = self.cpus.get();
        if set == all() {
            return None;
        }
        let members = (0..cpu::count()).filter(|cpu| set >> cpu & 1 != 0);
        members.clone().nth(self.tid() as usize % members.count().max(1))
    }
}

/// Takes the running thread to where it may run. The caller has settled [`Attention::PLACE`].
pub async fn follow(thread: &Thread) {
    executor::stay_on(thread.place()).await;
}
