//! File systems on disks.
//!
//! One that is mounted in several places is the same one everywhere, as it is on Linux: two of them would not see each
//! other's changes.

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use core::fmt;

use executor::{rcu, sync::Mutex};
use fs::{
    Device, FileType, Inode, Path, Superblock,
    block::BlockDevice,
    ext4::{Ext4, Log, Options},
};
use syscalls::Errno;

use super::{disk, loops};

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
pub async fn at(node: &Path, read_only: bool, options: &str) -> Result<Arc<Superblock>, Errno> {
    if node.dentry().kind() != FileType::Block {
        return Err(Errno::ENOTBLK);
    }
    of_disk(node.inode().attributes().rdev, read_only, options).await
}

/// The file system on a disk, to be written to unless it is `read_only`. If it is in use already, its options stay as they are.
///
/// # Errors
/// ENXIO if there is no such disk, EACCES if it can only be read; EINVAL if it has no file system that is known, or an option is not;
/// EROFS if it cannot be written to, and EBUSY if it is in use already in the other way; and what reading it gives.
pub async fn of_disk(number: Device, read_only: bool, options: &str) -> Result<Arc<Superblock>, Errno> {
    let disk = loops::disk_of(number).await.ok_or(Errno::ENXIO)?;
    // In use until the file system is.
    let _opening = disk.open().await?;
    if !read_only && disk.device().is_read_only() {
        return Err(Errno::EACCES);
    }
    let mut wanted = Options::default();
    wanted.change(options).map_err(|unknown| {
        log::warn!("{}: option {unknown:?} is not supported", disk.name);
        Errno::EINVAL
    })?;
    let mut in_use = IN_USE.lock().await;
    in_use.retain(|_, superblock| superblock.strong_count() > 0);
    if let Some(superblock) = in_use.get(&number.0).and_then(Weak::upgrade) {
        let same = superblock.file_system().is_read_only() == read_only;
        return if same { Ok(superblock) } else { Err(Errno::EBUSY) };
    }
    let file_system = Ext4::mount(disk.inode().clone(), Arc::new(KernelLog), read_only, wanted).await?;
    let superblock = Superblock::new(file_system);
    in_use.insert(number.0, Arc::downgrade(&superblock));
    Ok(superblock)
}

/// Grace periods after which a file system that is not mounted any more has ended: each frees what frees more.
const GRACE_PERIODS: usize = 32;

/// A file system has been unmounted, and is not mounted elsewhere: waits until its disk is free, unless somebody still uses it.
pub async fn released(superblock: Weak<Superblock>, number: Device) {
    for _ in 0..GRACE_PERIODS {
        rcu::barrier().await;
        if superblock.strong_count() == 0 {
            break;
        }
    }
    if superblock.strong_count() == 0
        && let Some(disk) = disk::find(number)
    {
        drop(disk.inode().clone().claim().await);
    }
}

/// Before the machine stops: all that was changed is on the disks, and file systems are as if they had been unmounted.
pub async fn end_all() {
    let in_use: BTreeMap<_, _> = {
        let in_use = IN_USE.lock().await;
        in_use.iter().filter_map(|(disk, superblock)| Some((*disk, superblock.upgrade()?))).collect()
    };
    // What lies on others first, which are written to by it.
    for disk in disk::all_from_above() {
        match in_use.get(&disk.number.0) {
            Some(superblock) => end(superblock).await,
            // One may have been unmounted, and not have come to its end.
            None => drop(disk.inode().clone().claim().await),
        }
        let _ = disk.inode().fsync(false).await;
    }
}

async fn end(superblock: &Superblock) {
    let file_system = superblock.file_system();
    if !file_system.is_read_only()
        && let Err(error) = file_system.allow_writing(false).await
    {
        log::warn!("{}: {error}: it is as after a crash", file_system.name());
    }
}
