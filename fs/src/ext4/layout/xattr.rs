//! Extended attributes: in the inode's last bytes, and in a block that inodes may share.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What stands before attributes in both places.
pub const XATTR_MAGIC: u32 = 0xea02_0000;

/// The head of a block of attributes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct XattrBlockHeader {
    pub magic: U32,
    pub references: U32,
    /// Blocks: 1.
    pub blocks: U32,
    pub hash: U32,
    pub checksum: U32,
    pub reserved: [U32; 3],
}

/// An attribute, before its name.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct XattrEntry {
    pub name_len: u8,
    /// Which prefix the name has.
    pub name_index: u8,
    /// In the inode from the first entry on, in a block from its beginning on.
    pub value_offset: U16,
    /// An inode with the value, or zero.
    pub value_inode: U32,
    pub value_size: U32,
    pub hash: U32,
}
