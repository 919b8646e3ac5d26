//! A bounded queue of bytes in one allocation, handed out as slices so that copies move whole runs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use syscalls::Errno;

/// `size` zero bytes, or ENOMEM: terminals are made on demand of programs, who may ask for too many.
pub fn zeroed(size: usize) -> Result<Box<[u8]>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(size, 0);
    Ok(bytes.into_boxed_slice())
}

/// A byte queue of fixed capacity (a power of two).
///
/// `head` and `tail` count bytes ever written and read; they wrap, and only their difference and their low bits
/// mean anything. Not synchronised: the owner's lock covers it.
pub struct Ring {
    bytes: Box<[u8]>,
    head: usize,
    tail: usize,
}

impl Ring {
    /// An empty ring that holds `capacity` bytes.
    ///
    /// # Errors
    /// ENOMEM.
    ///
    /// # Panics
    /// When `capacity` is not a power of two.
    pub fn new(capacity: usize) -> Result<Self, Errno> {
        assert!(capacity.is_power_of_two());
        Ok(Self { bytes: zeroed(capacity)?, head: 0, tail: 0 })
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.head.wrapping_sub(self.tail)
    }

    /// The position of the next byte to be pushed; wraps.
    pub fn end_position(&self) -> usize {
        self.head
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Bytes that can still be pushed.
    pub fn free(&self) -> usize {
        self.bytes.len() - self.len()
    }

    fn index(&self, position: usize) -> usize {
        position & (self.bytes.len() - 1)
    }

    /// Appends as much of `bytes` as fits and says how many bytes that was.
    pub fn push_slice(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.free());
        let start = self.index(self.head);
        let first = count.min(self.bytes.len() - start);
        self.bytes[start..start + first].copy_from_slice(&bytes[..first]);
        self.bytes[..count - first].copy_from_slice(&bytes[first..count]);
        self.head = self.head.wrapping_add(count);
        count
    }

    /// Appends one byte; false when the ring is full.
    pub fn push(&mut self, byte: u8) -> bool {
        if self.free() == 0 {
            return false;
        }
        let index = self.index(self.head);
        self.bytes[index] = byte;
        self.head = self.head.wrapping_add(1);
        true
    }

    /// The oldest bytes, up to the point where the ring wraps. Empty only when the ring is.
    pub fn front(&self) -> &[u8] {
        let start = self.index(self.tail);
        let count = self.len().min(self.bytes.len() - start);
        &self.bytes[start..start + count]
    }

    /// Forgets the `count` oldest bytes.
    ///
    /// # Panics
    /// In debug builds, when fewer are queued.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.tail = self.tail.wrapping_add(count);
    }

    /// Keeps the `count` oldest bytes and drops the younger ones.
    pub fn truncate(&mut self, count: usize) {
        if count < self.len() {
            self.head = self.tail.wrapping_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_keeps_order() {
        let mut ring = Ring::new(8).unwrap();
        assert_eq!(ring.push_slice(b"abcdef"), 6);
        assert_eq!(ring.front(), b"abcdef");
        ring.consume(4);
        assert_eq!(ring.push_slice(b"ghijklmn"), 6);
        assert!(!ring.push(b'x'));
        assert_eq!(ring.front(), b"efgh");
        ring.consume(4);
        assert_eq!(ring.front(), b"ijkl");
        ring.consume(4);
        assert!(ring.is_empty());
    }

    #[test]
    fn truncate_drops_the_youngest() {
        let mut ring = Ring::new(4).unwrap();
        ring.push_slice(b"abcd");
        ring.truncate(9);
        assert_eq!(ring.len(), 4);
        ring.truncate(1);
        assert_eq!(ring.front(), b"a");
        assert_eq!(ring.free(), 3);
    }
}
