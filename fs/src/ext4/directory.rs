//! Directories as lists: entries in blocks, one after the other.

use super::{
    checksum::crc32c,
    complaints::Place,
    features::Incompatible,
    layout::{DirectoryEntry, DirectoryTail, HashCount, HashEntry, HashTail, InodeFlags, TAIL_TYPE},
    node::Node,
    volume::Turns,
};
use crate::{DirEntry, Emit, FileType, Result};
use alloc::boxed::Box;
use core::mem::offset_of;
use syscalls::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// An entry with a file.
pub(super) struct Entry<'a> {
    /// Where it begins in its area.
    pub offset: usize,
    pub inode: u32,
    pub name: &'a [u8],
    pub kind: FileType,
}

/// The entries of an area: a block, or a part of the inode.
pub(super) struct Entries<'a> {
    area: &'a [u8],
    at: usize,
    inodes: u32,
    typed: bool,
}

/// The type of a file in an entry; anything unknown is left to the inode.
fn kind(file_type: u8) -> FileType {
    match file_type {
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

impl<'a> Entries<'a> {
    pub fn of(node: &Node, area: &'a [u8]) -> Self {
        let geometry = &node.volume.geometry;
        Entries { area, at: 0, inodes: geometry.inodes, typed: geometry.has(Incompatible::FILETYPE) }
    }

    /// The next entry, also one without file, which is `None`; ends with the area.
    fn step(&mut self) -> Option<core::result::Result<Option<Entry<'a>>, &'static str>> {
        let offset = self.at;
        let rest = self.area.get(offset..).filter(|rest| !rest.is_empty())?;
        let Ok((head, names)) = DirectoryEntry::read_from_prefix(rest) else {
            return Some(Err("an entry is too short"));
        };
        let (len, name_len) = (usize::from(head.record_len.get()), usize::from(head.name_len));
        let shortest = size_of::<DirectoryEntry>() + name_len;
        if len < size_of::<DirectoryTail>() || len % 4 != 0 || len < shortest || len > rest.len() {
            return Some(Err("length of an entry is wrong"));
        }
        self.at += len;
        let inode = head.inode.get();
        if inode == 0 {
            return Some(Ok(None));
        }
        let name = &names[..name_len];
        if inode > self.inodes {
            return Some(Err("an entry has no such inode"));
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return Some(Err("a name is none"));
        }
        let kind = if self.typed { kind(head.file_type) } else { FileType::Untyped };
        Some(Ok(Some(Entry { offset, inode, name, kind })))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = core::result::Result<Entry<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step()? {
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => (),
                Err(what) => {
                    self.at = usize::MAX;
                    return Some(Err(what));
                }
            }
        }
    }
}

/// A part of a directory in which entries are, and where in the directory it begins.
struct Area {
    bytes: Box<[u8]>,
    start: u64,
}

impl Node {
    /// Whether the contents of a directory are in the inode.
    fn is_inline(&self) -> bool {
        self.flags.contains(InodeFlags::INLINE_DATA)
    }

    /// The area with the byte at `offset` of a directory, or `None` behind its end.
    async fn area(&self, offset: u64) -> Result<Option<Area>> {
        if offset >= self.attributes.size() {
            return Ok(None);
        }
        if self.is_inline() {
            // The number of the parent, entries to the end of the inode's part, entries in the attribute.
            let data = self.inline_data()?;
            let (first, second) = data.split_at(data.len().min(self.block.len()));
            let start = first.len() as u64;
            let area = if offset < start { (first.get(4..).unwrap_or(&[]), 4) } else { (second, start) };
            // The directory may say that it is longer than what is there.
            let is_there = offset < area.1 + area.0.len() as u64;
            return Ok(is_there.then(|| Area { bytes: area.0.into(), start: area.1 }));
        }
        let block_size = self.volume.geometry.block_size;
        let number = offset / block_size;
        let bytes = self.directory_block(number).await?;
        Ok(Some(Area { bytes, start: number * block_size }))
    }

    /// A block of a directory, with its check sum compared.
    pub async fn directory_block(&self, number: u64) -> Result<Box<[u8]>> {
        let block = self.read_block(number).await?;
        if self.volume.geometry.has_checksums() && !self.directory_sum_is_right(number, &block) {
            return Err(self.corrupt_directory(number, "check sum is wrong"));
        }
        Ok(block)
    }

    fn directory_sum_is_right(&self, number: u64, block: &[u8]) -> bool {
        // Before all else: what a node of the hash tree was before may still stand at its end.
        if self.flags.contains(InodeFlags::INDEX)
            && let Some(at) = hash_entries_at(number, block)
        {
            return self.hash_sum_is_right(block, at);
        }
        let Ok((body, tail)) = DirectoryTail::read_from_suffix(block) else { return false };
        let entry = &tail.entry;
        entry.file_type == TAIL_TYPE
            && (entry.inode.get(), entry.record_len.get(), entry.name_len) == (0, 12, 0)
            && crc32c(self.seed, body) == tail.checksum.get()
    }

    /// Compares the check sum of a node of the hash tree whose entries begin at `at`.
    fn hash_sum_is_right(&self, block: &[u8], at: usize) -> bool {
        let Ok((counts, _)) = HashCount::read_from_prefix(&block[at..]) else { return false };
        let used = at + usize::from(counts.count.get()) * size_of::<HashEntry>();
        let end = at + usize::from(counts.limit.get()) * size_of::<HashEntry>();
        let Some(Ok((tail, _))) = block.get(end..).map(HashTail::read_from_prefix) else { return false };
        if used > end {
            return false;
        }
        let sum =
            crc32c(crc32c(self.seed, &block[..used]), &block[end..end + offset_of!(HashTail, checksum)]);
        crc32c(sum, &[0; size_of::<U32>()]) == tail.checksum.get()
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
        let block = self.directory_block(0).await?;
        match self.find_in(&block, 0, b"..")? {
            Some(parent) => Ok(parent),
            None => Err(self.corrupt_directory(0, "there is no entry ..")),
        }
    }

    /// Lists the entries from a place on, which is two more than the offset of an entry.
    pub async fn list(&self, cookie: u64, emit: &mut Emit<'_>) -> Result<()> {
        let from = cookie.saturating_sub(2);
        let mut at = from;
        let mut turns = Turns::default();
        while let Some(area) = self.area(at).await? {
            turns.next().await;
            for entry in Entries::of(self, &area.bytes) {
                let entry = entry.map_err(|what| self.corrupt_area(area.start, what))?;
                let offset = area.start + entry.offset as u64;
                if offset < from || matches!(entry.name, b"." | b"..") {
                    continue;
                }
                let Entry { name, inode, kind, .. } = entry;
                if !emit(DirEntry { name, ino: inode.into(), kind, next: offset + 3 }) {
                    return Ok(());
                }
            }
            at = area.start + area.bytes.len() as u64;
        }
        Ok(())
    }

    /// Looks for a name from the first block to the last.
    pub async fn find_by_list(&self, name: &[u8]) -> Result<u32> {
        let mut at = 0;
        let mut turns = Turns::default();
        while let Some(area) = self.area(at).await? {
            turns.next().await;
            if let Some(inode) = self.find_in(&area.bytes, area.start, name)? {
                return Ok(inode);
            }
            at = area.start + area.bytes.len() as u64;
        }
        Err(Errno::ENOENT)
    }

    /// Looks for a name in a block or area that begins at `start` in the directory.
    pub fn find_in(&self, area: &[u8], start: u64, name: &[u8]) -> Result<Option<u32>> {
        for entry in Entries::of(self, area) {
            let entry = entry.map_err(|what| self.corrupt_area(start, what))?;
            if entry.name == name {
                return Ok(Some(entry.inode));
            }
        }
        Ok(None)
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
