//! A disk as it answers commands: its content, its cache, its faults.

use std::collections::{BTreeMap, BTreeSet};

use executor::sim::random;

use crate::disk::SECTOR;
use crate::disk::store::Store;

/// What kind of disk it is.
#[derive(Clone)]
pub struct Model {
    /// Logical sectors.
    pub sectors: u64,
    pub logical_sector: usize,
    pub has_ncq: bool,
    pub is_extended: bool,
    pub has_fua: bool,
    pub has_cache: bool,
    pub has_trim: bool,
    /// Whether it tells which queued command failed.
    pub has_error_log: bool,
    pub depth: u16,
    pub serial: &'static str,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            sectors: 4096,
            logical_sector: SECTOR,
            has_ncq: true,
            is_extended: true,
            has_fua: true,
            has_cache: true,
            has_trim: true,
            has_error_log: true,
            depth: 32,
            serial: "RUSK0001",
        }
    }
}

impl Model {
    /// A disk of the time before queues and large addresses.
    pub fn old() -> Self {
        Self { has_ncq: false, is_extended: false, has_fua: false, has_trim: false, ..Self::default() }
    }
}

/// What goes wrong with it. Of numbers, one in so many; 0 is never.
#[derive(Clone, Default)]
pub struct Faults {
    /// Logical sectors that cannot be read.
    pub bad: BTreeSet<u64>,
    /// Commands that are aborted.
    pub aborts: u64,
    /// Commands that are never answered.
    pub hangs: u64,
    /// The next commands that are never answered.
    pub hang_next: u64,
    /// The longest that a command takes, in nanoseconds.
    pub slowness: u64,
}

/// A command as the disk understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taskfile {
    pub command: u8,
    pub features: u16,
    pub address: u64,
    pub count: u16,
    pub device: u8,
}

/// What it says to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Data for the host.
    Data(Vec<u8>),
    Done,
    /// With this in the error register.
    Error(u8),
}

pub struct Disk {
    pub model: Model,
    pub faults: Faults,
    pub store: Store,
    /// The page of the error log.
    pub error_log: Option<[u8; SECTOR]>,
    /// Commands carried out, by code.
    pub carried_out: BTreeMap<u8, usize>,
}

const ABORTED: u8 = 1 << 2;
const UNCORRECTABLE: u8 = 1 << 6;

impl Taskfile {
    pub fn from_fis(fis: &[u8]) -> Self {
        assert_eq!((fis[0], fis[1]), (0x27, 0x80), "no command FIS");
        let address = [fis[4], fis[5], fis[6], fis[8], fis[9], fis[10], 0, 0];
        Self {
            command: fis[2],
            features: u16::from_le_bytes([fis[3], fis[11]]),
            address: u64::from_le_bytes(address),
            count: u16::from_le_bytes([fis[12], fis[13]]),
            device: fis[7],
        }
    }

    pub fn is_queued(&self) -> bool {
        matches!(self.command, 0x60 | 0x61)
    }

    fn is_short(&self) -> bool {
        matches!(self.command, 0xc8 | 0xca)
    }

    /// First logical sector, and how many.
    fn range(&self) -> (u64, u64) {
        let count = if self.is_queued() { self.features } else { self.count };
        if self.is_short() {
            assert!(self.count < 256 && self.address >> 24 == 0, "{self:?}");
            let address = self.address | u64::from(self.device & 0xf) << 24;
            return (address, if count == 0 { 256 } else { count.into() });
        }
        (self.address, if count == 0 { 0x1_0000 } else { count.into() })
    }
}

impl Disk {
    pub fn new(model: Model) -> Self {
        Self {
            store: Store::new(model.sectors as usize, model.logical_sector, model.has_cache),
            model,
            faults: Faults::default(),
            error_log: None,
            carried_out: BTreeMap::new(),
        }
    }

