//! The bytes of a node.

use super::super::{
    geometry::Geometry,
    layout::{DirectoryEntry, DirectoryTail, HashCount, HashEntry, HashRootInfo, HashTail},
};
use alloc::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

/// Where the root's information is, behind the entries `.` and `..`.
pub const INFO_AT: usize = 2 * size_of::<DirectoryTail>();
/// Where the entries of the root begin.
pub const ROOT_AT: usize = INFO_AT + size_of::<HashRootInfo>();
/// Where those of other nodes begin.
pub const NODE_AT: usize = size_of::<DirectoryEntry>();

/// How many entries a node can have that begin at `at`.
pub fn limit(geometry: &Geometry, at: usize) -> usize {
    let tail = if geometry.has_checksums() { size_of::<HashTail>() } else { 0 };
    (geometry.block_size as usize - at - tail) / size_of::<HashEntry>()
}

/// The counts of a node, if they are right: how many entries it has and can have.
pub fn counts(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (counts, _) = HashCount::read_from_prefix(bytes.get(at..)?).ok()?;
    let (count, limit) = (usize::from(counts.count.get()), usize::from(counts.limit.get()));
    let room = (bytes.len() - at) / size_of::<HashEntry>();
    (count > 0 && count <= limit && limit <= room).then_some((count, limit))
}

/// So many entries of a node. The first one's hash is none.
pub fn entries(bytes: &[u8], at: usize, count: usize) -> &[HashEntry] {
    let entries = bytes.get(at..).map(|bytes| <[HashEntry]>::ref_from_prefix_with_elems(bytes, count));
    entries.and_then(Result::ok).map_or(&[], |(entries, _)| entries)
}

/// Writes all entries of a node, for which there must be room, and its counts.
pub fn set_entries(bytes: &mut [u8], at: usize, limit: usize, entries: &[HashEntry]) {
    let all = &mut bytes[at..at + limit * size_of::<HashEntry>()];
    let used = size_of_val(entries);
    all[..used].copy_from_slice(entries.as_bytes());
    all[used..].fill(0);
    if let Ok((counts, _)) = HashCount::mut_from_prefix(all) {
        counts.limit.set(limit as u16);
        counts.count.set(entries.len() as u16);
    }
}

/// Begins a node other than the root: an entry without file for all of the block.
pub fn begin(bytes: &mut [u8]) {
    let len = bytes.len() as u16;
    if let Ok((head, _)) = DirectoryEntry::mut_from_prefix(bytes) {
        head.record_len.set(len);
    }
}

/// The root's information.
pub fn info(bytes: &[u8]) -> Option<HashRootInfo> {
    HashRootInfo::read_from_prefix(bytes.get(INFO_AT..)?).ok().map(|(info, _)| info)
}

/// Writes the root's information.
pub fn set_info(bytes: &mut [u8], info: HashRootInfo) {
    bytes[INFO_AT..ROOT_AT].copy_from_slice(info.as_bytes());
}

/// The entries with one more behind the one at `place`, or `None` without memory.
pub fn inserted(entries: &[HashEntry], place: usize, hash: u32, block: u64) -> Option<Vec<HashEntry>> {
    let mut all = Vec::new();
    all.try_reserve_exact(entries.len() + 1).ok()?;
    let (before, behind) = entries.split_at(entries.len().min(place + 1));
    all.extend_from_slice(before);
    all.push(HashEntry { hash: hash.into(), block: (block as u32).into() });
    all.extend_from_slice(behind);
    Some(all)
}
