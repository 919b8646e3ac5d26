//! The records of a block: each an entry, or room, and what follows an entry up to the next one is room, too.

use super::super::{
    features::Incompatible,
    geometry::Geometry,
    layout::{DirectoryEntry, DirectoryTail, TAIL_TYPE},
};
use crate::FileType;
use core::ops::Range;
use zerocopy::FromBytes;

/// A record with a file: an entry.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Where it begins in its area.
    pub offset: usize,
    pub inode: u32,
    pub name: &'a [u8],
    pub kind: FileType,
}

/// What a search of a block, or of another area, tells.
pub struct Search {
    /// The entry of the name.
    pub found: Option<Found>,
    /// Where a record with room for the name is. Not all may have been looked at if the name was found.
    pub room: Option<usize>,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: usize,
    /// Where the record before it is.
    pub before: Option<usize>,
    pub inode: u32,
}

/// What a record has: a name, which means nothing if no file is there, and room.
pub struct Slot<'a> {
    pub offset: usize,
    pub name: &'a [u8],
    /// Bytes that another entry may take.
    pub room: usize,
}

/// Bytes of an entry with a name of so many.
pub fn needed(name_len: usize) -> usize {
    (size_of::<DirectoryEntry>() + name_len).next_multiple_of(4)
}

/// How a file system writes entries.
#[derive(Clone, Copy)]
pub struct Format {
    pub(super) inodes: u32,
    /// Whether types are in them.
    pub(super) typed: bool,
    /// Whether blocks of them have a check sum at their end.
    pub(super) sums: bool,
}

/// The type of a file in an entry; anything unknown is left to the inode.
fn kind(number: u8) -> FileType {
    match number {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::Character,
        4 => FileType::Block,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => FileType::Untyped,
    }
}

fn number(kind: FileType) -> u8 {
    (1..8).find(|number| self::kind(*number) == kind).unwrap_or(0)
}

/// A record without its name.
struct Head {
    /// Where it begins in its area.
    offset: usize,
    len: usize,
    inode: u32,
    name_len: usize,
    kind: u8,
}

impl Head {
    /// Bytes that the entry takes; a name that is wrong, since it is empty, does not make it shorter than a record can be.
    fn used(&self) -> usize {
        if self.inode == 0 { 0 } else { needed(self.name_len.max(1)) }
    }

    /// Whether there is room for so many bytes behind the entry.
    fn has_room(&self, needed: usize) -> bool {
        self.len >= self.used() + needed
    }

    /// Where the name is.
    fn name(&self) -> Range<usize> {
        let start = self.offset + size_of::<DirectoryEntry>();
        start..start + self.name_len
    }
}

/// The records of an area, a block or a part of the inode, as far as they are needed to get from one to the next.
struct Heads<'a> {
    area: &'a [u8],
    at: usize,
    /// The last inode.
    inodes: u32,
}

impl Iterator for Heads<'_> {
    type Item = Result<Head, &'static str>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        let rest = self.area.get(offset..).filter(|rest| !rest.is_empty())?;
        // Nothing follows what is wrong.
        self.at = usize::MAX;
        // A `DirectoryEntry`, in one piece, since this is what most of a search is.
        let Some(bytes) = rest.first_chunk::<{ size_of::<DirectoryEntry>() }>() else {
            return Some(Err("an entry is too short"));
        };
        let word = u64::from_le_bytes(*bytes);
        let (inode, len) = (word as u32, usize::from((word >> 32) as u16));
        let (name_len, kind) = (usize::from((word >> 48) as u8), (word >> 56) as u8);
        let shortest = (size_of::<DirectoryEntry>() + name_len).max(size_of::<DirectoryTail>());
        if len < shortest || len > rest.len() || !len.is_multiple_of(4) {
            return Some(Err("length of an entry is wrong"));
        }
        if inode > self.inodes {
            return Some(Err("an entry has no such inode"));
        }
        self.at = offset + len;
        Some(Ok(Head { offset, len, inode, name_len, kind }))
    }
}

impl Format {
    pub fn of(geometry: &Geometry) -> Self {
        Format {
            inodes: geometry.inodes,
            typed: geometry.has(Incompatible::FILETYPE),
            sums: geometry.has_checksums(),
        }
    }

