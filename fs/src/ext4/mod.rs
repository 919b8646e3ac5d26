//! ext4, ext3 and ext2: the file systems that `mke2fs` makes and Linux writes.
//!
//! ```text
//!   trait FileSystem, trait Inode           mod.rs inode.rs
//!        │             │
//!        │       one object per number      inode_cache.rs handle.rs
//!        │             ▼
//!        │           Node: an inode, checked                     node.rs
//!        │             ├─ attributes of files                    xattr/ acl.rs
//!        │             ├─ names: lists, hash trees               directory/ hash_tree/ hash.rs
//!        │             └─ pages ─► blocks: extents, numbers      contents.rs store.rs map.rs extents/ indirect/
//!        │             │
//!        │           calls that change something: plans          make.rs names.rs size.rs delete.rs rewrite.rs ledger.rs
//!        │             │
//!        │           what is changed together, and the log       transaction/ journal/ orphans/
//!        ▼             ▼
//!      Volume: the disk's blocks, groups and inodes              mount.rs volume.rs geometry.rs features.rs
//!        │             │
//!        │           blocks of metadata, free space              buffer/ space/
//!        ▼             ▼
//!      the disk
//! ```
//!
//! Every change has three parts: gather, begin, apply (`transaction`).
//!
//! Structures are described in `layout`, check sums in `checksum`. What the disk says is not trusted: each number is
//! checked where it is used, and what is wrong is an `EUCLEAN` for who came upon it and one line in the log
//! (`complaints`).

mod acl;
mod buffer;
mod checksum;
mod complaints;
mod contents;
mod delete;
mod direct;
mod directory;
mod extents;
mod features;
mod geometry;
mod handle;
mod hash;
mod hash_tree;
mod indirect;
mod inode;
mod inode_cache;
mod journal;
mod layout;
mod ledger;
mod make;
mod map;
mod memory;
mod mount;
mod names;
mod node;
mod options;
mod orphans;
mod rewrite;
mod size;
mod space;
mod store;
mod transaction;
mod volume;
mod xattr;

pub use complaints::Log;
pub use mount::Ext4;
pub use options::Options;

use crate::{FileSystem, FileType, Found, Handle, Inode, NAME_MAX, Op, Result, StatFs};
use alloc::string::String;
use alloc::sync::Arc;
use features::{Compatible, Incompatible};
use inode::Ext4Inode;

/// What statfs(2) calls all three.
const MAGIC: u64 = 0xef53;
/// The inode of the root directory.
const ROOT: u32 = 2;

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
        self.volume.transactions().is_err()
    }

    fn allow_writing(&self, writing: bool) -> Op<'_, Result<()>> {
        Op::waiting(Ext4::allow_writing(self, writing))
    }

    fn set_options(&self, options: &str) -> Result<()> {
        Ext4::set_options(self, options)
    }

    fn options(&self) -> String {
        self.show_options()
    }

    fn handle(&self, inode: &dyn Inode) -> Option<Handle> {
        let inode: &Ext4Inode = inode.as_any().downcast_ref()?;
        Some(Handle { number: inode.number().into(), generation: inode.node().generation })
    }

    fn find(&self, handle: Handle) -> Op<'_, Result<Found>> {
        Op::waiting(async move {
            let inode = self.volume.get_by_handle(handle).await?;
            match inode.attributes().kind {
                FileType::Directory => self.volume.names_of(inode).await.map(Found::Names),
                _ => Ok(Found::File(inode)),
            }
        })
    }

    fn sync(&self) -> Op<'_, Result<()>> {
        Op::waiting(self.sync_all())
    }

    fn statfs(&self) -> Op<'_, Result<StatFs>> {
        Op::eager(async move {
            let geometry = &self.volume.geometry;
            let (free_blocks, free_inodes) = self.volume.space.free();
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
                available_blocks: free_blocks
                    .saturating_sub(geometry.reserved_blocks + self.volume.space.kept()),
                files: geometry.inodes.into(),
                free_files: free_inodes,
                id: first ^ second,
                name_max: NAME_MAX as u64,
            })
        })
    }
}
