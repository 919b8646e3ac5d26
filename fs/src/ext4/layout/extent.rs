//! Extents: the tree that says where a file's blocks are.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a header's `magic` is.
pub const EXTENT_MAGIC: u16 = 0xf30a;
/// The longest extent that was written to; longer ones are not initialised, and so much shorter.
pub const INITIALISED_MAX: u16 = 0x8000;

/// The head of a node, before its entries.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExtentHeader {
    pub magic: U16,
    pub entries: U16,
    pub max: U16,
    /// Levels below this one.
    pub depth: U16,
    pub generation: U32,
}

/// An entry of a leaf: blocks that lie together.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Extent {
    pub logical: U32,
    pub len: U16,
    pub start_high: U16,
    pub start: U32,
}

/// An entry of an inner node: the node below with the blocks from `logical` on.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExtentIndex {
    pub logical: U32,
    pub leaf: U32,
    pub leaf_high: U16,
    pub unused: U16,
}

/// Behind the room for entries, in nodes that are blocks.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExtentTail {
    pub checksum: U32,
}

impl Extent {
    /// The first block on the disk.
    pub fn physical(&self) -> u64 {
        u64::from(self.start_high.get()) << 32 | u64::from(self.start.get())
    }
}

impl ExtentIndex {
    /// The block of the node below.
    pub fn physical(&self) -> u64 {
        u64::from(self.leaf_high.get()) << 32 | u64::from(self.leaf.get())
    }
}
