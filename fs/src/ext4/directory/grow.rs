//! Directories grow by one block at a time, with which others may be made anew.

use super::super::{
    buffer::{Buffer, Form},
    features::Incompatible,
    hash_tree::ROOT_AT,
    layout::{DirectoryTail, InodeFlags},
    node::Node,
    transaction::Apply,
};
use super::Index;
use crate::Result;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::little_endian::U32;

/// Hash trees number blocks with so many bits.
const BLOCKS: u64 = 1 << 28;

/// Where in block 0 the inode of the entry `..` is.
const PARENT_AT: usize = size_of::<DirectoryTail>();

/// A block as it will be.
pub struct Draft {
    pub bytes: Box<[u8]>,
    form: Form,
    /// That of the bytes, if it was made.
    pub index: Option<Box<Index>>,
}

/// A block of a directory and what it will be.
pub type Rebuilt = Option<(Arc<Buffer>, Draft)>;

impl Draft {
    /// One of zeros.
    pub fn new(node: &Node, form: Form) -> Result<Self> {
        let len = node.volume.geometry.block_size as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(len, 0);
        Ok(Draft { bytes: bytes.into(), form, index: None })
    }

    /// One of a block as it is.
    pub fn of(node: &Node, block: &Buffer, form: Form) -> Result<Self> {
        let mut draft = Self::new(node, form)?;
        draft.bytes.copy_from_slice(&block.read());
        Ok(draft)
    }

    /// Puts it into a block of the directory. The root of a hash tree goes on to name the directory above as it does by
    /// then, for who moves a directory does not hold its lock.
    pub fn put(self, node: &Node, block: &Arc<Buffer>, apply: &Apply<'_>) {
        let mut change = block.write(apply);
        change.set_owner(node.directory_owner(self.form));
        let (before, behind) = if let Form::Node { at: ROOT_AT } = self.form {
            (PARENT_AT, PARENT_AT + size_of::<U32>())
        } else {
            (0, 0)
        };
        change[..before].copy_from_slice(&self.bytes[..before]);
        change[behind..].copy_from_slice(&self.bytes[behind..]);
        change.set_index(self.index);
    }
}

impl Node {
    /// The number of the block by which a directory grows next; `ENOSPC` when it cannot.
    pub fn next_directory_block(&self) -> Result<u64> {
        let geometry = &self.volume.geometry;
        let number = self.directory_blocks();
        let most = if geometry.has(Incompatible::LARGE_DIRECTORY) {
            BLOCKS
        } else {
            // The upper half of the size is not one.
            u64::from(u32::MAX) / geometry.block_size
        };
        if number == 0 {
            return Err(self.corrupt_directory(0, "there is no first block"));
        }
        if number < most { Ok(number) } else { Err(Errno::ENOSPC) }
    }

    /// Notes how many blocks a directory has.
    pub fn set_directory_blocks(&self, blocks: u64) {
        let size = blocks * self.volume.geometry.block_size;
        self.set_stored_size(size);
        self.attributes.set_size(size);
    }

    /// Adds a block to a directory and changes others, in a transaction of its own. With `indexed` the directory has a
    /// hash tree from now on.
    pub async fn rebuild(self: &Arc<Self>, new: Draft, others: [Rebuilt; 2], indexed: bool) -> Result<()> {
        let number = self.next_directory_block()?;
        let blocks = self.volume.reserve(self.goal(number).await?, 1).await?;
        let physical = blocks.first();
        let _map = self.map_lock.write().await;
        let insertion = self.plan_insert(number, blocks, true).await?;
        let block = self.volume.fresh(physical, self.directory_owner(new.form)).await?;
        // The new block, the others, the inode.
        let apply = self.volume.begin(insertion.credits() + 4).await?;
        insertion.apply(&apply);
        new.put(self, &block, &apply);
        for (block, draft) in others.into_iter().flatten() {
            draft.put(self, &block, &apply);
        }
        self.set_directory_blocks(number + 1);
        if indexed {
            self.set_flag(InodeFlags::INDEX, true);
        }
        self.store(&apply);
        Ok(())
    }
}
