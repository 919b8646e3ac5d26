//! Stacks and how often each was met.
//!
//! One CPU writes, with interrupts off, so that an interrupt handler can; others read at any time. Nothing is allocated once
//! the table is there, and nothing removed: a stack that finds no room is counted as lost.

use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use syscalls::Errno;

use crate::arch::{backtrace::Rules, interrupts};

/// Different stacks that a table has room for: a power of two.
pub const SLOTS: usize = 8192;
/// Words of all these stacks.
const WORDS: usize = 128 << 10;
/// Places that are tried for a stack.
const TRIES: usize = 64;

/// A stack's place: nothing while `hash` is 0.
#[derive(Default)]
struct Slot {
    /// Release once the rest is written; pairs with Acquire in `stack_in`.
    hash: AtomicU64,
    start: AtomicUsize,
    len: AtomicUsize,
    count: AtomicU64,
}

/// One CPU's stacks.
pub struct Table {
    slots: Vec<Slot>,
    words: Vec<AtomicU64>,
    used: AtomicUsize,
    lost: AtomicU64,
    /// How to unwind what was met.
    pub rules: Rules,
}

impl Table {
    pub async fn new() -> Result<Self, Errno> {
        let (slots, words) = (empty(SLOTS).await?, empty(WORDS).await?);
        let rules = Rules::new(empty(Rules::ROOM).await?);
        Ok(Self { slots, words, used: AtomicUsize::new(0), lost: AtomicU64::new(0), rules })
    }

    /// Counts a stack. On the table's own CPU.
    pub fn add(&self, stack: &[u64]) {
        interrupts::without(|| self.add_here(stack));
    }

    fn add_here(&self, stack: &[u64]) {
        let hash = hash(stack);
        for place in (hash as usize..).take(TRIES) {
            let slot = &self.slots[place % SLOTS];
            match slot.hash.load(Relaxed) {
                0 => return self.insert(slot, hash, stack),
                other if other == hash && self.is(slot, stack) => {
                    slot.count.store(slot.count.load(Relaxed) + 1, Relaxed);
                    return;
                }
                _ => {}
            }
        }
        self.lose();
    }

    fn insert(&self, slot: &Slot, hash: u64, stack: &[u64]) {
        let start = self.used.load(Relaxed);
        let Some(words) = self.words.get(start..start + stack.len()) else { return self.lose() };
        for (word, value) in words.iter().zip(stack) {
            word.store(*value, Relaxed);
        }
        self.used.store(start + stack.len(), Relaxed);
        slot.start.store(start, Relaxed);
        slot.len.store(stack.len(), Relaxed);
        slot.count.store(1, Relaxed);
        slot.hash.store(hash, Release);
    }

    fn is(&self, slot: &Slot, stack: &[u64]) -> bool {
        let words = self.stack(slot);
        words.len() == stack.len()
            && words.iter().zip(stack).all(|(word, value)| word.load(Relaxed) == *value)
    }

    fn stack(&self, slot: &Slot) -> &[AtomicU64] {
        let (start, len) = (slot.start.load(Relaxed), slot.len.load(Relaxed));
        self.words.get(start..start + len).unwrap_or_default()
    }

    fn lose(&self) {
        self.lost.store(self.lost.load(Relaxed) + 1, Relaxed);
    }

    /// Forgets everything. On the table's own CPU; whoever reads meanwhile may see stacks that are mixed up.
    pub fn clear(&self) {
        interrupts::without(|| {
            for slot in &self.slots {
                slot.hash.store(0, Relaxed);
            }
            self.used.store(0, Relaxed);
            self.lost.store(0, Relaxed);
        });
    }

    /// The stack in one of the [`SLOTS`] places, if there is one, and how often it was met.
    pub fn stack_in(&self, slot: usize) -> Option<(&[AtomicU64], u64)> {
        let slot = self.slots.get(slot).filter(|slot| slot.hash.load(Acquire) != 0)?;
        Some((self.stack(slot), slot.count.load(Relaxed)))
    }

    /// How many samples found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// That many that say nothing yet. Makes way, as they are many.
async fn empty<T: Default>(len: usize) -> Result<Vec<T>, Errno> {
    /// As many as are written in some thousand instructions.
    const STEP: usize = 4096;
    let mut all = Vec::new();
    all.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    while all.len() < len {
        all.resize_with(len.min(all.len() + STEP), T::default);
        executor::make_way().await;
    }
    Ok(all)
}

/// FNV-1a by words, folded so that the low bits, which choose the place, depend on all; never 0.
fn hash(stack: &[u64]) -> u64 {
    let mixed = stack.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| {
        (hash ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29)
    });
    (mixed ^ mixed >> 32) | 1 << 63
}