    /// The records of an area from a place on.
    fn heads(self, area: &[u8], at: usize) -> Heads<'_> {
        Heads { area, at, inodes: self.inodes }
    }

    /// The entries of an area.
    pub fn entries(self, area: &[u8]) -> impl Iterator<Item = Result<Record<'_>, &'static str>> {
        let heads = self.heads(area, 0).filter(|head| head.as_ref().map_or(true, |head| head.inode != 0));
        heads.map(move |head| {
            let head = head?;
            let name = &area[head.name()];
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err("a name is none");
            }
            let kind = if self.typed { kind(head.kind) } else { FileType::Untyped };
            Ok(Record { offset: head.offset, inode: head.inode, name, kind })
        })
    }

    /// Where in a block, or another area, of so many bytes records with room end.
    pub fn end(self, len: usize) -> usize {
        if self.sums { len.saturating_sub(size_of::<DirectoryTail>()) } else { len }
    }

    /// Looks for a name, and for room for it, in a block or another area. Which names there are besides does not matter.
    pub fn search(self, area: &[u8], name: &[u8]) -> Result<Search, &'static str> {
        let (needed, end) = (needed(name.len()), self.end(area.len()));
        let last_of_name = name.last().ok_or("a name is none")?;
        let mut search = Search { found: None, room: None };
        let mut before = None;
        for head in self.heads(area, 0) {
            let head = head?;
            let range = head.name();
            // Many names have the same length, and most of those another last byte.
            let may_be_it = head.name_len == name.len() && area[range.end - 1] == *last_of_name;
            if may_be_it && head.inode != 0 && area[range] == *name {
                search.found = Some(Found { offset: head.offset, before, inode: head.inode });
                break;
            }
            // The tail is no room.
            if search.room.is_none() && head.has_room(needed) && head.offset + head.len <= end {
                search.room = Some(head.offset);
            }
            before = Some(head.offset);
        }
        Ok(search)
    }

    /// The records of a block but for the tail.
    pub fn slots(self, block: &[u8]) -> impl Iterator<Item = Result<Slot<'_>, &'static str>> {
        let heads = self.heads(block, 0).map(move |head| head.map(|head| self.slot(block, &head)));
        heads.filter(move |slot| slot.as_ref().map_or(true, |slot| slot.offset < self.end(block.len())))
    }

    fn slot<'a>(self, block: &'a [u8], head: &Head) -> Slot<'a> {
        // One that reaches into the tail has none.
        let has_room = head.offset + head.len <= self.end(block.len());
        let room = if has_room { head.len - head.used() } else { 0 };
        Slot { offset: head.offset, name: &block[head.name()], room }
    }

    /// The record at a place of a block.
    pub fn slot_at(self, block: &[u8], offset: usize) -> Option<Slot<'_>> {
        self.at(block, offset).map(|head| self.slot(block, &head))
    }

    /// The inode of the entry at a place of a block, if it has this name.
    pub fn inode_of(self, block: &[u8], offset: usize, name: &[u8]) -> Option<u32> {
        let head = self.heads(block, offset).next()?.ok()?;
        (head.inode != 0 && block[head.name()] == *name).then_some(head.inode)
    }

    /// The record at a place of a block.
    fn at(self, block: &[u8], offset: usize) -> Option<Head> {
        self.heads(&block[..self.end(block.len())], offset).next()?.ok()
    }

    /// The first record of a block that is as wanted.
    fn first(self, block: &[u8], is_wanted: impl Fn(&Head) -> bool) -> Option<Head> {
        self.heads(&block[..self.end(block.len())], 0).map_while(Result::ok).find(is_wanted)
    }

    /// Enters a name where [`search`](Self::search) has found room for it, or, as entries may have been removed since, where
    /// there is room now. Tells the places of the record that had the room and of the entry; `None` if there is no room.
    pub fn enter(
        self,
        block: &mut [u8],
        offset: usize,
        name: &[u8],
        inode: u32,
        kind: FileType,
    ) -> Option<(usize, usize)> {
        let has_room = |head: &Head| head.has_room(needed(name.len()));
        let head = self.at(block, offset).filter(has_room).or_else(|| self.first(block, has_room))?;
        let (used, entry) = (head.used(), head.offset + head.used());
        if used > 0 {
            set_len(block, head.offset, used);
        }
        self.put(block, entry, head.len - used, name, inode, kind);
        Some((head.offset, entry))
    }

    /// Removes the entry at a place of a block: the record before it takes over its room. That is at `before`, if none was
    /// entered since. Tells the place of the record that has the room now.
    pub fn remove(self, block: &mut [u8], offset: usize, before: Option<usize>) -> Option<usize> {
        let head = self.at(block, offset)?;
        let (len, used) = (head.len, head.used().min(head.len));
        let ends_here = |head: &Head| head.offset + head.len == offset;
        let before = before.and_then(|before| self.at(block, before)).filter(ends_here);
        match before.or_else(|| self.first(block, ends_here)) {
            Some(before) => {
                set_len(block, before.offset, before.len + len);
                // So that names which are gone do not stay on the disk. What else is room has been so since its names went.
                block[offset..offset + used].fill(0);
                Some(before.offset)
            }
            None => {
                block[offset..offset + used].fill(0);
                self.put(block, offset, len, &[], 0, FileType::Untyped);
                Some(offset)
            }
        }
    }

    /// Changes what the entry at a place leads to.
    pub fn replace(self, block: &mut [u8], offset: usize, inode: u32, kind: FileType) {
        let Some(rest) = block.get_mut(offset..) else { return };
        if let Ok((head, _)) = DirectoryEntry::mut_from_prefix(rest) {
            head.inode.set(inode);
            head.file_type = if self.typed { number(kind) } else { 0 };
        }
    }

    /// Writes a record of so many bytes. What was in its room stays there.
    pub fn put(self, block: &mut [u8], offset: usize, len: usize, name: &[u8], inode: u32, kind: FileType) {
        let (record, name_at) = (&mut block[offset..offset + len], size_of::<DirectoryEntry>());
        record[..needed(name.len()).min(len)].fill(0);
        if let Ok((head, _)) = DirectoryEntry::mut_from_prefix(record) {
            head.inode.set(inode);
            head.record_len.set(len as u16);
            head.name_len = name.len() as u8;
            head.file_type = if self.typed { number(kind) } else { 0 };
        }
        record[name_at..name_at + name.len()].copy_from_slice(name);
    }

    /// Makes a block of these entries, for which there must be room; the last one has what is left.
    pub fn fill<'a>(self, block: &mut [u8], entries: impl Iterator<Item = Record<'a>>) {
        let end = self.end(block.len());
        let (mut last, mut at) = (None, 0);
        for entry in entries {
            let len = needed(entry.name.len());
            self.put(block, at, len, entry.name, entry.inode, entry.kind);
            last = Some(at);
            at += len;
        }
        match last {
            Some(last) => {
                block[at..].fill(0);
                set_len(block, last, end - last);
            }
            None => {
                block[..end].fill(0);
                self.put(block, 0, end, &[], 0, FileType::Untyped);
            }
        }
        if let Ok(tail) = DirectoryTail::mut_from_bytes(&mut block[end..]) {
            tail.entry.inode.set(0);
            tail.entry.record_len.set(size_of::<DirectoryTail>() as u16);
            (tail.entry.name_len, tail.entry.file_type) = (0, TAIL_TYPE);
        }
    }
}

