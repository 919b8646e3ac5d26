//! The records of a block: each an entry, or room, and what follows an entry up to the next one is room, too.

use super::super::{
    features::Incompatible,
    geometry::Geometry,
    layout::{DirectoryEntry, DirectoryTail, TAIL_TYPE},
};
use crate::FileType;
use core::ops::Range;
use zerocopy::FromBytes;

/// From one record to the next.
pub struct Record<'a> {
    /// Where it begins in its area.
    pub offset: usize,
    pub len: usize,
    /// Zero for one without a file, which then has no name.
    pub inode: u32,
    pub name: &'a [u8],
    pub kind: FileType,
}

impl Record<'_> {
    /// Bytes that the entry takes.
    fn used(&self) -> usize {
        if self.inode == 0 { 0 } else { needed(self.name.len()) }
    }
}

/// What a search of a block, or of another area, tells.
pub struct Search {
    /// The entry of the name.
    pub found: Option<Found>,
    /// Where the first record with room for the name is. Not all may have been looked at if the name was found.
    pub room: Option<usize>,
}

/// An entry.
pub struct Found {
    pub offset: usize,
    /// Where the record before it is.
    pub before: Option<usize>,
    pub inode: u32,
}

/// Bytes of an entry with a name of so many.
pub fn needed(name_len: usize) -> usize {
    (size_of::<DirectoryEntry>() + name_len).next_multiple_of(4)
}

/// How a file system writes entries.
#[derive(Clone, Copy)]
pub struct Format {
    inodes: u32,
    /// Whether types are in them.
    typed: bool,
    /// Whether blocks of them have a check sum at their end.
    sums: bool,
}

/// The records of an area: a block, or a part of the inode.
pub struct Records<'a> {
    format: Format,
    area: &'a [u8],
    at: usize,
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

/// What is in a record before its name ([`DirectoryEntry`]).
struct Head {
    inode: u32,
    len: usize,
    name_len: usize,
    kind: u8,
}

impl Head {
    /// Of the record at the beginning of what is left of an area.
    #[inline(always)]
    fn of(rest: &[u8]) -> Result<Self, &'static str> {
        // In one piece, since this is what most of a search is.
        let Some(bytes) = rest.first_chunk::<{ size_of::<DirectoryEntry>() }>() else {
            return Err("an entry is too short");
        };
        let word = u64::from_le_bytes(*bytes);
        let (inode, len) = (word as u32, usize::from((word >> 32) as u16));
        let (name_len, kind) = (usize::from((word >> 48) as u8), (word >> 56) as u8);
        let shortest = (size_of::<DirectoryEntry>() + name_len).max(size_of::<DirectoryTail>());
        if len < shortest || len > rest.len() || !len.is_multiple_of(4) {
            return Err("length of an entry is wrong");
        }
        Ok(Head { inode, len, name_len, kind })
    }
}

/// Where the name in a record is.
fn name_range(offset: usize, name_len: usize) -> Range<usize> {
    let start = offset + size_of::<DirectoryEntry>();
    start..start + name_len
}

