//! The file of orphans: blocks with numbers of inodes that are to be deleted, or cut off, when nobody has done so.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a block's `magic` is.
pub const ORPHANS_MAGIC: u32 = 0x0b10_ca04;

/// The end of a block; before it there are numbers of inodes, and zeros where there are none.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct OrphansTail {
    pub magic: U32,
    pub checksum: U32,
}
