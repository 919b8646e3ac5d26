//! Bitmaps: which of a group's blocks or inodes are taken.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use syscalls::Errno;

/// A bit for each, in words.
pub struct Bits {
    words: Box<[u64]>,
    len: usize,
    free: usize,
    /// None before this one is free, as far as is known: where searches begin.
    first: usize,
}

impl Bits {
    /// From the first `len` bits of a bitmap on the disk.
    pub fn new(bytes: &[u8], len: usize) -> Result<Self, Errno> {
        let mut words = Vec::new();
        words.try_reserve_exact(len.div_ceil(64)).map_err(|_| Errno::ENOMEM)?;
        for part in bytes.chunks(8).take(len.div_ceil(64)) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            words.push(u64::from_le_bytes(word));
        }
        words.resize(len.div_ceil(64), !0);
        if !len.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            // What is behind the end is never free.
            *last |= !0 << (len % 64);
        }
        let taken: usize = words.iter().map(|word| word.count_ones() as usize).sum();
        let free = words.len() * 64 - taken;
        Ok(Bits { words: words.into(), len, free, first: 0 })
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// Whether this one is taken, or there is no such one.
    pub fn is_taken(&self, at: usize) -> bool {
        self.words.get(at / 64).is_none_or(|word| word >> (at % 64) & 1 != 0)
    }

    /// The first of a range that is taken, or is not.
    fn next(&self, range: Range<usize>, taken: bool) -> Option<usize> {
        let (mut at, end) = (range.start / 64, range.end.min(self.len));
        let flip = if taken { 0 } else { !0 };
        let mut word = (self.words.get(at)? ^ flip) & !0 << (range.start % 64);
        while word == 0 && (at + 1) * 64 < end {
            at += 1;
            word = self.words.get(at)? ^ flip;
        }
        Some(at * 64 + word.trailing_zeros() as usize).filter(|at| *at < end)
    }

    /// The first free one at or after `from`, with up to `most` free ones that follow.
    pub fn run_from(&mut self, from: usize, most: usize) -> Option<Range<usize>> {
        let start = self.next(from.max(self.first)..self.len, false)?;
        if from <= self.first {
            self.first = start;
        }
        let end = self.len.min(start.saturating_add(most));
        Some(start..self.next(start..end, true).unwrap_or(end))
    }

    /// Whether any of a range is free.
    pub fn has_free(&self, range: Range<usize>) -> bool {
        self.next(range, false).is_some()
    }

    /// `most` free ones in a row, or as many as there are; first looked for from `from` on.
    pub fn find(&mut self, from: usize, most: usize) -> Option<Range<usize>> {
        let mut best: Option<Range<usize>> = None;
        for part in [from..self.len, 0..from] {
            let mut at = part.start;
            while let Some(run) = self.run_from(at, most).filter(|run| run.start < part.end) {
                at = run.end + 1;
                if best.as_ref().is_none_or(|best| run.len() > best.len()) {
                    let enough = run.len() == most;
                    best = Some(run);
                    if enough {
                        return best;
                    }
                }
            }
        }
        best
    }

    /// Marks some as taken or free; returns how many were not before.
    pub fn set(&mut self, range: Range<usize>, taken: bool) -> usize {
        let mut changed = 0;
        for (number, mask) in masks(range.clone()) {
            let Some(word) = self.words.get_mut(number) else { break };
            changed += set_in_word(word, mask, taken);
        }
        if taken {
            self.free -= changed;
            if range.contains(&self.first) {
                self.first = range.end;
            }
        } else {
            self.free += changed;
            self.first = self.first.min(range.start);
        }
        changed
    }
}

/// The words that have bits of a range, by number, and which of their bits.
fn masks(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    (range.start / 64..range.end.div_ceil(64)).map(move |number| {
        let start = range.start.saturating_sub(number * 64);
        let end = (range.end - number * 64).min(64);
        (number, !0 << start & !0 >> (64 - end))
    })
}

/// Sets or clears the bits of a mask; returns how many changed.
fn set_in_word(word: &mut u64, mask: u64, set: bool) -> usize {
    let changing = if set { !*word } else { *word } & mask;
    *word ^= changing;
    changing.count_ones() as usize
}

