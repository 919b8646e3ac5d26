//! Finding entries, and changing one that was found.

use super::{
    super::{buffer::Buffer, hash_tree, node::Node, transaction::Apply, volume::Turns},
    Format, Whereabouts,
    record::Found,
};
use crate::Result;
use alloc::sync::Arc;
use syscalls::Errno;

/// An entry that was found. It holds until a name is entered in the directory ([`Node::plan_entry`]), so to do both, plan
/// that first.
pub struct Entry {
    block: Arc<Buffer>,
    number: u64,
    format: Format,
    found: Found,
}

impl Entry {
    /// Where it is.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts { number: self.number, offset: self.found.offset }
    }

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
    pub fn replace(self, apply: &Apply<'_>, file: &Node) {
        file.last_seen.note(self.whereabouts());
        self.lead_to(apply, file);
    }

    /// Makes the entry `..` lead to another directory.
    pub fn lead_to_parent(self, apply: &Apply<'_>, parent: &Node) {
        self.lead_to(apply, parent);
    }

    fn lead_to(self, apply: &Apply<'_>, file: &Node) {
        let (offset, kind) = (self.found.offset, file.attributes.kind);
        self.block.write(apply).entries(self.format).replace(offset, file.number, kind);
    }
}

impl Node {
    /// The file of a name, and where its entry is, unless that is in the inode.
    pub async fn find(&self, name: &[u8]) -> Result<(u32, Option<Whereabouts>)> {
        if !self.is_inline() {
            return self.find_entry(name).await.map(|entry| (entry.inode(), Some(entry.whereabouts())));
        }
        let mut at = 0;
        while let Some(area) = self.area(at).await? {
            if let Some(found) = self.find_in(&area.bytes, area.start, name)? {
                return Ok((found.inode, None));
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

    /// The same of a name that a file has.
    pub async fn find_entry_of(&self, name: &[u8], file: &Node) -> Result<Entry> {
        if let Some(last_seen) = file.last_seen.get()
            && let Some(entry) = self.entry_at(last_seen, name)?
            && entry.inode() == file.number
        {
            return Ok(entry);
        }
        self.find_entry(name).await
    }

    /// The entry of a name, if it is at a place of a block that is in memory with its index.
    fn entry_at(&self, Whereabouts { number, offset }: Whereabouts, name: &[u8]) -> Result<Option<Entry>> {
        if self.is_inline() || number >= self.directory_blocks() {
            return Ok(None);
        }
        let Some(block) = self.directory_block_now(number)? else { return Ok(None) };
        let format = self.format();
        let contents = block.read_indexed(format);
        let found = contents.index().and_then(|index| index.entry_at(format, &contents, offset, name));
        drop(contents);
        Ok(found.map(|found| Entry { block, number, format, found }))
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
        Ok(found.map(|found| Entry { block, number, format: self.format(), found }))
    }

    /// `EOPNOTSUPP` for a directory whose entries are in the inode.
    pub fn check_blocks_of_directory(&self) -> Result<()> {
        if self.is_inline() { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
    }
}
