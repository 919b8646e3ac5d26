//! What a disk says of itself (VIRTIO 1.2, 5.2.3 and 5.2.4).

use alloc::string::String;

use bitflags::bitflags;

use super::memory::Shape;
use crate::block::{Geometry, SECTOR_SIZE};
use crate::dma::{NarrowMmio, Reach};
use crate::virtio::{DeviceRegisters, Features};

bitflags! {
    /// What a disk can do, beside what all devices can.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Abilities: u64 {
        /// Segments have a largest size.
        const SIZE_MAX = 1 << 1;
        /// A request has a largest number of segments.
        const SEG_MAX = 1 << 2;
        /// It can only be read.
        const RO = 1 << 5;
        /// It says how large its sectors are.
        const BLK_SIZE = 1 << 6;
        /// It has a cache, and writes it out when asked.
        const FLUSH = 1 << 9;
        /// It says what it writes at once.
        const TOPOLOGY = 1 << 10;
        /// It can be told what nobody needs.
        const DISCARD = 1 << 13;
    }
}

/// Offsets of registers.
mod register {
    /// 64 bits.
    pub const CAPACITY: usize = 0;
    pub const SIZE_MAX: usize = 8;
    pub const SEG_MAX: usize = 12;
    pub const BLK_SIZE: usize = 20;
    /// 8 bits.
    pub const PHYSICAL_BLOCK_EXP: usize = 24;
    pub const MAX_DISCARD_SECTORS: usize = 36;
}

/// The largest sector that is believed.
const MAX_SECTOR: u32 = 1 << 16;
/// Bytes in the longest piece of memory, if the disk does not say.
const SEGMENT_BYTES: u32 = 4 << 20;
/// Bytes that requests of one piece must be able to have: a page, or one cannot fill it.
const PAGE: usize = 4096;
/// The most sectors of a command; the disk has no limit.
const MAX_SECTORS: u32 = 1 << 16;

/// The registers, as they are.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    capacity: u64,
    size_max: u32,
    seg_max: u32,
    blk_size: u32,
    physical_block_exp: u8,
    max_discard_sectors: u32,
}

/// What the driver has to know of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub geometry: Geometry,
    /// What was settled with the device.
    pub features: Features,
    pub shape: Shape,
}

impl Config {
    pub fn read<M: NarrowMmio>(registers: &DeviceRegisters<'_, M>) -> Self {
        Self {
            capacity: registers.read64(register::CAPACITY),
            size_max: registers.read32(register::SIZE_MAX),
            seg_max: registers.read32(register::SEG_MAX),
            blk_size: registers.read32(register::BLK_SIZE),
            physical_block_exp: registers.read8(register::PHYSICAL_BLOCK_EXP),
            max_discard_sectors: registers.read32(register::MAX_DISCARD_SECTORS),
        }
    }

    /// Makes sense of it, with these features and a queue of up to `queue_size` entries. None: it makes none. A register
    /// counts only if its feature was settled.
    pub fn parse(&self, features: Features, queue_size: u16) -> Option<Identity> {
        let can = |ability: Abilities| features.bits() & ability.bits() != 0;
        let logical_sector = if can(Abilities::BLK_SIZE) { self.blk_size } else { SECTOR_SIZE as u32 };
        let is_sound = logical_sector.is_power_of_two();
        if !is_sound || !(SECTOR_SIZE as u32..=MAX_SECTOR).contains(&logical_sector) {
            return None;
        }
        let per_logical = u64::from(logical_sector) / SECTOR_SIZE as u64;
        let sectors = self.capacity / per_logical * per_logical;
        let exponent = if can(Abilities::TOPOLOGY) { u32::from(self.physical_block_exp) } else { 0 };
        let physical_sector =
            logical_sector.checked_shl(exponent).filter(|size| size >> exponent == logical_sector);
        let size_max = if can(Abilities::SIZE_MAX) { self.size_max } else { SEGMENT_BYTES };
        let max_segment = (size_max.min(SEGMENT_BYTES) & !1) as usize;
        let seg_max = if can(Abilities::SEG_MAX) { self.seg_max.max(1) } else { 1 };
        let shape = Shape::new(features, queue_size, seg_max)?;
        if sectors == 0 || max_segment * shape.segments < PAGE.max(logical_sector as usize) {
            return None;
        }
        let discard = if can(Abilities::DISCARD) { u64::from(self.max_discard_sectors) } else { 0 };
        let geometry = Geometry {
            sectors,
            logical_sector,
            physical_sector: physical_sector.unwrap_or(logical_sector),
            model: String::new(),
            serial: String::new(),
            firmware: String::new(),
            queue_depth: shape.depth,
            read_only: can(Abilities::RO),
            write_cache: can(Abilities::FLUSH),
            fua: false,
            max_discard: (discard / per_logical * per_logical) as u32,
            solid_state: false,
            max_sectors: MAX_SECTORS.max(per_logical as u32),
            max_segments: shape.segments,
            max_segment,
            reach: Reach::Anywhere,
        };
        Some(Identity { geometry, features, shape })
    }
}

