//! Inodes.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every inode has: 128 bytes.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InodeBase {
    pub mode: U16,
    pub uid: U16,
    pub size: U32,
    pub accessed: U32,
    pub changed: U32,
    pub modified: U32,
    pub deleted: U32,
    pub gid: U16,
    pub links: U16,
    /// Of 512 bytes, or of the file system's blocks ([`InodeFlags::HUGE_FILE`]).
    pub blocks: U32,
    pub flags: U32,
    pub version: U32,
    /// Where the contents are: the root of the extents, or block numbers, or what is short enough itself.
    pub block: [u8; 60],
    pub generation: U32,
    pub xattr_block: U32,
    pub size_high: U32,
    pub fragment: U32,
    pub blocks_high: U16,
    pub xattr_block_high: U16,
    pub uid_high: U16,
    pub gid_high: U16,
    pub checksum: U16,
    pub reserved: U16,
}

/// What follows in inodes of more than 128 bytes, as far as `extra_size` says.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InodeExtra {
    pub extra_size: U16,
    pub checksum_high: U16,
    /// Nanoseconds above two more bits of the seconds, here and below.
    pub changed: U32,
    pub modified: U32,
    pub accessed: U32,
    pub created: U32,
    pub created_extra: U32,
    pub version_high: U32,
    pub project: U32,
}

const _: () = assert!(size_of::<InodeBase>() == 128 && size_of::<InodeExtra>() == 32);

bitflags! {
    /// An inode's flags that say how to read it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct InodeFlags: u32 {
        /// The contents are encrypted.
        const ENCRYPTED = 0x800;
        /// A directory with a hash tree.
        const INDEX = 0x1000;
        /// `blocks` counts the file system's blocks.
        const HUGE_FILE = 0x4_0000;
        /// The contents are found by extents.
        const EXTENTS = 0x8_0000;
        /// The contents begin in the inode itself.
        const INLINE_DATA = 0x1000_0000;
    }
}
