//! Devices that are found, not known from the start, and the drivers that serve them.
//!
//! ```text
//!   bus.rs       what is on the PCI buses           (drivers::pci over arch::pci)
//!   message.rs   how it interrupts
//!   sata.rs      SATA disks                         (drivers::ahci)
//!   virtio.rs    virtio disks                       (drivers::virtio_blk)
//!   block.rs     a driver's disk, as file systems see it
//!   loops/       files as disks
//!   span.rs      a disk, or a part of one, and its users; traffic.rs: what is moved, counted
//!   disk.rs      disks and their partitions: names and numbers; partitions.rs: where they are
//!   volume.rs    file systems on them               (fs::ext4)
//! ```
//!
//! Where to start reading: [`enumerate`], then [`start`].

use core::sync::atomic::{AtomicBool, Ordering};

use executor::{JoinHandle, sync::WaitQueue};

use crate::memory;

mod block;
pub mod bus;
pub mod disk;
pub mod loops;
mod message;
pub mod partitions;
mod sata;
mod span;
pub mod traffic;
mod virtio;
pub mod volume;

/// Whether all that was there at the start is known. Release when it is, Acquire by who waits for it.
static SETTLED: AtomicBool = AtomicBool::new(false);
static WAITERS: WaitQueue = WaitQueue::new();

/// Looks at the buses. Once, while no other CPU runs: a function listens to nothing while its registers are asked for their size,
/// and QEMU (10.0) dies now and then of an assertion when addresses vanish that other CPUs reach devices beside.
pub fn enumerate() {
    bus::scan();
}

/// Starts the drivers of the devices that are there, beside what else there is to do: most of the time goes by waiting for ports to
/// which nothing is connected. Once.
pub fn start() {
    let pages = memory::stats().total_bytes / memory::PAGE_SIZE;
    // Of all memory, as Linux has it. What programs need, pages of disks make room for.
    fs::cache::set_dirty_limit(pages / 5);
    if executor::Builder::new()
        .name("devices")
        .try_spawn(start_drivers(Settling))
        .map(JoinHandle::detach)
        .is_err()
    {
        log::error!("devices: no memory to start drivers");
    }
}

/// Whoever has this looks for devices. When it is dropped, whatever the reason, nobody waits any more.
struct Settling;

impl Drop for Settling {
    fn drop(&mut self) {
        SETTLED.store(true, Ordering::Release);
        WAITERS.wake_all();
    }
}

async fn start_drivers(settling: Settling) {
    if let Some(bus) = bus::get() {
        virtio::start(bus).await;
        sata::start(bus).await;
    }
    loops::start().await;
    drop(settling);
}

/// Waits until all that was there at the start is known, as udev's `settle` does.
pub async fn settled() {
    WAITERS.wait_until(|| SETTLED.load(Ordering::Acquire).then_some(())).await;
}
