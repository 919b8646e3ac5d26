//! What a disk says of itself: the 256 words of IDENTIFY DEVICE (ATA8-ACS, 7.16.7).

use alloc::string::String;

use super::memory;
use crate::block::{Geometry, SECTOR_SIZE};
use crate::dma::Reach;

/// The answer.
pub struct Words(pub [u16; 256]);

/// What the driver has to know of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub geometry: Geometry,
    /// Addresses of 48 bits.
    pub is_extended: bool,
    /// Native command queuing; the depth is in the geometry.
    pub is_queued: bool,
}

/// The largest logical sector that is believed.
const MAX_LOGICAL: u32 = 1 << 16;
/// Sectors that one range of a TRIM can have, and ranges in its one block.
const TRIM_RANGE: u32 = 0xffff;

impl Words {
    fn bit(&self, word: usize, bit: u32) -> bool {
        self.0[word] >> bit & 1 != 0
    }

    /// A word that marks itself as valid by bits 15:14 being 01.
    fn valid(&self, word: usize) -> u16 {
        if self.0[word] >> 14 == 0b01 { self.0[word] } else { 0 }
    }

    fn number(&self, first: usize, words: usize) -> u64 {
        self.0[first..first + words].iter().rev().fold(0, |number, &word| number << 16 | u64::from(word))
    }

    /// Text is kept with the bytes of each word swapped, and padded with spaces.
    fn text(&self, first: usize, words: usize) -> String {
        let bytes = self.0[first..first + words].iter().flat_map(|word| word.to_be_bytes());
        let text: String =
            bytes.map(|byte| if matches!(byte, b' '..=b'~') { byte as char } else { ' ' }).collect();
        text.trim().into()
    }

    /// If the last word has a signature, it has a checksum.
    fn is_intact(&self) -> bool {
        let sum = self.0.iter().flat_map(|word| word.to_le_bytes()).fold(0u8, u8::wrapping_add);
        self.0[255] & 0xff != 0xa5 || sum == 0
    }

    fn logical_sector(&self) -> Option<u32> {
        let size = if self.valid(106) >> 12 & 1 != 0 { self.number(117, 2) * 2 } else { SECTOR_SIZE as u64 };
        let size = u32::try_from(size).ok()?;
        (size.is_power_of_two() && (SECTOR_SIZE as u32..=MAX_LOGICAL).contains(&size)).then_some(size)
    }

    /// Makes sense of it, for an HBA that takes `slots` commands (none of them queued if `can_queue` is false) and has
    /// this reach. None: it makes none, or the disk cannot do DMA.
    pub fn parse(&self, slots: u32, can_queue: bool, reach: Reach) -> Option<Identity> {
        let is_ata = !self.bit(0, 15);
        let (has_dma, has_lba) = (self.bit(49, 8), self.bit(49, 9));
        if !is_ata || !has_dma || !has_lba || !self.is_intact() {
            return None;
        }
        let is_extended = self.valid(83) >> 10 & 1 != 0;
        let count = if is_extended { self.number(100, 3) } else { self.number(60, 2).min(1 << 28) };
        let logical_sector = self.logical_sector()?;
        let per_logical = logical_sector / SECTOR_SIZE as u32;
        let exponent = if self.valid(106) >> 13 & 1 != 0 { u32::from(self.valid(106) & 0xf) } else { 0 };
        let is_queued = can_queue && is_extended && self.bit(76, 8) && self.0[76] != 0xffff;
        let has_trim = is_extended && self.bit(169, 0);
        if count == 0 {
            return None;
        }
        let geometry = Geometry {
            sectors: count * u64::from(per_logical),
            logical_sector,
            physical_sector: logical_sector << exponent,
            model: self.text(27, 20),
            serial: self.text(10, 10),
            firmware: self.text(23, 4),
            queue_depth: if is_queued { (u32::from(self.0[75] & 0x1f) + 1).min(slots) } else { 1 },
            read_only: false,
            write_cache: self.bit(85, 5),
            fua: is_extended && self.valid(84) >> 6 & 1 != 0,
            max_discard: if has_trim { memory::RANGES as u32 * TRIM_RANGE * per_logical } else { 0 },
            solid_state: self.0[217] == 1,
            max_sectors: if is_extended { 0x1_0000 * per_logical } else { 0x100 * per_logical },
            max_segments: memory::SEGMENTS,
            max_segment: memory::SEGMENT_BYTES,
            reach,
        };
        Some(Identity { geometry, is_extended, is_queued })
    }
}

impl Identity {
    /// Whether it is the same disk, and still as large as it was.
    pub fn is_same_disk(&self, other: &Self) -> bool {
        let key = |identity: &Self| (identity.geometry.sectors, identity.geometry.logical_sector);
        self.geometry.serial == other.geometry.serial
            && self.geometry.model == other.geometry.model
            && key(self) == key(other)
    }

    /// Logical sectors, from sectors of 512 bytes.
    pub fn logical(&self, sectors: u64) -> u64 {
        sectors / (u64::from(self.geometry.logical_sector) / SECTOR_SIZE as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Words {
        let mut words = [0; 256];
        words[27..47].fill(u16::from_be_bytes(*b"  "));
        words[27] = u16::from_be_bytes(*b"RU");
        words[28] = u16::from_be_bytes(*b"SK");
        (words[49], words[60], words[61]) = (0x300, 0xffff, 0x0fff);
        (words[75], words[76]) = (31, 1 << 8);
        (words[83], words[100], words[102]) = (1 << 14 | 1 << 10, 5, 1);
        Words(words)
    }

    #[test]
    fn sizes_names_and_abilities() {
        let identity = disk().parse(16, true, Reach::Anywhere).expect("a disk");
        assert_eq!(identity.geometry.sectors, (1 << 32) + 5);
        assert_eq!(identity.geometry.model, "RUSK");
        assert_eq!(identity.geometry.queue_depth, 16);
        assert!(identity.is_queued && !identity.geometry.fua && !identity.geometry.write_cache);
        let mut old = disk();
        old.0[83] = 0;
        let old = old.parse(32, true, Reach::Anywhere).expect("a disk");
        assert_eq!((old.geometry.sectors, old.geometry.max_sectors), (0x0fff_ffff, 256));
        assert!(!old.is_queued && old.geometry.queue_depth == 1);
        let mut large = disk();
        (large.0[106], large.0[117]) = (0b01 << 14 | 1 << 12 | 1 << 13 | 2, 2048);
        let large = large.parse(32, true, Reach::Anywhere).expect("a disk");
        assert_eq!((large.geometry.logical_sector, large.geometry.physical_sector), (4096, 16384));
        assert_eq!(large.geometry.sectors, ((1 << 32) + 5) * 8);
    }

    #[test]
    fn nonsense_is_refused() {
        let refuse = |change: &dyn Fn(&mut [u16; 256])| {
            let mut words = disk();
            change(&mut words.0);
            assert_eq!(words.parse(32, true, Reach::Anywhere), None);
        };
        refuse(&|words| words[0] = 1 << 15);
        refuse(&|words| words[49] = 1 << 9);
        refuse(&|words| words[255] = 0xa5);
        refuse(&|words| (words[100], words[102]) = (0, 0));
        for size in [0, 3, 255, 1 << 15 | 1, u16::MAX] {
            refuse(&move |words| (words[106], words[117]) = (0b01 << 14 | 1 << 12, size));
        }
        assert_eq!(Words([u16::MAX; 256]).parse(32, true, Reach::Anywhere), None);
        assert_eq!(Words([0; 256]).parse(32, true, Reach::Anywhere), None);
    }
}
