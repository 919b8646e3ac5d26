//! How a disk is divided: GPT and MBR, with MBR's logical partitions.
//!
//! ```text
//!   sector 0        sector 1           last sector
//!   MBR ─ type ee ─► GPT header ─► entries      (the header's copy, if the first is damaged)
//!    │
//!    └─ types 05, 0f, 85 ─► extended boot record ─► the next one ─► …   logical partitions, from 5 on
//! ```
//!
//! Tables are read as Linux reads them, and nothing in them is believed: partitions that lie outside of the disk are left
//! out, chains end, and what makes no sense is no table. Start reading with [`read_table`].

mod gpt;
mod mbr;

use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;

use crate::block::{BlockError, SECTOR_SIZE};

/// A disk, as far as it is needed to read its partition table.
pub trait ReadSectors: Sync {
    /// Sectors of 512 bytes that there are.
    fn sectors(&self) -> u64;

    /// Bytes in a logical sector: a power of two, at least 512.
    fn logical_sector(&self) -> usize;

    /// Reads `bytes`, whole logical sectors, from a sector of 512 bytes on. Exactly so many come back.
    fn read(&self, sector: u64, bytes: usize) -> impl Future<Output = Result<Vec<u8>, BlockError>> + Send;
}

/// The kind of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// None that is known.
    None,
    /// The PC's.
    Mbr,
    /// UEFI's.
    Gpt,
}

/// A part of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As in the name of its device: from 1 on.
    pub number: u32,
    /// Its first sector, of 512 bytes.
    pub first: u64,
    /// How many it has.
    pub sectors: u64,
    /// What it is for: a GUID, or two hexadecimal digits.
    pub kind: String,
    /// What `PARTUUID=` calls it.
    pub uuid: String,
    /// Its name, if it has one.
    pub name: String,
}

/// What was found on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its kind.
    pub scheme: Scheme,
    /// By number.
    pub partitions: Vec<Partition>,
}

/// Reads the partition table of a disk.
///
/// # Errors
/// When the disk cannot be read. A disk without a table is none.
pub async fn read_table<R: ReadSectors>(disk: &R) -> Result<Table, BlockError> {
    let none = Table { scheme: Scheme::None, partitions: Vec::new() };
    if disk.sectors() < 2 * sectors_per_logical(disk) {
        return Ok(none);
    }
    let Some(record) = mbr::Record::parse(&disk.read(0, disk.logical_sector()).await?) else {
        return Ok(none);
    };
    if record.is_protective()
        && let Some(partitions) = gpt::read(disk).await?
    {
        return Ok(Table { scheme: Scheme::Gpt, partitions });
    }
    Ok(Table { scheme: Scheme::Mbr, partitions: mbr::read(disk, &record).await? })
}

/// Sectors of 512 bytes in a logical one.
fn sectors_per_logical<R: ReadSectors>(disk: &R) -> u64 {
    (disk.logical_sector() / SECTOR_SIZE) as u64
}
