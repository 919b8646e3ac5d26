//! The entries of a node, in memory.

use super::{
    super::{
        layout::{EXTENT_MAGIC, Extent, ExtentHeader, ExtentIndex, INITIALISED_MAX},
        node::Node,
    },
    BLOCKS,
    find::{check, read},
};
use crate::Result;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::IntoBytes;

/// An entry: of a leaf blocks that lie together, of an inner node the node below with the blocks from `logical` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub logical: u64,
    /// How many blocks; zero for a node below.
    pub len: u64,
    /// The first block, or the node.
    pub physical: u64,
    pub written: bool,
}

impl Entry {
    pub fn below(logical: u64, physical: u64) -> Self {
        Entry { logical, len: 0, physical, written: true }
    }

    /// The first block of the file behind it.
    pub fn end(&self) -> u64 {
        self.logical + self.len
    }

    /// The most blocks that one can have.
    pub fn longest(&self) -> u64 {
        if self.written { INITIALISED_MAX.into() } else { u64::from(INITIALISED_MAX) - 1 }
    }

    /// Where block `logical` of the file is.
    pub fn physical_of(&self, logical: u64) -> u64 {
        self.physical + (logical - self.logical)
    }

    /// The part with these blocks of the file; perhaps none.
    pub fn part(&self, start: u64, end: u64) -> Self {
        Entry { logical: start, len: end - start, physical: self.physical_of(start), ..*self }
    }

    /// This and the next as one, if that can be.
    pub fn joined(&self, next: &Self) -> Option<Self> {
        let len = self.len + next.len;
        let fits = self.end() == next.logical
            && self.physical + self.len == next.physical
            && self.written == next.written
            && len <= self.longest();
        fits.then_some(Entry { len, ..*self })
    }
}

/// How many entries a node of so many bytes has room for. Behind them is room for the check sum in all sizes of blocks.
pub fn room(bytes: usize) -> usize {
    (bytes - size_of::<ExtentHeader>()) / size_of::<Extent>()
}

/// The depth of a node and its entries, which are sorted and apart from each other, in the file system and no longer than a
/// file; `depth` is what that of a node below the root must be.
pub fn entries(node: &Node, bytes: &[u8], depth: Option<u16>) -> Result<(u16, Vec<Entry>)> {
    let (header, raw) = check(node, bytes, depth)?;
    let count = header.entries.get();
    let mut entries = Vec::new();
    entries.try_reserve_exact(usize::from(count) + 2).map_err(|_| Errno::ENOMEM)?;
    let depth = header.depth.get();
    let is_read = if depth == 0 {
        read::<Extent>(raw, count).map(|raw| entries.extend(raw.iter().map(extent)))
    } else {
        let index = |index: &ExtentIndex| Entry::below(index.logical.get().into(), index.physical());
        read::<ExtentIndex>(raw, count).map(|raw| entries.extend(raw.iter().map(index)))
    };
    if is_read.is_none() {
        return Err(node.corrupt("extents do not fit in their block"));
    }
    let least = u64::from(depth == 0);
    for (number, entry) in entries.iter().enumerate() {
        let end = entries.get(number + 1).map_or(BLOCKS, |next| next.logical);
        if entry.len < least || entry.logical + entry.len.max(1) > end {
            return Err(node.corrupt("extents are empty or out of order"));
        }
        node.volume.check_blocks(entry.physical, entry.len.max(1), node.place())?;
    }
    Ok((depth, entries))
}

fn extent(raw: &Extent) -> Entry {
    let len = raw.len.get();
    let written = len <= INITIALISED_MAX;
    let len = if written { len } else { len - INITIALISED_MAX };
    Entry { logical: raw.logical.get().into(), len: len.into(), physical: raw.physical(), written }
}

/// Writes a node over zeros. There is room for the entries.
pub fn store(bytes: &mut [u8], depth: u16, entries: &[Entry]) {
    let header = ExtentHeader {
        magic: EXTENT_MAGIC.into(),
        entries: (entries.len() as u16).into(),
        max: (room(bytes.len()) as u16).into(),
        depth: depth.into(),
        generation: 0.into(),
    };
    let (head, rest) = bytes.split_at_mut(size_of::<ExtentHeader>());
    head.copy_from_slice(header.as_bytes());
    for (entry, place) in entries.iter().zip(rest.chunks_exact_mut(size_of::<Extent>())) {
        let (logical, low) = ((entry.logical as u32).into(), (entry.physical as u32).into());
        let high = ((entry.physical >> 32) as u16).into();
        if depth == 0 {
            let len = entry.len as u16 + if entry.written { 0 } else { INITIALISED_MAX };
            let raw = Extent { logical, len: len.into(), start_high: high, start: low };
            place.copy_from_slice(raw.as_bytes());
        } else {
            let raw = ExtentIndex { logical, leaf: low, leaf_high: high, unused: 0.into() };
            place.copy_from_slice(raw.as_bytes());
        }
    }
}
