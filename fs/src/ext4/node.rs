//! An inode as read from the disk and checked: its attributes, and what its contents are found by.

use super::{
    checksum::crc32c,
    complaints::Place,
    features::{Incompatible, ReadOnlyCompatible},
    layout::{InodeBase, InodeExtra, InodeFlags},
    volume::Volume,
};
use crate::{Attributes, Birth, Device, FileType, Result, Timestamp, file::SIZE_MAX};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// An inode.
pub(super) struct Node {
    pub volume: Arc<Volume>,
    pub attributes: Attributes,
    pub number: u32,
    pub flags: InodeFlags,
    /// What the check sums of its blocks begin with.
    pub seed: u32,
    /// The root of its extents, its block numbers, or its first bytes.
    pub block: [u8; 60],
    /// The block of its attributes, or zero.
    pub xattr_block: u64,
    /// The bytes of the inode in which attributes are; perhaps none.
    pub xattr_body: Box<[u8]>,
}

/// A time from its seconds and, where the inode has room for them, two more bits of the seconds below the nanoseconds.
fn time(seconds: U32, extra: U32) -> Timestamp {
    let (seconds, extra) = (seconds.get() as i32, extra.get());
    Timestamp {
        seconds: i64::from(seconds) + (i64::from(extra & 3) << 32),
        nanoseconds: (extra >> 2).min(999_999_999),
    }
}

/// The device number in a device node's inode: the old form, or the new.
fn device(block: &[u8; 60]) -> Device {
    let Ok((words, _)) = <[U32; 2]>::read_from_prefix(block) else { return Device(0) };
    let [old, new] = words.map(U32::get);
    if old != 0 {
        Device::new(old >> 8 & 0xff, old & 0xff)
    } else {
        Device::new(new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
    }
}

impl Node {
    /// Reads an inode that is in use.
    pub async fn read(volume: &Arc<Volume>, number: u32) -> Result<Node> {
        let bytes = volume.inode(number).await?;
        Self::parse(volume, number, &bytes).map_err(|what| volume.corrupt(Place::Inode(number), what))
    }

    fn parse(volume: &Arc<Volume>, number: u32, bytes: &[u8]) -> core::result::Result<Node, &'static str> {
        let geometry = &volume.geometry;
        let Ok((base, rest)) = InodeBase::read_from_prefix(bytes) else { return Err("is too short") };
        let (extra, xattr_body) = Self::split(rest)?;
        let seed = crc32c(crc32c(geometry.seed, &number.to_le_bytes()), base.generation.as_bytes());
        if geometry.has_checksums() && !sum_is_right(seed, &base, &extra, bytes) {
            return Err("check sum is wrong");
        }
        if base.links.get() == 0 {
            return Err("is not in use, but has a name");
        }
        let kind = match FileType::from_mode(base.mode.get().into()) {
            Some(kind) if base.mode.get() >> 12 != 0 => kind,
            _ => return Err("has no type"),
        };
        let flags = InodeFlags::from_bits_retain(base.flags.get());
        if flags.contains(InodeFlags::INLINE_DATA) && !geometry.has(Incompatible::INLINE_DATA)
            || flags.contains(InodeFlags::EXTENTS) && !geometry.has(Incompatible::EXTENTS)
        {
            return Err("has flags of features that the file system has not");
        }
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let long = kind == FileType::Regular || geometry.has(Incompatible::LARGE_DIRECTORY);
        let size = pair(base.size.get(), if long { base.size_high.get() } else { 0 });
        let longest = if flags.contains(InodeFlags::EXTENTS) {
            // Blocks are counted with 32 bits.
            geometry.block_size << 32
        } else {
            SIZE_MAX
        };
        if size > longest.min(SIZE_MAX) {
            return Err("is too long");
        }
        let blocks = pair(base.blocks.get(), base.blocks_high.get().into());
        let huge = geometry.features.read_only.contains(ReadOnlyCompatible::HUGE_FILE);
        let blocks = match huge {
            false => base.blocks.get().into(),
            true if flags.contains(InodeFlags::HUGE_FILE) => blocks * (geometry.block_size / 512),
            true => blocks,
        };
        let special = matches!(kind, FileType::Character | FileType::Block);
        let pair16 = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        let mut attributes = Attributes::new(Birth {
            dev: volume.disk.device().device(),
            ino: number.into(),
            kind,
            permissions: u32::from(base.mode.get()) & 0o7777,
            uid: pair16(base.uid.get(), base.uid_high.get()),
            gid: pair16(base.gid.get(), base.gid_high.get()),
            rdev: if special { device(&base.block) } else { Device(0) },
        });
        let changed = time(base.changed, extra.changed);
        attributes.set_links(base.links.get().into());
        attributes.set_size(size);
        attributes.blocks.store(blocks, Relaxed);
        attributes.accessed.store(time(base.accessed, extra.accessed));
        attributes.modified.store(time(base.modified, extra.modified));
        attributes.changed.store(changed);
        let has_creation = extra.created.get() != 0 || extra.created_extra.get() != 0;
        attributes.created = if has_creation { time(extra.created, extra.created_extra) } else { changed };
        let wide = geometry.has(Incompatible::SIXTY_FOUR_BIT);
        let xattr_high = if wide { base.xattr_block_high.get() } else { 0 };
        Ok(Node {
            volume: volume.clone(),
            attributes,
            number,
            flags,
            seed,
            block: base.block,
            xattr_block: pair(base.xattr_block.get(), xattr_high.into()),
            xattr_body: xattr_body.into(),
        })
    }

    /// The extra fields that an inode has, zeros for the others, and the bytes behind them.
    fn split(rest: &[u8]) -> core::result::Result<(InodeExtra, &[u8]), &'static str> {
        let mut extra = InodeExtra::new_zeroed();
        let Ok((len, _)) = zerocopy::little_endian::U16::read_from_prefix(rest) else {
            return Ok((extra, &[]));
        };
        let len = usize::from(len.get());
        if len > rest.len() || len % 4 != 0 {
            return Err("extra fields are too long");
        }
        let known = len.min(size_of::<InodeExtra>());
        extra.as_mut_bytes()[..known].copy_from_slice(&rest[..known]);
        Ok((extra, &rest[len..]))
    }

    pub fn place(&self) -> Place {
        Place::Inode(self.number)
    }

    /// The error for something wrong in this inode or what belongs to it.
    pub fn corrupt(&self, what: &'static str) -> Errno {
        self.volume.corrupt(self.place(), what)
    }
}

/// Compares an inode's check sum, of which the high half is there only if the extra fields reach to it.
fn sum_is_right(seed: u32, base: &InodeBase, extra: &InodeExtra, bytes: &[u8]) -> bool {
    const LOW: usize = offset_of!(InodeBase, checksum);
    const HIGH: usize = size_of::<InodeBase>() + offset_of!(InodeExtra, checksum_high);
    let sum = crc32c(crc32c(seed, &bytes[..LOW]), &[0; 2]);
    let has_high = usize::from(extra.extra_size.get()) >= offset_of!(InodeExtra, checksum_high) + 2;
    if has_high {
        let sum = crc32c(crc32c(crc32c(sum, &bytes[LOW + 2..HIGH]), &[0; 2]), &bytes[HIGH + 2..]);
        sum == u32::from(extra.checksum_high.get()) << 16 | u32::from(base.checksum.get())
    } else {
        crc32c(sum, &bytes[LOW + 2..]) as u16 == base.checksum.get()
    }
}
