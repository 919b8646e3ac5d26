//! ext4, ext3 and ext2: the file systems that `mke2fs` makes and Linux writes.
//!
//! ```text
//!   trait FileSystem, trait Inode           mod.rs inode.rs
//!        │             │
//!        │       one object per number      inode_cache.rs
//!        │             ▼
//!        │           Node: an inode, checked                     node.rs
//!        │             ├─ attributes of files                    xattr.rs acl.rs
//!        │             ├─ names: list, hash tree                 directory.rs hash_tree.rs hash.rs
//!        │             └─ pages ─► blocks: extents, numbers      contents.rs map.rs extents.rs indirect.rs
//!        │             │
//!   replay at mount    │                                         journal/
//!        ▼             ▼
//!      Volume: the disk's blocks, groups and inodes              volume.rs geometry.rs features.rs
//!        │
//!      the disk's page cache, shared with its node in /dev
//! ```
//!
//! Structures are described in `layout`, check sums in `checksum`. What the disk says is not trusted: each number is
//! checked where it is used, and what is wrong is an `EUCLEAN` for who came upon it and one line in the log
//! (`complaints`).

mod acl;
mod checksum;
mod complaints;
mod contents;
mod directory;
mod extents;
mod features;
mod geometry;
mod hash;
mod hash_tree;
mod indirect;
mod inode;
mod inode_cache;
mod journal;
mod layout;
mod map;
mod node;
mod volume;
mod xattr;

pub use complaints::Log;

use crate::{FileSystem, Inode, NAME_MAX, Op, Result, StatFs, block::BlockInode};
use alloc::sync::Arc;
use complaints::{Complaints, Place};
use features::{Compatible, Incompatible, ReadOnlyCompatible};
use geometry::Geometry;
use layout::{RawSuperblock, SUPERBLOCK_OFFSET};
use syscalls::Errno;
use volume::Volume;
use zerocopy::{FromZeros, IntoBytes};

/// What statfs(2) calls all three.
const MAGIC: u64 = 0xef53;
/// The inode of the root directory.
const ROOT: u32 = 2;

/// A mounted file system.
pub struct Ext4 {
    volume: Arc<Volume>,
    root: Arc<dyn Inode>,
}

/// Reads the superblock.
async fn read_superblock(disk: &BlockInode, complaints: &Complaints) -> Result<Geometry> {
    let mut raw = RawSuperblock::new_zeroed();
    let mut bytes = raw.as_mut_bytes();
    let wanted = bytes.len();
    if disk.cache().read(SUPERBLOCK_OFFSET, &mut bytes).await? != wanted {
        return Err(Errno::EINVAL);
    }
    let device = disk.device();
    Geometry::check(&raw, device.size(), device.sector_size(), complaints)
}

impl Ext4 {
    /// Mounts the file system on a disk, for reading. If it was not unmounted, its journal is replayed: onto the disk, or in
    /// memory if the disk is read-only. `EINVAL` when there is none, or one that cannot be read; why goes to
    /// `log`, as do all complaints from then on.
    pub async fn mount(disk: Arc<BlockInode>, log: Arc<dyn Log>) -> Result<Arc<Self>> {
        let complaints = Arc::new(Complaints::new(log, disk.device().device()));
        let geometry = read_superblock(&disk, &complaints).await?;
        let mut volume = Volume::new(disk, geometry, complaints.clone());
        if volume.geometry.has(Incompatible::NEEDS_RECOVERY) {
            let disk = journal::recover(&volume).await?;
            // The superblock, too, may have been in the journal.
            let geometry = read_superblock(&disk, &complaints).await?;
            volume = Volume::new(disk, geometry, complaints);
        }
        tell(&volume.geometry, &volume.complaints);
        let root = volume.get(ROOT).await?;
        if root.attributes().kind != crate::FileType::Directory {
            return Err(volume.corrupt(Place::Inode(ROOT), "is the root, but no directory"));
        }
        Ok(Arc::new(Ext4 { volume, root }))
    }
}

/// Says what is remarkable about a file system that is being mounted.
fn tell(geometry: &Geometry, complaints: &Complaints) {
    for (bit, name) in geometry.features.unwritable() {
        let name = name.unwrap_or("unknown to this kernel");
        complaints.say(format_args!("feature {name} ({bit:#x}) is not supported: read-only"));
    }
    if geometry.last_orphan != 0 || geometry.features.read_only.contains(ReadOnlyCompatible::ORPHAN_PRESENT) {
        complaints.say(format_args!("there are deleted files that still take room"));
    }
}

impl FileSystem for Ext4 {
    fn name(&self) -> &'static str {
        let features = &self.volume.geometry.features;
        if features.incompatible.intersects(Incompatible::EXTENTS | Incompatible::SIXTY_FOUR_BIT) {
            "ext4"
        } else if features.compatible.contains(Compatible::HAS_JOURNAL) {
            "ext3"
        } else {
            "ext2"
        }
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn statfs(&self) -> Op<'_, Result<StatFs>> {
        Op::eager(async move {
            let geometry = &self.volume.geometry;
            let (free_blocks, free_inodes) = self.volume.count_free().await?;
            let [first, second] = [0, 8].map(|at| {
                let mut half = [0; 8];
                half.copy_from_slice(&geometry.uuid[at..at + 8]);
                u64::from_le_bytes(half)
            });
            Ok(StatFs {
                magic: MAGIC,
                block_size: geometry.block_size,
                blocks: geometry.blocks - geometry.overhead_blocks,
                free_blocks,
                available_blocks: free_blocks.saturating_sub(geometry.reserved_blocks),
                files: geometry.inodes.into(),
                free_files: free_inodes,
                id: first ^ second,
                name_max: NAME_MAX as u64,
            })
        })
    }
}
