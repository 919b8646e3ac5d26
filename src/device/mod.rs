//! Devices that are found, not known from the start, and the drivers that serve them.
//!
//! ```text
//!   bus.rs       what is on the PCI buses           (drivers::pci over arch::pci)
//!   message.rs   how it interrupts
//!   sata.rs      SATA disks                         (drivers::ahci)
//!   block.rs     a driver's disk, as file systems see it
//!   disk.rs      disks and their partitions
//!   volume.rs    file systems on them               (fs::ext4)
//! ```
//!
//! Where to start reading: [`start`].

use crate::memory;

mod block;
pub mod bus;
pub mod disk;
mod message;
mod partitions;
mod sata;
pub mod volume;

/// Finds the devices and starts their drivers. Once, before the root is built.
pub async fn start() {
    let pages = memory::stats().total_bytes / memory::PAGE_SIZE;
    // Of all memory, as Linux has it. What programs need, pages of disks make room for.
    fs::cache::set_dirty_limit(pages / 5);
    bus::scan();
    if let Some(bus) = bus::get() {
        sata::start(bus).await;
    }
}
