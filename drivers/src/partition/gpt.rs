//! The GUID partition table (UEFI 2.10, chapter 5).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crc::{CRC_32_ISO_HDLC, Crc};
use uguid::Guid;

use super::{Partition, ReadSectors, sectors_per_logical};
use crate::block::BlockError;

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// Bytes of a header, and where its own checksum stands in it.
const MIN_HEADER: usize = 92;
const CHECKSUM_AT: usize = 16;
/// Bytes of an entry.
const MIN_ENTRY: usize = 128;
/// Bytes of all entries together that are read; usual are 16 KiB.
const MAX_ENTRIES: usize = 1 << 20;
/// Bytes read at once.
const PIECE: usize = 1 << 16;

/// What a header says that is needed; sectors are logical ones.
struct Header {
    first_usable: u64,
    last_usable: u64,
    entries_at: u64,
    count: usize,
    entry_size: usize,
    checksum: u32,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

impl Header {
    /// The header in the logical sector `at`, which is at least as long. None: it is none, or damaged.
    fn parse(sector: &[u8], at: u64) -> Option<Self> {
        let size = word(sector, 12) as usize;
        if &sector[..8] != b"EFI PART" || size < MIN_HEADER || size > sector.len() || long(sector, 24) != at {
            return None;
        }
        let mut digest = CHECKSUM.digest();
        digest.update(&sector[..CHECKSUM_AT]);
        digest.update(&[0; 4]);
        digest.update(&sector[CHECKSUM_AT + 4..size]);
        let header = Self {
            first_usable: long(sector, 40),
            last_usable: long(sector, 48),
            entries_at: long(sector, 72),
            count: word(sector, 80) as usize,
            entry_size: word(sector, 84) as usize,
            checksum: word(sector, 88),
        };
        let is_sound = header.entry_size >= MIN_ENTRY
            && header.entry_size.is_multiple_of(8)
            && header.count.checked_mul(header.entry_size).is_some_and(|bytes| bytes <= MAX_ENTRIES);
        (digest.finalize() == word(sector, CHECKSUM_AT) && is_sound).then_some(header)
    }
}

/// The partitions of a GPT, or of its copy at the end of the disk. None: neither is whole.
pub async fn read<R: ReadSectors>(disk: &R) -> Result<Option<Vec<Partition>>, BlockError> {
    let last = disk.sectors() / sectors_per_logical(disk) - 1;
    for at in [1, last] {
        let sector = disk.read(at * sectors_per_logical(disk), disk.logical_sector()).await?;
        if let Some(header) = Header::parse(&sector, at)
            && let Some(entries) = read_entries(disk, &header).await?
        {
            let entries = (1..).zip(entries.chunks_exact(header.entry_size));
            let known = entries.filter_map(|(number, entry)| partition(disk, &header, number, entry));
            return Ok(Some(known.collect()));
        }
    }
    Ok(None)
}

/// All entries. None: they are not on the disk, or damaged.
async fn read_entries<R: ReadSectors>(disk: &R, header: &Header) -> Result<Option<Vec<u8>>, BlockError> {
    let bytes = header.count * header.entry_size;
    let whole = bytes.next_multiple_of(disk.logical_sector());
    let first = header.entries_at.checked_mul(sectors_per_logical(disk));
    let end = first.and_then(|first| first.checked_add((whole / crate::block::SECTOR_SIZE) as u64));
    let (Some(first), Some(end)) = (first, end) else { return Ok(None) };
    if end > disk.sectors() {
        return Ok(None);
    }
    let mut entries = Vec::with_capacity(whole);
    while entries.len() < whole {
        let sector = first + (entries.len() / crate::block::SECTOR_SIZE) as u64;
        let piece = disk.read(sector, PIECE.max(disk.logical_sector()).min(whole - entries.len())).await?;
        entries.extend(piece);
    }
    entries.truncate(bytes);
    Ok((CHECKSUM.checksum(&entries) == header.checksum).then_some(entries))
}

fn partition<R: ReadSectors>(disk: &R, header: &Header, number: u32, entry: &[u8]) -> Option<Partition> {
    let guid = |at: usize| {
        let bytes = entry[at..at + 16].try_into().expect("sixteen");
        (bytes != [0; 16]).then(|| Guid::from_bytes(bytes))
    };
    let kind = guid(0)?;
    let (first, last) = (long(entry, 32), long(entry, 40));
    let is_usable = header.first_usable <= first && first <= last && last <= header.last_usable;
    let end = last.checked_add(1)?.checked_mul(sectors_per_logical(disk))?;
    if !is_usable || end > disk.sectors() {
        return None;
    }
    let units = entry[56..MIN_ENTRY].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let name: String = char::decode_utf16(units.take_while(|&unit| unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    let first = first * sectors_per_logical(disk);
    Some(Partition {
        number,
        first,
        sectors: end - first,
        kind: format!("{kind}"),
        uuid: guid(16).map(|guid| format!("{guid}")).unwrap_or_default(),
        name,
    })
}
