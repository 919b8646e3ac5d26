//! What the superblock says, checked: sizes, counts, features.

use super::{
    checksum::{START, crc32c},
    complaints::{Complaints, Place},
    features::{Compatible, Features, Incompatible, ReadOnlyCompatible},
    hash::HashSeed,
    layout::{RawSuperblock, SUPERBLOCK_MAGIC},
};
use crate::{PAGE_SIZE, Result};
use core::ops::Range;
use syscalls::Errno;
use zerocopy::IntoBytes;

/// Inodes below this one are the file system's own, in the first revision.
const FIRST_INODE: u32 = 11;

/// A file system's measures. All numbers have been checked against each other and the size of the disk.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub features: Features,
    /// Bytes in a block: 1024, 2048 or 4096.
    pub block_size: u64,
    pub blocks: u64,
    pub reserved_blocks: u64,
    pub overhead_blocks: u64,
    pub first_data_block: u64,
    pub blocks_per_group: u64,
    pub groups: u32,
    pub descriptor_size: usize,
    pub first_meta_group: u32,
    /// Blocks behind the descriptors that are kept for more of them.
    pub reserved_descriptor_blocks: u64,
    /// What new inodes have behind their first 128 bytes.
    pub extra_size: u16,
    pub orphan_file: u32,
    pub backup_groups: [u32; 2],
    pub inodes: u32,
    pub inodes_per_group: u32,
    pub inode_size: usize,
    /// The first inode that is not the file system's own.
    pub first_inode: u32,
    pub journal_inode: u32,
    pub last_orphan: u32,
    pub uuid: [u8; 16],
    /// What check sums begin with.
    pub seed: u32,
    pub hash_seed: HashSeed,
    /// How new hash trees hash, by its number on the disk.
    pub hash_version: u8,
    pub hash_unsigned: bool,
}

impl Geometry {
    /// Looks at the superblock of a disk of so many bytes, which has sectors of so many. What stands against a mount is told to
    /// `complaints`.
    pub fn check(raw: &RawSuperblock, disk: u64, sector: u32, complaints: &Complaints) -> Result<Self> {
        if raw.magic.get() != SUPERBLOCK_MAGIC {
            return Err(Errno::EINVAL);
        }
        let features = Features {
            compatible: Compatible::from_bits_retain(raw.feature_compat.get()),
            incompatible: Incompatible::from_bits_retain(raw.feature_incompat.get()),
            read_only: ReadOnlyCompatible::from_bits_retain(raw.feature_ro_compat.get()),
        };
        let mut unreadable = features.unreadable().peekable();
        if unreadable.peek().is_some() {
            for (bit, name) in unreadable {
                complaints.say(format_args!(
                    "not mounted: feature {} ({bit:#x}) is not supported",
                    name.unwrap_or("unknown to this kernel"),
                ));
            }
            return Err(Errno::EINVAL);
        }
        let sums = features.read_only.contains(ReadOnlyCompatible::METADATA_CHECKSUM);
        if sums {
            let bytes = raw.as_bytes();
            if raw.checksum_type != 1 {
                complaints.say(format_args!("not mounted: check sums of type {}", raw.checksum_type));
                return Err(Errno::EINVAL);
            }
            if crc32c(START, &bytes[..bytes.len() - size_of::<u32>()]) != raw.checksum.get() {
                return Err(complaints.corrupt(Place::Superblock, "check sum is wrong"));
            }
        }
        let geometry = Self::measure(raw, features, disk, sector);
        geometry.map_err(|what| {
            complaints.say(format_args!("not mounted: superblock: {what}"));
            Errno::EINVAL
        })
    }

    fn measure(
        raw: &RawSuperblock,
        features: Features,
        disk: u64,
        sector: u32,
    ) -> core::result::Result<Self, &'static str> {
        let ensure = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
        let wide = features.incompatible.contains(Incompatible::SIXTY_FOUR_BIT);
        let long =
            |low: u32, high: u32| if wide { u64::from(high) << 32 | u64::from(low) } else { low.into() };

