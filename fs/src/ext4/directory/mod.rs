//! Directories: entries in blocks, one after the other, with or without a hash tree over the blocks.
//!
//! ```text
//!   names                  list.rs      find.rs      add.rs       new.rs
//!                             │            │            │
//!   with a hash tree     hash_tree/order  find        insert ──► split
//!                             │            │            │          │
//!   blocks  places.rs         └────────────┴────────────┴────── grow.rs
//!   their bytes                   index.rs ──► record.rs
//! ```
//!
//! Who has the file beside the name looks first where its entry was seen last (`last_seen.rs`).
//!
//! The name cache has one caller at a time look names up in a directory and change it; only its entry `..` may be changed
//! by others meanwhile, who move it. Listings run beside all that: they hold [`Node::map_lock`] for reading while they
//! gather what they list next, and entries move from one block to another only while it is held for writing.
//!
//! Who plans to enter a name makes room first, in transactions of their own ([`Node::rebuild`]), each of which leaves the
//! directory as good as it was. What is left to do with the name's own transaction is a change of one block.

mod add;
mod find;
mod grow;
mod index;
mod last_seen;
mod list;
mod new;
mod places;
mod record;
#[cfg(test)]
mod tests;

pub use add::{Addition, Room};
pub use find::Entry;
pub use grow::Draft;
pub use index::{Index, Indexed};
pub use last_seen::{LastSeen, Whereabouts};
pub use list::Batch;
pub use new::NewDirectory;
pub use places::Places;
pub use record::{Format, Record, needed};

use record::{Found, Search};

use super::{
    buffer::{Buffer, Form, Owner},
    complaints::Place,
    layout::{DirectoryEntry, DirectoryTail, InodeFlags},
    node::Node,
    volume::Turns,
};
use crate::Result;
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// A part of a directory in which entries are, and where in the directory it begins.
struct Area {
    bytes: Box<[u8]>,
    start: u64,
}

impl Node {
    /// Whether the contents of a directory are in the inode.
    fn is_inline(&self) -> bool {
        self.has(InodeFlags::INLINE_DATA)
    }

    /// Whether the directory has a hash tree.
    pub fn is_indexed(&self) -> bool {
        self.has(InodeFlags::INDEX)
    }

    /// How its entries are written.
    pub fn format(&self) -> Format {
        Format::of(&self.volume.geometry)
    }

    /// The area with the byte at `offset` of a directory, or `None` behind its end.
    async fn area(&self, offset: u64) -> Result<Option<Area>> {
        if offset >= self.attributes.size() {
            return Ok(None);
        }
        if self.is_inline() {
            // The number of the parent, entries to the end of the inode's part, entries in the attribute.
            let data = self.inline_data()?;
            let (first, second) = data.split_at(data.len().min(self.block().len()));
            let start = first.len() as u64;
            let area = if offset < start { (first.get(4..).unwrap_or(&[]), 4) } else { (second, start) };
            // The directory may say that it is longer than what is there.
            let is_there = offset < area.1 + area.0.len() as u64;
            return Ok(is_there.then(|| Area { bytes: area.0.into(), start: area.1 }));
        }
        let block_size = self.volume.geometry.block_size;
        let number = offset / block_size;
        let bytes = self.directory_block(number).await?.read()[..].into();
        Ok(Some(Area { bytes, start: number * block_size }))
    }

    /// How many blocks it has.
    pub fn directory_blocks(&self) -> u64 {
        self.attributes.size().div_ceil(self.volume.geometry.block_size)
    }

    /// Who owns its blocks.
    pub fn directory_owner(&self, form: Form) -> Owner {
        Owner::Directory { inode: self.number, seed: self.seed, form }
    }

    /// A block of a directory.
    pub async fn directory_block(&self, number: u64) -> Result<Arc<Buffer>> {
        if let Some(block) = self.directory_block_now(number)? {
            return Ok(block);
        }
        match self.map(number).await?.data() {
            Some(physical) => self.volume.buffer(physical, self.owner_of_block(number)).await,
            None => Err(self.corrupt_directory(number, "there is a hole")),
        }
    }

