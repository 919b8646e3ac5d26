//! A hierarchical timer wheel.
//!
//! ```text
//!   level 0: 64 slots of 1 tick        │ a timer sits in the level of the highest digit (base 64)
//!   level 1: 64 slots of 64 ticks      │ in which its tick differs from the wheel's time; when the
//!   level 2: 64 slots of 4096 ticks    │ wheel reaches its slot, it moves down (at most once per
//!    …                                 │ level) or, in level 0, is due
//!   level 7                            │
//! ```
//!
//! A tick is 1024 ns. A word of bits per level says which slots are occupied, so finding the next is
//! a handful of instructions, and inserting and removing are a few stores each (Varghese and Lauck,
//! "Hashed and hierarchical timing wheels", SOSP 1987).

use crate::primitive::AtomicU8;
use core::cell::Cell;
use core::ptr;

/// log2 of a tick in nanoseconds.
const TICK_SHIFT: u32 = 10;

/// The tick in which a timer is due. Rounded up: never early.
const fn tick_of(deadline: u64) -> u64 {
    deadline.div_ceil(1 << TICK_SHIFT)
}

/// When a timer with this deadline is handed out, in nanoseconds: not before, nor is there anything to see before.
pub(super) const fn due(deadline: u64) -> u64 {
    tick_of(deadline).saturating_mul(1 << TICK_SHIFT)
}

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Eight levels of six bits and ten bits of tick: 2⁵⁸ ns, nine years. Later deadlines wait in the
/// last level and are looked at again when it comes round.
const LEVELS: usize = 8;
/// One slot less than a lap, or they would be in the slot that the wheel has just reached.
const MAX_DISTANCE: u64 = (SLOTS as u64 - 1) << (LEVEL_BITS * (LEVELS as u32 - 1));

/// A timer, embedded in whatever waits for it.
///
/// Not synchronised: all fields belong to the wheel's lock while the entry is in a wheel.
pub(crate) struct Entry {
    next: Cell<*const Entry>,
    previous: Cell<*const Entry>,
    tick: Cell<u64>,
    /// Level and slot while in a wheel.
    place: Cell<u16>,
    /// For whoever embeds the entry: room that would be lost beside it.
    pub(super) state: AtomicU8,
}

impl Entry {
    const NOWHERE: u16 = u16::MAX;

    #[cfg(not(loom))]
    pub(crate) const fn new() -> Entry {
        Self::with(AtomicU8::new(0))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Entry {
        Self::with(AtomicU8::new(0))
    }

    const fn with(state: AtomicU8) -> Entry {
        Entry {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            tick: Cell::new(0),
            place: Cell::new(Self::NOWHERE),
            state,
        }
    }

    /// Is it in a wheel? Under that wheel's lock.
    pub(crate) fn is_queued(&self) -> bool {
        self.place.get() != Self::NOWHERE
    }
}

/// The wheel. Its owner keeps it under a lock.
pub(crate) struct Wheel {
    /// The wheel's time, in ticks: all earlier timers have been handed out.
    now: u64,
    /// Which slots of each level are occupied.
    occupied: [u64; LEVELS],
    /// Heads of doubly linked lists.
    slots: [[*const Entry; SLOTS]; LEVELS],
}

// SAFETY: entries are reached only under the wheel's lock, and leave the wheel before they move.
unsafe impl Send for Wheel {}

impl Wheel {
    pub(crate) const fn new() -> Wheel {
        Wheel { now: 0, occupied: [0; LEVELS], slots: [[ptr::null(); SLOTS]; LEVELS] }
    }

    /// Start a timer for `deadline`, at the time `now` (both in nanoseconds). A deadline that is past
    /// is due at the next tick.
    ///
    /// # Safety
    /// The entry is in no wheel, and stays where it is until it was removed or handed out.
    pub(crate) unsafe fn insert(&mut self, entry: *const Entry, deadline: u64, now: u64) {
        // Nothing advances the wheel's time while nothing is due; a timer sorted in by a time long
        // past would have to move down every level.
        let now = now >> TICK_SHIFT;
        if now >= self.now + SLOTS as u64 && self.first().is_none_or(|(_, _, begin)| begin > now) {
            self.now = now;
        }
        let tick = tick_of(deadline).max(self.now + 1);
        // SAFETY: the caller's promise.
        unsafe {
            (*entry).tick.set(tick);
            self.link(entry, tick);
        }
    }

