//! The device's registers.

use drivers::dma::{Mmio, NarrowMmio};
use executor::sim::{random, spend};

use super::{DRIVER, DRIVER_OK, Defect, Device, FEATURES_OK, NEEDS_RESET, NO_VECTOR, State};
use crate::requests::{BLK_SIZE, STRANGE, happens};

/// Where the queue's doorbell is.
const NOTIFY_OFFSET: u16 = 3;
pub const NOTIFY_MULTIPLIER: u32 = 4;

impl State {
    fn set_status(&mut self, status: u8) {
        let is_ready = !self.is_resetting || self.is_stuck || status >> 7 != 0;
        self.rule(is_ready, "it is still being reset");
        self.rule(self.status & !status & 0x3f == 0, "the status goes back");
        let gained = status & !self.status;
        self.status = status;
        if gained & FEATURES_OK != 0 {
            self.rule(self.features & !self.disk.model.offers == 0, "features that were not offered");
            self.rule(self.features & STRANGE == 0, "features that nobody knows");
            if self.defect == Some(Defect::RefusesFeatures) {
                self.status &= !FEATURES_OK;
            }
        }
        if gained & DRIVER_OK != 0 {
            self.rule(self.status & FEATURES_OK != 0 && self.is_enabled, "it is not ready to work");
            self.ring.features = self.features;
            if self.defect == Some(Defect::BreaksDown) {
                self.status |= NEEDS_RESET;
            }
        }
    }

    fn read_common(&self, offset: usize, width: usize) -> u32 {
        let is_there = self.queue == 0 && self.defect != Some(Defect::HasNoQueue);
        match (offset, width) {
            (0x04, 4) => match self.halves[0] {
                half @ 0..2 => (self.disk.model.offers >> (32 * half)) as u32,
                _ => 0,
            },
            (0x10, 2) => self.vectors[0].into(),
            (0x12, 2) => 1,
            (0x14, 1) => self.status.into(),
            (0x15, 1) => self.generation.into(),
            (0x18, 2) if is_there => self.disk.model.queue_size.into(),
            (0x18, 2) => 0,
            (0x1a, 2) => self.vectors[1].into(),
            (0x1e, 2) if self.defect == Some(Defect::DoorbellElsewhere) => 0x1000,
            (0x1e, 2) => NOTIFY_OFFSET.into(),
            other => panic!("register {other:?} is read"),
        }
    }

    fn write_common(&mut self, offset: usize, width: usize, value: u32) {
        let half = |whole: &mut u64, at: usize| {
            let shift = if at.is_multiple_of(8) { 0 } else { 32 };
            *whole = *whole & !(0xffff_ffff << shift) | u64::from(value) << shift;
        };
        if offset >= 0x18 {
            self.rule(self.queue == 0 && !self.is_enabled, "a queue is changed that is in use");
            self.rule(self.status & FEATURES_OK != 0, "a queue before the features are settled");
        }
        let vector = if self.defect == Some(Defect::HasNoVectors) { NO_VECTOR } else { value as u16 };
        match (offset, width) {
            (0x00, 4) => self.halves[0] = value,
            (0x08, 4) => self.halves[1] = value,
            (0x0c, 4) => {
                let is_time = self.status & DRIVER != 0 && self.status & FEATURES_OK == 0;
                self.rule(is_time && self.halves[1] < 2, "features out of time");
                half(&mut self.features, self.halves[1] as usize * 4);
            }
            (0x10, 2) => self.vectors[0] = vector,
            (0x14, 1) => self.set_status(value as u8),
            (0x16, 2) => self.queue = value as u16,
            (0x18, 2) => {
                let size = value as u16;
                let is_known = size.is_power_of_two() && size <= self.disk.model.queue_size;
                self.rule(is_known, "a queue of another size");
                self.ring.size = size;
            }
            (0x1a, 2) => self.vectors[1] = vector,
            (0x1c, 2) => {
                assert_eq!(value, 1);
                assert!(self.ring.size > 0 && self.ring.descriptors != 0, "a queue that is nowhere");
                assert!(self.ring.descriptors.is_multiple_of(16) && self.ring.used.is_multiple_of(4));
                assert!(self.ring.available.is_multiple_of(2));
                self.is_enabled = true;
            }
            (0x20 | 0x24, 4) => half(&mut self.ring.descriptors, offset),
            (0x28 | 0x2c, 4) => half(&mut self.ring.available, offset),
            (0x30 | 0x34, 4) => half(&mut self.ring.used, offset),
            other => panic!("register {other:?} is written"),
        }
    }

    fn read_disk(&mut self, offset: usize, width: usize) -> u32 {
        if self.defect == Some(Defect::Changes) {
            self.generation = self.generation.wrapping_add(1);
        }
        let model = &self.disk.model;
        match (offset, width) {
            (0, 4) => model.sectors as u32,
            (4, 4) => (model.sectors >> 32) as u32,
            (8, 4) => model.size_max,
            (12, 4) => model.seg_max,
            (20, 4) if model.offers & BLK_SIZE != 0 => model.logical_sector as u32,
            (24, 1) => 3,
            (36, 4) => 2048,
            // What the features do not vouch for may be anything.
            (20, 4) => 0xdead,
            other => panic!("register {other:?} of the disk is read"),
        }
    }
}

/// Some of its registers.
pub enum Part {
    Common,
    Notify,
    Disk,
}

pub struct Window {
    pub device: Device,
    pub part: Part,
}

impl Window {
    fn read(&self, offset: usize, width: usize) -> u32 {
        spend(100);
        assert!(offset.is_multiple_of(width) && offset + width <= self.len());
        self.device.with(|state| {
            let value = match self.part {
                Part::Common => state.read_common(offset, width),
                Part::Notify => panic!("a doorbell is read"),
                Part::Disk => state.read_disk(offset, width),
            };
            if happens(state.noise) { random(1 << 32) as u32 } else { value }
        })
    }

    fn write(&self, offset: usize, width: usize, value: u32) {
        spend(100);
        assert!(offset.is_multiple_of(width) && offset + width <= self.len());
        match self.part {
            Part::Common if (offset, width, value) == (0x14, 1, 0) => self.device.begin_reset(),
            Part::Common => self.device.with(|state| state.write_common(offset, width, value)),
            Part::Disk => panic!("a register of the disk is written"),
            Part::Notify => {
                let place = usize::from(NOTIFY_OFFSET) * NOTIFY_MULTIPLIER as usize;
                let epoch = self.device.with(|state| {
                    state.rule((offset, width, value) == (place, 2, 0), "not the queue's doorbell");
                    state.rule(state.status & DRIVER_OK != 0, "work before it works");
                    state.notifications += 1;
                    state.epoch
                });
                self.device.after(random(2_000), move |device| {
                    if device.with(|state| state.epoch == epoch && state.status & NEEDS_RESET == 0) {
                        device.service(epoch);
                    }
                });
            }
        }
    }
}

impl Mmio for Window {
    fn read32(&self, offset: usize) -> u32 {
        self.read(offset, 4)
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, 4, value);
    }

    fn len(&self) -> usize {
        match self.part {
            Part::Common => 0x38,
            Part::Notify => 0x100,
            Part::Disk => 0x3c,
        }
    }
}

impl NarrowMmio for Window {
    fn read8(&self, offset: usize) -> u8 {
        self.read(offset, 1) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        self.read(offset, 2) as u16
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, 1, value.into());
    }

    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, 2, value.into());
    }
}
