//! What is on the disk, as it lies there: little-endian, without gaps. Nothing in here is trusted; see who reads it.
//!
//! Names are those of Linux's documentation (`Documentation/filesystems/ext4`), written out.

mod directory;
mod extent;
mod group;
mod inode;
mod orphans;
mod superblock;
mod xattr;

pub(super) use directory::{
    DirectoryEntry, DirectoryTail, HashCount, HashEntry, HashRootInfo, HashTail, TAIL_TYPE,
};
pub(super) use extent::{EXTENT_MAGIC, Extent, ExtentHeader, ExtentIndex, ExtentTail, INITIALISED_MAX};
pub(super) use group::{GroupDescriptor, GroupDescriptorHigh, GroupFlags};
pub(super) use inode::{InodeBase, InodeExtra, InodeFlags};
pub(super) use orphans::{ORPHANS_MAGIC, OrphansTail};
pub(super) use superblock::{RawSuperblock, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET};
pub(super) use xattr::{XATTR_MAGIC, XattrBlockHeader, XattrEntry};