    /// # Safety
    /// As for [`insert`](Self::insert); `tick` is not before the wheel's time.
    unsafe fn link(&mut self, entry: *const Entry, tick: u64) {
        let tick = tick.min(self.now + MAX_DISTANCE);
        let differing = (tick ^ self.now) | (SLOTS as u64 - 1);
        let level = ((63 - differing.leading_zeros()) / LEVEL_BITS).min(LEVELS as u32 - 1) as usize;
        let slot = (tick >> (level as u32 * LEVEL_BITS)) as usize % SLOTS;
        let head = &mut self.slots[level][slot];
        // SAFETY: entries in the wheel are alive and ours.
        unsafe {
            (*entry).next.set(*head);
            (*entry).previous.set(ptr::null());
            (*entry).place.set((level << LEVEL_BITS | slot) as u16);
            if !head.is_null() {
                (**head).previous.set(entry);
            }
        }
        *head = entry;
        self.occupied[level] |= 1 << slot;
    }

    /// Stop a timer.
    ///
    /// # Safety
    /// The entry is in this wheel.
    pub(crate) unsafe fn remove(&mut self, entry: *const Entry) {
        // SAFETY: the entry and its neighbours are alive and ours.
        unsafe {
            let place = usize::from((*entry).place.replace(Entry::NOWHERE));
            let (level, slot) = (place >> LEVEL_BITS, place % SLOTS);
            let (next, previous) = ((*entry).next.get(), (*entry).previous.get());
            if !next.is_null() {
                (*next).previous.set(previous);
            }
            if previous.is_null() {
                self.slots[level][slot] = next;
                if next.is_null() {
                    self.occupied[level] &= !(1 << slot);
                }
            } else {
                (*previous).next.set(next);
            }
        }
    }

    /// The earliest occupied slot: its level, its index and when it begins.
    fn first(&self) -> Option<(usize, usize, u64)> {
        // Timers of a lower level are always due before those of a higher one, since they share
        // all higher digits with the wheel's time.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = level as u32 * LEVEL_BITS;
        let here = (self.now >> shift) as u32 % SLOTS as u32;
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) % SLOTS as u32;
        // Whole laps of this level that are behind us; only the last level ever wraps.
        let lap = self.now >> shift >> LEVEL_BITS << LEVEL_BITS << shift;
        let mut begin = lap + (u64::from(slot) << shift);
        if slot < here {
            begin += (SLOTS as u64) << shift;
        }
        Some((level, slot as usize, begin))
    }

    /// When to look at the wheel again, in nanoseconds; `u64::MAX`: never. Not later than the first
    /// timer's deadline rounded up to a tick; earlier if timers have to move down a level.
    pub(crate) fn next_deadline(&self) -> u64 {
        self.first().map_or(u64::MAX, |(_, _, begin)| begin.max(self.now).saturating_mul(1 << TICK_SHIFT))
    }

