//! What can be done to a file, and the dice that choose.

use std::fmt;
use support::memory::PAGE;
use support::random::Random;

/// Bytes of which everything is a multiple that goes past the cache, or moves what follows.
const BLOCK: u64 = 4096;
/// The least largest size.
pub const LEAST: u64 = 4 * BLOCK;

/// Bytes in a file.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub at: u64,
    pub len: u64,
}

impl Range {
    pub fn end(self) -> u64 {
        self.at + self.len
    }
}

/// By which call bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// lseek(2) and read(2) or write(2).
    Sequential,
    /// pread(2) or pwrite(2).
    Positioned,
    /// Through a mapping that has been there since the file was opened.
    Mapped,
    /// Through a new mapping.
    NewlyMapped,
    /// With `O_DIRECT`.
    Direct,
}

/// Modes of fallocate(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    KeepSize,
    Punch,
    Zero,
    ZeroKeepSize,
    Collapse,
    Insert,
}

impl Mode {
    /// As the call has it.
    pub fn flags(self) -> i32 {
        match self {
            Mode::Plain => 0,
            Mode::KeepSize => libc::FALLOC_FL_KEEP_SIZE,
            Mode::Punch => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            Mode::Zero => libc::FALLOC_FL_ZERO_RANGE,
            Mode::ZeroKeepSize => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
            Mode::Collapse => libc::FALLOC_FL_COLLAPSE_RANGE,
            Mode::Insert => libc::FALLOC_FL_INSERT_RANGE,
        }
    }
}

/// What brings contents to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// fsync(2).
    All,
    /// fdatasync(2).
    Data,
    /// msync(2) of the whole mapping.
    Mapping,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Read(Range, How),
    Write(Range, How),
    Truncate(u64),
    Allocate(Range, Mode),
    /// copy_file_range(2) within the file.
    Copy(Range, u64),
    Sync(Sync),
    /// Closes the file and opens it again.
    Reopen,
    /// Has the cache give up what it has of the file.
    Evict,
    /// Looks for data and holes from an offset on.
    Seek(u64),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |range: &Range| format!("{:#x}..{:#x} ({:#x} bytes)", range.at, range.end(), range.len);
        match self {
            Operation::Read(range, how) => write!(f, "read {} {how:?}", span(range)),
            Operation::Write(range, how) => write!(f, "write {} {how:?}", span(range)),
            Operation::Truncate(size) => write!(f, "truncate to {size:#x}"),
            Operation::Allocate(range, mode) => write!(f, "fallocate {} {mode:?}", span(range)),
            Operation::Copy(range, to) => write!(f, "copy {} to {to:#x}", span(range)),
            Operation::Sync(sync) => write!(f, "sync {sync:?}"),
            Operation::Reopen => write!(f, "reopen"),
            Operation::Evict => write!(f, "evict"),
            Operation::Seek(at) => write!(f, "seek from {at:#x}"),
        }
    }
}

/// Chooses operations.
pub struct Generator {
    random: Random,
    largest: u64,
    direct: bool,
}

impl Generator {
    pub fn new(seed: u64, largest: u64, direct: bool) -> Self {
        Self { random: Random::new(seed), largest, direct }
    }

    /// Either.
    pub fn coin(&mut self) -> bool {
        self.random.one_in(2)
    }

    /// An offset or a length up to `limit`; often at, or by, the border of a page.
    fn number(&mut self, limit: u64) -> u64 {
        let number = self.random.below(limit + 1);
        let page = number / PAGE as u64 * PAGE as u64;
        match self.random.below(6) {
            0 => page,
            1 => (page + 1).min(limit),
            2 => page.saturating_sub(1),
            _ => number,
        }
    }

    /// A range that is not empty and ends before `limit`, which is not 0.
    fn range(&mut self, limit: u64) -> Range {
        let at = self.number(limit - 1);
        // Mostly short ones.
        let room = limit - at;
        let most = if self.random.one_in(4) { room } else { room.min(2 * PAGE as u64) };
        Range { at, len: self.number(most).max(1) }
    }

    /// One of whole blocks; `None` if there is no room.
    fn blocks(&mut self, limit: u64) -> Option<Range> {
        let blocks = limit / BLOCK;
        let at = self.random.below(blocks.max(1));
        let len = self.random.below((blocks.checked_sub(at + 1)? + 1).min(8)) + 1;
        Some(Range { at: at * BLOCK, len: len * BLOCK }).filter(|range| range.end() <= limit)
    }

    fn how(&mut self) -> How {
        match self.random.below(if self.direct { 8 } else { 6 }) {
            0 => How::Sequential,
            1 | 2 => How::Positioned,
            3 | 4 => How::Mapped,
            5 => How::NewlyMapped,
            _ => How::Direct,
        }
    }

    /// A range for this way, which for mappings lies within the file.
    fn transfer(&mut self, size: u64, within: bool) -> Option<(Range, How)> {
        let how = self.how();
        let is_mapped = matches!(how, How::Mapped | How::NewlyMapped);
        let limit = if within || is_mapped { size } else { self.largest };
        let range = match how {
            How::Direct => self.blocks(limit)?,
            _ if limit == 0 => return None,
            _ => self.range(limit),
        };
        Some((range, how))
    }

    fn allocate(&mut self, size: u64) -> Option<Operation> {
        use Mode::*;
        let mode = *self.random.of(&[Plain, KeepSize, Punch, Punch, Zero, ZeroKeepSize, Collapse, Insert]);
        let range = match mode {
            // Both are for the middle of a file.
            Collapse => self.blocks(size.checked_sub(1)?)?,
            Insert => {
                let range = self.blocks(size.checked_sub(1)?)?;
                Some(range).filter(|range| size + range.len <= self.largest)?
            }
            _ => self.range(self.largest),
        };
        Some(Operation::Allocate(range, mode))
    }

    /// Two ranges that do not overlap.
    fn copy(&mut self, size: u64) -> Option<Operation> {
        let from = self.range(Some(size).filter(|size| *size > 0)?);
        let to = self.number(self.largest - from.len);
        let overlaps = to < from.end() && from.at < to + from.len;
        Some(Operation::Copy(from, to)).filter(|_| !overlaps)
    }

    fn choose(&mut self, size: u64) -> Option<Operation> {
        Some(match self.random.below(100) {
            0..20 => {
                let (range, how) = self.transfer(size, true)?;
                Operation::Read(range, how)
            }
            20..55 => {
                let (range, how) = self.transfer(size, false)?;
                Operation::Write(range, how)
            }
            55..63 => Operation::Truncate(self.number(self.largest)),
            63..78 => self.allocate(size)?,
            78..84 => self.copy(size)?,
            84..90 => Operation::Sync(*self.random.of(&[Sync::All, Sync::Data, Sync::Mapping])),
            90..93 => Operation::Reopen,
            93..95 => Operation::Evict,
            _ => Operation::Seek(self.number(self.largest)),
        })
    }

    /// The next operation on a file of this size.
    pub fn next(&mut self, size: u64) -> Operation {
        loop {
            if let Some(operation) = self.choose(size) {
                return operation;
            }
        }
    }
}