impl<'a> Records<'a> {
    fn step(&mut self) -> Option<Result<Record<'a>, &'static str>> {
        let offset = self.at;
        let rest = self.area.get(offset..).filter(|rest| !rest.is_empty())?;
        let Head { inode, len, name_len, kind } = match Head::of(rest) {
            Ok(head) => head,
            Err(what) => return Some(Err(what)),
        };
        self.at += len;
        let name = &rest[name_range(0, name_len)];
        if inode == 0 {
            return Some(Ok(Record { offset, len, inode, name: &[], kind: FileType::Untyped }));
        }
        if inode > self.format.inodes {
            return Some(Err("an entry has no such inode"));
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return Some(Err("a name is none"));
        }
        let kind = if self.format.typed { self::kind(kind) } else { FileType::Untyped };
        Some(Ok(Record { offset, len, inode, name, kind }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step()?;
        if step.is_err() {
            self.at = usize::MAX;
        }
        Some(step)
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

    /// All records of an area.
    pub fn records(self, area: &[u8]) -> Records<'_> {
        Records { format: self, area, at: 0 }
    }

    /// Those that are entries.
    pub fn entries(self, area: &[u8]) -> impl Iterator<Item = Result<Record<'_>, &'static str>> {
        self.records(area)
            .filter(|record| record.as_ref().is_ok_and(|record| record.inode != 0) || record.is_err())
    }

    /// Where in a block of so many bytes records end.
    pub fn end(self, block: usize) -> usize {
        if self.sums { block - size_of::<DirectoryTail>() } else { block }
    }

    /// Looks for a name, and for room for it, in a block or another area. Records that are neither are only looked at as far as
    /// it takes to see that and to get to the next.
    pub fn search(self, area: &[u8], name: &[u8]) -> Result<Search, &'static str> {
        let (needed, end) = (needed(name.len()), self.end(area.len()));
        let last_of_name = name.last().ok_or("a name is none")?;
        let mut search = Search { found: None, room: None };
        let (mut at, mut before) = (0, None);
        while at < area.len() {
            let Head { inode, len, name_len, .. } = Head::of(&area[at..])?;
            let range = name_range(at, name_len);
            // Many names have the same length, and most of those another last byte.
            let may_be_it = name_len == name.len() && area[range.end - 1] == *last_of_name;
            if may_be_it && inode != 0 && area[range] == *name {
                if inode > self.inodes {
                    return Err("an entry has no such inode");
                }
                search.found = Some(Found { offset: at, before, inode });
                break;
            }
            if search.room.is_none() {
                let used = if inode == 0 { 0 } else { self::needed(name_len) };
                // The tail is no room.
                search.room = (len >= used + needed && at + len <= end).then_some(at);
            }
            before = Some(at);
            at += len;
        }
        Ok(search)
    }

    /// The record at a place of a block.
    fn record_at(self, block: &[u8], offset: usize) -> Option<Record<'_>> {
        let mut records = Records { format: self, area: &block[..self.end(block.len())], at: offset };
        records.next()?.ok()
    }

    /// Enters a name where [`search`](Self::search) has found room for it, or, as entries may have been removed since, where
    /// there is room now; false if there is none.
    pub fn enter(self, block: &mut [u8], offset: usize, name: &[u8], inode: u32, kind: FileType) -> bool {
        let has_room = |record: &Record<'_>| record.len >= record.used() + needed(name.len());
        let found = self.record_at(block, offset).filter(has_room).or_else(|| {
            let end = self.end(block.len());
            self.records(&block[..end]).map_while(Result::ok).find(has_room)
        });
        let Some((offset, used, len)) = found.map(|record| (record.offset, record.used(), record.len)) else {
            return false;
        };
        if used > 0 {
            set_len(block, offset, used);
        }
        self.put(block, offset + used, len - used, name, inode, kind);
        true
    }

    /// Removes the entry at a place of a block: the record before it takes over its room. That is at `before`, if none was
    /// entered since.
    pub fn remove(self, block: &mut [u8], offset: usize, before: Option<usize>) {
        let Some(len) = self.record_at(block, offset).map(|record| record.len) else { return };
        let ends_here = |record: &Record<'_>| record.offset + record.len == offset;
        let before =
            before.and_then(|before| self.record_at(block, before)).filter(ends_here).or_else(|| {
                let end = self.end(block.len());
                self.records(&block[..end]).map_while(Result::ok).find(ends_here)
            });
        match before.map(|record| (record.offset, record.len)) {
            Some((before, room)) => {
                set_len(block, before, room + len);
                // So that names which are gone do not stay on the disk.
                block[offset..offset + len].fill(0);
            }
            None => self.put(block, offset, len, &[], 0, FileType::Untyped),
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

    /// Writes a record of so many bytes.
    pub fn put(self, block: &mut [u8], offset: usize, len: usize, name: &[u8], inode: u32, kind: FileType) {
        let (record, name_at) = (&mut block[offset..offset + len], size_of::<DirectoryEntry>());
        record.fill(0);
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
            None => self.put(block, 0, end, &[], 0, FileType::Untyped),
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