impl Identity {
    /// Whether it is the same disk, not smaller than it was, and understands the same.
    pub fn is_same_disk(&self, other: &Self) -> bool {
        let size = |identity: &Self| (identity.geometry.logical_sector, identity.geometry.max_segment);
        self.features == other.features
            && self.shape == other.shape
            && self.geometry.serial == other.geometry.serial
            && size(self) == size(other)
            && self.geometry.sectors >= other.geometry.sectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Config = Config {
        capacity: 4103,
        size_max: 8193,
        seg_max: 254,
        blk_size: 4096,
        physical_block_exp: 2,
        max_discard_sectors: 1003,
    };

    fn features(abilities: Abilities) -> Features {
        Features::VERSION_1 | Features::INDIRECT_DESCRIPTORS | Features::from_bits_retain(abilities.bits())
    }

    #[test]
    fn a_register_counts_with_its_feature_only() {
        let all = SOUND.parse(features(Abilities::all()), 256).expect("a disk").geometry;
        assert_eq!((all.sectors, all.logical_sector, all.physical_sector), (4096, 4096, 16384));
        assert_eq!((all.max_segment, all.max_segments), (8192, 250));
        assert!(all.read_only && all.write_cache);
        assert_eq!(all.max_discard, 1000);
        let none = SOUND.parse(features(Abilities::empty()), 256).expect("a disk").geometry;
        assert_eq!((none.sectors, none.logical_sector, none.physical_sector), (4103, 512, 512));
        assert_eq!((none.max_segment, none.max_segments), (4 << 20, 1));
        assert!(!none.read_only && !none.write_cache);
        assert_eq!(none.max_discard, 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let refuse = |change: &dyn Fn(&mut Config)| {
            let mut config = SOUND;
            change(&mut config);
            assert_eq!(config.parse(features(Abilities::all()), 256), None, "{config:?}");
        };
        refuse(&|config| config.capacity = 7);
        for size in [0, 1, 511, 513, 1 << 17, u32::MAX] {
            refuse(&move |config| config.blk_size = size);
        }
        refuse(&|config| config.size_max = 15);
        refuse(&|config| config.size_max = 0);
        refuse(&|config| (config.seg_max, config.size_max) = (0, 4095));
        assert_eq!(SOUND.parse(features(Abilities::all()), 3), None, "a queue too small for a request");
        for exponent in [20, 31, 32, 255] {
            let strange = Config { physical_block_exp: exponent, ..SOUND };
            let identity = strange.parse(features(Abilities::all()), 256).expect("a disk");
            assert_eq!(identity.geometry.physical_sector, 4096);
        }
    }

    #[test]
    fn a_disk_that_grew_is_the_same() {
        let identity =
            |capacity| Config { capacity, ..SOUND }.parse(features(Abilities::all()), 256).expect("a disk");
        assert!(identity(8192).is_same_disk(&identity(4096)));
        assert!(!identity(4096).is_same_disk(&identity(8192)));
    }
}
