//! Memory that devices read and write by themselves.
//!
//! A device is told physical addresses, and there is nothing between it and memory: what it is told belongs to the request or
//! the driver until the device is done.

use super::frame::{self, Number};
use super::words::Words;
use crate::arch::paging::PAGE;
use drivers::{
    block::Buffer,
    dma::{Dma, Reach, Region},
};
use fs::block::Piece;

/// Frames in a row for drivers' own structures.
#[derive(Clone, Copy, Debug)]
pub struct DmaMemory;

impl Dma for DmaMemory {
    type Region = DmaRegion;

    fn allocate(&self, bytes: usize, align: usize, reach: Reach) -> Option<DmaRegion> {
        let count = bytes.div_ceil(PAGE);
        if count == 0 || align > PAGE {
            return None;
        }
        let first = frame::alloc_run(count)?;
        for at in 0..count as Number {
            // SAFETY: just allocated.
            unsafe { crate::arch::mem::clear_page(frame::pointer(first + at).as_ptr()) };
        }
        // SAFETY: the frames are the region's as long as it lives, and the direct map shows them in a row.
        let words = unsafe { Words::new(frame::pointer(first), bytes) };
        let region = DmaRegion { first, words };
        reach.covers(region.address(), bytes).then_some(region)
    }
}

/// Memory in one piece that a device reads and writes; freed when dropped.
#[derive(Debug)]
pub struct DmaRegion {
    first: Number,
    words: Words,
}

// SAFETY: frames that were allocated for this value and are given back with it.
unsafe impl Region for DmaRegion {
    fn address(&self) -> u64 {
        u64::from(self.first) * PAGE as u64
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.words.read(offset)
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        self.words.write(offset, value);
    }
}

impl Drop for DmaRegion {
    fn drop(&mut self) {
        frame::free_run(self.first, self.words.len().div_ceil(PAGE));
    }
}

/// A part of a page that a device reads or writes.
#[derive(Debug)]
pub struct DmaPiece(pub Piece);

// SAFETY: the piece owns its page. Who shares it expects its bytes to change: they are copied in and out, never borrowed.
unsafe impl Buffer for DmaPiece {
    #[inline]
    fn address(&self) -> u64 {
        frame::physical_of(self.0.page().as_ptr().addr().get()) + self.0.offset() as u64
    }

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }
}
