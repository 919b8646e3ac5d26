//! Directories: entries in blocks, and the hash tree over the blocks.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The `file_type` of the false entry at the end of a block that has a check sum.
pub const TAIL_TYPE: u8 = 0xde;

/// An entry, before its name.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DirectoryEntry {
    /// Zero for an entry without file.
    pub inode: U32,
    /// From here to the next entry, bytes.
    pub record_len: U16,
    pub name_len: u8,
    /// Or, without the feature `filetype`, the high byte of the name's length, which is zero.
    pub file_type: u8,
}

/// The end of a block with a check sum: an entry without file and name, and the sum.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DirectoryTail {
    pub entry: DirectoryEntry,
    pub checksum: U32,
}

/// In the root of a hash tree, behind the entries `.` and `..`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HashRootInfo {
    pub reserved: U32,
    pub hash_version: u8,
    /// Bytes of this structure: 8.
    pub info_len: u8,
    pub indirect_levels: u8,
    pub flags: u8,
}

/// An entry of a hash tree: the block with the names whose hashes are `hash` or more. The lowest bit says that names of the
/// hash are also in the block before.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HashEntry {
    pub hash: U32,
    pub block: U32,
}

/// In the place of the first entry's hash, which is zero: how many entries there are, and how many can be.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HashCount {
    pub limit: U16,
    pub count: U16,
}

/// Behind the room for entries.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HashTail {
    pub reserved: U32,
    pub checksum: U32,
}
