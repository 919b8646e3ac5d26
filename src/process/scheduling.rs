//! By which policy a thread is scheduled (sched(7)), and what share of the CPUs it has.
//!
//! Policies are kept, checked, inherited and told as on Linux. Threads that use the CPU for as long as they can have it
//! [take turns](executor::take_turns), and have shares by their weights. A thread weighs what its nice value says, a step
//! being a quarter more or less; with `SCHED_IDLE` next to nothing, and with a real-time policy as much as the least nice
//! one: nearly all, but nobody starves. Among them, the real-time policies order nothing. `SCHED_DEADLINE` is a
//! [reservation](super::deadline).

use core::sync::atomic::{AtomicU8, AtomicU16, Ordering::Relaxed};

use executor::{TakeTurns, Usage};
use linux_raw_sys::general as linux;

use super::{Thread, thread::Attention};
use crate::arch::clock;

/// A policy with its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// 1 to 99 for the real-time policies, else 0.
    pub priority: u32,
    /// -20 to 19; what counts with the other policies.
    pub nice: i32,
    /// Whether children begin with the usual policy (`SCHED_RESET_ON_FORK`).
    pub resets_on_fork: bool,
}

impl Scheduling {
    /// Whether it is a real-time policy.
    pub fn is_realtime(self) -> bool {
        matches!(self.policy, linux::SCHED_FIFO | linux::SCHED_RR)
    }

    /// Whether it goes by a reservation.
    pub fn is_deadline(self) -> bool {
        self.policy == linux::SCHED_DEADLINE
    }
}

/// A thread's policy, in as few bits as there can be: nothing else hangs on when a change is seen. The usual one at first.
///
/// ```text
///   bit 0..8    0 SCHED_NORMAL   1 SCHED_BATCH   2 SCHED_IDLE   3..102 SCHED_FIFO 1..99   102..201 SCHED_RR 1..99
///               201 SCHED_DEADLINE
///       8..15   the nice value, with its sign
///       15      resets_on_fork
/// ```
#[derive(Default)]
pub struct Policy(AtomicU16);

const FIFO: u16 = 2;
const ROUND_ROBIN: u16 = FIFO + 99;
const DEADLINE: u16 = ROUND_ROBIN + 100;

impl Policy {
    /// The policy.
    pub fn get(&self) -> Scheduling {
        let word = self.0.load(Relaxed);
        let kind = word & 0xff;
        let (policy, priority) = match kind {
            0 => (linux::SCHED_NORMAL, 0),
            1 => (linux::SCHED_BATCH, 0),
            2 => (linux::SCHED_IDLE, 0),
            3..=ROUND_ROBIN => (linux::SCHED_FIFO, kind - FIFO),
            DEADLINE => (linux::SCHED_DEADLINE, 0),
            _ => (linux::SCHED_RR, kind - ROUND_ROBIN),
        };
        let nice = i32::from((word << 1) as i16 >> 9);
        Scheduling { policy, priority: priority.into(), nice, resets_on_fork: word & 1 << 15 != 0 }
    }

    /// Gives the thread another policy.
    pub fn set(&self, new: Scheduling) {
        let kind = match new.policy {
            linux::SCHED_BATCH => 1,
            linux::SCHED_IDLE => 2,
            linux::SCHED_FIFO => FIFO + new.priority as u16,
            linux::SCHED_RR => ROUND_ROBIN + new.priority as u16,
            linux::SCHED_DEADLINE => DEADLINE,
            _ => 0,
        };
        let nice = (new.nice as u16 & 0x7f) << 8;
        self.0.store(kind | nice | u16::from(new.resets_on_fork) << 15, Relaxed);
    }

    /// Another nice value.
    pub fn set_nice(&self, nice: i32) {
        self.set(Scheduling { nice, ..self.get() });
    }
}

/// What a thread weighs, by its nice value from -20 to 19, and last with `SCHED_IDLE`: Linux's numbers
/// (`sched_prio_to_weight`, `WEIGHT_IDLEPRIO`).
const WEIGHTS: [u32; 41] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121,
    2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29,
    23, 18, 15, 3,
];
/// What a thread weighs whose CPU time passes as fast as the clock.
const USUAL: u32 = WEIGHTS[20];

/// A thread's place in [`WEIGHTS`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class(u8);

impl Class {
    fn of(thread: &Thread) -> Self {
        match thread.policy.get() {
            policy if policy.is_realtime() || policy.is_deadline() => Self(0),
            Scheduling { policy: linux::SCHED_IDLE, .. } => Self(40),
            Scheduling { nice, .. } => Self((nice.clamp(-20, 19) + 20) as u8),
        }
    }

    /// So much CPU time, in nanoseconds, divided by the weight; it may wrap.
    fn virtual_ns(self, ns: u64) -> u64 {
        (u128::from(ns) * u128::from(USUAL) / u128::from(WEIGHTS[usize::from(self.0)])) as u64
    }
}

/// By which weight a thread's CPU time is counted: its [`Class`], plus one; 0 before it has taken turns. Only it looks.
#[derive(Default)]
pub struct Counted(AtomicU8);

impl Thread {
    /// Makes way for others that have had no more of the CPU than this thread has. For the thread itself.
    pub fn make_way(&self) -> TakeTurns {
        if self.attention().contains(Attention::RESERVED) {
            executor::go_first(self.usage())
        } else {
            executor::take_turns(self.usage())
        }
    }

    /// Lets others go first that have had a little more, too.
    pub fn let_pass(&self) -> TakeTurns {
        executor::let_pass(self.usage())
    }

    /// What it has had of the CPU. Another nice value or policy counts from here on.
    fn usage(&self) -> Usage {
        let ns = clock::span_ns(self.cpu_time.get());
        let now = Class::of(self);
        let before = self.counted.0.load(Relaxed).checked_sub(1).map_or(now, Class);
        self.counted.0.store(now.0 + 1, Relaxed);
        Usage { so_far: before.virtual_ns(ns), from_now: now.virtual_ns(ns) }
    }

    /// A new thread is scheduled as its maker is, unless it is to begin anew: then by the usual policy, and no less nice than
    /// usual.
    pub(super) fn inherit_policy(&self, maker: &Self) {
        let policy = maker.policy.get();
        if policy.resets_on_fork {
            let begins_anew = policy.is_realtime() || policy.is_deadline();
            self.policy.set_nice(if begins_anew { 0 } else { policy.nice.max(0) });
        } else {
            self.policy.set(policy);
        }
        self.io_priority.store(maker.io_priority.load(Relaxed), Relaxed);
    }
}
