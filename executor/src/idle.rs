//! Who sleeps, who searches, and whom to wake.
//!
//! The one rule that matters: **announce, then look**. A CPU that wants to sleep sets its bit and
//! then looks at all queues once more; whoever queues work that its own CPU will not run looks at
//! the bits afterwards. Both sides put a full barrier between, so at least one sees the other.
//!
//! A push to the pusher's own ring needs no barrier: the pusher is awake and will come to that work
//! itself. It only wants *help*, asks with a plain load, and asks again at its next dispatch.
//!
//! At most half of the CPUs search at a time, and a push wakes nobody while one searches: the last
//! searcher that finds something wakes the next, so help arrives as a chain and stops by itself.

use crate::primitive::{AtomicU32, AtomicU64, fence_after_rmw};
use core::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};

/// The sleepers and searchers among up to 64 CPUs.
pub(crate) struct Idle {
    /// A bit per CPU that sleeps or is about to. Clearing it is the right to wake that CPU.
    parked: AtomicU64,
    searching: AtomicU32,
    cpus: u32,
}

impl Idle {
    pub(crate) fn new(cpus: usize) -> Idle {
        Idle { parked: AtomicU64::new(0), searching: AtomicU32::new(0), cpus: cpus as u32 }
    }

    /// How many sleep or search. A guess, for deciding how much to spread.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        (self.parked.load(Relaxed).count_ones() + self.searching.load(Relaxed)) as usize
    }

    /// Would a call for help reach anybody? Two plain loads, no ordering.
    #[inline(always)]
    pub(crate) fn may_help(&self) -> bool {
        self.parked.load(Relaxed) != 0 && self.searching.load(Relaxed) == 0
    }

    /// Does `cpu` sleep? SeqCst: the caller has queued something for it before.
    #[inline]
    pub(crate) fn is_parked(&self, cpu: usize) -> bool {
        fence_after_rmw();
        self.parked.load(SeqCst) & 1 << cpu != 0
    }

    /// Any CPU that sleeps, the nearest above `near` first, for queueing something there.
    pub(crate) fn any_parked(&self, near: usize) -> Option<usize> {
        let parked = self.parked.load(SeqCst);
        if parked == 0 {
            return None;
        }
        let turn = (near as u32 + 1) % 64;
        Some((parked.rotate_right(turn).trailing_zeros() + turn) as usize % 64)
    }

    /// Call for help: choose a sleeper and make it a searcher. The caller must then wake it.
    /// `None` if nobody sleeps or somebody searches already.
    ///
    /// SeqCst: whatever the caller queued comes before this.
    pub(crate) fn claim_helper(&self, near: usize) -> Option<usize> {
        loop {
            if self.searching.load(SeqCst) != 0 {
                return None;
            }
            let cpu = self.any_parked(near)?;
            // Count it before it runs, so that a second push in between wakes nobody.
            self.searching.fetch_add(1, SeqCst);
            if self.claim(cpu) {
                return Some(cpu);
            }
            self.searching.fetch_sub(1, SeqCst);
        }
    }

    /// The right to wake `cpu`. `true`: the caller must wake it; `false`: it is awake, or somebody
    /// else is waking it, and it will look at its queues before it sleeps again.
    #[inline]
    pub(crate) fn claim(&self, cpu: usize) -> bool {
        // After the caller's push, which is a read-modify-write.
        fence_after_rmw();
        let bit = 1 << cpu;
        self.parked.load(SeqCst) & bit != 0 && self.parked.fetch_and(!bit, SeqCst) & bit != 0
    }

    /// Become a searcher, unless enough others are.
    pub(crate) fn start_search(&self) -> bool {
        if 2 * self.searching.load(Relaxed) >= self.cpus {
            return false;
        }
        self.searching.fetch_add(1, SeqCst);
        true
    }

    /// Stop searching. `true`: this was the last searcher, so it must look once more if it found
    /// nothing (a push may have relied on it) and call the next helper if it found something.
    pub(crate) fn stop_search(&self) -> bool {
        self.searching.fetch_sub(1, SeqCst) == 1
    }

    /// Announce that `cpu` is going to sleep. The caller looks at all queues after this.
    pub(crate) fn park(&self, cpu: usize) {
        self.parked.fetch_or(1 << cpu, SeqCst);
    }

    /// `cpu` is awake. AcqRel and unconditional, whoever cleared the bit: this read-modify-write
    /// comes after every look at the bit that found it set (the RCU's, in particular).
    pub(crate) fn unpark(&self, cpu: usize) {
        self.parked.fetch_and(!(1 << cpu), AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_claimed_once() {
        let idle = Idle::new(4);
        assert_eq!(idle.claim_helper(0), None);
        idle.park(2);
        assert!(idle.may_help());
        assert_eq!(idle.claim_helper(0), Some(2));
        assert_eq!(idle.claim_helper(0), None);
        assert!(!idle.claim(2));
        assert!(idle.stop_search());
        idle.unpark(2);
        assert_eq!(idle.count(), 0);
    }

    #[test]
    fn nobody_is_woken_while_somebody_searches() {
        let idle = Idle::new(4);
        idle.park(1);
        assert!(idle.start_search());
        assert!(!idle.may_help());
        assert_eq!(idle.claim_helper(0), None);
        assert!(idle.stop_search());
        assert_eq!(idle.claim_helper(0), Some(1));
    }

    #[test]
    fn at_most_half_search() {
        let idle = Idle::new(4);
        assert!(idle.start_search());
        assert!(idle.start_search());
        assert!(!idle.start_search());
        assert!(!idle.stop_search());
        assert!(idle.start_search());
    }

    #[test]
    fn the_nearest_sleeper_is_chosen() {
        let idle = Idle::new(64);
        for cpu in [0, 5, 63] {
            idle.park(cpu);
        }
        assert_eq!(idle.any_parked(0), Some(5));
        assert_eq!(idle.any_parked(5), Some(63));
        assert_eq!(idle.any_parked(63), Some(0));
    }
}
