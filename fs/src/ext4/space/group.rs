//! A group: a part of the disk with its own bitmaps, inodes and counts.

use super::bits::Bits;
use crate::{
    Result,
    ext4::{
        buffer::{Buffer, Change, Contents, Owner, bitmap_sum, descriptor_sum},
        complaints::Place,
        features::Compatible,
        geometry::Geometry,
        layout::{GroupDescriptor, GroupDescriptorHigh, GroupFlags},
        transaction::Apply,
        volume::Volume,
    },
};
use alloc::sync::Arc;
use core::ops::Range;
use executor::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use executor::sync::SpinMutex;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// A group of blocks and inodes.
pub struct Group {
    pub number: u32,
    /// The block with its descriptor, and where in there.
    descriptors: Arc<Buffer>,
    at: usize,
    pub inode_table: u64,
    maps: SpinMutex<Option<Maps>>,
    has_maps: AtomicBool,
    /// What the bitmaps say cannot be.
    is_unusable: AtomicBool,
}

/// What is taken in a group.
pub struct Maps {
    /// On the disk, as the running transaction has it.
    pub block_bitmap: Arc<Buffer>,
    pub inode_bitmap: Arc<Buffer>,
    /// What nobody may be given: what is taken on the disk, what somebody has reserved, and what was freed by a transaction that
    /// is not committed.
    pub blocks: Bits,
    pub inodes: Bits,
}

/// What a descriptor says.
#[derive(Clone)]
pub struct Descriptor {
    low: GroupDescriptor,
    high: GroupDescriptorHigh,
}

impl Descriptor {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (low, rest) = GroupDescriptor::read_from_prefix(bytes).ok()?;
        // All zeros where descriptors are short.
        let high = GroupDescriptorHigh::read_from_prefix(rest);
        let high = high.map_or_else(|_| GroupDescriptorHigh::new_zeroed(), |(high, _)| high);
        Some(Descriptor { low, high })
    }

    fn write(&self, bytes: &mut [u8]) {
        let (low, high) = bytes.split_at_mut(size_of::<GroupDescriptor>());
        low.copy_from_slice(self.low.as_bytes());
        if let Some(high) = high.get_mut(..size_of::<GroupDescriptorHigh>()) {
            high.copy_from_slice(self.high.as_bytes());
        }
    }

    pub fn block_bitmap(&self) -> u64 {
        u64::from(self.high.block_bitmap.get()) << 32 | u64::from(self.low.block_bitmap.get())
    }

    pub fn inode_bitmap(&self) -> u64 {
        u64::from(self.high.inode_bitmap.get()) << 32 | u64::from(self.low.inode_bitmap.get())
    }

    pub fn inode_table(&self) -> u64 {
        u64::from(self.high.inode_table.get()) << 32 | u64::from(self.low.inode_table.get())
    }

    pub fn free_blocks(&self) -> u32 {
        u32::from(self.high.free_blocks.get()) << 16 | u32::from(self.low.free_blocks.get())
    }

    pub fn free_inodes(&self) -> u32 {
        u32::from(self.high.free_inodes.get()) << 16 | u32::from(self.low.free_inodes.get())
    }

    pub fn directories(&self) -> u32 {
        u32::from(self.high.directories.get()) << 16 | u32::from(self.low.directories.get())
    }

    fn unused_inodes(&self) -> u32 {
        u32::from(self.high.unused_inodes.get()) << 16 | u32::from(self.low.unused_inodes.get())
    }

    fn block_sum(&self) -> u32 {
        u32::from(self.high.block_bitmap_checksum.get()) << 16
            | u32::from(self.low.block_bitmap_checksum.get())
    }

    fn inode_sum(&self) -> u32 {
        u32::from(self.high.inode_bitmap_checksum.get()) << 16
            | u32::from(self.low.inode_bitmap_checksum.get())
    }

    pub fn flags(&self) -> GroupFlags {
        GroupFlags::from_bits_retain(self.low.flags.get())
    }

    pub fn remove_flag(&mut self, flag: GroupFlags) {
        let flags = self.flags() - flag;
        self.low.flags.set(flags.bits());
    }

    pub fn add_free_blocks(&mut self, change: i64) {
        let count = (i64::from(self.free_blocks()) + change).max(0) as u32;
        self.low.free_blocks.set(count as u16);
        self.high.free_blocks.set((count >> 16) as u16);
    }

    pub fn add_free_inodes(&mut self, change: i64) {
        let count = (i64::from(self.free_inodes()) + change).max(0) as u32;
        self.low.free_inodes.set(count as u16);
        self.high.free_inodes.set((count >> 16) as u16);
    }

    pub fn add_directories(&mut self, change: i64) {
        let count = (i64::from(self.directories()) + change).max(0) as u32;
        self.low.directories.set(count as u16);
        self.high.directories.set((count >> 16) as u16);
    }

    /// Notes that the inode at this place in the group is in use: those behind it never were, at most.
    pub fn use_inode(&mut self, at: u32, per_group: u32) {
        let unused = self.unused_inodes().min(per_group - at - 1);
        self.low.unused_inodes.set(unused as u16);
        self.high.unused_inodes.set((unused >> 16) as u16);
    }
}

