//! Disks and their partitions: names, numbers, and what is known about them.
//!
//! ```text
//!   driver's disk ─┬─ Driven: all of it ───► Disk sda    (8, 0)    /dev/sda
//!                  └─ Driven: a part of it ─► Disk sda1   (8, 1)    /dev/sda1
//! ```

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use drivers::block::Disk as DrivenDisk;
use executor::sync::SpinMutex;
use fs::{
    Device, Inode,
    block::{BlockDevice, BlockInode},
};

use super::{block::Driven, partitions};
use crate::memory::DmaPiece;

/// What a driver knows about a disk.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What its maker calls it.
    pub model: String,
    /// What tells it from others.
    pub serial: String,
    /// The version of what runs on it.
    pub firmware: String,
    /// Bytes of the unit in which it stores: a multiple of the unit of transfers.
    pub physical_sector: u32,
    /// Transfers that it takes at a time.
    pub queue_depth: u32,
}

/// A disk, or a partition of one.
pub struct Disk {
    /// Its name in /dev.
    pub name: String,
    /// Its device number.
    pub number: Device,
    /// What it is called and numbered with.
    pub kind: &'static Kind,
    /// What it is a part of, and which.
    pub part: Option<Part>,
    /// What the driver knows.
    pub about: About,
    driven: Arc<Driven>,
    inode: Arc<BlockInode>,
}

/// Where a partition is.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// On which disk.
    pub whole: Device,
    /// Its number on it, from 1.
    pub index: u32,
    /// Its first byte.
    pub start: u64,
}

impl Disk {
    /// What to read and write.
    pub fn inode(&self) -> &Arc<BlockInode> {
        &self.inode
    }

    /// The device.
    pub fn device(&self) -> &Driven {
        &self.driven
    }
}

/// All of them, disks before their partitions.
static DISKS: SpinMutex<Vec<Arc<Disk>>> = SpinMutex::new(Vec::new());

/// All of them, disks before their partitions.
pub fn all() -> Vec<Arc<Disk>> {
    DISKS.lock().clone()
}

/// The one with a number.
pub fn find(number: Device) -> Option<Arc<Disk>> {
    DISKS.lock().iter().find(|disk| disk.number == number).cloned()
}

/// Brings what was written to all of them to stable storage, as far as they can.
pub async fn sync_all() {
    for disk in all() {
        let _ = disk.inode().fsync(false).await;
    }
}

/// Disks that are named and numbered together.
pub struct Kind {
    /// What their names begin with.
    pub prefix: &'static str,
    /// What the list of drivers calls them.
    pub driver: &'static str,
    /// Their majors.
    pub majors: &'static [u32],
    /// How many disks share one.
    per_major: usize,
    /// What `device/vendor` says.
    pub vendor: &'static str,
    /// How many were found. Relaxed: a number each.
    found: AtomicUsize,
}

/// SATA disks, which are SCSI's to programs (Linux's `Documentation/admin-guide/devices.txt`).
pub static SCSI: Kind = Kind {
    prefix: "sd",
    driver: "sd",
    majors: &[8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135],
    per_major: 16,
    vendor: "ATA     ",
    found: AtomicUsize::new(0),
};

/// Virtio disks. Their major is the first of those that Linux gives out as they are asked for.
pub static VIRTIO: Kind = Kind {
    prefix: "vd",
    driver: "virtblk",
    majors: &[254],
    per_major: (1 << 20) / MINORS as usize,
    vendor: "0x1af4",
    found: AtomicUsize::new(0),
};

/// Minors of a disk: itself and fifteen partitions.
pub const MINORS: u32 = 16;

impl Kind {
    /// Name and number of the disk at a place in the order in which they were found.
    fn identity(&self, place: usize) -> Option<(String, Device)> {
        let major = *self.majors.get(place / self.per_major)?;
        // a to z, aa to zz: digits without a zero.
        let mut letters = Vec::new();
        let mut rest = place + 1;
        while rest > 0 {
            letters.push(b'a' + ((rest - 1) % 26) as u8);
            rest = (rest - 1) / 26;
        }
        letters.reverse();
        let name = format!("{}{}", self.prefix, String::from_utf8_lossy(&letters));
        Some((name, Device::new(major, (place % self.per_major) as u32 * MINORS)))
    }
}

impl Disk {
    fn new(
        name: String,
        kind: &'static Kind,
        driven: Arc<Driven>,
        part: Option<Part>,
        about: About,
    ) -> Arc<Self> {
        let number = driven.device();
        let inode = BlockInode::new(driven.clone(), number, 0);
        let disk = Arc::new(Disk { name, number, kind, part, about, driven, inode });
        DISKS.lock().push(disk.clone());
        disk
    }
}

/// A driver's disk gets its name and number; None if there are too many.
fn add(kind: &'static Kind, disk: Arc<DrivenDisk<DmaPiece>>) -> Option<Arc<Disk>> {
    let (name, number) = kind.identity(kind.found.fetch_add(1, Relaxed))?;
    let geometry = disk.geometry();
    let about = About {
        model: geometry.model.clone(),
        serial: geometry.serial.clone(),
        firmware: geometry.firmware.clone(),
        physical_sector: geometry.physical_sector,
        queue_depth: geometry.queue_depth,
    };
    Some(Disk::new(name, kind, Driven::whole(disk, number), None, about))
}

/// Makes partition `index` (1 to 15) of a disk known: its first byte, and how many there are.
pub fn add_part(whole: &Disk, index: u32, start: u64, len: u64) -> Arc<Disk> {
    let number = Device::new(whole.number.major(), whole.number.minor() + index);
    let part = Part { whole: whole.number, index, start };
    let driven = whole.driven.part(number, start, len);
    Disk::new(format!("{}{index}", whole.name), whole.kind, driven, Some(part), whole.about.clone())
}

/// Makes a driver's disk known: with its name, its node in /dev, and its partitions.
pub async fn make_known(kind: &'static Kind, driven: Arc<DrivenDisk<DmaPiece>>) {
    let Some(disk) = add(kind, driven) else {
        log::warn!("{}: one disk too many", kind.driver);
        return;
    };
    let About { model, serial, queue_depth, .. } = &disk.about;
    let what = if model.is_empty() { serial } else { model };
    let mib = disk.device().size() >> 20;
    log::info!("{}: {what}, {mib} MiB, {queue_depth} commands at a time", disk.name);
    partitions::make_node(&disk).await;
    partitions::find(&disk).await;
}
