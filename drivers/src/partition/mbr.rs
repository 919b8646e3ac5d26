//! The master boot record, and the chain of extended ones.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Partition, ReadSectors, sectors_per_logical};
use crate::block::BlockError;

/// Logical partitions at most, as on Linux. It also ends a chain that bites its tail.
const MAX_LOGICAL: usize = 251;
const ENTRIES_AT: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE_AT: usize = 440;
/// The sectors of an extended partition that are shown, for a boot loader's sake.
const EXTENDED_SHOWN: u64 = 2;

/// One of the four entries; sectors are logical ones.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    kind: u8,
    first: u32,
    sectors: u32,
}

impl Entry {
    fn is_used(self) -> bool {
        self.kind != 0 && self.sectors != 0
    }

    fn is_extended(self) -> bool {
        self.is_used() && matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// A boot record, master or extended.
pub struct Record {
    signature: u32,
    entries: [Entry; 4],
}

impl Record {
    /// None: it is none, perhaps a file system's boot sector, which ends like one.
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let table = sector.get(ENTRIES_AT..ENTRIES_AT + 4 * ENTRY)?;
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let has_mark = sector.get(510..512)? == [0x55, 0xaa];
        if !has_mark || table.chunks_exact(ENTRY).any(|entry| entry[0] & 0x7f != 0) {
            return None;
        }
        let mut entries = [Entry::default(); 4];
        for (place, bytes) in entries.iter_mut().zip(table.chunks_exact(ENTRY)) {
            *place = Entry { kind: bytes[4], first: word(&bytes[8..12]), sectors: word(&bytes[12..16]) };
        }
        Some(Self { signature: word(&sector[SIGNATURE_AT..SIGNATURE_AT + 4]), entries })
    }

    /// Whether it only keeps old programs from a disk with a GPT.
    pub fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == 0xee)
    }
}

/// The partitions of a master boot record.
pub async fn read<R: ReadSectors>(disk: &R, record: &Record) -> Result<Vec<Partition>, BlockError> {
    let mut partitions = Vec::new();
    for (number, &entry) in (1..).zip(&record.entries).filter(|(_, entry)| entry.is_used()) {
        let mut partition = partition(disk, record.signature, number, entry, entry.first.into());
        if let Some(partition) = partition.as_mut().filter(|_| entry.is_extended()) {
            partition.sectors = partition.sectors.min(EXTENDED_SHOWN.max(sectors_per_logical(disk)));
        }
        partitions.extend(partition);
    }
    if let Some(extended) = record.entries.iter().find(|entry| entry.is_extended()) {
        read_logical(disk, record.signature, extended.first.into(), &mut partitions).await?;
    }
    Ok(partitions)
}

/// Follows the chain of extended records, of which each has a partition and the place of the next.
async fn read_logical<R: ReadSectors>(
    disk: &R,
    signature: u32,
    extended: u64,
    partitions: &mut Vec<Partition>,
) -> Result<(), BlockError> {
    let mut at = extended;
    let mut number = 5;
    for _ in 0..MAX_LOGICAL {
        let sector = at * sectors_per_logical(disk);
        if at == 0 || sector >= disk.sectors() {
            break;
        }
        let Some(record) = Record::parse(&disk.read(sector, disk.logical_sector()).await?) else { break };
        for &entry in record.entries.iter().filter(|entry| entry.is_used() && !entry.is_extended()) {
            let found = partition(disk, signature, number, entry, at + u64::from(entry.first));
            number += u32::from(found.is_some());
            partitions.extend(found);
        }
        let Some(next) = record.entries.iter().find(|entry| entry.is_extended()) else { break };
        at = extended + u64::from(next.first);
    }
    Ok(())
}

/// A partition, cut off at the end of the disk. None: it lies outside.
fn partition<R: ReadSectors>(
    disk: &R,
    signature: u32,
    number: u32,
    entry: Entry,
    first: u64,
) -> Option<Partition> {
    let first = first * sectors_per_logical(disk);
    let room = disk.sectors().checked_sub(first).filter(|&room| room > 0)?;
    Some(Partition {
        number,
        first,
        sectors: (u64::from(entry.sectors) * sectors_per_logical(disk)).min(room),
        kind: format!("{:02x}", entry.kind),
        uuid: format!("{signature:08x}-{number:02x}"),
        name: String::new(),
    })
}
