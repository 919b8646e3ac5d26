//! What a disk is divided into.

use alloc::{sync::Arc, vec, vec::Vec};

use drivers::{
    block::{BlockError, SECTOR_SIZE},
    partition::{self, ReadSectors},
};
use fs::{Inode, block::BlockDevice};

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
    for part in table.partitions.iter().filter(|part| part.number < disk::MINORS) {
        let unit = SECTOR_SIZE as u64;
        let part: Arc<Disk> = disk::add_part(disk, part.number, part.first * unit, part.sectors * unit);
        make_node(&part).await;
    }
}

/// Makes the node in /dev.
pub(super) async fn make_node(disk: &Disk) {
    if let Err(errno) = root::add_disk(disk).await {
        log::warn!("{}: no node in /dev: {errno}", disk.name);
    }
}
