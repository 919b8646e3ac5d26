//! Bringing a file system up to its last transaction, before it is looked at.
//!
//! The copies in the log go to where they belong: on the disk, if it may be written to, after which the log is emptied. Else
//! they lie over it ([`Overlay`]), and the disk stays as it is.

use super::{
    layout::JOURNAL_MAGIC,
    log::Journal,
    overlay::Overlay,
    scan::{Checksum, Copy, Found},
};
use crate::ext4::{
    checksum::{START, crc32c},
    features::{Incompatible, ReadOnlyCompatible},
    layout::{RawSuperblock, SUPERBLOCK_OFFSET},
    volume::{Turns, Volume},
};
use crate::{Inode, Result, block::BlockInode};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use syscalls::Errno;
use zerocopy::{FromZeros, IntoBytes};

/// Replays the journal of a file system that was not unmounted. Returns the disk to use from now on.
pub async fn recover(volume: &Arc<Volume>) -> Result<Arc<BlockInode>> {
    let journal = Journal::open(volume).await?;
    let found = journal.scan().await?;
    let disk = &volume.disk;
    volume.complaints.say(format_args!(
        "replaying {} transactions with {} blocks{}",
        found.transactions,
        found.copies.len(),
        if disk.device().is_read_only() { ", in memory: the disk is read-only" } else { "" },
    ));
    if disk.device().is_read_only() {
        let blocks = journal.copies(&found).await?;
        let overlay = Overlay::new(disk.device().clone(), volume.geometry.block_size, blocks);
        let attributes = disk.attributes();
        return Ok(BlockInode::new(overlay, attributes.dev, attributes.ino));
    }
    journal.write(&found).await?;
    Ok(disk.clone())
}

impl Journal {
    /// A copy as it belongs on the disk.
    async fn copy(&self, copy: &Copy) -> Result<Box<[u8]>> {
        let mut block = self.block(copy.at).await?;
        if let (Some(seed), Some(wanted)) = (self.seed, copy.checksum) {
            let sum = crc32c(crc32c(seed, &copy.sequence.to_be_bytes()), &block);
            let right = match wanted {
                Checksum::Whole(wanted) => sum == wanted,
                Checksum::Half(wanted) => sum as u16 == wanted,
            };
            if !right {
                return Err(self.corrupt(copy.at, "check sum of a copy is wrong"));
            }
        }
        if copy.escaped {
            block[..size_of::<u32>()].copy_from_slice(&JOURNAL_MAGIC.to_be_bytes());
        }
        Ok(block)
    }

    /// All copies.
    async fn copies(&self, found: &Found) -> Result<BTreeMap<u64, Box<[u8]>>> {
        let mut blocks = BTreeMap::new();
        for (number, copy) in &found.copies {
            blocks.insert(*number, self.copy(copy).await?);
        }
        Ok(blocks)
    }

    /// Writes all copies to where they belong, and then empties the log.
    async fn write(&self, found: &Found) -> Result<()> {
        // Nothing is written unless all is right.
        let mut turns = Turns::default();
        for copy in found.copies.values() {
            self.copy(copy).await?;
            turns.next().await;
        }
        let block_size = self.volume().geometry.block_size;
        for (number, copy) in &found.copies {
            write(&self.volume().disk, number * block_size, &self.copy(copy).await?).await?;
        }
        self.volume().disk.fsync(false).await?;
        let (offset, superblock) = self.emptied(found.next).await?;
        write(&self.volume().disk, offset, superblock.as_bytes()).await?;
        self.volume().disk.fsync(false).await?;
        self.clear_flag().await
    }

    /// Notes in the file system's superblock, as it is after the replay, that there is nothing to replay.
    async fn clear_flag(&self) -> Result<()> {
        let volume = self.volume();
        let mut raw = RawSuperblock::new_zeroed();
        let wanted = size_of::<RawSuperblock>();
        if volume.disk.cache().read(SUPERBLOCK_OFFSET, &mut raw.as_mut_bytes()).await? != wanted {
            return Err(Errno::EIO);
        }
        let flags = raw.feature_incompat.get() & !Incompatible::NEEDS_RECOVERY.bits();
        raw.feature_incompat.set(flags);
        if raw.feature_ro_compat.get() & ReadOnlyCompatible::METADATA_CHECKSUM.bits() != 0 {
            let bytes = raw.as_bytes();
            let sum = crc32c(START, &bytes[..bytes.len() - size_of::<u32>()]);
            raw.checksum.set(sum);
        }
        write(&volume.disk, SUPERBLOCK_OFFSET, raw.as_bytes()).await?;
        volume.disk.fsync(false).await
    }
}

/// Writes to the disk through its page cache.
async fn write(disk: &BlockInode, offset: u64, mut bytes: &[u8]) -> Result<()> {
    let wanted = bytes.len();
    let written = disk.cache().write(offset, &mut bytes).await?;
    if written == wanted { Ok(()) } else { Err(Errno::EIO) }
}
