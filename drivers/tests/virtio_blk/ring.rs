//! The device's side of a split virtqueue. It fails the test when the driver breaks a rule.

use crate::disk::memory::Memory;
use crate::requests::{EVENT_INDEX, INDIRECT};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const IS_INDIRECT: u16 = 4;

/// Where it is, and how far both sides are.
#[derive(Clone, Copy, Default)]
pub struct Ring {
    pub size: u16,
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
    /// Entries taken from the available ring.
    seen: u16,
    /// Entries put into the used ring.
    pub put: u16,
    pub features: u64,
}

/// Pieces of memory.
pub type Pieces = Vec<(u64, usize)>;

/// A request.
#[derive(Clone)]
pub struct Chain {
    pub head: u16,
    /// What the device reads, and what it writes to.
    pub readable: Pieces,
    pub writable: Pieces,
}

fn read16(memory: &Memory, address: u64) -> u16 {
    u16::from_le_bytes(memory.read(address, 2).try_into().expect("two bytes"))
}

impl Ring {
    fn has_event_index(&self) -> bool {
        self.features & EVENT_INDEX != 0
    }

    /// The next request.
    pub fn take(&mut self, memory: &Memory) -> Option<Chain> {
        let waiting = read16(memory, self.available + 2).wrapping_sub(self.seen);
        assert!(waiting <= self.size, "more is available than there is room for");
        if waiting == 0 {
            return None;
        }
        let head = read16(memory, self.available + 4 + 2 * u64::from(self.seen % self.size));
        self.seen = self.seen.wrapping_add(1);
        Some(self.follow(memory, head))
    }

    fn follow(&self, memory: &Memory, head: u16) -> Chain {
        assert!(head < self.size, "descriptor {head}");
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let (mut table, mut entries, mut at) = (self.descriptors, self.size, head);
        loop {
            let place = table + 16 * u64::from(at);
            let address = u64::from(memory.read32(place)) | u64::from(memory.read32(place + 4)) << 32;
            let (len, flags) = (memory.read32(place + 8), read16(memory, place + 12));
            if flags & IS_INDIRECT != 0 {
                assert_ne!(self.features & INDIRECT, 0, "an indirect table for a device that knows none");
                assert!(
                    table == self.descriptors && flags == IS_INDIRECT && len > 0 && len.is_multiple_of(16)
                );
                (table, entries, at) = (address, (len / 16) as u16, 0);
                continue;
            }
            assert!(len > 0, "an empty piece");
            if flags & WRITE != 0 {
                chain.writable.push((address, len as usize));
            } else {
                assert!(chain.writable.is_empty(), "a piece to read behind one to write");
                chain.readable.push((address, len as usize));
            }
            let pieces = chain.readable.len() + chain.writable.len();
            assert!(pieces <= usize::from(self.size), "a chain longer than the queue, or without an end");
            if flags & NEXT == 0 {
                return chain;
            }
            at = read16(memory, place + 14);
            assert!(at < entries, "descriptor {at}");
        }
    }

    /// Whether the device wants to be told of more: it looks by itself as long as it does not.
    pub fn want_notifications(&self, memory: &Memory, are_wanted: bool) {
        if !self.has_event_index() {
            memory.write(self.used, &u16::from(!are_wanted).to_le_bytes());
        } else if are_wanted {
            memory.write(self.used + 4 + 8 * u64::from(self.size), &self.seen.to_le_bytes());
        }
    }

    /// Gives a request back. Whether the driver wants to be told.
    pub fn give_back(&mut self, memory: &Memory, head: u32, written: u32) -> bool {
        let at = self.used + 4 + 8 * u64::from(self.put % self.size);
        memory.write(at, &head.to_le_bytes());
        memory.write(at + 4, &written.to_le_bytes());
        self.advance(memory, 1)
    }

    /// So many more have been given back. Whether the driver wants to be told.
    pub fn advance(&mut self, memory: &Memory, count: u16) -> bool {
        let before = self.put;
        self.put = self.put.wrapping_add(count);
        memory.write(self.used + 2, &self.put.to_le_bytes());
        if self.has_event_index() {
            let event = read16(memory, self.available + 4 + 2 * u64::from(self.size));
            self.put.wrapping_sub(event).wrapping_sub(1) < self.put.wrapping_sub(before)
        } else {
            read16(memory, self.available) & 1 == 0
        }
    }
}
