//! AHCI: SATA disks behind a host bus adapter (HBA), a task for each port.
//!
//! ```text
//!                        Disk (block/): requests wait, merged when issued
//!                          │ next          ▲ complete, retry
//!        ┌─────────────────▼───────────────┴──────────────┐
//!        │ Hba::run(port): bring up ─► identify ─► serve ─┼─► recover: which failed? reset? again
//!        └─────┬──────────────────────────▲───────────────┘
//!  command list, tables, PxCI/PxSACT      │ Bell
//!              │                   Hba::on_interrupt: acknowledges, notes, rings
//!              ▼                          ▲
//!             HBA ───────────────────────►┘
//!              │ FISes
//!             disk
//! ```
//!
//! The handler acknowledges what would otherwise interrupt again, notes what it was, and wakes; that is all. The task
//! reads which commands are still in the hands of the device (PxCI, PxSACT), so it needs no help of the handler to learn
//! what has ended, and a lost interrupt costs time only: each command has a deadline, at which the task looks before it
//! believes that the device is to blame.
//!
//! ```text
//! let hba = Arc::new(Hba::start(registers, dma).await?);
//! on_msi(vector, || hba.on_interrupt());
//! for port in hba.ports() {
//!     let hba = hba.clone();
//!     let found = move |attachment| match attachment { Attachment::Disk(disk) => …, other => … };
//!     Builder::new().lane(Lane::Driver).spawn(async move { hba.run::<Pages>(port, found).await }).detach();
//! }
//! ```
//!
//! Written after Serial ATA AHCI 1.3.1 and ATA8-ACS. Bits and their names are `bitflags`; the crates for registers work
//! on pointers, see [`crate::dma`]. Of devices, only disks are driven: packet devices, port multipliers and enclosures
//! are reported by name and left alone.
//!
//! Where to start reading: `port.rs`, then `command.rs`, then `recovery.rs`.

mod attachment;
mod command;
mod engine;
mod fis;
mod hba;
mod identify;
mod memory;
mod port;
mod recovery;
mod registers;

pub use attachment::{Attachment, BringUpError, DeviceKind};
pub use hba::{Hba, HbaError};
