//! Virtio disks: those of virtual machines, a task for each.
//!
//! ```text
//!                        Disk (block/): requests wait, merged when issued
//!                          │ next          ▲ complete, retry
//!        ┌─────────────────▼───────────────┴────────┐
//!        │ Driver::run: bring up ─► serve ──────────┼─► recover: reset, the same disk? again
//!        └─────┬──────────────────────────▲─────────┘
//!   descriptors, available ring, doorbell │ Bell          used ring
//!              ▼                  Interrupt::raise: notes, rings
//!            device ─────────────────────►┘
//! ```
//!
//! A message of the device means one thing only, so its handler touches no register. What has ended the task reads in the
//! used ring, in memory; a lost interrupt costs time only: each command has a deadline, at which the task looks before it
//! believes that the device is to blame. Registers are read when an interrupt came and nothing has ended, and now and then
//! while it has commands: the device may ask for a reset.
//!
//! ```text
//! let (driver, interrupt) = Driver::new(transport, dma);
//! on_msi(vector, move || interrupt.raise());
//! let found = |outcome| match outcome { Ok(disk) => …, Err(error) => … };
//! Builder::new().lane(Lane::Driver).spawn(async move { driver.run::<Pages>(found).await }).detach();
//! ```
//!
//! There is one queue, whatever a device offers: requests wait in one table, where those that adjoin are merged, and one task
//! serves it. Queues for each CPU would need tables for each.
//!
//! Written after VIRTIO 1.2, chapter 5.2. Where to start reading: `task.rs`, then `command.rs`, then `recovery.rs`; what
//! devices of all kinds have in common is in [`crate::virtio`].

mod command;
mod config;
mod engine;
mod memory;
mod recovery;
mod task;

pub use engine::BringUpError;
pub use task::{Driver, Interrupt};

use crate::pci::Function;
use crate::virtio;

/// The numbers that makers of such functions give them: of those that speak the older interface, too, and of others.
const DEVICES: [u16; 2] = [0x1001, 0x1042];

/// Whether a function is one.
pub fn is_disk(function: &Function) -> bool {
    function.vendor == virtio::VENDOR && DEVICES.contains(&function.device)
}