impl Group {
    /// Reads and checks a group's descriptor.
    pub async fn open(volume: &Volume, number: u32) -> Result<Self> {
        let geometry = &volume.geometry;
        let (block, at) = geometry.descriptor_place(number);
        let first = number - (at / geometry.descriptor_size) as u32;
        let descriptors = volume.buffer(block, Owner::Descriptors { first }).await?;
        let group = Group {
            number,
            descriptors,
            at,
            inode_table: 0,
            maps: SpinMutex::new(None),
            has_maps: AtomicBool::new(false),
            is_unusable: AtomicBool::new(false),
        };
        let wrong = |what| Err(volume.corrupt(Place::Group(number), what));
        let descriptor = {
            let bytes = group.descriptors.read();
            let bytes = &bytes[at..at + geometry.descriptor_size];
            let Some(descriptor) = Descriptor::read(bytes) else { return wrong("descriptor is too short") };
            if descriptor_sum(geometry, number, bytes).is_some_and(|sum| sum != descriptor.low.checksum.get())
            {
                return wrong("check sum is wrong");
            }
            descriptor
        };
        let per_group = geometry.inodes_per_group;
        let table = (u64::from(per_group) * geometry.inode_size as u64).div_ceil(geometry.block_size);
        if !geometry.contains(descriptor.inode_table(), table) {
            return wrong("inode table lies outside of the file system");
        }
        if !geometry.contains(descriptor.block_bitmap(), 1)
            || !geometry.contains(descriptor.inode_bitmap(), 1)
        {
            return wrong("bitmaps lie outside of the file system");
        }
        let blocks = geometry.blocks_of_group(number);
        if u64::from(descriptor.free_blocks()) > blocks.end - blocks.start
            || descriptor.free_inodes() > per_group
            || descriptor.unused_inodes() > per_group
        {
            return wrong("counts are wrong");
        }
        Ok(Group { inode_table: descriptor.inode_table(), ..group })
    }

    /// What the descriptor says now.
    pub fn descriptor(&self, geometry: &Geometry) -> Descriptor {
        let bytes = self.descriptors.read();
        let bytes: &Contents<'_> = &bytes;
        Descriptor::read(&bytes[self.at..self.at + geometry.descriptor_size])
            .expect("a descriptor that was read before")
    }

    /// Changes the descriptor.
    pub fn change(&self, apply: &Apply<'_>, change: impl FnOnce(&mut Descriptor)) {
        let geometry = &apply.volume().geometry;
        let mut bytes: Change<'_> = self.descriptors.write(apply);
        let place = self.at..self.at + geometry.descriptor_size;
        if let Some(mut descriptor) = Descriptor::read(&bytes[place.clone()]) {
            change(&mut descriptor);
            descriptor.write(&mut bytes[place]);
        }
        bytes.touch_part(self.at / geometry.descriptor_size);
    }

    /// Does something with what is taken, once that is known.
    pub fn with_maps<R>(&self, each: impl FnOnce(&mut Maps) -> R) -> Option<R> {
        self.maps.lock().as_mut().map(each)
    }

    pub fn has_maps(&self) -> bool {
        // Acquire pairs with the Release in `load`.
        self.has_maps.load(Acquire)
    }

    pub fn is_unusable(&self) -> bool {
        self.is_unusable.load(Acquire)
    }

    pub fn set_unusable(&self) {
        self.is_unusable.store(true, Release);
    }