    /// Bytes that a command takes from the host.
    pub fn wanted(&self, task: &Taskfile) -> usize {
        match task.command {
            0x35 | 0x3d | 0x61 | 0xca => task.range().1 as usize * self.model.logical_sector,
            0x06 => usize::from(task.count) * SECTOR,
            _ => 0,
        }
    }

    /// Does what a command says.
    pub fn carry_out(&mut self, task: &Taskfile, data: &[u8]) -> Answer {
        let (model, size) = (self.model.clone(), self.model.logical_sector);
        *self.carried_out.entry(task.command).or_default() += 1;
        let is_known = match task.command {
            0x60 | 0x61 => model.has_ncq,
            0x25 | 0x35 | 0xea => model.is_extended,
            0x3d => model.has_fua,
            0x2f => model.has_error_log && model.has_ncq,
            0x06 => model.has_trim,
            0xc8 | 0xca | 0xe7 | 0xec => true,
            other => panic!("command {other:#x}"),
        };
        let is_ours = matches!(task.command, 0xec | 0x2f);
        if !is_known || (!is_ours && self.faults.aborts > 0 && random(self.faults.aborts) == 0) {
            return Answer::Error(ABORTED);
        }
        match task.command {
            0xec => Answer::Data(self.identify()),
            0x2f => self.error_log.take().map_or(Answer::Error(ABORTED), |log| Answer::Data(log.to_vec())),
            0xe7 | 0xea => {
                self.store.flush();
                Answer::Done
            }
            0x06 => {
                self.trim(data);
                Answer::Done
            }
            _ => {
                let (first, count) = task.range();
                assert!(first + count <= model.sectors, "{task:?} is beyond the end");
                let at = first as usize * size..(first + count) as usize * size;
                if self.faults.bad.range(first..first + count).next().is_some() {
                    return Answer::Error(UNCORRECTABLE);
                }
                if matches!(task.command, 0x25 | 0x60 | 0xc8) {
                    return Answer::Data(self.store.content()[at].to_vec());
                }
                let is_forced = task.command == 0x3d || (task.command == 0x61 && task.device >> 7 != 0);
                self.store.write(first as usize, data, is_forced);
                Answer::Done
            }
        }
    }

    fn trim(&mut self, data: &[u8]) {
        for range in data.chunks_exact(8) {
            let range = u64::from_le_bytes(range.try_into().expect("eight bytes"));
            let (first, count) = (range & 0xffff_ffff_ffff, range >> 48);
            assert!(first + count <= self.model.sectors, "a range beyond the end");
            self.store.discard(first as usize..(first + count) as usize);
        }
    }

    fn identify(&self) -> Vec<u8> {
        let mut words = [0u16; 256];
        let model = &self.model;
        let mut text = |first: usize, count: usize, text: &str| {
            let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
            for word in &mut words[first..first + count] {
                *word = u16::from_be_bytes([bytes.next().expect("endless"), bytes.next().expect("endless")]);
            }
        };
        text(10, 10, model.serial);
        text(23, 4, "1.0");
        text(27, 20, "RUSK MODEL DISK");
        words[49] = 0x300;
        words[60] = model.sectors as u16;
        words[61] = (model.sectors >> 16) as u16;
        words[75] = model.depth - 1;
        words[76] = u16::from(model.has_ncq) << 8;
        words[83] = 1 << 14 | u16::from(model.is_extended) << 10;
        words[84] = 1 << 14 | u16::from(model.has_fua) << 6;
        words[85] = u16::from(model.has_cache) << 5;
        for word in 0..4 {
            words[100 + word] = (model.sectors >> (16 * word)) as u16;
        }
        if model.logical_sector != SECTOR {
            words[106] = 1 << 14 | 1 << 12;
            words[117] = (model.logical_sector / 2) as u16;
        }
        words[169] = u16::from(model.has_trim);
        words[255] = 0xa5;
        let sum = words.iter().flat_map(|word| word.to_le_bytes()).fold(0u8, u8::wrapping_add);
        words[255] |= u16::from(sum.wrapping_neg()) << 8;
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
