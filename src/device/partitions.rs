//! What a disk is divided into.

use alloc::{vec, vec::Vec};

use drivers::{
    block::{BlockError, SECTOR_SIZE},
    partition::{self, ReadSectors},
};
use fs::{Inode, block::BlockDevice};
use syscalls::Errno;

use super::disk::{self, Disk};
use crate::root;

/// A disk, read by way of its page cache.
struct Sectors<'a>(&'a Disk);

impl ReadSectors for Sectors<'_> {
    fn sectors(&self) -> u64 {
        self.0.device().size() / SECTOR_SIZE as u64
    }

    fn logical_sector(&self) -> usize {
        self.0.device().sector_size() as usize
    }

    async fn read(&self, sector: u64, bytes: usize) -> Result<Vec<u8>, BlockError> {
        let mut data = vec![0; bytes];
        let mut done = 0;
        while done < bytes {
            let mut rest = &mut data[done..];
            let offset = sector * SECTOR_SIZE as u64 + done as u64;
            match self.0.inode().read_at(offset, &mut rest).await {
                Ok(0) => return Err(BlockError::OutOfRange),
                Ok(read) => done += read,
                Err(_) => return Err(BlockError::Medium),
            }
        }
        Ok(data)
    }
}

/// Makes the partitions of a disk known, as far as there are numbers for them.
pub(super) async fn find(disk: &Disk) {
    let table = match partition::read_table(&Sectors(disk)).await {
        Ok(table) => table,
        Err(error) => {
            log::warn!("{}: its partition table cannot be read: {error}", disk.name);
            return;
        }
    };
    for part in &table.partitions {
        let unit = SECTOR_SIZE as u64;
        if let Some(part) = disk::add_part(disk, part.number, part.first * unit, part.sectors * unit) {
            make_node(&part).await;
        }
    }
}

/// The partitions of a disk are not known any more; what was written to them is on the disk, as far as it takes it.
pub(super) async fn forget(disk: &Disk) {
    for part in disk.parts() {
        disk::remove(&part);
        if let Err(errno) = root::remove_disk(&part).await {
            log::warn!("{}: its node in /dev stays: {errno}", part.name);
        }
        // Whoever could tell has been told by fsync.
        let _ = part.inode().empty().await;
    }
}

/// Looks anew at what a disk is divided into. EBUSY if a partition is in use.
pub async fn find_again(disk: &Disk) -> Result<(), Errno> {
    if disk.parts().iter().any(|part| part.device().users() > 0) {
        return Err(Errno::EBUSY);
    }
    forget(disk).await;
    // What is there now, whatever is in memory.
    let _ = disk.inode().fsync(false).await;
    find(disk).await;
    Ok(())
}

/// Makes the node in /dev.
pub(super) async fn make_node(disk: &Disk) {
    if let Err(errno) = root::add_disk(disk).await {
        log::warn!("{}: no node in /dev: {errno}", disk.name);
    }
}
