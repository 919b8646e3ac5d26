//! A device's registers (VIRTIO 1.2, 4.1.4.3), and how it is brought up (3.1).

use core::fmt;
use core::time::Duration;

use bitflags::bitflags;

use super::queue::Queue;
use crate::dma::{NarrowMmio, Region};
use crate::patience::within;

/// Bytes that the registers of all devices take.
pub const COMMON_LEN: usize = 0x38;
/// What a register of an interrupt message says if there is none; also what it is written to have none.
const NO_VECTOR: u16 = 0xffff;

/// How long a reset may take: the device ends first what it has begun.
const RESET: Duration = Duration::from_secs(10);
/// Register reads that a device gets to reset when nobody can wait for it.
const LAST_LOOKS: usize = 10_000;
/// How often a device may change what it is while one looks.
const LOOKS: usize = 10;

/// Offsets of registers.
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub const DEVICE_FEATURE: usize = 0x04;
    pub const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub const DRIVER_FEATURE: usize = 0x0c;
    /// 16 bits.
    pub const CONFIG_MSIX_VECTOR: usize = 0x10;
    /// 8 bits.
    pub const STATUS: usize = 0x14;
    /// 8 bits.
    pub const CONFIG_GENERATION: usize = 0x15;
    /// 16 bits, and so are the next four.
    pub const QUEUE_SELECT: usize = 0x16;
    pub const QUEUE_SIZE: usize = 0x18;
    pub const QUEUE_MSIX_VECTOR: usize = 0x1a;
    pub const QUEUE_ENABLE: usize = 0x1c;
    pub const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
    /// Addresses of 64 bits, in halves.
    pub const QUEUE_DESCRIPTORS: usize = 0x20;
    pub const QUEUE_AVAILABLE: usize = 0x28;
    pub const QUEUE_USED: usize = 0x30;
}

bitflags! {
    /// How far a device has been brought up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u8 {
        /// It was noticed.
        const ACKNOWLEDGE = 1 << 0;
        /// There is a driver for it.
        const DRIVER = 1 << 1;
        /// The driver works.
        const DRIVER_OK = 1 << 2;
        /// The features are settled.
        const FEATURES_OK = 1 << 3;
        /// The device needs a reset.
        const NEEDS_RESET = 1 << 6;
        /// The driver has given up.
        const FAILED = 1 << 7;
        const _ = !0;
    }

    /// What both sides can do, as far as all devices have it; each kind has more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// A descriptor may lead to a table of descriptors.
        const INDIRECT_DESCRIPTORS = 1 << 28;
        /// Each side names the entry at which it wants to be told.
        const EVENT_INDEX = 1 << 29;
        /// This interface, not an older one.
        const VERSION_1 = 1 << 32;
        /// The platform may have a say in which memory is reached.
        const ACCESS_PLATFORM = 1 << 33;
        /// Memory is ordered as the platform has it, not as among CPUs.
        const ORDER_PLATFORM = 1 << 36;
        const _ = !0;
    }
}

impl Features {
    /// Those that drivers take.
    pub const WANTED: Self = Self::INDIRECT_DESCRIPTORS
        .union(Self::EVENT_INDEX)
        .union(Self::VERSION_1)
        .union(Self::ACCESS_PLATFORM)
        .union(Self::ORDER_PLATFORM);
}

/// Why a device cannot be brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUpError {
    /// It does not come out of its reset.
    Reset,
    /// It has only the interface from before version 1.
    Old,
    /// It does not take the features that were chosen from its own.
    Features,
    /// It has no queue, or one of a strange size.
    Queue,
    /// It does not take a message for interrupts.
    Messages,
    /// What it says of itself changes all the time.
    Unsteady,
    /// It needs a reset again.
    Broken,
}

impl fmt::Display for SetUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "it does not come out of its reset",
            Self::Old => "it has only the interface from before version 1",
            Self::Features => "it does not take the features that were chosen from its own",
            Self::Queue => "it has no queue, or one of a strange size",
            Self::Messages => "it does not take a message for interrupts",
            Self::Unsteady => "what it says of itself changes all the time",
            Self::Broken => "it breaks down as soon as it runs",
        })
    }
}

impl core::error::Error for SetUpError {}

/// A device's registers.
pub struct Transport<M> {
    common: M,
    notify: M,
    notify_multiplier: u32,
    device: M,
}

/// Where a write tells that there is work in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Doorbell {
    offset: usize,
    queue: u16,
}

impl<M: NarrowMmio> Transport<M> {
    /// Those that a [`Layout`](super::Layout) has named. PCI bus mastering and memory space must be on.
    pub fn new(common: M, notify: M, notify_multiplier: u32, device: M) -> Self {
        Self { common, notify, notify_multiplier, device }
    }

    pub(crate) fn status(&self) -> Status {
        Status::from_bits_retain(self.common.read8(common::STATUS))
    }

    /// How far it is.
    pub fn set_status(&self, status: Status) {
        self.common.write8(common::STATUS, status.bits());
    }

