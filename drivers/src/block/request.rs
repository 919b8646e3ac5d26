//! What is asked of a disk, and what can go wrong.

use core::fmt;

use smallvec::SmallVec;
use syscalls::Errno;

/// Bytes in a sector: the unit of addresses and lengths here, whatever the disk's own sectors measure.
pub const SECTOR_SIZE: usize = 512;

/// A physically contiguous piece of memory that a request owns until the device is done with it.
///
/// # Safety
/// Until the value is dropped, `len()` bytes at `address()` belong to it alone: whatever a device writes there harms
/// nobody. Both methods always give the same answer.
pub unsafe trait Buffer: Send + 'static {
    /// As the device has to name it; even.
    fn address(&self) -> u64;

    /// Bytes; even, and not zero.
    fn len(&self) -> usize;

    /// Is it of no use?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The buffers of a request, one after the other; up to four need no heap.
pub type Buffers<B> = SmallVec<[B; 4]>;

/// What a disk can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Fills the buffers.
    Read,
    /// Writes what is in the buffers; `fua` (force unit access): ends only when it is on the medium, whatever the disk
    /// caches. On a disk that cannot do so by itself the write is followed by a flush.
    Write {
        /// Whether it is forced to the medium.
        fua: bool,
    },
    /// Ends when every write that had *completed before this was submitted* is on the medium.
    Flush,
    /// Tells the disk that nobody needs what is in these sectors; reading them gives anything, until they are written.
    Discard {
        /// How many.
        sectors: u32,
    },
}

/// One thing to do. Flush and Discard have no buffers.
#[derive(Debug)]
pub struct Request<B> {
    /// What to do.
    pub operation: Operation,
    /// The first sector, of 512 bytes. Of no meaning for Flush.
    pub sector: u64,
    /// From where or to where, in this order; together a whole number of the disk's logical sectors.
    pub buffers: Buffers<B>,
}

impl<B> Request<B> {
    /// Reads into the buffers.
    pub fn read(sector: u64, buffers: impl Into<Buffers<B>>) -> Self {
        Self { operation: Operation::Read, sector, buffers: buffers.into() }
    }

    /// Writes the buffers.
    pub fn write(sector: u64, buffers: impl Into<Buffers<B>>) -> Self {
        Self { operation: Operation::Write { fua: false }, sector, buffers: buffers.into() }
    }

    /// Writes the buffers to the medium itself.
    pub fn write_through(sector: u64, buffers: impl Into<Buffers<B>>) -> Self {
        Self { operation: Operation::Write { fua: true }, sector, buffers: buffers.into() }
    }

    /// Brings to the medium what was written before.
    pub fn flush() -> Self {
        Self { operation: Operation::Flush, sector: 0, buffers: Buffers::new() }
    }

    /// Gives sectors back to the disk.
    pub fn discard(sector: u64, sectors: u32) -> Self {
        Self { operation: Operation::Discard { sectors }, sector, buffers: Buffers::new() }
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockError {
    /// The request makes no sense: buffers that are not whole sectors, too many, too large, or out of the device's
    /// reach; see [`Geometry`](super::Geometry) for the limits.
    Invalid,
    /// There are no such sectors.
    OutOfRange,
    /// The disk cannot do that.
    Unsupported,
    /// The medium is damaged there. Other sectors may be well.
    Medium,
    /// The disk or the way to it failed, again and again.
    Device,
    /// The disk did not answer in time, again and again.
    Timeout,
    /// There is no disk any more. Nothing will ever succeed.
    Gone,
}

impl From<BlockError> for Errno {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Invalid => Self::EINVAL,
            BlockError::Unsupported => Self::EOPNOTSUPP,
            BlockError::Gone => Self::ENODEV,
            BlockError::OutOfRange | BlockError::Medium | BlockError::Device | BlockError::Timeout => {
                Self::EIO
            }
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid request",
            Self::OutOfRange => "beyond the end of the disk",
            Self::Unsupported => "not supported by the disk",
            Self::Medium => "medium error",
            Self::Device => "device error",
            Self::Timeout => "no answer from the disk",
            Self::Gone => "the disk is gone",
        })
    }
}

impl core::error::Error for BlockError {}
