//! Transfers between files and the memory of programs, past the page cache (`O_DIRECT`).
//!
//! ```text
//!   the kernel finds the pages of the program ─► Memory, which owns them
//!                                                   │ read_direct, write_direct
//!   a file: cached pages of the range are stored, and out of the way     cache/direct.rs
//!           the disk moves the bytes: Transfers that own their pages      block/inode.rs ext4/direct.rs
//! ```
//!
//! Who waits may give up at any time: what it has begun goes on in a task of its own, which keeps the pages, the file and
//! its blocks until the disk is done with them.

use crate::{
    Page, Result,
    block::{Piece, Pieces},
};
use core::ops::Range;
use smallvec::SmallVec;
use syscalls::Errno;

/// Whether a file's bytes can be transferred past the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direct {
    /// It cannot be asked for.
    Refused,
    /// It can be asked for, but the bytes take the usual way all the same.
    Cached,
    /// Offsets in the file, lengths and addresses in memory must be multiples of so many bytes, a power of two.
    Unit(u32),
}

/// Memory of a program: parts of pages, one behind the other. It owns its pages.
///
/// The program may change the bytes at any time.
#[derive(Debug, Default)]
pub struct Memory {
    /// Each with the number of bytes that come before it.
    pieces: SmallVec<[(usize, Piece); 2]>,
    len: usize,
}

impl Memory {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part of a page; `ENOMEM`.
    pub fn push(&mut self, piece: Piece) -> Result<()> {
        self.pieces.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let start = self.len;
        self.len += piece.len();
        self.pieces.push((start, piece));
        Ok(())
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether each part begins at a multiple of so many bytes in its page, and is a multiple of it long.
    pub fn is_aligned(&self, unit: u32) -> bool {
        let unit = unit as usize;
        self.pieces
            .iter()
            .all(|(_, piece)| piece.offset().is_multiple_of(unit) && piece.len().is_multiple_of(unit))
    }

    /// Leaves out what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.pieces = self.parts(0..len).enumerate_starts();
            self.len = len;
        }
    }

    /// The parts of pages that a range of its bytes is in.
    ///
    /// # Panics
    /// When the range ends behind the last byte.
    pub fn parts(&self, range: Range<usize>) -> Parts<'_> {
        assert!(range.end <= self.len);
        let first = self.pieces.partition_point(|(start, piece)| start + piece.len() <= range.start);
        Parts { pieces: &self.pieces[first..], range }
    }

    /// The same as what a transfer has; `ENOMEM`.
    ///
    /// # Panics
    /// As there.
    pub fn pieces(&self, range: Range<usize>) -> Result<Pieces> {
        let parts = self.parts(range);
        let mut pieces = Pieces::new();
        pieces.try_reserve(parts.most()).map_err(|_| Errno::ENOMEM)?;
        pieces.extend(parts);
        Ok(pieces)
    }

    /// Sets bytes to zero.
    pub fn zero(&self, range: Range<usize>) {
        for piece in self.parts(range) {
            piece.page().zero(piece.offset(), piece.len());
        }
    }

    /// Copies bytes from `from` on into a page.
    ///
    /// # Panics
    /// When there are not so many, or the page is too short for them.
    pub fn copy_to(&self, from: usize, page: &Page, offset: usize, len: usize) {
        let mut at = offset;
        for piece in self.parts(from..from + len) {
            page.copy_from(at, piece.page(), piece.offset(), piece.len());
            at += piece.len();
        }
    }
}

/// Parts of pages, one behind the other.
pub struct Parts<'a> {
    pieces: &'a [(usize, Piece)],
    range: Range<usize>,
}

impl Iterator for Parts<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.range.is_empty() {
            return None;
        }
        let ((start, piece), rest) = self.pieces.split_first()?;
        self.pieces = rest;
        let skipped = self.range.start - start;
        let len = (piece.len() - skipped).min(self.range.len());
        self.range.start += len;
        Some(Piece::new(piece.page().clone(), piece.offset() + skipped, len))
    }
}

impl Parts<'_> {
    /// How many there are at most.
    fn most(&self) -> usize {
        self.pieces.partition_point(|(start, _)| *start < self.range.end)
    }

    /// All of them, each with the number of bytes that come before it.
    fn enumerate_starts(self) -> SmallVec<[(usize, Piece); 2]> {
        let mut start = 0;
        let with_start = |piece: Piece| {
            start += piece.len();
            (start - piece.len(), piece)
        };
        self.map(with_start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three parts of one page: bytes 100 to 200, 3000 to 4096, and 0 to 50.
    fn memory() -> (Page, Memory) {
        let page = Page::zeroed().unwrap();
        let mut memory = Memory::new();
        for (offset, len) in [(100, 100), (3000, 1096), (0, 50)] {
            memory.push(Piece::new(page.clone(), offset, len)).unwrap();
        }
        (page, memory)
    }

    fn places(memory: &Memory, range: Range<usize>) -> Vec<(usize, usize)> {
        memory.parts(range).map(|piece| (piece.offset(), piece.len())).collect()
    }

    #[test]
    fn ranges_have_parts() {
        let (_, mut memory) = memory();
        assert_eq!(memory.len(), 1246);
        assert_eq!(places(&memory, 0..1246), [(100, 100), (3000, 1096), (0, 50)]);
        assert_eq!(places(&memory, 99..101), [(199, 1), (3000, 1)]);
        assert_eq!(places(&memory, 100..100), []);
        assert_eq!(places(&memory, 1196..1246), [(0, 50)]);
        memory.truncate(150);
        assert_eq!((memory.len(), places(&memory, 0..150)), (150, vec![(100, 100), (3000, 50)]));
        memory.truncate(1000);
        assert_eq!(memory.len(), 150);
        memory.truncate(0);
        assert!(memory.is_empty() && memory.is_aligned(512));
    }

    #[test]
    fn alignment_is_that_of_each_part() {
        let page = Page::zeroed().unwrap();
        let mut memory = Memory::new();
        memory.push(Piece::new(page.clone(), 512, 1024)).unwrap();
        assert!(memory.is_aligned(512) && !memory.is_aligned(1024));
        memory.push(Piece::new(page, 0, 100)).unwrap();
        assert!(!memory.is_aligned(512) && memory.is_aligned(4));
    }

    #[test]
    fn bytes_are_copied_and_cleared() {
        let (page, memory) = memory();
        page.write(0, &[1; 4096]);
        memory.zero(50..200);
        assert_eq!(page.bytes()[149..151], [1, 0]);
        assert_eq!(page.bytes()[3099..3101], [0, 1]);
        let copy = Page::zeroed().unwrap();
        memory.copy_to(40, &copy, 10, 20);
        assert_eq!(copy.bytes()[9..21], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        // Into itself.
        memory.copy_to(0, &page, 110, 100);
        assert_eq!(page.bytes()[159..161], [1, 0]);
    }
}
