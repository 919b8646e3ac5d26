//! What a block is part of, and its check sum: compared when it is read, made when a transaction ends.

use super::{
    super::{
        checksum::{START, crc16, crc32c},
        complaints::Place,
        directory::hash_entries_at,
        features::ReadOnlyCompatible,
        geometry::Geometry,
        layout::{
            DirectoryTail, ExtentHeader, ExtentTail, GroupDescriptor, GroupDescriptorHigh, HashCount,
            HashEntry, HashTail, InodeBase, InodeExtra, ORPHANS_MAGIC, OrphansTail, RawSuperblock,
            SUPERBLOCK_OFFSET, TAIL_TYPE, XattrBlockHeader,
        },
    },
    block::{Collected, Parts},
};
use core::mem::offset_of;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// What a block of metadata is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// It has not been read.
    Nobody,
    /// The superblock is in it.
    Superblock,
    /// Descriptors of the groups from `first` on.
    Descriptors { first: u32 },
    /// Which blocks of a group are taken; its sum is in the descriptor.
    BlockBitmap { group: u32 },
    /// Which inodes of a group are taken; likewise.
    InodeBitmap { group: u32 },
    /// The inodes from `first` on.
    Inodes { first: u32 },
    /// A node of a file's extents.
    Extents { inode: u32, seed: u32 },
    /// Numbers of a file's blocks.
    Numbers { inode: u32 },
    /// A block of a directory.
    Directory { inode: u32, seed: u32, form: Form },
    /// The target of a symbolic link.
    Link { inode: u32 },
    /// Extended attributes, perhaps of several inodes.
    Attributes,
    /// Files that are to be deleted.
    Orphans { seed: u32 },
}

/// What a block of a directory has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// To be found out, for block 0 or another, in a directory with or without hash tree.
    Unknown { number: u64, indexed: bool },
    /// Entries.
    Leaf,
    /// A node of the hash tree, with its entries from this byte on.
    Node { at: usize },
}

impl Owner {
    /// Whether both are the same thing. The form of a directory's block is its own matter, and changes.
    pub fn agrees(&self, other: &Owner) -> bool {
        match (*self, *other) {
            (Owner::Directory { inode, .. }, Owner::Directory { inode: other, .. }) => inode == other,
            (one, other) => one == other,
        }
    }

    /// Which parts of a block that has just been read have wrong check sums. Of inodes that are not in use that may be so.
    pub fn wrong_parts(self, geometry: &Geometry, bytes: &[u8]) -> Parts {
        let Owner::Inodes { first } = self else { return 0 };
        if !geometry.has_checksums() {
            return 0;
        }
        let inodes = bytes.chunks_exact(geometry.inode_size).enumerate();
        inodes.fold(0, |wrong, (part, bytes)| {
            let right = inode_is_right(geometry, first + part as u32, bytes);
            wrong | Parts::from(!right) << part
        })
    }

    /// Looks at the bytes of a block that has just been read: who owns it exactly, or what is wrong where.
    pub fn check(
        self,
        geometry: &Geometry,
        number: u64,
        bytes: &[u8],
    ) -> core::result::Result<Owner, (Place, &'static str)> {
        let mut owner = self;
        if let Owner::Directory { inode, seed, form: Form::Unknown { number, indexed } } = self {
            let node = if indexed { hash_entries_at(number, bytes) } else { None };
            let form = node.map_or(Form::Leaf, |at| Form::Node { at });
            owner = Owner::Directory { inode, seed, form };
            let right = !geometry.has_checksums() || directory_is_right(seed, form, bytes);
            return if right {
                Ok(owner)
            } else {
                Err((Place::Directory(inode, number), "check sum is wrong"))
            };
        }
        let (right, place, what) = match owner {
            Owner::Extents { inode, seed } => {
                let right = !geometry.has_checksums()
                    || extents_at(bytes)
                        .is_none_or(|at| sum_at(bytes, at) == Some(crc32c(seed, &bytes[..at])));
                (right, Place::Inode(inode), "check sum of extents is wrong")
            }
            Owner::Attributes => {
                let sum = || attributes_sum(geometry, number, bytes);
                let at = offset_of!(XattrBlockHeader, checksum);
                let right = !geometry.has_checksums() || sum_at(bytes, at) == Some(sum());
                (right, Place::Block(number), "check sum of attributes is wrong")
            }
            Owner::Orphans { seed } => {
                let right = orphans_sum(seed, number, bytes).is_some_and(|(at, sum)| {
                    let magic = at.checked_sub(4).and_then(|at| sum_at(bytes, at));
                    magic == Some(ORPHANS_MAGIC)
                        && (!geometry.has_checksums() || sum_at(bytes, at) == Some(sum))
                });
                (right, Place::Block(number), "is no block of orphans")
            }
            _ => (true, Place::Block(number), ""),
        };
        if right { Ok(owner) } else { Err((place, what)) }
    }
}

