//! By which policy a thread is scheduled (sched(7)).
//!
//! The policy is kept, checked, inherited and told as on Linux. It orders nothing: all threads share the CPUs alike.

use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use linux_raw_sys::general as linux;

use super::Thread;

/// A policy with its parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// 1 to 99 for the real-time policies, else 0.
    pub priority: u32,
    /// Whether children begin with the usual policy (`SCHED_RESET_ON_FORK`).
    pub resets_on_fork: bool,
}

impl Scheduling {
    /// Whether it is a real-time policy.
    pub fn is_realtime(self) -> bool {
        matches!(self.policy, linux::SCHED_FIFO | linux::SCHED_RR)
    }
}

/// A thread's policy, in as few bits as there can be: nothing else hangs on when a change is seen. The usual one at first.
#[derive(Default)]
pub struct Policy(AtomicU16);

impl Policy {
    /// The policy.
    pub fn get(&self) -> Scheduling {
        let word = u32::from(self.0.load(Relaxed));
        Scheduling { policy: word & 7, priority: word >> 3 & 0x7f, resets_on_fork: word >> 10 != 0 }
    }

    /// Another one.
    pub fn set(&self, new: Scheduling) {
        let word = new.policy | new.priority << 3 | u32::from(new.resets_on_fork) << 10;
        self.0.store(word as u16, Relaxed);
    }
}

impl Thread {
    /// A new thread is scheduled as its maker is; whether it is to begin anew instead.
    pub(super) fn inherit_policy(&self, maker: &Self) -> bool {
        let policy = maker.policy.get();
        if !policy.resets_on_fork {
            self.policy.set(policy);
        }
        self.io_priority.store(maker.io_priority.load(Relaxed), Relaxed);
        policy.resets_on_fork
    }
}
