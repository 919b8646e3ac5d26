//! A file system's disk: its blocks, group descriptors and inodes as bytes, with their check sums compared.

use super::{
    checksum::{crc16, crc32c},
    complaints::{Complaints, Place},
    features::ReadOnlyCompatible,
    geometry::Geometry,
    inode_cache::InodeCache,
    layout::{GroupDescriptor, GroupDescriptorHigh},
};
use crate::{Result, block::BlockInode};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::mem::offset_of;
use executor::sync::SpinMutex;
use syscalls::Errno;
use zerocopy::FromBytes;

/// What all inodes of a file system share.
pub(super) struct Volume {
    pub disk: Arc<BlockInode>,
    pub geometry: Geometry,
    pub complaints: Arc<Complaints>,
    pub inodes: InodeCache,
    /// Free blocks and inodes, once they have been counted.
    pub free: SpinMutex<Option<(u64, u64)>>,
}

/// Steps of something that may take long without waiting for the disk.
#[derive(Default)]
pub(super) struct Turns(u32);

impl Turns {
    /// One step; others get a turn now and then.
    pub async fn next(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(64) {
            executor::yield_now().await;
        }
    }
}

/// What is used of a group's descriptor.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub inode_table: u64,
    pub free_blocks: u64,
    pub free_inodes: u64,
}

impl Volume {
    pub fn new(disk: Arc<BlockInode>, geometry: Geometry, complaints: Arc<Complaints>) -> Arc<Self> {
        let (inodes, free) = (InodeCache::new(), SpinMutex::new(None));
        Arc::new(Volume { disk, geometry, complaints, inodes, free })
    }

    /// Reads bytes of the disk that are part of `place`, through the disk's page cache: what others write to the disk's node
    /// shows here. The copy does not change under who looks at it.
    pub async fn bytes(&self, offset: u64, mut bytes: &mut [u8], place: Place) -> Result<()> {
        let wanted = bytes.len();
        match self.disk.cache().read(offset, &mut bytes).await {
            Ok(read) if read == wanted => Ok(()),
            Ok(_) => Err(self.complaints.corrupt(place, "lies behind the end of the disk")),
            Err(error) => {
                self.complaints.once(place, "cannot be read");
                Err(error)
            }
        }
    }

    /// Reads a block of metadata.
    pub async fn block(&self, number: u64) -> Result<Box<[u8]>> {
        let mut block = vec![0; self.geometry.block_size as usize].into_boxed_slice();
        self.bytes(number * self.geometry.block_size, &mut block, Place::Block(number)).await?;
        Ok(block)
    }

    /// Reads a group's descriptor.
    pub async fn group(&self, number: u32) -> Result<Group> {
        let geometry = &self.geometry;
        let place = Place::Group(number);
        let (block, within) = geometry.descriptor_place(number);
        let mut bytes = vec![0; geometry.descriptor_size];
        self.bytes(block * geometry.block_size + within as u64, &mut bytes, place).await?;
        let wrong = |what| self.complaints.corrupt(place, what);
        let Ok((low, rest)) = GroupDescriptor::read_from_prefix(&bytes) else {
            return Err(wrong("descriptor is too short"));
        };
        if self.group_sum(number, &bytes).is_some_and(|sum| sum != low.checksum.get()) {
            return Err(wrong("check sum is wrong"));
        }
        // All zeros where descriptors are short.
        let (high, _) = GroupDescriptorHigh::read_from_prefix(rest).unwrap_or_else(|_| {
            let zeros = zerocopy::FromZeros::new_zeroed();
            (zeros, &[])
        });
        let group = Group {
            inode_table: u64::from(high.inode_table.get()) << 32 | u64::from(low.inode_table.get()),
            free_blocks: u64::from(high.free_blocks.get()) << 16 | u64::from(low.free_blocks.get()),
            free_inodes: u64::from(high.free_inodes.get()) << 16 | u64::from(low.free_inodes.get()),
        };
        let table =
            (u64::from(geometry.inodes_per_group) * geometry.inode_size as u64).div_ceil(geometry.block_size);
        if !geometry.contains(group.inode_table, table) {
            return Err(wrong("inode table lies outside of the file system"));
        }
        Ok(group)
    }

    /// What a descriptor's check sum must be, if it has one.
    fn group_sum(&self, number: u32, bytes: &[u8]) -> Option<u16> {
        const AT: usize = offset_of!(GroupDescriptor, checksum);
        let number = number.to_le_bytes();
        let (before, after) = (&bytes[..AT], &bytes[AT + size_of::<u16>()..]);
        if self.geometry.has_checksums() {
            let sum = crc32c(crc32c(self.geometry.seed, &number), before);
            Some(crc32c(crc32c(sum, &[0; 2]), after) as u16)
        } else if self.geometry.features.read_only.contains(ReadOnlyCompatible::GROUP_CHECKSUM) {
            Some(crc16(&[&self.geometry.uuid, &number, before, after]))
        } else {
            None
        }
    }

    /// Reads an inode, which the number must be one of.
    pub async fn inode(&self, number: u32) -> Result<Box<[u8]>> {
        let geometry = &self.geometry;
        if number == 0 || number > geometry.inodes {
            return Err(self.complaints.corrupt(Place::Inode(number), "there is no such inode"));
        }
        let (group, within) =
            ((number - 1) / geometry.inodes_per_group, (number - 1) % geometry.inodes_per_group);
        let table = self.group(group).await?.inode_table;
        let mut bytes = vec![0; geometry.inode_size].into_boxed_slice();
        let offset = table * geometry.block_size + u64::from(within) * geometry.inode_size as u64;
        self.bytes(offset, &mut bytes, Place::Inode(number)).await?;
        Ok(bytes)
    }

    /// Checks that a run of blocks can belong to a file.
    pub fn check_blocks(&self, first: u64, count: u64, place: Place) -> Result<()> {
        if self.geometry.contains(first, count) {
            Ok(())
        } else {
            Err(self.complaints.corrupt(place, "blocks lie outside of the file system"))
        }
    }

    /// Free blocks and inodes, from the descriptors of all groups.
    pub async fn count_free(&self) -> Result<(u64, u64)> {
        if let Some(free) = *self.free.lock() {
            return Ok(free);
        }
        let (mut blocks, mut inodes) = (0u64, 0u64);
        let mut turns = Turns::default();
        for number in 0..self.geometry.groups {
            let group = self.group(number).await?;
            blocks = blocks.saturating_add(group.free_blocks);
            inodes = inodes.saturating_add(group.free_inodes);
            turns.next().await;
        }
        let free = (blocks.min(self.geometry.blocks), inodes.min(self.geometry.inodes.into()));
        *self.free.lock() = Some(free);
        Ok(free)
    }

    /// The error for what cannot be used.
    pub fn corrupt(&self, place: Place, what: &'static str) -> Errno {
        self.complaints.corrupt(place, what)
    }
}