/// The number at a place.
fn sum_at(bytes: &[u8], at: usize) -> Option<u32> {
    U32::read_from_prefix(bytes.get(at..)?).ok().map(|(sum, _)| sum.get())
}

/// Where the check sum of a node of extents is; `None` if it says that it is longer than it can be.
fn extents_at(bytes: &[u8]) -> Option<usize> {
    let (header, _) = ExtentHeader::read_from_prefix(bytes).ok()?;
    let at = size_of::<ExtentHeader>() + usize::from(header.max.get()) * 12;
    (at + size_of::<ExtentTail>() <= bytes.len()).then_some(at)
}

fn directory_is_right(seed: u32, form: Form, bytes: &[u8]) -> bool {
    match form {
        Form::Node { at } => {
            node_sum(seed, at, bytes).is_some_and(|(at, sum)| sum_at(bytes, at) == Some(sum))
        }
        _ => {
            let Ok((body, tail)) = DirectoryTail::read_from_suffix(bytes) else { return false };
            let entry = &tail.entry;
            entry.file_type == TAIL_TYPE
                && (entry.inode.get(), entry.record_len.get(), entry.name_len) == (0, 12, 0)
                && crc32c(seed, body) == tail.checksum.get()
        }
    }
}

/// Where the check sum of a node of a hash tree is, whose entries begin at `at`, and what it must be.
fn node_sum(seed: u32, at: usize, bytes: &[u8]) -> Option<(usize, u32)> {
    let (counts, _) = HashCount::read_from_prefix(bytes.get(at..)?).ok()?;
    let used = at + usize::from(counts.count.get()) * size_of::<HashEntry>();
    let end = at + usize::from(counts.limit.get()) * size_of::<HashEntry>();
    let tail = bytes.get(end..end + size_of::<HashTail>()).filter(|_| used <= end)?;
    let sum = crc32c(crc32c(seed, &bytes[..used]), &tail[..offset_of!(HashTail, checksum)]);
    Some((end + offset_of!(HashTail, checksum), crc32c(sum, &[0; size_of::<U32>()])))
}

fn attributes_sum(geometry: &Geometry, number: u64, bytes: &[u8]) -> u32 {
    const AT: usize = offset_of!(XattrBlockHeader, checksum);
    let sum = crc32c(geometry.seed, &number.to_le_bytes());
    crc32c(crc32c(crc32c(sum, &bytes[..AT]), &[0; 4]), &bytes[AT + 4..])
}

/// Where the check sum of a block of orphans is, and what it must be.
fn orphans_sum(seed: u32, number: u64, bytes: &[u8]) -> Option<(usize, u32)> {
    let end = bytes.len().checked_sub(size_of::<OrphansTail>())?;
    let list = &bytes[..end / size_of::<U32>() * size_of::<U32>()];
    let sum = crc32c(crc32c(seed, &number.to_le_bytes()), list);
    Some((end + offset_of!(OrphansTail, checksum), sum))
}

/// What a group descriptor's check sum must be, if it has one.
pub fn descriptor_sum(geometry: &Geometry, group: u32, bytes: &[u8]) -> Option<u16> {
    const AT: usize = offset_of!(GroupDescriptor, checksum);
    let number = group.to_le_bytes();
    let (before, after) = (&bytes[..AT], &bytes[AT + size_of::<u16>()..]);
    if geometry.has_checksums() {
        let sum = crc32c(crc32c(geometry.seed, &number), before);
        Some(crc32c(crc32c(sum, &[0; 2]), after) as u16)
    } else if geometry.features.read_only.contains(ReadOnlyCompatible::GROUP_CHECKSUM) {
        Some(crc16(&[&geometry.uuid, &number, before, after]))
    } else {
        None
    }
}

fn inode_is_right(geometry: &Geometry, number: u32, bytes: &[u8]) -> bool {
    const HIGH: usize = size_of::<InodeBase>() + offset_of!(InodeExtra, checksum_high);
    let half = |at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let low = half(offset_of!(InodeBase, checksum));
    match inode_sum(geometry, number, bytes) {
        (sum, true) => sum == half(HIGH) << 16 | low,
        (sum, false) => sum & 0xffff == low,
    }
}

/// An inode's check sum; the upper half is kept only if its extra fields reach to it, which is the second.
fn inode_sum(geometry: &Geometry, number: u32, bytes: &[u8]) -> (u32, bool) {
    const LOW: usize = offset_of!(InodeBase, checksum);
    const GENERATION: usize = offset_of!(InodeBase, generation);
    const BASE: usize = size_of::<InodeBase>();
    const HIGH: usize = BASE + offset_of!(InodeExtra, checksum_high);
    let seed = crc32c(geometry.seed, &number.to_le_bytes());
    let seed = crc32c(seed, &bytes[GENERATION..GENERATION + 4]);
    let sum = crc32c(crc32c(seed, &bytes[..LOW]), &[0; 2]);
    let extra = bytes.get(BASE..BASE + 2).map_or(0, |len| u16::from_le_bytes([len[0], len[1]]));
    if usize::from(extra) >= offset_of!(InodeExtra, checksum_high) + 2 {
        (crc32c(crc32c(crc32c(sum, &bytes[LOW + 2..HIGH]), &[0; 2]), &bytes[HIGH + 2..]), true)
    } else {
        (crc32c(sum, &bytes[LOW + 2..]), false)
    }
}

