//! What a port shares with its HBA: the command list, the received FISes, and a table for each command (AHCI 4).
//!
//! ```text
//!   common page:  command list: 32 headers ── one for each slot ──┐
//!                 received FISes │ scratch for the driver itself  │
//!                                                                 ▼
//!   table page:   command FIS │ segments (PRDT): 216 │ ranges to discard
//! ```

use alloc::vec::Vec;

use super::fis::Fis;
use super::identify::Words;
use super::registers::{PortRegisters, port};
use crate::block::SECTOR_SIZE;
use crate::dma::{Dma, Mmio, Reach, Region};

/// Pieces of memory that a command may have: what is left of a page.
pub const SEGMENTS: usize = (RANGES_AT - SEGMENTS_AT) / SEGMENT_ENTRY;
/// Bytes in the longest piece.
pub const SEGMENT_BYTES: usize = 4 << 20;
/// Ranges in a block that tells what to discard.
pub const RANGES: usize = SECTOR_SIZE / 8;

const PAGE: usize = 4096;
const HEADER: usize = 32;
const FISES_AT: usize = 1024;
const SCRATCH_AT: usize = 2048;
const SEGMENTS_AT: usize = 0x80;
const SEGMENT_ENTRY: usize = 16;
const RANGES_AT: usize = PAGE - SECTOR_SIZE;

/// In a header: words of the FIS, and that data goes to the device.
const FIS_WORDS: u32 = 5;
const TO_DEVICE: u32 = 1 << 6;

/// The memory of one port.
pub struct PortMemory<R> {
    common: R,
    tables: Vec<R>,
}

impl<R: Region> PortMemory<R> {
    /// Memory for this many slots; None: there is not so much.
    pub fn allocate<D: Dma<Region = R>>(dma: &D, slots: u32, reach: Reach) -> Option<Self> {
        let page = || dma.allocate(PAGE, PAGE, reach);
        Some(Self { common: page()?, tables: (0..slots).map(|_| page()).collect::<Option<_>>()? })
    }

    /// Tells the port, which is stopped, where it is.
    pub fn announce<M: Mmio>(&self, registers: PortRegisters<'_, M>) {
        let (list, fises) = (self.common.address(), self.common.address() + FISES_AT as u64);
        for (low, high, address) in [(port::CLB, port::CLBU, list), (port::FB, port::FBU, fises)] {
            registers.write(low, address as u32);
            registers.write(high, (address >> 32) as u32);
        }
    }

    /// Names a piece of memory of a command.
    pub fn set_segment(&self, slot: u32, number: usize, address: u64, bytes: usize) {
        debug_assert!(number < SEGMENTS && bytes > 0 && bytes <= SEGMENT_BYTES);
        let table = &self.tables[slot as usize];
        let at = SEGMENTS_AT + number * SEGMENT_ENTRY;
        table.write32(at, address as u32);
        table.write32(at + 4, (address >> 32) as u32);
        table.write32(at + 8, 0);
        table.write32(at + 12, bytes as u32 - 1);
    }

    /// Completes a command: what to do, in which direction, with so many pieces of memory.
    pub fn set_command(&self, slot: u32, fis: Fis, to_device: bool, segments: usize) {
        let table = &self.tables[slot as usize];
        for (word, value) in fis.0.into_iter().enumerate() {
            table.write32(4 * word, value);
        }
        let at = slot as usize * HEADER;
        let direction = if to_device { TO_DEVICE } else { 0 };
        self.common.write32(at, FIS_WORDS | direction | (segments as u32) << 16);
        self.common.write32(at + 4, 0);
        self.common.write32(at + 8, table.address() as u32);
        self.common.write32(at + 12, (table.address() >> 32) as u32);
    }

    /// Makes a command's data the ranges of logical sectors to discard.
    pub fn set_ranges(&self, slot: u32, address: u64, sectors: u64) {
        let table = &self.tables[slot as usize];
        let most = u64::from(u16::MAX);
        for number in 0..RANGES as u64 {
            let done = (number * most).min(sectors);
            let count = (sectors - done).min(most);
            // An unused one is all zeros.
            let entry = if count == 0 { 0 } else { (address + done) | count << 48 };
            let at = RANGES_AT + number as usize * 8;
            table.write32(at, entry as u32);
            table.write32(at + 4, (entry >> 32) as u32);
        }
        self.set_segment(slot, 0, table.address() + RANGES_AT as u64, SECTOR_SIZE);
    }

    /// Makes a command's data the scratch sector, which is empty then.
    pub fn set_scratch(&self, slot: u32) {
        for at in (SCRATCH_AT..SCRATCH_AT + SECTOR_SIZE).step_by(4) {
            self.common.write32(at, 0);
        }
        self.set_segment(slot, 0, self.common.address() + SCRATCH_AT as u64, SECTOR_SIZE);
    }

    /// What the device has written to the scratch sector.
    pub fn scratch(&self) -> Words {
        let mut words = [0; SECTOR_SIZE / 2];
        for (number, pair) in words.chunks_exact_mut(2).enumerate() {
            let both = self.common.read32(SCRATCH_AT + 4 * number);
            (pair[0], pair[1]) = (both as u16, (both >> 16) as u16);
        }
        Words(words)
    }
}
