//! File systems on disks.
//!
//! One that is mounted in several places is the same one everywhere, as it is on Linux: two of them would not see each
//! other's changes.

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use core::fmt;

use executor::sync::Mutex;
use fs::{
    Device, FileType, Path, Superblock,
    ext4::{Ext4, Log},
};
use syscalls::Errno;

use super::disk;

/// The types that disks can have, as mount(2) names them. All are read by what reads ext4.
pub const KINDS: [&str; 3] = ["ext2", "ext3", "ext4"];

/// Those that are in use, by disk. Held while one is being brought into use, so that no disk gets two.
static IN_USE: Mutex<BTreeMap<u64, Weak<Superblock>>> = Mutex::new(BTreeMap::new());

struct KernelLog;

impl Log for KernelLog {
    fn line(&self, text: fmt::Arguments<'_>) {
        log::warn!("{text}");
    }
}

/// The file system on the disk that `node` leads to.
///
/// # Errors
/// ENOTBLK if it is no disk's node, and those of [`of_disk`].
pub async fn at(node: &Path) -> Result<Arc<Superblock>, Errno> {
    if node.dentry().kind() != FileType::Block {
        return Err(Errno::ENOTBLK);
    }
    of_disk(node.inode().attributes().rdev).await
}

/// The file system on a disk.
///
/// # Errors
/// ENXIO if there is no such disk; EINVAL if it has no file system that is known, and what reading it gives.
pub async fn of_disk(number: Device) -> Result<Arc<Superblock>, Errno> {
    let disk = disk::find(number).ok_or(Errno::ENXIO)?;
    let mut in_use = IN_USE.lock().await;
    in_use.retain(|_, superblock| superblock.strong_count() > 0);
    if let Some(superblock) = in_use.get(&number.0).and_then(Weak::upgrade) {
        return Ok(superblock);
    }
    let file_system = Ext4::mount(disk.inode().clone(), Arc::new(KernelLog)).await?;
    let superblock = Superblock::new(file_system);
    in_use.insert(number.0, Arc::downgrade(&superblock));
    Ok(superblock)
}
