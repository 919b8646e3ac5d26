//! Disks and their partitions: names, numbers, and what is known about them.
//!
//! ```text
//!   driver ──► Counted ──┬──► Disk sda    (8, 0)    /dev/sda
//!                        └─ Stretch ─► Disk sda1  (8, 1)    /dev/sda1
//! ```

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use executor::sync::SpinMutex;
use fs::{
    Device, Inode, Op, Result,
    block::{BlockDevice, BlockDeviceRef, BlockInode, Direction, SECTOR, Transfer},
};

use crate::arch::clock;

/// What a driver knows about a disk.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What its maker calls it.
    pub model: String,
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
    /// What it is a part of, and which.
    pub part: Option<Part>,
    /// What the driver knows.
    pub about: About,
    /// What was moved.
    pub traffic: Arc<Traffic>,
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
    pub fn device(&self) -> &BlockDeviceRef {
        self.inode.device()
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

/// Majors of SCSI disks, each for sixteen of them (Linux's `Documentation/admin-guide/devices.txt`).
pub const MAJORS: [u32; 16] = [8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135];
/// Minors of a disk: itself and fifteen partitions.
pub const MINORS: u32 = 16;

/// Name and number of the disk at a place in the order in which they were found.
fn identity(place: usize) -> Option<(String, Device)> {
    let major = *MAJORS.get(place / 16)?;
    // a to z, aa to zz: digits without a zero.
    let mut letters = Vec::new();
    let mut rest = place + 1;
    while rest > 0 {
        letters.push(b'a' + ((rest - 1) % 26) as u8);
        rest = (rest - 1) / 26;
    }
    letters.reverse();
    let name = format!("sd{}", String::from_utf8_lossy(&letters));
    Some((name, Device::new(major, place as u32 % 16 * MINORS)))
}

/// Makes a driver's disk known; None if there are too many.
pub fn add(make: impl FnOnce(Device) -> BlockDeviceRef, about: About) -> Option<Arc<Disk>> {
    let place = DISKS.lock().iter().filter(|disk| disk.part.is_none()).count();
    let (name, number) = identity(place)?;
    let traffic = Arc::new(Traffic::default());
    let device = Arc::new(Counted { device: make(number), traffic: traffic.clone() });
    let disk = Arc::new(Disk {
        name,
        number,
        part: None,
        about,
        traffic,
        inode: BlockInode::new(device, number, 0),
    });
    DISKS.lock().push(disk.clone());
    Some(disk)
}

/// Makes partition `index` (1 to 15) of a disk known: its first byte, and how many there are.
pub fn add_part(whole: &Disk, index: u32, start: u64, len: u64) -> Arc<Disk> {
    let number = Device::new(whole.number.major(), whole.number.minor() + index);
    let traffic = Arc::new(Traffic::default());
    let stretch = Stretch { whole: whole.device().clone(), number, start, len };
    let device = Arc::new(Counted { device: Arc::new(stretch), traffic: traffic.clone() });
    let disk = Arc::new(Disk {
        name: format!("{}{index}", whole.name),
        number,
        part: Some(Part { whole: whole.number, index, start }),
        about: whole.about.clone(),
        traffic,
        inode: BlockInode::new(device, number, 0),
    });
    DISKS.lock().push(disk.clone());
    disk
}

/// A stretch of a disk.
struct Stretch {
    whole: BlockDeviceRef,
    number: Device,
    start: u64,
    len: u64,
}

impl BlockDevice for Stretch {
    fn size(&self) -> u64 {
        self.len
    }

    fn sector_size(&self) -> u32 {
        self.whole.sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.whole.is_read_only()
    }

    fn device(&self) -> Device {
        self.number
    }

    fn transfer(&self, mut transfer: Transfer) -> Op<'static, Result<()>> {
        if !transfer.fits(self.len, self.sector_size()) {
            return Op::Ready(Err(syscalls::Errno::EIO));
        }
        transfer.offset += self.start;
        self.whole.transfer(transfer)
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        self.whole.flush()
    }
}

/// What was moved in one direction.
#[derive(Default)]
pub struct Flow {
    /// Transfers that were carried out.
    pub transfers: AtomicU64,
    /// Units of 512 bytes that they moved.
    pub sectors: AtomicU64,
    /// How long they took, all together.
    pub nanoseconds: AtomicU64,
}

impl Flow {
    fn add(&self, sectors: u64, since: u64) {
        self.transfers.fetch_add(1, Relaxed);
        self.sectors.fetch_add(sectors, Relaxed);
        self.nanoseconds.fetch_add(clock::now_ns().saturating_sub(since), Relaxed);
    }
}

/// What was moved. Relaxed: statistics.
#[derive(Default)]
pub struct Traffic {
    /// From the disk.
    pub reads: Flow,
    /// To the disk.
    pub writes: Flow,
    /// To the disk\'s medium.
    pub flushes: Flow,
    /// Transfers that are being carried out.
    pub in_flight: AtomicU64,
}

impl Traffic {
    fn flow(&self, direction: Option<Direction>) -> &Flow {
        match direction {
            Some(Direction::Read) => &self.reads,
            Some(Direction::Write) => &self.writes,
            None => &self.flushes,
        }
    }
}

/// A device whose traffic is counted.
struct Counted {
    device: BlockDeviceRef,
    traffic: Arc<Traffic>,
}

impl Counted {
    /// `direction` is None for a flush.
    fn count(
        &self,
        direction: Option<Direction>,
        sectors: u64,
        op: Op<'static, Result<()>>,
    ) -> Op<'static, Result<()>> {
        /// One that is being carried out, or whose future was dropped.
        struct InFlight(Arc<Traffic>);

        impl Drop for InFlight {
            fn drop(&mut self) {
                self.0.in_flight.fetch_sub(1, Relaxed);
            }
        }

        let since = clock::now_ns();
        self.traffic.in_flight.fetch_add(1, Relaxed);
        let here = InFlight(self.traffic.clone());
        Op::waiting(async move {
            op.await?;
            here.0.flow(direction).add(sectors, since);
            Ok(())
        })
    }
}

impl BlockDevice for Counted {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.device.is_read_only()
    }

    fn device(&self) -> Device {
        self.device.device()
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        let sectors = transfer.bytes() / SECTOR;
        self.count(Some(transfer.direction), sectors, self.device.transfer(transfer))
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        self.count(None, 0, self.device.flush())
    }
}
