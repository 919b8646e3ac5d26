//! Memory that devices read and write by themselves.
//!
//! A device is told physical addresses, and there is nothing between it and memory: what it is told belongs to the request or
//! the driver until the device is done.

use super::frame::{self, Number};
use crate::arch::paging::PAGE;
use core::ptr::NonNull;
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
        // Freed where it ends, if it is out of reach.
        let region = DmaRegion { first: frame::alloc_run(count)?, bytes };
        for at in 0..count as Number {
            // SAFETY: just allocated.
            unsafe { crate::arch::mem::clear_page(frame::pointer(region.first + at).as_ptr()) };
        }
        reach.covers(region.address(), bytes).then_some(region)
    }
}

/// Some of them.
#[derive(Debug)]
pub struct DmaRegion {
    first: Number,
    bytes: usize,
}

impl DmaRegion {
    fn at(&self, offset: usize) -> NonNull<u32> {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "outside of what a driver has");
        // SAFETY: within the frames, which the direct map shows in a row.
        unsafe { frame::pointer(self.first).add(offset).cast() }
    }
}

// SAFETY: frames that were allocated for this value and are given back with it.
unsafe impl Region for DmaRegion {
    fn address(&self) -> u64 {
        u64::from(self.first) * PAGE as u64
    }

    fn len(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: our own memory. Volatile: the device may write to it.
        unsafe { self.at(offset).read_volatile() }
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        // SAFETY: as for reading.
        unsafe { self.at(offset).write_volatile(value) };
    }
}

impl Drop for DmaRegion {
    fn drop(&mut self) {
        frame::free_run(self.first, self.bytes.div_ceil(PAGE));
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
