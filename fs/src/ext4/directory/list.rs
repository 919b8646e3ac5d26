//! Listing.

use super::{
    super::{node::Node, volume::Turns},
    Record,
};
use crate::{DirEntry, Emit, FileType, Result};
use alloc::vec::Vec;
use syscalls::Errno;

/// Entries that are listed next, with their places in the listing.
#[derive(Default)]
pub struct Batch {
    names: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    place: u64,
    inode: u32,
    kind: FileType,
    start: u32,
    len: u8,
}

impl Batch {
    /// Leaves nothing in it.
    pub fn clear(&mut self) {
        self.names.clear();
        self.items.clear();
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: &Record<'_>, place: u64) -> Result<()> {
        let name = entry.name;
        let start = u32::try_from(self.names.len()).map_err(|_| Errno::ENOMEM)?;
        let room = self.names.try_reserve(name.len()).and_then(|()| self.items.try_reserve(1));
        room.map_err(|_| Errno::ENOMEM)?;
        self.names.extend_from_slice(name);
        self.items.push(Item { place, inode: entry.inode, kind: entry.kind, start, len: name.len() as u8 });
        Ok(())
    }

    fn name<'a>(names: &'a [u8], item: &Item) -> &'a [u8] {
        names.get(item.start as usize..).map_or(&[], |names| &names[..item.len.into()])
    }

    /// Sorts them by place and gives those of one place the numbers from it on, as many as there are up to `most`; then
    /// drops what is before a place.
    pub fn sort(&mut self, most: u64, from: u64) {
        let names = &self.names[..];
        self.items.sort_unstable_by_key(|item| (item.place, Self::name(names, item)));
        let mut before = (0, 0);
        for item in &mut self.items {
            let number = if item.place == before.0 { before.1 + 1 } else { 0 };
            before = (item.place, number);
            item.place += number.min(most);
        }
        self.items.retain(|item| item.place >= from);
    }

    /// The entries.
    fn entries(&self) -> impl Iterator<Item = DirEntry<'_>> {
        // The places 0 and 1 are those of `.` and `..`.
        self.items.iter().map(|item| DirEntry {
            name: Self::name(&self.names, item),
            ino: item.inode.into(),
            kind: item.kind,
            next: item.place + 3,
        })
    }
}

impl Node {
    /// Lists the entries from a place on: in the order of their hashes where there is, or may be, a hash tree, so that it
    /// does not matter to which block an entry moves meanwhile; else in the order in which they lie there, where they
    /// never move.
    pub async fn list(&self, cookie: u64, emit: &mut Emit<'_>) -> Result<()> {
        let mut from = cookie.saturating_sub(2);
        let mut batch = Batch::default();
        let mut turns = Turns::default();
        loop {
            turns.next().await;
            batch.clear();
            let more = {
                let _map = self.map_lock.read().await;
                match self.listing_hash().await? {
                    Some(version) => self.gather_by_hash(version, from, &mut batch).await?,
                    None => self.gather_by_place(from, &mut batch).await?,
                }
            };
            if !batch.entries().all(&mut *emit) {
                return Ok(());
            }
            match more {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Gathers the entries of the area with a place, which is an offset, from there on; where the next area begins.
    async fn gather_by_place(&self, from: u64, batch: &mut Batch) -> Result<Option<u64>> {
        let Some(area) = self.area(from).await? else { return Ok(None) };
        for entry in self.format().entries(&area.bytes) {
            let entry = entry.map_err(|what| self.corrupt_area(area.start, what))?;
            let offset = area.start + entry.offset as u64;
            if offset >= from && !matches!(entry.name, b"." | b"..") {
                batch.push(&entry, offset)?;
            }
        }
        Ok(Some(area.start + area.bytes.len() as u64))
    }
}
