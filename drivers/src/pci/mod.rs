//! PCI and PCI Express: which devices there are, where their registers are, and how they interrupt.
//!
//! ```text
//!   trait ConfigRegionAccess      4 KiB of configuration space for each function: by memory (ECAM) or two ports
//!        │
//!   scan() ── bus 0 ─ functions ─ bridges ─ their buses ...          scan.rs
//!        ▼
//!   Function   identity, class, registers (bar.rs)                   function.rs
//!        ▼
//!   Messages   MSI or MSI-X: a write to memory that is an interrupt  message.rs
//! ```
//!
//! The firmware has given the buses their numbers and the registers their addresses; nothing is moved here. What the
//! crate `pci_types` knows (addresses, headers, the two capabilities) comes from there. Not its reading of base address
//! registers: it panics at a reserved type, leaves the function listening while it asks for sizes, and has none for ports.
//!
//! Sources: PCI Local Bus Specification 3.0 (chapter 6, and appendix D for the classes), PCI Express Base Specification
//! 3.0 (chapter 7).
//!
//! Start reading with [`scan`].

mod bar;
mod function;
mod message;
mod scan;
#[cfg(test)]
pub(crate) mod tests;

pub use bar::{BARS, Bar};
pub use function::{Class, Function};
pub use message::{Message, Messages};
pub use pci_types::{ConfigRegionAccess, HeaderType, PciAddress};
pub use scan::scan;
