//! The line: tasks that would use the CPU for ever, in the order of how much of it they have had.
//!
//! ```text
//!                      clock: the latest time at which one was first
//!   virtual time  ────────┼──────────────────────────────────────────────►
//!            │◄── turn ──►│  A  B   C        D
//!      none further back      ▲ first           ▲ has had more, or weighs less
//! ```
//!
//! A task's *virtual time* is the CPU time that it has had, divided by its weight. Whoever has had least goes first;
//! so in the long run each gets time in proportion to its weight, whatever the lengths of turns. Who has been away enters
//! one turn before the clock at most: what was not used is lost. The differences are what counts, never the numbers: they
//! may wrap.
//!
//! The order is a leftist heap (Crane 1972; Knuth, The Art of Computer Programming 3, 5.2.3): pushing and popping are
//! both a merge along right spines, which have at most log2(n + 1) tasks each. Its nodes lie in the futures of those
//! that wait, as timers do, so the line needs no memory and cannot be full.

use crate::primitive::{AtomicU64, AtomicUsize};
use crate::sync::SpinMutex;
use crate::task::Header;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Nobody stands further before the clock than this.
const CREDIT: u64 = 10_000_000;
/// And behind it. One slice of a task of the least weight is less than half of this.
const FAR: u64 = 8_000_000_000;

/// Where a task wants to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// At its time.
    There,
    /// Before all others: its turn was cut short.
    First,
    /// At its time, but not before those that are not far behind.
    Behind,
}

/// A task's place in the line: a node of the heap, in the future of the task.
pub(crate) struct Place {
    /// What the task has got to, when it enters; then what it counts as having got to.
    pub(crate) time: Cell<u64>,
    /// Its task has asked for it.
    pub(crate) is_polled: Cell<bool>,
    pub(crate) stand: Cell<Stand>,
    /// How many steps to the right there are, and one.
    rank: Cell<u8>,
    /// The time at which it stands.
    key: Cell<u64>,
    left: Cell<*const Place>,
    right: Cell<*const Place>,
    /// Who stands here.
    pub(crate) task: Cell<*mut Header>,
}

impl Place {
    pub(crate) const fn new(stand: Stand, time: u64) -> Place {
        Place {
            time: Cell::new(time),
            is_polled: Cell::new(false),
            stand: Cell::new(stand),
            rank: Cell::new(1),
            key: Cell::new(0),
            left: Cell::new(ptr::null()),
            right: Cell::new(ptr::null()),
            task: Cell::new(ptr::null_mut()),
        }
    }
}

/// Is one time before another? They are less than half of all times apart.
fn is_before(one: u64, other: u64) -> bool {
    (one.wrapping_sub(other) as i64) < 0
}

fn later(one: u64, other: u64) -> u64 {
    if is_before(one, other) { other } else { one }
}

/// # Safety
/// `place` is null or a place in the line.
unsafe fn rank(place: *const Place) -> u8 {
    // SAFETY: the caller's promise.
    unsafe { place.as_ref() }.map_or(0, |place| place.rank.get())
}

/// Two heaps become one. As deep as both right spines are long.
///
/// # Safety
/// They are null or the first places of two separate heaps.
unsafe fn merge(one: *const Place, other: *const Place) -> *const Place {
    // SAFETY: the caller's promise.
    let (first, rest) = match unsafe { (one.as_ref(), other.as_ref()) } {
        (None, _) => return other,
        (_, None) => return one,
        (Some(a), Some(b)) if is_before(b.key.get(), a.key.get()) => (b, one),
        (Some(a), Some(_)) => (a, other),
    };
    // SAFETY: what is right of `first` is a heap of its own; so are what hangs on its sides.
    unsafe {
        first.right.set(merge(first.right.get(), rest));
        if rank(first.left.get()) < rank(first.right.get()) {
            first.left.swap(&first.right);
        }
        first.rank.set(rank(first.right.get()) + 1);
    }
    first
}

/// A line for one owner. Not synchronised: one CPU's own, or under a lock.
pub(crate) struct Order {
    first: Cell<*const Place>,
    len: Cell<usize>,
    clock: Cell<u64>,
}

// SAFETY: places may be moved between CPUs; the owner of the line moves with it.
unsafe impl Send for Order {}

