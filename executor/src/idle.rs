//! Who sleeps, who searches, and whom to wake.
//!
//! The one rule that matters: **announce, then look**. A CPU that wants to sleep sets its bit and
//! then looks at all queues once more; whoever queues work that its own CPU will not run looks at
//! the bits afterwards. Both sides put a full barrier between, so at least one sees the other. The
//! barriers are in here, where the models check them.
//!
//! A push to the pusher's own ring needs no barrier: the pusher is awake and will come to that work
//! itself. It only wants *help*, asks with a plain load, and asks again at its next dispatch.
//!
//! At most half of the CPUs search at a time, and a push wakes nobody while one searches: the last
//! searcher that finds something wakes the next, so help arrives as a chain and stops by itself.
//! A sleeper that is woken to help is counted as a searcher from that moment, and is told so by a bit
//! of its own: if it finds that it has work already, it has to stop being counted.

use crate::primitive::{AtomicU32, AtomicU64, fence, fence_after_rmw};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The sleepers and searchers among up to 64 CPUs.
pub(crate) struct Idle {
    /// A bit per CPU that sleeps or is about to. Clearing it is the right to wake that CPU.
    parked: AtomicU64,
    searching: AtomicU32,
    /// A bit per CPU that is counted as a searcher by whoever wakes it, and has not noticed yet.
    helpers: AtomicU64,
    cpus: u32,
}

impl Idle {
    pub(crate) fn new(cpus: usize) -> Idle {
        Idle {
            parked: AtomicU64::new(0),
            searching: AtomicU32::new(0),
            helpers: AtomicU64::new(0),
            cpus: cpus as u32,
        }
    }

    /// How many sleep or search. A guess, for deciding how much to spread.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        (self.parked.load(Relaxed).count_ones() + self.searching.load(Relaxed)) as usize
    }

    /// Whether any sleeps or searches. As good a guess as [`count`](Self::count).
    #[inline(always)]
    pub(crate) fn is_anybody(&self) -> bool {
        self.parked.load(Relaxed) | u64::from(self.searching.load(Relaxed)) != 0
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
    pub(crate) fn claim_helper(&self, near: usize) -> Option<usize> {
        // Whatever the caller queued comes before these looks; pairs with the fence in `park` and
        // with the read-modify-write in `stop_search`.
        fence(SeqCst);
        loop {
            if self.searching.load(SeqCst) != 0 {
                return None;
            }
            let cpu = self.any_parked(near)?;
            let bit = 1 << cpu;
            // Count it before it runs, so that a second push in between wakes nobody; and tell it
            // before, so that it cannot run without knowing.
            self.searching.fetch_add(1, SeqCst);
            if self.helpers.fetch_or(bit, SeqCst) & bit == 0 {
                if self.claim(cpu) {
                    return Some(cpu);
                }
                // Somebody else wakes it for something else. If it has been told already, it
                // searches; and sees what the caller queued.
                if self.helpers.fetch_and(!bit, SeqCst) & bit == 0 {
                    return None;
                }
            }
            // Somebody else has chosen it, or we have taken it back.
            self.searching.fetch_sub(1, SeqCst);
        }
    }

    /// Was `cpu`, which is awake now, woken to help? Then it is a searcher. By that CPU.
    pub(crate) fn is_helper(&self, cpu: usize) -> bool {
        let bit = 1 << cpu;
        // The wake's claim, which `unpark` has seen, comes after the bit was set.
        self.helpers.load(Relaxed) & bit != 0 && self.helpers.fetch_and(!bit, SeqCst) & bit != 0
    }

    /// The right to wake `cpu`. `true`: the caller must wake it; `false`: it is awake, or somebody
    /// else is waking it. Who has queued something for it rings its bell then.
    #[inline]
    pub(crate) fn claim(&self, cpu: usize) -> bool {
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
        let last = self.searching.fetch_sub(1, SeqCst) == 1;
        // Pairs with the fence in `claim_helper`: who still saw a searcher has queued before the
        // look that comes now.
        fence_after_rmw();
        last
    }

    /// Announce that `cpu` is going to sleep. The caller looks at all queues after this.
    pub(crate) fn park(&self, cpu: usize) {
        self.parked.fetch_or(1 << cpu, SeqCst);
        // Announce, then look: pairs with the barrier in every push that is not to one's own ring.
        fence(SeqCst);
    }

    /// `cpu` is awake. Unconditional, whoever cleared the bit: this read-modify-write comes after
    /// every look at the bit that found it set (the RCU's, in particular).
    pub(crate) fn unpark(&self, cpu: usize) {
        self.parked.fetch_and(!(1 << cpu), Relaxed);
        // Pairs with the fence in `Grace::before_look`: what was unpublished while we slept is seen
        // as unpublished from here on. And what who woke us did before is seen.
        fence(SeqCst);
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
        idle.unpark(2);
        assert!(idle.is_helper(2));
        assert!(!idle.is_helper(2));
        assert!(idle.stop_search());
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
