//! A disk as it answers requests: what it is, its content, its faults.

use std::collections::{BTreeMap, BTreeSet};

use executor::sim::random;

use crate::disk::SECTOR;
use crate::disk::store::Store;

pub const SIZE_MAX: u64 = 1 << 1;
pub const SEG_MAX: u64 = 1 << 2;
pub const RO: u64 = 1 << 5;
pub const BLK_SIZE: u64 = 1 << 6;
pub const FLUSH: u64 = 1 << 9;
pub const DISCARD: u64 = 1 << 13;
pub const INDIRECT: u64 = 1 << 28;
pub const EVENT_INDEX: u64 = 1 << 29;
pub const VERSION_1: u64 = 1 << 32;
/// What no driver of this version may take: packed rings, rings in order, a reset of single queues, and some that do not
/// exist.
pub const STRANGE: u64 = 1 << 34 | 1 << 35 | 1 << 40 | 1 << 50 | 1 << 63 | 1 << 20;

pub const OK: u8 = 0;
pub const IO_ERROR: u8 = 1;
pub const UNSUPPORTED: u8 = 2;

/// What kind of disk it is.
#[derive(Clone, Debug)]
pub struct Model {
    /// Of 512 bytes.
    pub sectors: u64,
    pub logical_sector: usize,
    /// The features that it offers.
    pub offers: u64,
    pub queue_size: u16,
    pub seg_max: u32,
    pub size_max: u32,
    /// None: it does not know the request for it.
    pub serial: Option<&'static str>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            sectors: 4096,
            logical_sector: SECTOR,
            offers: VERSION_1 | INDIRECT | EVENT_INDEX | SEG_MAX | BLK_SIZE | FLUSH | DISCARD | STRANGE,
            queue_size: 256,
            seg_max: 254,
            size_max: 0,
            serial: Some("RUSK0001"),
        }
    }
}

impl Model {
    /// The least that a disk can be.
    pub fn plain() -> Self {
        Self { offers: VERSION_1, serial: None, ..Self::default() }
    }

    /// The usual one without these.
    pub fn without(features: u64) -> Self {
        let usual = Self::default();
        Self { offers: usual.offers & !features, ..usual }
    }
}

/// What goes wrong with it. Of numbers, one in so many; 0 is never.
#[derive(Clone, Default)]
pub struct Faults {
    /// Sectors that cannot be read.
    pub bad: BTreeSet<u64>,
    /// Requests that fail.
    pub errors: u64,
    /// Requests that are said to be unknown.
    pub refusals: u64,
    /// Requests that are never answered.
    pub hangs: u64,
    /// The next requests that are never answered.
    pub hang_next: u64,
    /// The longest that a request takes, in nanoseconds.
    pub slowness: u64,
    /// Interrupts that are lost.
    pub loses: u64,
    /// Answers that cannot be: one of these.
    pub lies: u64,
    pub repertoire: Vec<Lie>,
}

/// An answer that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The head of no chain.
    StrangeHead,
    /// A descriptor that is within a chain.
    NoHead,
    /// The same twice.
    Twice,
    /// More bytes than there was room for.
    LongLength,
    /// More entries than there were requests.
    IndexAhead,
    /// Fewer entries than there were.
    IndexBehind,
    /// A status that is not defined.
    StrangeStatus,
    /// No status at all.
    NoStatus,
    /// It is done before it has begun.
    Early,
    /// It breaks down.
    NeedsReset,
    /// Anything in the ring.
    Scribble,
}

pub const LIES: [Lie; 11] = [
    Lie::StrangeHead,
    Lie::NoHead,
    Lie::Twice,
    Lie::LongLength,
    Lie::IndexAhead,
    Lie::IndexBehind,
    Lie::StrangeStatus,
    Lie::NoStatus,
    Lie::Early,
    Lie::NeedsReset,
    Lie::Scribble,
];

/// Whether something happens that happens one time in so many.
pub fn happens(one_in: u64) -> bool {
    one_in > 0 && random(one_in) == 0
}

pub struct Disk {
    pub model: Model,
    pub faults: Faults,
    pub store: Store,
    /// Requests carried out, by type.
    pub carried_out: BTreeMap<u32, usize>,
}

impl Disk {
    pub fn new(model: Model) -> Self {
        let has_cache = model.offers & FLUSH != 0;
        Self {
            store: Store::new(model.sectors as usize, SECTOR, has_cache),
            model,
            faults: Faults::default(),
            carried_out: BTreeMap::new(),
        }
    }

    /// Does what a request says: its status, and what it reads into a room of so many bytes.
    pub fn carry_out(
        &mut self,
        kind: u32,
        sector: u64,
        data: &[u8],
        room: usize,
        features: u64,
    ) -> (u8, Vec<u8>) {
        *self.carried_out.entry(kind).or_default() += 1;
        if kind != 8 && happens(self.faults.refusals) {
            return (UNSUPPORTED, Vec::new());
        }
        if kind != 8 && happens(self.faults.errors) {
            return (IO_ERROR, Vec::new());
        }
        match kind {
            0 | 1 => {
                let bytes = if kind == 0 { room } else { data.len() };
                let (first, count) = (sector as usize, bytes / SECTOR);
                let per_logical = (self.model.logical_sector / SECTOR) as u64;
                assert!(bytes > 0 && bytes.is_multiple_of(SECTOR), "{bytes} bytes");
                if sector + count as u64 > self.model.sectors {
                    return (IO_ERROR, Vec::new());
                }
                assert!(sector.is_multiple_of(per_logical) && (count as u64).is_multiple_of(per_logical));
                assert_eq!(if kind == 0 { data.len() } else { room }, 0, "a request in both directions");
                if self.faults.bad.range(sector..sector + count as u64).next().is_some() {
                    return (IO_ERROR, Vec::new());
                }
                if kind == 0 {
                    return (OK, self.store.content()[first * SECTOR..][..bytes].to_vec());
                }
                assert_eq!(features & RO, 0, "a write to a disk that can only be read");
                self.store.write(first, data, false);
            }
            4 => {
                assert_ne!(features & FLUSH, 0, "a flush of a disk without a cache");
                assert_eq!((sector, data.len(), room), (0, 0, 0));
                self.store.flush();
            }
            8 => {
                assert_eq!((data.len(), room), (0, 20));
                let Some(serial) = self.model.serial else { return (UNSUPPORTED, Vec::new()) };
                let mut id = serial.as_bytes().to_vec();
                id.resize(20, 0);
                return (OK, id);
            }
            11 => {
                assert_ne!(features & DISCARD, 0, "a discard for a disk that knows none");
                assert_eq!((data.len(), room), (16, 0));
                let number = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
                let (first, count) = (number(0) as usize, number(8) as usize);
                assert!(number(4) == 0 && number(12) == 0 && first + count <= self.model.sectors as usize);
                self.store.discard(first..first + count);
            }
            other => panic!("a request of type {other}"),
        }
        (OK, Vec::new())
    }
}