    /// Take out one timer that is due at `now` (nanoseconds); `None` when there are no more, with the
    /// wheel's time set to `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<*const Entry> {
        let target = now >> TICK_SHIFT;
        while let Some((level, slot, begin)) = self.first() {
            if begin > target {
                break;
            }
            self.now = self.now.max(begin);
            let head = self.slots[level][slot];
            if level == 0 {
                // SAFETY: the head of a slot's list is in the wheel.
                unsafe { self.remove(head) };
                return Some(head);
            }
            self.move_down(level, slot);
        }
        self.now = self.now.max(target);
        None
    }

    /// The wheel has reached this slot: distribute its timers over the levels below.
    fn move_down(&mut self, level: usize, slot: usize) {
        let mut entry = core::mem::replace(&mut self.slots[level][slot], ptr::null());
        self.occupied[level] &= !(1 << slot);
        while !entry.is_null() {
            // SAFETY: the list was in the wheel; each entry is linked again before the next.
            unsafe {
                let next = (*entry).next.get();
                self.link(entry, (*entry).tick.get().max(self.now));
                entry = next;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::rc::Rc;
    use alloc::vec::Vec;

    fn drain(wheel: &mut Wheel, now: u64) -> Vec<*const Entry> {
        core::iter::from_fn(|| wheel.pop_due(now)).collect()
    }

    #[test]
    fn due_in_order_and_never_early() {
        let mut wheel = Wheel::new();
        let deadlines = [5_000, 1, 70_000, 5_000_000, 3_000_000_000, 5_000, 900_000_000_000];
        let entries: Vec<_> = deadlines.iter().map(|_| Rc::new(Entry::new())).collect();
        for (entry, &deadline) in entries.iter().zip(&deadlines) {
            // SAFETY: shared entries stay where they are, each inserted once.
            unsafe { wheel.insert(Rc::as_ptr(entry), deadline, 0) };
        }
        let mut due = Vec::new();
        let mut clock = 0;
        while due.len() < deadlines.len() {
            let next = wheel.next_deadline();
            assert!(next > clock && next != u64::MAX, "the clock must advance");
            clock = next;
            for entry in drain(&mut wheel, clock) {
                let which = entries.iter().position(|e| ptr::eq(Rc::as_ptr(e), entry)).unwrap();
                assert!(deadlines[which] <= clock, "early");
                assert!(clock - deadlines[which] <= 1024, "late: {} at {clock}", deadlines[which]);
                due.push(deadlines[which]);
            }
        }
        assert!(due.is_sorted());
        assert_eq!(wheel.next_deadline(), u64::MAX);
    }

    #[test]
    fn the_far_future_is_beyond_the_last_level_and_never_now() {
        let mut wheel = Wheel::new();
        let mut clock = 5_000;
        for deadline in [1 << 58, 1 << 62, u64::MAX] {
            let entry = Rc::new(Entry::new());
            // SAFETY: the entry stays where it is until it is removed.
            unsafe { wheel.insert(Rc::as_ptr(&entry), deadline, clock) };
            for _ in 0..10 {
                assert!(wheel.next_deadline() > clock, "the clock must advance");
                clock = (clock + (1 << 54)).min(deadline - 1);
                assert_eq!(wheel.pop_due(clock), None, "early");
            }
            // SAFETY: it is still there.
            unsafe { wheel.remove(Rc::as_ptr(&entry)) };
        }
    }

    #[test]
    fn a_random_mix_matches_a_sorted_list() {
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut wheel = Wheel::new();
        let mut live: Vec<(u64, Rc<Entry>)> = Vec::new();
        let mut clock = 0;
        let rounds = if cfg!(miri) { 300 } else { 20_000 };
        for _ in 0..rounds {
            match random(4) {
                0 | 1 => {
                    let magnitude = random(36);
                    let deadline = clock + random(1 << magnitude);
                    let entry = Rc::new(Entry::new());
                    // SAFETY: stays where it is, fresh.
                    unsafe { wheel.insert(Rc::as_ptr(&entry), deadline, clock) };
                    live.push((deadline, entry));
                }
                2 if !live.is_empty() => {
                    let (_, entry) = live.swap_remove(random(live.len() as u64) as usize);
                    // SAFETY: in this wheel.
                    unsafe { wheel.remove(Rc::as_ptr(&entry)) };
                }
                _ => {
                    let magnitude = random(30);
                    clock += random(1 << magnitude);
                    for entry in drain(&mut wheel, clock) {
                        let which = live.iter().position(|(_, e)| ptr::eq(Rc::as_ptr(e), entry)).unwrap();
                        assert!(live.swap_remove(which).0 <= clock, "early");
                    }
                    for (deadline, _) in &live {
                        assert!(*deadline + 2048 > clock, "missed");
                        assert!(wheel.next_deadline() <= deadline.next_multiple_of(1024).max(clock + 1024));
                    }
                }
            }
        }
        for (_, entry) in live {
            // SAFETY: in this wheel.
            unsafe { wheel.remove(Rc::as_ptr(&entry)) };
        }
        assert_eq!(wheel.next_deadline(), u64::MAX);
    }

    #[test]
    fn deadlines_beyond_the_horizon_wait() {
        let mut wheel = Wheel::new();
        let entry = Rc::new(Entry::new());
        // SAFETY: stays where it is, fresh.
        unsafe { wheel.insert(Rc::as_ptr(&entry), u64::MAX, 0) };
        assert!(drain(&mut wheel, 1 << 40).is_empty());
        assert!(entry.is_queued());
        // SAFETY: in this wheel.
        unsafe { wheel.remove(Rc::as_ptr(&entry)) };
        assert!(!entry.is_queued());
    }
}