    /// Finds out what is taken. One at a time.
    pub async fn load(&self, volume: &Volume) -> Result<()> {
        let geometry = &volume.geometry;
        let descriptor = self.descriptor(geometry);
        let has = |flag| geometry.has_group_flags() && descriptor.flags().contains(flag);
        let wrong = |what| volume.corrupt(Place::Group(self.number), what);
        let range = geometry.blocks_of_group(self.number);
        let blocks = (range.end - range.start) as usize;

        let owner = Owner::BlockBitmap { group: self.number };
        let block_bitmap = if has(GroupFlags::BLOCKS_UNUSED) {
            let bitmap = volume.fresh(descriptor.block_bitmap(), owner).await?;
            Self::mark_own_blocks(volume, &bitmap, &range);
            bitmap
        } else {
            let bitmap = volume.buffer(descriptor.block_bitmap(), owner).await?;
            let sum = bitmap_sum(geometry, &bitmap.read(), geometry.blocks_per_group);
            if geometry.has_checksums() && short(geometry, sum) != descriptor.block_sum() {
                return Err(wrong("check sum of the block bitmap is wrong"));
            }
            bitmap
        };
        let owner = Owner::InodeBitmap { group: self.number };
        let inodes = geometry.inodes_per_group as usize;
        let inode_bitmap = if has(GroupFlags::INODES_UNUSED) {
            let bitmap = volume.fresh(descriptor.inode_bitmap(), owner).await?;
            bitmap.set_initial(|bytes| {
                super::bits::set_bits(bytes, inodes..8 * bytes.len(), true);
            });
            bitmap
        } else {
            let bitmap = volume.buffer(descriptor.inode_bitmap(), owner).await?;
            let sum = bitmap_sum(geometry, &bitmap.read(), inodes as u64);
            if geometry.has_checksums() && short(geometry, sum) != descriptor.inode_sum() {
                return Err(wrong("check sum of the inode bitmap is wrong"));
            }
            bitmap
        };
        let (blocks, inodes) =
            (Bits::new(&block_bitmap.read(), blocks)?, Bits::new(&inode_bitmap.read(), inodes)?);
        if blocks.free() != descriptor.free_blocks() as usize
            || inodes.free() != descriptor.free_inodes() as usize
        {
            return Err(wrong("counts of what is free are not those of the bitmaps"));
        }
        self.check_own(volume, &blocks, &inodes).map_err(wrong)?;
        *self.maps.lock() = Some(Maps { block_bitmap, inode_bitmap, blocks, inodes });
        self.has_maps.store(true, Release);
        Ok(())
    }

    /// In a group none of whose blocks were ever given to anybody, the file system's own are taken.
    fn mark_own_blocks(volume: &Volume, bitmap: &Buffer, range: &Range<u64>) {
        let len = (range.end - range.start) as usize;
        bitmap.set_initial(|bytes| {
            for own in volume.space.own().within(range) {
                let part = (own.start - range.start) as usize..(own.end - range.start) as usize;
                super::bits::set_bits(bytes, part, true);
            }
            super::bits::set_bits(bytes, len..8 * bytes.len(), true);
        });
    }

    /// Whether the bitmaps say that something is free that is the file system's own.
    fn check_own(
        &self,
        volume: &Volume,
        blocks: &Bits,
        inodes: &Bits,
    ) -> core::result::Result<(), &'static str> {
        let geometry = &volume.geometry;
        let range = geometry.blocks_of_group(self.number);
        let within = |own: Range<u64>| (own.start - range.start) as usize..(own.end - range.start) as usize;
        if volume.space.own().within(&range).any(|own| blocks.has_free(within(own))) {
            return Err("blocks of the file system's own are free");
        }
        let per_group = geometry.inodes_per_group;
        let first = u64::from(self.number) * u64::from(per_group) + 1;
        let reserved = u64::from(geometry.first_inode).saturating_sub(first).min(per_group.into()) as usize;
        let orphans = u64::from(geometry.orphan_file).checked_sub(first);
        let has_orphans = geometry.features.compatible.contains(Compatible::ORPHAN_FILE);
        let orphans = orphans.filter(|at| has_orphans && *at < per_group.into()).map(|at| at as usize);
        if inodes.has_free(0..reserved) || orphans.is_some_and(|at| inodes.has_free(at..at + 1)) {
            return Err("inodes of the file system's own are free");
        }
        Ok(())
    }
}

/// A sum as far as descriptors have room for it.
fn short(geometry: &Geometry, sum: u32) -> u32 {
    if geometry.descriptor_size >= 64 { sum } else { sum & 0xffff }
}
