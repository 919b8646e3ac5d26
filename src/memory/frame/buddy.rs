//! The buddy allocator: blocks of 2^order frames, split on demand and joined when both halves are free.
//!
//! Source: Knowlton, "A fast storage allocator", CACM 8(10), 1965. The free lists run through the frames' metadata
//! (see `metadata.rs`), so this file is arithmetic on numbers and is tested as such.

use super::Number;
use super::metadata::{FREE, Metadata, Neighbours};
use core::sync::atomic::Ordering::Relaxed;

/// Number of block sizes: 4 KiB (order 0) to 1 GiB (order 18).
pub(in crate::memory) const ORDERS: usize = 19;

/// The free blocks of all orders.
pub(in crate::memory) struct Buddy {
    /// First free block of each order, 0 for none.
    heads: [Number; ORDERS],
    /// Bit `n` is set when order `n` has a free block.
    available: u32,
    /// Frames in all free blocks.
    free: usize,
}

impl Buddy {
    /// Nothing is free.
    pub(in crate::memory) const fn new() -> Self {
        Self { heads: [0; ORDERS], available: 0, free: 0 }
    }

    /// Frames in all free blocks.
    pub(in crate::memory) fn free(&self) -> usize {
        self.free
    }

    /// Takes a block of 2^`order` frames, aligned to its size. None if no block is large enough.
    pub(in crate::memory) fn allocate(&mut self, frames: &[Metadata], order: usize) -> Option<Number> {
        let fitting = if order < ORDERS { self.available >> order << order } else { 0 };
        if fitting == 0 {
            return None;
        }
        let mut found = fitting.trailing_zeros() as usize;
        let block = self.heads[found];
        self.unlink(frames, block, found);
        // The upper halves go back to the lists.
        while found > order {
            found -= 1;
            self.push(frames, block + (1 << found), found);
        }
        self.free -= 1 << order;
        Some(block)
    }

    /// Gives a block back that `allocate` returned, or that is new to the allocator.
    pub(in crate::memory) fn release(&mut self, frames: &[Metadata], mut block: Number, mut order: usize) {
        debug_assert!(block.is_multiple_of(1 << order));
        self.free += 1 << order;
        while order + 1 < ORDERS {
            let buddy = block ^ (1 << order);
            // The word of a block that is not free, or is split, differs.
            match frames.get(buddy as usize) {
                Some(other) if other.word.load(Relaxed) == FREE | order as u64 => {}
                _ => break,
            }
            self.unlink(frames, buddy, order);
            block &= buddy;
            order += 1;
        }
        self.push(frames, block, order);
    }

    /// Gives frames `start..end` back, as the largest aligned blocks that they form.
    pub(in crate::memory) fn release_range(&mut self, frames: &[Metadata], start: Number, end: Number) {
        let mut at = start;
        while at < end {
            let aligned = at.trailing_zeros().min(ORDERS as u32 - 1);
            let order = aligned.min((end - at).ilog2());
            self.release(frames, at, order as usize);
            at += 1 << order;
        }
    }

    fn push(&mut self, frames: &[Metadata], block: Number, order: usize) {
        let next = self.heads[order];
        if next != 0 {
            let links = frames[next as usize].neighbours();
            frames[next as usize].set_neighbours(Neighbours { previous: block, ..links });
        }
        frames[block as usize].set_neighbours(Neighbours { next, previous: 0 });
        frames[block as usize].word.store(FREE | order as u64, Relaxed);
        self.heads[order] = block;
        self.available |= 1 << order;
    }

    fn unlink(&mut self, frames: &[Metadata], block: Number, order: usize) {
        let Neighbours { next, previous } = frames[block as usize].neighbours();
        if next != 0 {
            let links = frames[next as usize].neighbours();
            frames[next as usize].set_neighbours(Neighbours { previous, ..links });
        }
        if previous == 0 {
            self.heads[order] = next;
            if next == 0 {
                self.available &= !(1 << order);
            }
        } else {
            let links = frames[previous as usize].neighbours();
            frames[previous as usize].set_neighbours(Neighbours { next, ..links });
        }
        frames[block as usize].word.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn buddies_join_again_in_any_order() {
        let frames: Vec<_> = (0..2048).map(|_| Metadata::reserved()).collect();
        let mut buddy = Buddy::new();
        frames[1024..].iter().for_each(|frame| frame.word.store(0, Relaxed));
        buddy.release_range(&frames, 1024, 2048);
        let (mut seed, mut blocks) = (1u64, Vec::new());
        for _ in 0..100 {
            while let Some(block) = buddy.allocate(&frames, (seed >> 33) as usize % 4) {
                blocks.push((block, (seed >> 33) as usize % 4));
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            }
            let taken: usize = blocks.iter().map(|(_, order)| 1 << order).sum();
            assert_eq!(buddy.free() + taken, 1024);
            assert!(blocks.iter().all(|(block, order)| block.is_multiple_of(1 << order)));
            while !blocks.is_empty() {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let (block, order) = blocks.swap_remove((seed >> 33) as usize % blocks.len());
                buddy.release(&frames, block, order);
            }
            assert_eq!(buddy.allocate(&frames, 10), Some(1024), "one block again");
            buddy.release(&frames, 1024, 10);
        }
    }
}