fn set_len(block: &mut [u8], offset: usize, len: usize) {
    if let Ok((head, _)) = DirectoryEntry::mut_from_prefix(&mut block[offset..]) {
        head.record_len.set(len as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { inodes: 100, typed: true, sums: true };

    /// A block whose only entry, of the inode 99, has the rest as room.
    fn block(name: &[u8]) -> [u8; 128] {
        let mut block = [0; 128];
        let entry = Record { offset: 0, inode: 99, name, kind: FileType::Regular };
        FORMAT.fill(&mut block, core::iter::once(entry));
        block
    }

    #[test]
    fn areas_may_be_shorter_than_a_tail() {
        for len in 1..size_of::<DirectoryTail>() {
            assert!(FORMAT.search(&[0; 16][..len], b"name").is_err());
        }
        assert!(
            FORMAT.search(&[], b"name").is_ok_and(|search| search.found.is_none() && search.room.is_none())
        );
    }

    /// Where a search finds room, a name can be entered, whatever else is there.
    #[test]
    fn room_is_room() {
        for spoil in [&[][..], &[(8, b'/')], &[(8, 0)], &[(0, 200)], &[(6, 0)], &[(4, 8)], &[(4, 0), (5, 1)]]
        {
            let mut block = block(b"entry");
            spoil.iter().for_each(|(at, byte)| block[*at] = *byte);
            let Ok(search) = FORMAT.search(&block, b"another") else { continue };
            let Some(room) = search.room else { continue };
            assert!(FORMAT.enter(&mut block, room, b"another", 50, FileType::Fifo).is_some(), "{spoil:?}");
            let found = FORMAT.search(&block, b"another").unwrap().found.unwrap();
            assert_eq!(found.inode, 50);
            FORMAT.remove(&mut block, found.offset, found.before);
            assert!(FORMAT.search(&block, b"another").unwrap().found.is_none(), "{spoil:?}");
        }
    }
}