    /// The driver has given up.
    pub(crate) fn fail(&self) {
        self.set_status(self.status() | Status::FAILED);
    }

    /// Resets it: afterwards it touches no memory. Whether it does.
    pub async fn reset(&self) -> bool {
        self.set_status(Status::empty());
        within(RESET, || self.status().is_empty()).await
    }

    /// The same for one who cannot wait.
    pub fn reset_now(&self) -> bool {
        self.set_status(Status::empty());
        (0..LAST_LOOKS).any(|_| self.status().is_empty())
    }

    /// Settles what both sides can do: of what the device offers, what is wanted of its kind and of all. It has been reset.
    pub fn negotiate(&self, wanted: u64) -> Result<Features, SetUpError> {
        let progress = Status::ACKNOWLEDGE | Status::DRIVER;
        self.set_status(Status::ACKNOWLEDGE);
        self.set_status(progress);
        let offered = [0, 1].map(|half| {
            self.common.write32(common::DEVICE_FEATURE_SELECT, half);
            u64::from(self.common.read32(common::DEVICE_FEATURE))
        });
        let offered = Features::from_bits_retain(offered[0] | offered[1] << 32);
        if !offered.contains(Features::VERSION_1) {
            return Err(SetUpError::Old);
        }
        let features = offered & (Features::WANTED | Features::from_bits_retain(wanted));
        for half in [0, 1] {
            self.common.write32(common::DRIVER_FEATURE_SELECT, half);
            self.common.write32(common::DRIVER_FEATURE, (features.bits() >> (32 * half)) as u32);
        }
        self.set_status(progress | Status::FEATURES_OK);
        if self.status().contains(Status::FEATURES_OK) { Ok(features) } else { Err(SetUpError::Features) }
    }

    /// Entries that a queue may have; zero if it is not there.
    pub fn queue_size(&self, queue: u16) -> u16 {
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.read16(common::QUEUE_SIZE)
    }

    /// Gives the device a queue, empty, of a size that it may have, which interrupts by the first message of the table, as
    /// changes of the device do. Where to tell of work in it.
    pub fn set_up_queue<R: Region>(&self, number: u16, queue: &Queue<R>) -> Result<Doorbell, SetUpError> {
        let registers = &self.common;
        registers.write16(common::CONFIG_MSIX_VECTOR, 0);
        registers.write16(common::QUEUE_SELECT, number);
        registers.write16(common::QUEUE_SIZE, queue.size());
        registers.write16(common::QUEUE_MSIX_VECTOR, 0);
        let vectors = [common::CONFIG_MSIX_VECTOR, common::QUEUE_MSIX_VECTOR];
        if vectors.iter().any(|&vector| registers.read16(vector) == NO_VECTOR) {
            return Err(SetUpError::Messages);
        }
        let places = [common::QUEUE_DESCRIPTORS, common::QUEUE_AVAILABLE, common::QUEUE_USED];
        for (register, address) in places.into_iter().zip(queue.addresses()) {
            registers.write32(register, address as u32);
            registers.write32(register + 4, (address >> 32) as u32);
        }
        let offset = u64::from(registers.read16(common::QUEUE_NOTIFY_OFFSET));
        let offset = offset * u64::from(self.notify_multiplier);
        if !offset.is_multiple_of(2) || offset + 2 > self.notify.len() as u64 {
            return Err(SetUpError::Queue);
        }
        registers.write16(common::QUEUE_ENABLE, 1);
        Ok(Doorbell { offset: offset as usize, queue: number })
    }

    /// It shall work. Whether it does.
    pub fn start(&self) -> Result<(), SetUpError> {
        let status = Status::ACKNOWLEDGE | Status::DRIVER | Status::FEATURES_OK | Status::DRIVER_OK;
        self.set_status(status);
        if self.status() == status { Ok(()) } else { Err(SetUpError::Broken) }
    }

    /// Tells that there is work.
    pub fn ring(&self, doorbell: Doorbell) {
        self.notify.write16(doorbell.offset, doorbell.queue);
    }

    /// What the registers of this kind of device say all together.
    pub fn consistent<T>(&self, read: impl Fn(&DeviceRegisters<'_, M>) -> T) -> Result<T, SetUpError> {
        let generation = || self.common.read8(common::CONFIG_GENERATION);
        for _ in 0..LOOKS {
            let before = generation();
            let value = read(&DeviceRegisters(&self.device));
            if generation() == before {
                return Ok(value);
            }
        }
        Err(SetUpError::Unsteady)
    }
}

/// The registers of one kind of device. Beyond their end there are zeros.
pub struct DeviceRegisters<'a, M>(&'a M);

impl<M: NarrowMmio> DeviceRegisters<'_, M> {
    pub fn read8(&self, offset: usize) -> u8 {
        if offset < self.0.len() { self.0.read8(offset) } else { 0 }
    }

    pub fn read32(&self, offset: usize) -> u32 {
        if offset + 4 <= self.0.len() { self.0.read32(offset) } else { 0 }
    }

    pub fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }
}
