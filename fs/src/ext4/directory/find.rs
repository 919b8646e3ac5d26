//! Finding entries, and changing one that was found.

use super::{
    super::{buffer::Buffer, hash_tree, node::Node, transaction::Apply, volume::Turns},
    Format,
    record::Found,
};
use crate::{FileType, Result};
use alloc::sync::Arc;
use syscalls::Errno;

/// An entry that was found. It holds until a name is entered in the directory ([`Node::plan_entry`]), so to do both, plan
/// that first.
pub struct Entry {
    block: Arc<Buffer>,
    format: Format,
    found: Found,
}

impl Entry {
    /// The number of its file.
    pub fn inode(&self) -> u32 {
        self.found.inode
    }

    /// Blocks that a change of it changes.
    pub fn credits(&self) -> usize {
        1
    }

    /// Removes it.
    pub fn remove(self, apply: &Apply<'_>) {
        self.block.write(apply).entries(self.format).remove(self.found.offset, self.found.before);
    }

    /// Makes it an entry of another file.
    pub fn replace(self, apply: &Apply<'_>, inode: u32, kind: FileType) {
        self.block.write(apply).entries(self.format).replace(self.found.offset, inode, kind);
    }
}

impl Node {
    /// The file of a name.
    pub async fn find(&self, name: &[u8]) -> Result<u32> {
        if !self.is_inline() {
            return self.find_entry(name).await.map(|entry| entry.inode());
        }
        let mut at = 0;
        while let Some(area) = self.area(at).await? {
            if let Some(found) = self.find_in(&area.bytes, area.start, name)? {
                return Ok(found.inode);
            }
            at = area.start + area.bytes.len() as u64;
        }
        Err(Errno::ENOENT)
    }

    /// Finds the entry of a name; `ENOENT`, and `EOPNOTSUPP` when the entries are in the inode.
    pub async fn find_entry(&self, name: &[u8]) -> Result<Entry> {
        self.check_blocks_of_directory()?;
        if self.is_indexed() && hash_tree::is_enabled(self) {
            return self.find_by_hash(name).await;
        }
        let mut turns = Turns::default();
        for number in 0..self.directory_blocks() {
            turns.next().await;
            let block = self.directory_block(number).await?;
            if let Some(entry) = self.entry_in(block, number, name)? {
                return Ok(entry);
            }
        }
        Err(Errno::ENOENT)
    }

    /// Finds the entry `..`.
    pub async fn find_parent_entry(&self) -> Result<Entry> {
        self.check_blocks_of_directory()?;
        let block = self.directory_block(0).await?;
        let found = self.entry_in(block, 0, b"..")?;
        found.ok_or_else(|| self.corrupt_directory(0, "there is no entry .."))
    }

    /// The entry of a name in a block.
    pub fn entry_in(&self, block: Arc<Buffer>, number: u64, name: &[u8]) -> Result<Option<Entry>> {
        let found = self.search(&block, number, name)?.found;
        Ok(found.map(|found| Entry { block, format: self.format(), found }))
    }

    /// `EOPNOTSUPP` for a directory whose entries are in the inode.
    pub fn check_blocks_of_directory(&self) -> Result<()> {
        if self.is_inline() { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
    }
}
