//! Unpacking cpio archives: what a boot loader hands over as the root (cpio(5), the kernel's initramfs format).
//!
//! An archive is a row of members in the "newc" format (magic 070701, or 070702 with checksums), plain or in gzip. Several
//! archives may follow each other, each plain or compressed by itself. Everything in an archive is checked: one that is cut
//! off or damaged gives an [`Error`], whatever it contains, and what was unpacked before stays.

mod gzip;
mod header;
mod unpack;

pub use unpack::{Error, Summary, unpack};
