//! What the file must contain.

use crate::operation::{Mode, Range};
use support::random::Random;

/// The expected contents.
pub struct Model {
    contents: Vec<u8>,
}

impl Model {
    pub fn new() -> Self {
        Self { contents: Vec::new() }
    }

    pub fn size(&self) -> u64 {
        self.contents.len() as u64
    }

    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// What is there of a range.
    pub fn part(&self, range: Range) -> &[u8] {
        let end = range.end().min(self.size());
        &self.contents[range.at.min(end) as usize..end as usize]
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let end = at as usize + bytes.len();
        if end > self.contents.len() {
            self.contents.resize(end, 0);
        }
        self.contents[at as usize..end].copy_from_slice(bytes);
    }

    pub fn truncate(&mut self, size: u64) {
        self.contents.resize(size as usize, 0);
    }

    /// fallocate(2).
    pub fn allocate(&mut self, range: Range, mode: Mode) {
        if matches!(mode, Mode::Plain | Mode::Zero) && range.end() > self.size() {
            self.truncate(range.end());
        }
        let end = range.end().min(self.size()) as usize;
        let start = (range.at as usize).min(end);
        match mode {
            Mode::Plain | Mode::KeepSize => {}
            Mode::Punch | Mode::Zero | Mode::ZeroKeepSize => self.contents[start..end].fill(0),
            Mode::Collapse => drop(self.contents.drain(start..end)),
            Mode::Insert => {
                let zeros = std::iter::repeat_n(0, range.len as usize);
                self.contents.splice(start..start, zeros);
            }
        }
    }
}

/// The bytes that an operation writes.
pub fn bytes_of(number: u64, len: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let words = (0..len.div_ceil(8)).flat_map(|_| random.word().to_le_bytes());
    words.take(len as usize).collect()
}
