//! Loop devices: files as disks (Linux's `drivers/block/loop.c`).
//!
//! ```text
//!   /dev/loop-control ─► add, remove, free_one          here
//!   /dev/loop0 ─► configure, clear, ...                 control.rs, and what follows the last close
//!        │
//!      Span ─► LoopDevice: unbound, bound ...           device.rs
//!                  │
//!               Binding: a file, and which part of it   binding.rs
//!                  │
//!               read_at, write_at, fsync of the file    transfers.rs
//! ```
//!
//! **Order.** A device lies on a file, and this on a file system or a disk, which may lie on a loop device again. Whoever binds
//! a device sees to it that it does not lie on itself, under [`ORDER`]; so whatever waits for what is below it comes to an end.
//!
//! **Memory.** Each level throttles its own writers: a transfer dirties pages of the file below, and if that is too much it
//! stores them, as any writer does, before it is done ([`transfers`]).

use alloc::{collections::BTreeMap, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering::Acquire};

use executor::sync::{Mutex, SpinMutex, WaitQueue};
use fs::Device;
use syscalls::Errno;

use super::{
    disk::{self, Disk},
    partitions,
};
use crate::root;

mod binding;
mod control;
mod device;
mod transfers;

pub use binding::{Backing, Binding, Flags, Settings, check_block_size};
use device::LoopDevice;

/// Devices that there are from the beginning.
const FIRST: u32 = 8;

/// A loop device.
pub struct Loop {
    index: u32,
    device: Arc<LoopDevice>,
    disk: Arc<Disk>,
}

/// All of them.
static LOOPS: SpinMutex<BTreeMap<u32, Arc<Loop>>> = SpinMutex::new(BTreeMap::new());
/// Held while devices are added and removed.
static CHANGES: Mutex<()> = Mutex::new(());
/// Held while a device gets a file, so that none comes to lie on itself. Outside all other locks here.
static ORDER: SpinMutex<()> = SpinMutex::new(());

/// Devices whose last user has left, and who have not done yet what that brings.
static SETTLING: AtomicUsize = AtomicUsize::new(0);
static SETTLED: WaitQueue = WaitQueue::new();
/// Devices that have a file.
static BOUND: AtomicUsize = AtomicUsize::new(0);

impl Loop {
    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The file that it has, and how.
    pub fn binding(&self) -> Option<Arc<Binding>> {
        self.device.binding()
    }
}

/// The one with a device number.
pub fn find(number: Device) -> Option<Arc<Loop>> {
    let [major] = disk::LOOP.majors else { return None };
    if number.major() == *major { LOOPS.lock().get(&number.minor()).cloned() } else { None }
}

/// Makes the first ones. Once.
pub(super) async fn start() {
    for index in 0..FIRST {
        if let Err(errno) = add(Some(index)).await {
            log::warn!("loop{index}: {errno}");
        }
    }
}

/// Adds a device, the first that there is not if none is asked for; gives its number.
///
/// # Errors
/// EEXIST if there is one, EINVAL if there cannot be, and ENOMEM.
pub async fn add(index: Option<u32>) -> Result<u32, Errno> {
    let _changes = CHANGES.lock().await;
    let index = {
        let loops = LOOPS.lock();
        let index = index.or_else(|| (0..disk::MINORS).find(|index| !loops.contains_key(index)));
        let index = index.filter(|index| *index < disk::MINORS).ok_or(Errno::EINVAL)?;
        if loops.contains_key(&index) {
            return Err(Errno::EEXIST);
        }
        index
    };
    let [major] = disk::LOOP.majors else { return Err(Errno::EINVAL) };
    let device = LoopDevice::new(Device::new(*major, index));
    let disk = disk::add_loop(index, device.clone());
    let added = Arc::new(Loop { index, device, disk: disk.clone() });
    match executor::Builder::new().name("loop").try_spawn(added.clone().keep()) {
        Ok(task) => task.detach(),
        Err(_) => {
            disk::remove(&disk);
            return Err(Errno::ENOMEM);
        }
    }
    LOOPS.lock().insert(index, added);
    partitions::make_node(&disk).await;
    Ok(index)
}

/// Removes a device that nobody uses.
///
/// # Errors
/// ENODEV if there is none, EBUSY if it is in use.
pub async fn remove(index: u32) -> Result<(), Errno> {
    let _changes = CHANGES.lock().await;
    let found = LOOPS.lock().get(&index).cloned().ok_or(Errno::ENODEV)?;
    let _control = found.disk.control().await;
    found.device.remove()?;
    let removed = LOOPS.lock().remove(&index);
    disk::remove(&found.disk);
    if let Err(errno) = root::remove_disk(&found.disk).await {
        log::warn!("{}: its node in /dev stays: {errno}", found.disk.name);
    }
    drop(removed);
    Ok(())
}

/// The number of a device that has no file, made if there is none.
///
/// # Errors
/// As [`add`].
pub async fn free_one() -> Result<u32, Errno> {
    let free = LOOPS.lock().values().find(|looped| looped.device.is_unbound()).map(|free| free.index);
    match free {
        Some(index) => Ok(index),
        None => add(None).await,
    }
}

/// The disk of a number, which is made if it is a loop device's that there is not yet, as on Linux.
pub async fn disk_of(number: Device) -> Option<Arc<Disk>> {
    if disk::LOOP.majors.contains(&number.major()) && find(number).is_none() {
        // Somebody else may have been as fast.
        let _ = add(Some(number.minor())).await;
    }
    disk::find(number)
}

/// How many loop devices lie between a disk and what is no loop device; none but for loop devices and their partitions.
pub fn depth(disk: &Disk) -> usize {
    let mut depth = 0;
    let mut looped = find(disk.whole());
    while let Some(here) = looped {
        depth += 1;
        let below = here.binding().and_then(|binding| binding.backing().disk());
        looped = below.and_then(|below| find(below.whole()));
    }
    depth
}

/// Whether any device has a file: whether closing something may have to wait for [`settled`].
#[inline]
pub fn are_bound() -> bool {
    BOUND.load(Acquire) > 0
}

/// Waits until what follows the last close of a device is done, wherever that has come.
pub async fn settled() {
    if SETTLING.load(Acquire) > 0 {
        SETTLED.wait_until(|| (SETTLING.load(Acquire) == 0).then_some(())).await;
    }
}