        ensure(raw.log_block_size.get() <= 2, "blocks are larger than a page")?;
        let block_size = 1024u64 << raw.log_block_size.get();
        debug_assert!(block_size as usize <= PAGE_SIZE);
        ensure(block_size >= u64::from(sector), "blocks are smaller than the disk's sectors")?;
        let blocks = long(raw.blocks_count.get(), raw.blocks_count_high.get());
        ensure(blocks <= disk / block_size, "the file system is larger than the disk")?;
        let first_data_block = u64::from(raw.first_data_block.get());
        ensure(first_data_block == u64::from(block_size == 1024), "first data block is wrong")?;
        ensure(first_data_block < blocks, "there are no blocks")?;

        let (inode_size, first_inode) = match raw.revision.get() {
            0 => (128, FIRST_INODE),
            _ => (u64::from(raw.inode_size.get()), raw.first_inode.get()),
        };
        let fits = inode_size.is_power_of_two() && (128..=block_size).contains(&inode_size);
        ensure(fits, "size of inodes is wrong")?;
        ensure(first_inode >= FIRST_INODE, "first inode is wrong")?;

        let bits = 8 * block_size;
        let blocks_per_group = u64::from(raw.blocks_per_group.get());
        let inodes_per_group = raw.inodes_per_group.get();
        let table_blocks = (u64::from(inodes_per_group) * inode_size).div_ceil(block_size);
        ensure(inodes_per_group > 0 && u64::from(inodes_per_group) <= bits, "inodes per group are wrong")?;
        // With clusters a bit of the bitmap stands for several blocks.
        let most = bits << raw.log_cluster_size.get().saturating_sub(raw.log_block_size.get()).min(16);
        let enough = blocks_per_group > table_blocks && blocks_per_group <= most;
        ensure(enough, "blocks per group are wrong")?;
        let groups = (blocks - first_data_block).div_ceil(blocks_per_group);
        let inodes = groups.checked_mul(inodes_per_group.into()).and_then(|all| u32::try_from(all).ok());
        ensure(inodes == Some(raw.inodes_count.get()), "inodes do not fit the groups")?;

        let descriptor_size: usize = if wide { raw.descriptor_size.get().into() } else { 32 };
        let fits = descriptor_size.is_power_of_two() && (32..=block_size as usize).contains(&descriptor_size);
        ensure(fits && (!wide || descriptor_size >= 64), "size of group descriptors is wrong")?;

