//! Disks and their partitions: names, numbers, and what is known about them.
//!
//! ```text
//!   driver's disk ─┬─ Span: all of it ───► Disk sda    (8, 0)    /dev/sda
//!                  └─ Span: a part of it ─► Disk sda1   (8, 1)    /dev/sda1
//! ```

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use drivers::block::Disk as DrivenDisk;
use executor::sync::{Mutex, MutexGuard, SpinMutex};
use fs::{
    Device, Inode,
    block::{BlockDevice, BlockDeviceRef, BlockInode, Opening},
};
use syscalls::Errno;

use super::{block::Driven, loops, partitions, span::Span};
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
    span: Arc<Span>,
    inode: Arc<BlockInode>,
    /// Held while it, or a partition of it, is opened, and while it is set up or taken apart: those of a disk have one.
    control: Arc<Mutex<()>>,
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
    pub fn device(&self) -> &Span {
        &self.span
    }

    /// The number of the whole disk.
    pub fn whole(&self) -> Device {
        self.part.map_or(self.number, |part| part.whole)
    }

    /// Keeps others from opening it and its partitions, and from setting it up, as long as the result is held.
    pub async fn control(&self) -> MutexGuard<'_, ()> {
        self.control.lock().await
    }

    /// Bytes of the unit in which it stores.
    pub fn physical_sector(&self) -> u32 {
        self.about.physical_sector.max(self.span.sector_size())
    }

    /// Its partitions.
    pub fn parts(&self) -> Vec<Arc<Disk>> {
        let is_part = |disk: &&Arc<Disk>| disk.part.is_some_and(|part| part.whole == self.number);
        DISKS.lock().iter().filter(is_part).cloned().collect()
    }

    /// Begins to use it. ENXIO if it is not there any more.
    pub async fn open(&self) -> Result<Opening, Errno> {
        // Nobody is taking it apart meanwhile.
        let _control = self.control().await;
        let is_there = find(self.number).is_some_and(|known| core::ptr::eq(&raw const *known, self));
        if is_there { Ok(self.inode.clone().open()) } else { Err(Errno::ENXIO) }
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

/// All of them, those that lie on others before these.
pub fn all_from_above() -> Vec<Arc<Disk>> {
    let mut disks = all();
    disks.sort_by_cached_key(|disk| core::cmp::Reverse(loops::depth(disk)));
    disks
}

/// Brings what was written to all of them to stable storage, as far as they can.
pub async fn sync_all() {
    for disk in all_from_above() {
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
    /// How many numbers a disk has: its own, and those of its first partitions. Others get [extended](EXTENDED) ones.
    pub minors: u32,
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
    minors: 16,
    vendor: "ATA     ",
    found: AtomicUsize::new(0),
};

/// Virtio disks. Their major is the first of those that Linux gives out as they are asked for.
pub static VIRTIO: Kind = Kind {
    prefix: "vd",
    driver: "virtblk",
    majors: &[254],
    minors: 16,
    vendor: "0x1af4",
    found: AtomicUsize::new(0),
};

/// Loop devices, which have their names and numbers from programs.
pub static LOOP: Kind =
    Kind { prefix: "loop", driver: "loop", majors: &[7], minors: 1, vendor: "", found: AtomicUsize::new(0) };

/// The major of partitions that have no number beside their disk's, and what the list of drivers calls it.
pub const EXTENDED: (u32, &str) = (259, "blkext");

/// How many minors a major has.
pub const MINORS: u32 = 1 << 20;

impl Kind {
    /// Name and number of the disk at a place in the order in which they were found.
    fn identity(&self, place: usize) -> Option<(String, Device)> {
        // Where there are several majors, each has 256 minors, as of old.
        let per_major = if self.majors.len() > 1 { 256 } else { MINORS } as usize / self.minors as usize;
        let major = *self.majors.get(place / per_major)?;
        // a to z, aa to zz: digits without a zero.
        let mut letters = Vec::new();
        let mut rest = place + 1;
        while rest > 0 {
            letters.push(b'a' + ((rest - 1) % 26) as u8);
            rest = (rest - 1) / 26;
        }
        letters.reverse();
        let name = format!("{}{}", self.prefix, String::from_utf8_lossy(&letters));
        Some((name, Device::new(major, (place % per_major) as u32 * self.minors)))
    }
}

impl Disk {
    fn new(
        name: String,
        kind: &'static Kind,
        span: Arc<Span>,
        part: Option<Part>,
        about: About,
        control: Arc<Mutex<()>>,
    ) -> Arc<Self> {
        let number = span.device();
        let inode = BlockInode::new(span.clone(), number, 0);
        Arc::new(Disk { name, number, kind, part, about, span, inode, control })
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
    let span = Span::whole(Driven::new(disk, number));
    let disk = Disk::new(name, kind, span, None, about, Arc::default());
    DISKS.lock().push(disk.clone());
    Some(disk)
}

/// Makes a loop device known.
pub fn add_loop(index: u32, device: BlockDeviceRef) -> Arc<Disk> {
    let name = format!("{}{index}", LOOP.prefix);
    let disk = Disk::new(name, &LOOP, Span::whole(device), None, About::default(), Arc::default());
    DISKS.lock().push(disk.clone());
    disk
}

/// Makes partition `index`, from 1, of a disk known: its first byte, and how many there are. None if there are too many.
pub fn add_part(whole: &Disk, index: u32, start: u64, len: u64) -> Option<Arc<Disk>> {
    // A name that ends with a digit is kept apart from the partition's number.
    let between = if whole.name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    let name = format!("{}{between}{index}", whole.name);
    let part = Some(Part { whole: whole.number, index, start });
    let mut disks = DISKS.lock();
    let number = if index < whole.kind.minors {
        Device::new(whole.number.major(), whole.number.minor() + index)
    } else {
        let is_free = |minor: &u32| !disks.iter().any(|disk| disk.number == Device::new(EXTENDED.0, *minor));
        Device::new(EXTENDED.0, (0..MINORS).find(is_free)?)
    };
    let (span, about) = (whole.span.part(number, start, len), whole.about.clone());
    let disk = Disk::new(name, whole.kind, span, part, about, whole.control.clone());
    disks.push(disk.clone());
    Some(disk)
}

/// A disk or partition is not known any more. Who has it open keeps it.
pub fn remove(disk: &Disk) {
    let mut disks = DISKS.lock();
    let at = disks.iter().position(|known| core::ptr::eq(&raw const **known, disk));
    let removed = at.map(|at| disks.remove(at));
    drop(disks);
    // Outside the lock: it may free memory.
    drop(removed);
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
