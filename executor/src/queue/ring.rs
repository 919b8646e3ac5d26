//! A CPU's run queue: a bounded ring that its owner fills and from which others steal half.
//!
//! ```text
//!      head (owner pops one, a thief takes half: one CAS)      tail (owner pushes: a plain store)
//!        ▼                                                      ▼
//!   ┌───┬───┬───┬───┬───┬───┬───┬───┐
//!   │   │ a │ b │ c │ d │ e │   │   │        head and tail count for ever; slot = count mod capacity
//!   └───┴───┴───┴───┴───┴───┴───┴───┘
//! ```
//!
//! A taker reads the slots first and then moves `head` by compare-and-swap: if `head` is still what
//! it was, the owner cannot have reused those slots, so what was read is what was there.

use crate::primitive::{AtomicPtr, AtomicUsize, CacheLine};
use core::array;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[cfg(not(loom))]
pub(crate) const CAPACITY: usize = 256;
/// Small, so that the model checker reaches the wrap-around.
#[cfg(loom)]
pub(crate) const CAPACITY: usize = 4;
const MASK: usize = CAPACITY - 1;

/// The ring, of pointers to `T`.
pub(crate) struct Ring<T> {
    head: CacheLine<AtomicUsize>,
    tail: CacheLine<AtomicUsize>,
    slots: [AtomicPtr<T>; CAPACITY],
}

impl<T> Ring<T> {
    pub(crate) fn new() -> Ring<T> {
        Ring {
            head: CacheLine(AtomicUsize::new(0)),
            tail: CacheLine(AtomicUsize::new(0)),
            slots: array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// How many wait. Exact for the owner up to concurrent thefts, a guess for others.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        let head = self.head.load(Acquire);
        self.tail.load(Acquire).wrapping_sub(head)
    }

    /// Does none wait? As exact as [`len`](Self::len).
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == self.tail.load(Relaxed)
    }

    /// Zero if none waits, as [`is_empty`](Self::is_empty); for testing several things at once.
    #[inline(always)]
    pub(crate) fn difference(&self) -> usize {
        self.head.load(Relaxed) ^ self.tail.load(Relaxed)
    }

    /// Append. Owner only. `Err` when full.
    #[inline(always)]
    pub(crate) fn push(&self, item: *mut T) -> Result<(), Full> {
        let tail = self.tail.load(Relaxed);
        // Acquire: pairs with the takers' release of `head`; they have read the slot we reuse.
        if tail.wrapping_sub(self.head.load(Acquire)) == CAPACITY {
            return Err(Full);
        }
        self.slots[tail & MASK].store(item, Relaxed);
        // Release: pairs with the thief's acquire of `tail`, which then sees the slot.
        self.tail.store(tail.wrapping_add(1), Release);
        Ok(())
    }

    /// Take the oldest, and say whether more wait. Owner only.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<(*mut T, bool)> {
        let tail = self.tail.load(Relaxed);
        let mut head = self.head.load(Relaxed);
        while head != tail {
            let item = self.slots[head & MASK].load(Relaxed);
            // Relaxed: the owner wrote what it reads; and a read-modify-write does not come between
            // a thief's release and the owner's acquire in `push`.
            match self.head.compare_exchange_weak(head, head.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => return Some((item, head.wrapping_add(1) != tail)),
                Err(now) => head = now,
            }
        }
        None
    }

    /// Take the older half, oldest first, into `into`; how many. Anybody.
    ///
    /// Fails spuriously (0) when it loses a race: there is always another victim.
    #[inline]
    pub(crate) fn steal(&self, into: &mut [*mut T; CAPACITY / 2]) -> usize {
        // Acquire on both: `tail` after `head`, so that the count is not too small; it may be too
        // large when `head` is stale, and then the compare-and-swap fails.
        let head = self.head.load(Acquire);
        let tail = self.tail.load(Acquire);
        let waiting = tail.wrapping_sub(head);
        if waiting == 0 || waiting > CAPACITY {
            return 0;
        }
        let take = waiting - waiting / 2;
        for (i, place) in into.iter_mut().enumerate().take(take) {
            *place = self.slots[head.wrapping_add(i) & MASK].load(Relaxed);
        }
        // Release: the owner may overwrite the slots only after these reads. (The models do not show
        // it: loom has no reads that are late.)
        match self.head.compare_exchange(head, head.wrapping_add(take), Release, Relaxed) {
            Ok(_) => take,
            Err(_) => 0,
        }
    }
}

/// The ring has no room.
#[derive(Debug)]
pub(crate) struct Full;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn item(n: usize) -> *mut u8 {
        ptr::without_provenance_mut(n)
    }

    #[test]
    fn first_in_first_out_over_many_laps() {
        let ring = Ring::new();
        for lap in 0..10 {
            for i in 0..CAPACITY {
                ring.push(item(lap * 1000 + i)).unwrap();
            }
            assert!(ring.push(item(1)).is_err());
            for i in 0..CAPACITY {
                assert_eq!(ring.pop(), Some((item(lap * 1000 + i), i + 1 < CAPACITY)));
            }
            assert_eq!(ring.pop(), None);
        }
    }

    #[test]
    fn thieves_take_the_older_half_rounded_up() {
        let ring = Ring::new();
        let mut loot = [ptr::null_mut(); CAPACITY / 2];
        assert_eq!(ring.steal(&mut loot), 0);
        for i in 0..7 {
            ring.push(item(i)).unwrap();
        }
        assert_eq!(ring.steal(&mut loot), 4);
        assert_eq!(&loot[..4], [item(0), item(1), item(2), item(3)]);
        assert_eq!(ring.len(), 3);
        assert_eq!(ring.pop(), Some((item(4), true)));
    }
}