    /// The same, if nothing has to be read.
    fn directory_block_now(&self, number: u64) -> Result<Option<Arc<Buffer>>> {
        let known = self.places.get(number);
        let physical =
            if known.is_some() { known } else { self.find_now(number)?.and_then(|run| run.data()) };
        let Some(physical) = physical else { return Ok(None) };
        let block = self.volume.buffer_now(physical, self.owner_of_block(number))?;
        if block.is_some() {
            // What is in memory as this directory's is where it can be.
            self.places.note(number, physical);
        }
        Ok(block)
    }

    /// Who owns a block of which no more is known.
    fn owner_of_block(&self, number: u64) -> Owner {
        self.directory_owner(Form::Unknown { number, indexed: self.is_indexed() })
    }

    pub fn corrupt_directory(&self, block: u64, what: &'static str) -> Errno {
        self.volume.corrupt(Place::Directory(self.number, block), what)
    }

    /// The directory above, as this directory says.
    pub async fn parent(&self) -> Result<u32> {
        if self.is_inline() {
            let data = self.inline_data()?;
            let number = U32::read_from_prefix(&data).map(|(number, _)| number.get());
            return number.map_err(|_| self.corrupt("is too short"));
        }
        // Nobody looks names up in this directory meanwhile, but it may be changed.
        let _map = self.map_lock.read().await;
        let block = self.directory_block(0).await?;
        match self.search(&block, 0, b"..")?.found {
            Some(found) => Ok(found.inode),
            None => Err(self.corrupt_directory(0, "there is no entry ..")),
        }
    }

    /// Whether nothing but `.` and `..` is in it.
    pub async fn is_empty(&self) -> Result<bool> {
        let mut turns = Turns::default();
        if self.is_inline() {
            let mut at = 0;
            while let Some(area) = self.area(at).await? {
                turns.next().await;
                if self.has_names(&area.bytes).map_err(|what| self.corrupt_area(area.start, what))? {
                    return Ok(false);
                }
                at = area.start + area.bytes.len() as u64;
            }
            return Ok(true);
        }
        for number in 0..self.directory_blocks() {
            turns.next().await;
            let block = self.directory_block(number).await?;
            let has_names = self.has_names(&block.read());
            if has_names.map_err(|what| self.corrupt_directory(number, what))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether anything but `.` and `..` is in an area.
    fn has_names(&self, area: &[u8]) -> core::result::Result<bool, &'static str> {
        for entry in self.format().entries(area) {
            if !matches!(entry?.name, b"." | b"..") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks for a name, and for room for it, in a block of entries.
    fn search(&self, block: &Buffer, number: u64, name: &[u8]) -> Result<Search> {
        let format = self.format();
        let contents = block.read_indexed(format);
        let search = match contents.index() {
            Some(index) => Ok(index.search(format, &contents, name)),
            None => format.search(&contents, name),
        };
        search.map_err(|what| self.corrupt_directory(number, what))
    }

    /// Looks for a name in an area that begins at `start` in the directory.
    fn find_in(&self, area: &[u8], start: u64, name: &[u8]) -> Result<Option<Found>> {
        let search = self.format().search(area, name);
        search.map(|search| search.found).map_err(|what| self.corrupt_area(start, what))
    }

    fn corrupt_area(&self, start: u64, what: &'static str) -> Errno {
        self.corrupt_directory(start / self.volume.geometry.block_size, what)
    }
}

/// Where the entries of a node of a hash tree begin in its block; `None` for a block of a list.
pub(super) fn hash_entries_at(number: u64, block: &[u8]) -> Option<usize> {
    let (first, _) = DirectoryEntry::read_from_prefix(block).ok()?;
    if number == 0 {
        // Behind the entries `.` and `..`, which are 12 bytes each, and the root's information.
        Some(2 * size_of::<DirectoryTail>() + 8)
    } else {
        let empty = first.inode.get() == 0 && usize::from(first.record_len.get()) == block.len();
        empty.then_some(size_of::<DirectoryEntry>())
    }
}