        let unsigned = match raw.flags.get() & 3 {
            1 => false,
            2 => true,
            // Not said: as on the machine that made it; all that we know of is signed.
            _ => false,
        };
        Ok(Geometry {
            features,
            block_size,
            blocks,
            reserved_blocks: long(raw.reserved_blocks_count.get(), raw.reserved_blocks_count_high.get())
                .min(blocks),
            overhead_blocks: u64::from(raw.overhead_blocks.get()).min(blocks),
            first_data_block,
            blocks_per_group,
            groups: groups as u32,
            descriptor_size,
            first_meta_group: raw.first_meta_group.get(),
            reserved_descriptor_blocks: raw.reserved_descriptor_blocks.get().into(),
            extra_size: if inode_size == 128 {
                0
            } else {
                // As much as is known, in an inode that has room for it.
                raw.want_extra_size.get().clamp(28, 32).min(inode_size as u16 - 128) & !3
            },
            orphan_file: raw.orphan_file_inode.get(),
            backup_groups: raw.backup_groups.map(zerocopy::little_endian::U32::get),
            inodes: raw.inodes_count.get(),
            inodes_per_group,
            inode_size: inode_size as usize,
            first_inode,
            journal_inode: raw.journal_inode.get(),
            last_orphan: raw.last_orphan.get(),
            uuid: raw.uuid,
            seed: if features.incompatible.contains(Incompatible::CHECKSUM_SEED) {
                raw.checksum_seed.get()
            } else {
                crc32c(START, &raw.uuid)
            },
            hash_seed: HashSeed::new(raw.hash_seed.map(zerocopy::little_endian::U32::get)),
            hash_version: raw.hash_version,
            hash_unsigned: unsigned,
        })
    }

    /// Whether metadata have CRC-32C sums.
    pub fn has_checksums(&self) -> bool {
        self.features.read_only.contains(ReadOnlyCompatible::METADATA_CHECKSUM)
    }

    pub fn has(&self, feature: Incompatible) -> bool {
        self.features.incompatible.contains(feature)
    }

    /// Whether a run of blocks can hold anything but the superblock.
    pub fn contains(&self, first: u64, count: u64) -> bool {
        first > self.first_data_block && first.checked_add(count).is_some_and(|end| end <= self.blocks)
    }

    /// Whether groups may say that they were never used ([`GroupFlags`](super::layout::GroupFlags)).
    pub fn has_group_flags(&self) -> bool {
        self.has_checksums() || self.features.read_only.contains(ReadOnlyCompatible::GROUP_CHECKSUM)
    }

    /// How many inodes are in a block of their table.
    pub fn inodes_per_block(&self) -> u32 {
        (self.block_size / self.inode_size as u64) as u32
    }

    /// The group of a block.
    pub fn group_of(&self, block: u64) -> u32 {
        ((block - self.first_data_block) / self.blocks_per_group) as u32
    }

    /// The blocks of a group; the last one may be shorter.
    pub fn blocks_of_group(&self, group: u32) -> Range<u64> {
        let start = self.first_data_block + u64::from(group) * self.blocks_per_group;
        start..self.blocks.min(start + self.blocks_per_group)
    }

    /// The blocks at the beginning of a group that the superblock and the descriptors have, or their copies.
    pub fn own_blocks(&self, group: u32) -> Range<u64> {
        let start = self.blocks_of_group(group).start;
        let per_block = self.block_size as u32 / self.descriptor_size as u32;
        let copy = u64::from(self.has_superblock(group));
        let count = if self.has(Incompatible::META_BG) && group / per_block >= self.first_meta_group {
            // The first two and the last group of those that a block describes have that block.
            let within = group % per_block;
            copy + u64::from(within < 2 || within == per_block - 1)
        } else if copy == 0 {
            0
        } else {
            let all = self.groups.div_ceil(per_block);
            let table = if self.has(Incompatible::META_BG) { all.min(self.first_meta_group) } else { all };
            copy + u64::from(table) + self.reserved_descriptor_blocks
        };
        start..start + count
    }

    /// Whether a group begins with a copy of the superblock.
    pub fn has_superblock(&self, group: u32) -> bool {
        let is_power = |base: u32| {
            let mut power = 1u64;
            while power < u64::from(group) {
                power *= u64::from(base);
            }
            power == u64::from(group)
        };
        if group == 0 {
            true
        } else if self.features.compatible.contains(Compatible::SPARSE_SUPER2) {
            self.backup_groups.contains(&group)
        } else {
            !self.features.read_only.contains(ReadOnlyCompatible::SPARSE_SUPER)
                || [3, 5, 7].into_iter().any(is_power)
        }
    }

    /// The block with a group's descriptor, and where in the block it is.
    pub fn descriptor_place(&self, group: u32) -> (u64, usize) {
        let per_block = self.block_size as u32 / self.descriptor_size as u32;
        let (number, within) = (group / per_block, group % per_block);
        let block = if self.has(Incompatible::META_BG) && number >= self.first_meta_group {
            // In the first group of those it describes.
            let first = number * per_block;
            self.first_data_block
                + u64::from(first) * self.blocks_per_group
                + u64::from(self.has_superblock(first))
        } else {
            self.first_data_block + 1 + u64::from(number)
        };
        (block, within as usize * self.descriptor_size)
    }
}
