//! Group descriptors.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every descriptor has.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GroupDescriptor {
    pub block_bitmap: U32,
    pub inode_bitmap: U32,
    pub inode_table: U32,
    pub free_blocks: U16,
    pub free_inodes: U16,
    pub directories: U16,
    pub flags: U16,
    pub exclude_bitmap: U32,
    pub block_bitmap_checksum: U16,
    pub inode_bitmap_checksum: U16,
    pub unused_inodes: U16,
    pub checksum: U16,
}

/// What follows where descriptors have 64 bytes.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GroupDescriptorHigh {
    pub block_bitmap: U32,
    pub inode_bitmap: U32,
    pub inode_table: U32,
    pub free_blocks: U16,
    pub free_inodes: U16,
    pub directories: U16,
    pub unused_inodes: U16,
    pub exclude_bitmap: U32,
    pub block_bitmap_checksum: U16,
    pub inode_bitmap_checksum: U16,
    pub reserved: U32,
}

bitflags! {
    /// What has not been made in a group, as nobody has needed it; with check sums of descriptors only.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct GroupFlags: u16 {
        /// No inode was ever in use: neither the bitmap nor the table is there.
        const INODES_UNUSED = 1;
        /// No block was ever given out: the bitmap is not there.
        const BLOCKS_UNUSED = 2;
    }
}

const _: () = assert!(size_of::<GroupDescriptor>() == 32 && size_of::<GroupDescriptorHigh>() == 32);