impl Order {
    pub(crate) const fn new() -> Order {
        Order { first: Cell::new(ptr::null()), len: Cell::new(0), clock: Cell::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// The time of whoever is first.
    pub(crate) fn first_time(&self) -> Option<u64> {
        // SAFETY: null or a place in this line.
        unsafe { self.first.get().as_ref() }.map(|place| place.key.get())
    }

    /// No further before the clock than this.
    fn at_least(&self, time: u64, credit: u64) -> u64 {
        later(time, self.clock.get().wrapping_sub(credit.min(CREDIT)))
    }

    /// A time that is not far from the clock.
    fn known(&self, time: u64, turn: u64) -> u64 {
        let (time, latest) = (self.at_least(time, turn), self.clock.get().wrapping_add(FAR));
        if is_before(latest, time) { latest } else { time }
    }

    fn advance(&self, time: u64) {
        self.clock.set(later(time, self.clock.get()));
    }

    /// Enter, where turns are so long at the moment, in nanoseconds.
    ///
    /// # Safety
    /// The place is in no line, and stays where it is until it was popped.
    pub(crate) unsafe fn push(&self, place: *const Place, turn: u64) {
        // SAFETY: the caller's promise.
        let entering = unsafe { &*place };
        let clock = self.clock.get();
        let time = self.known(entering.time.get(), turn);
        entering.time.set(time);
        entering.key.set(match entering.stand.get() {
            Stand::There => time,
            Stand::First => clock.wrapping_sub(CREDIT),
            Stand::Behind => later(time, clock.wrapping_add(turn)),
        });
        entering.left.set(ptr::null());
        entering.right.set(ptr::null());
        entering.rank.set(1);
        // SAFETY: it is in no line, so a heap of one.
        self.first.set(unsafe { merge(self.first.get(), place) });
        self.len.set(self.len.get() + 1);
    }

    /// Take whoever is first.
    pub(crate) fn pop(&self) -> Option<*const Place> {
        let first = self.first.get();
        // SAFETY: null or a place in this line.
        let place = unsafe { first.as_ref() }?;
        // SAFETY: what hangs on its sides are two heaps.
        self.first.set(unsafe { merge(place.left.get(), place.right.get()) });
        self.len.set(self.len.get() - 1);
        self.advance(place.key.get());
        Some(first)
    }
}

/// The line of all CPUs: an order under a short lock, with a length that can be read without it.
pub(crate) struct Line {
    order: SpinMutex<Order>,
    len: AtomicUsize,
    clock: AtomicU64,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line { order: SpinMutex::new(Order::new()), len: AtomicUsize::new(0), clock: AtomicU64::new(0) }
    }

    /// SeqCst: a CPU about to sleep looks here after it announced its sleep; who leaves something here looks for
    /// sleepers after that.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    /// The time at which a task begins that has had nothing yet. A moment ago, perhaps.
    #[inline(always)]
    pub(crate) fn clock(&self) -> u64 {
        self.clock.load(Relaxed)
    }

    /// As [`Order::push`].
    ///
    /// # Safety
    /// As for [`Order::push`].
    pub(crate) unsafe fn push(&self, place: *const Place, turn: u64) {
        let order = self.order.lock();
        // SAFETY: the caller's promise.
        unsafe { order.push(place, turn) };
        self.publish(&order);
    }

    /// Take whoever is first.
    pub(crate) fn pop(&self) -> Option<*const Place> {
        if self.len() == 0 {
            return None;
        }
        let order = self.order.lock();
        let place = order.pop()?;
        self.publish(&order);
        Some(place)
    }

    /// Take whoever is first, unless a `rival` that stands elsewhere is before. `Err`: the rival goes first, and is
    /// counted as being at this time.
    pub(crate) fn pop_before(&self, rival: u64) -> Result<*const Place, u64> {
        let order = self.order.lock();
        let rival = order.at_least(rival, CREDIT);
        match order.first_time() {
            Some(first) if is_before(first, rival) => {}
            _ => {
                order.advance(rival);
                self.publish(&order);
                return Err(rival);
            }
        }
        let place = order.pop().ok_or(rival)?;
        self.publish(&order);
        Ok(place)
    }

    fn publish(&self, order: &Order) {
        self.clock.store(order.clock.get(), Relaxed);
        self.len.store(order.len(), SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TURN: u64 = 1000;

    fn place(stand: Stand, time: u64) -> Box<Place> {
        Box::new(Place::new(stand, time))
    }

    /// Enter, as somebody who is known by a number.
    fn enter(order: &Order, place: &Place, who: usize) {
        place.task.set(ptr::without_provenance_mut(who));
        // SAFETY: in no line, and it outlives its stay in this one.
        unsafe { order.push(place, TURN) };
    }

    /// Who is first, and where it counts as being.
    fn take(order: &Order) -> Option<(usize, u64)> {
        // SAFETY: the tests keep all places.
        order.pop().map(|place| unsafe { ((*place).task.get().addr(), (*place).time.get()) })
    }

    #[test]
    fn who_has_had_least_is_first() {
        let order = Order::new();
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for _ in 0..50 {
            let places: Vec<_> = (0..random() % 200)
                .map(|_| place(Stand::There, order.clock.get().wrapping_add(random() % FAR)))
                .collect();
            let mut times: Vec<u64> = places.iter().map(|place| place.time.get()).collect();
            places.iter().for_each(|place| enter(&order, place, 1));
            assert_eq!(order.len(), times.len());
            times.sort_unstable();
            for time in times {
                assert_eq!(order.first_time(), Some(time));
                assert_eq!(take(&order), Some((1, time)));
                assert_eq!(order.clock.get(), time);
            }
            assert_eq!(take(&order), None);
        }
    }

    #[test]
    fn right_spines_are_short() {
        let order = Order::new();
        let places: Vec<_> = (0..1000).map(|time| place(Stand::There, time)).collect();
        for places in [places.iter().collect::<Vec<_>>(), places.iter().rev().collect()] {
            places.iter().for_each(|place| enter(&order, place, 1));
            let (mut steps, mut at) = (0, order.first.get());
            // SAFETY: places in the line.
            while let Some(place) = unsafe { at.as_ref() } {
                (steps, at) = (steps + 1, place.right.get());
            }
            assert!(steps <= 10, "{steps} steps for 1000 places");
            while order.pop().is_some() {}
        }
    }

    #[test]
    fn who_has_slept_is_before_the_others_but_not_by_more_than_a_turn() {
        let order = Order::new();
        order.advance(1_000_000);
        let [slept, here, long_ago] =
            [5, 1_000_000, 1_000_000 + 3 * FAR].map(|time| place(Stand::There, time));
        for (who, place) in [&here, &slept, &long_ago].into_iter().enumerate() {
            enter(&order, place, who);
        }
        assert_eq!(take(&order), Some((1, 1_000_000 - TURN)));
        assert_eq!(take(&order), Some((0, 1_000_000)));
        assert_eq!(take(&order), Some((2, 1_000_000 + FAR)), "nobody waits for ever");
    }

    #[test]
    fn who_was_interrupted_is_first_and_who_lets_pass_is_behind() {
        let order = Order::new();
        order.advance(1_000_000);
        let [passive, one, other, interrupted] =
            [(Stand::Behind, 0), (Stand::There, 999), (Stand::There, 0), (Stand::First, 5000)]
                .map(|(stand, time)| place(stand, 1_000_000 + time));
        for (who, place) in [&passive, &one, &other, &interrupted].into_iter().enumerate() {
            enter(&order, place, who);
        }
        assert_eq!(take(&order), Some((3, 1_005_000)), "what it has had still counts");
        assert_eq!(take(&order), Some((2, 1_000_000)));
        assert_eq!(take(&order), Some((1, 1_000_999)));
        assert_eq!(take(&order), Some((0, 1_000_000)), "it has had nothing meanwhile");
    }

    #[test]
    fn times_may_wrap() {
        let order = Order::new();
        let nearly = 0_u64.wrapping_sub(10);
        order.clock.set(nearly);
        let places = [20, 5, 0].map(|time| place(Stand::There, nearly.wrapping_add(time)));
        places.iter().enumerate().for_each(|(who, place)| enter(&order, place, who));
        assert_eq!(
            [take(&order), take(&order), take(&order)].map(|took| took.map(|took| took.0)),
            [Some(2), Some(1), Some(0)]
        );
        assert_eq!(order.clock.get(), 10);
    }

    #[test]
    fn a_rival_goes_first_if_it_has_had_less_and_the_clock_goes_with_it() {
        let line = Line::new();
        let here = place(Stand::There, 5000);
        // SAFETY: in no line, and it outlives this one.
        unsafe { line.push(&raw const *here, TURN) };
        assert_eq!((line.pop_before(4000), line.len(), line.clock()), (Err(4000), 1, 4000));
        assert_eq!(line.pop_before(6000), Ok(&raw const *here));
        assert_eq!((line.pop_before(20 * CREDIT), line.clock()), (Err(20 * CREDIT), 20 * CREDIT));
        assert_eq!(line.pop_before(0), Err(19 * CREDIT), "it has missed more than counts");
    }
}
