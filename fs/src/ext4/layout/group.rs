//! Group descriptors.

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

const _: () = assert!(size_of::<GroupDescriptor>() == 32 && size_of::<GroupDescriptorHigh>() == 32);
