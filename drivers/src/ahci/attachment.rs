//! What is found at a port.

use alloc::sync::Arc;
use core::fmt;

use crate::block::Disk;

/// What a port's task has found, told each time that it has looked: once when it begins, and whenever something was
/// plugged in. Of a disk that is unplugged its [`Disk::is_gone`] tells.
pub enum Attachment<B> {
    /// A disk, which takes requests now.
    Disk(Arc<Disk<B>>),
    /// Nothing.
    Empty,
    /// A device that is not driven.
    Other(DeviceKind),
    /// A device that does not come up.
    Broken(BringUpError),
}

/// A device that is no disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A CD drive or the like, which speaks SCSI in packets.
    Atapi,
    /// A port multiplier, with further ports behind it.
    PortMultiplier,
    /// A bridge to an enclosure's management.
    Enclosure,
    /// Something else, with this signature.
    Unknown(u32),
}

/// Why a device does not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BringUpError {
    /// There is no memory that the HBA can reach.
    NoMemory,
    /// The port does not stop or start.
    Port,
    /// The device does not become ready after a reset.
    NotReady,
    /// The device does not say what it is.
    Identify,
    /// It says so, and it makes no sense, or it cannot do DMA.
    Nonsense,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atapi => f.write_str("a packet device"),
            Self::PortMultiplier => f.write_str("a port multiplier"),
            Self::Enclosure => f.write_str("an enclosure"),
            Self::Unknown(signature) => write!(f, "a device with signature {signature:#x}"),
        }
    }
}

impl fmt::Display for BringUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory for it",
            Self::Port => "the port does not obey",
            Self::NotReady => "the device does not become ready",
            Self::Identify => "the device does not say what it is",
            Self::Nonsense => "the device says nonsense, or cannot do DMA",
        })
    }
}