/// The check sum of a bitmap of so many bits.
pub fn bitmap_sum(geometry: &Geometry, bytes: &[u8], bits: u64) -> u32 {
    crc32c(geometry.seed, &bytes[..(bits as usize / 8).min(bytes.len())])
}

fn each_part(mut parts: Parts) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let part = parts.trailing_zeros();
        // Without the lowest that there is.
        parts &= parts.checked_sub(1)?;
        Some(part as usize)
    })
}

/// Makes the check sum of a bitmap that a transaction changed. It is in the descriptor of the group, which is among the blocks,
/// which are sorted.
pub fn seal_bitmap(geometry: &Geometry, bitmap: &Collected, blocks: &[Collected]) {
    const LOW: [usize; 2] = [
        offset_of!(GroupDescriptor, block_bitmap_checksum),
        offset_of!(GroupDescriptor, inode_bitmap_checksum),
    ];
    const HIGH: [usize; 2] = [
        size_of::<GroupDescriptor>() + offset_of!(GroupDescriptorHigh, block_bitmap_checksum),
        size_of::<GroupDescriptor>() + offset_of!(GroupDescriptorHigh, inode_bitmap_checksum),
    ];
    let (group, which, bits) = match bitmap.owner {
        Owner::BlockBitmap { group } => (group, 0, geometry.blocks_per_group),
        Owner::InodeBitmap { group } => (group, 1, geometry.inodes_per_group.into()),
        _ => return,
    };
    if !geometry.has_checksums() {
        return;
    }
    let sum = bitmap_sum(geometry, bitmap.bytes(), bits);
    let (block, at) = geometry.descriptor_place(group);
    if let Ok(descriptors) = blocks.binary_search_by_key(&block, |other| other.buffer.number()) {
        let descriptors = &blocks[descriptors];
        descriptors.patch(at + LOW[which], &(sum as u16).to_le_bytes());
        if geometry.descriptor_size >= 64 {
            descriptors.patch(at + HIGH[which], &((sum >> 16) as u16).to_le_bytes());
        }
    }
}

/// Makes the check sums in a block that a transaction changed, after those of all bitmaps.
pub fn seal_block(geometry: &Geometry, block: &Collected) {
    let bytes = block.bytes();
    let put = |at: usize, sum: u32| block.patch(at, &sum.to_le_bytes());
    match block.owner {
        Owner::Descriptors { first } => {
            for part in each_part(block.parts) {
                let at = part * geometry.descriptor_size;
                let bytes = &bytes[at..at + geometry.descriptor_size];
                if let Some(sum) = descriptor_sum(geometry, first + part as u32, bytes) {
                    block.patch(at + offset_of!(GroupDescriptor, checksum), &sum.to_le_bytes());
                }
            }
        }
        _ if !geometry.has_checksums() => (),
        Owner::Superblock => {
            let at = SUPERBLOCK_OFFSET as usize % bytes.len();
            let end = at + offset_of!(RawSuperblock, checksum);
            put(end, crc32c(START, &bytes[at..end]));
        }
        Owner::Inodes { first } => {
            for part in each_part(block.parts) {
                let at = part * geometry.inode_size;
                let bytes = &bytes[at..at + geometry.inode_size];
                let (sum, has_high) = inode_sum(geometry, first + part as u32, bytes);
                block.patch(at + offset_of!(InodeBase, checksum), &(sum as u16).to_le_bytes());
                if has_high {
                    let high = at + size_of::<InodeBase>() + offset_of!(InodeExtra, checksum_high);
                    block.patch(high, &((sum >> 16) as u16).to_le_bytes());
                }
            }
        }
        Owner::Extents { seed, .. } => {
            if let Some(at) = extents_at(bytes) {
                put(at, crc32c(seed, &bytes[..at]));
            }
        }
        Owner::Directory { seed, form: Form::Node { at }, .. } => {
            if let Some((at, sum)) = node_sum(seed, at, bytes) {
                put(at, sum);
            }
        }
        Owner::Directory { seed, .. } => {
            let at = bytes.len() - size_of::<U32>();
            put(at, crc32c(seed, &bytes[..bytes.len() - size_of::<DirectoryTail>()]));
        }
        Owner::Attributes => {
            let sum = attributes_sum(geometry, block.buffer.number(), bytes);
            put(offset_of!(XattrBlockHeader, checksum), sum);
        }
        Owner::Orphans { seed } => {
            if let Some((at, sum)) = orphans_sum(seed, block.buffer.number(), bytes) {
                put(at, sum);
            }
        }
        _ => (),
    }
}