/// Sets or clears bits of a bitmap on the disk; returns how many changed.
pub fn set_bits(bytes: &mut [u8], range: Range<usize>, set: bool) -> usize {
    let mut changed = 0;
    for (number, mask) in masks(range) {
        let Some(rest) = bytes.get_mut(number * 8..).filter(|rest| !rest.is_empty()) else { break };
        // The last one may be shorter.
        let len = rest.len().min(8);
        let mut word = [0; 8];
        word[..len].copy_from_slice(&rest[..len]);
        let mut word = u64::from_le_bytes(word);
        let there = if len < 8 { (1 << (8 * len)) - 1 } else { !0 };
        changed += set_in_word(&mut word, mask & there, set);
        rest[..len].copy_from_slice(&word.to_le_bytes()[..len]);
    }
    changed
}

/// Whether any of some bits of a bitmap on the disk is set. One behind its end is.
pub fn any_set(bytes: &[u8], mut range: Range<usize>) -> bool {
    range.any(|at| bytes.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Random;

    #[test]
    fn runs_are_found_and_marked() {
        let mut bytes = [0u8; 32];
        assert_eq!(set_bits(&mut bytes, 3..77, true), 74);
        assert_eq!(set_bits(&mut bytes, 70..80, true), 3);
        assert_eq!(set_bits(&mut bytes, 10..20, false), 10);
        let mut bits = Bits::new(&bytes, 200).unwrap();
        assert_eq!(bits.free(), 3 + 10 + 120);
        assert_eq!(bits.find(0, 5), Some(10..15));
        assert_eq!(bits.find(16, 5), Some(80..85));
        assert_eq!(bits.find(16, 500), Some(80..200));
        assert_eq!(bits.find(190, 20), Some(80..100));
        assert_eq!(bits.run_from(1, 100), Some(1..3));
        assert_eq!(bits.set(80..200, true), 120);
        assert_eq!(bits.find(100, 8), Some(10..18));
        assert_eq!(bits.set(0..200, true), 13);
        assert_eq!(bits.find(0, 1), None);
        assert_eq!(bits.set(199..200, false), 1);
        assert_eq!(bits.find(0, 1), Some(199..200));
    }

    /// Whole words, parts of them, and nothing: each bit as if it were set alone.
    #[test]
    fn ranges_are_set_as_single_bits_are() {
        let mut random = Random::new(2);
        let (mut bytes, mut model) = ([0_u8; 45], [false; 360]);
        let mut bits = Bits::new(&bytes, 350).unwrap();
        for step in 0..5000 {
            let start = random.below(350) as usize;
            let range = start..start + random.below(351 - start as u64) as usize;
            let set = random.below(2) > 0;
            let wanted = model[range.clone()].iter().filter(|bit| **bit != set).count();
            model[range.clone()].fill(set);
            assert_eq!(set_bits(&mut bytes, range.clone(), set), wanted, "step {step}: {range:?}");
            assert_eq!(bits.set(range.clone(), set), wanted, "step {step}: {range:?}");
            assert!((0..360).all(|at| (bytes[at / 8] >> (at % 8) & 1 != 0) == model[at]), "step {step}");
            assert!((0..350).all(|at| bits.is_taken(at) == model[at]), "step {step}");
            assert_eq!(bits.free(), model[..350].iter().filter(|bit| !**bit).count(), "step {step}");
        }
        // Behind the end there is nothing to change.
        assert_eq!(set_bits(&mut bytes, 355..1000, true), model[355..].iter().filter(|bit| !**bit).count());
    }

    /// What is remembered of where free ones begin hides none of them.
    #[test]
    fn the_first_free_one_is_found() {
        let mut random = Random::new(1);
        let mut bits = Bits::new(&[0; 64], 500).unwrap();
        for _ in 0..20_000 {
            let start = random.below(500) as usize;
            let range = start..(start + random.below(30) as usize).min(500);
            bits.set(range, random.below(3) > 0);
            let from = random.below(500) as usize * random.below(2) as usize;
            let first = (from..500).find(|at| !bits.is_taken(*at));
            assert_eq!(bits.run_from(from, 1).map(|run| run.start), first);
        }
    }
}
