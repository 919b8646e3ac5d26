//! What a disk is, and which requests it takes.

use alloc::string::String;

use super::request::{BlockError, Buffer, Operation, Request, SECTOR_SIZE};
use crate::dma::Reach;

/// What is known of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes in what the disk can address: a power of two, at least 512. Requests begin and end at its multiples.
    pub logical_sector: u32,
    /// Bytes in what the disk writes at once; writing less may cost it a read.
    pub physical_sector: u32,
    /// The maker's name for it.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// The version of what runs in it.
    pub firmware: String,
    /// Commands that it takes at a time.
    pub queue_depth: u32,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether a write may end before it is on the medium, so that flushes matter.
    pub write_cache: bool,
    /// Whether the disk itself can force a write to the medium.
    pub fua: bool,
    /// The most sectors that one Discard may have; zero if the disk knows none.
    pub max_discard: u32,
    /// Whether it has no moving parts.
    pub solid_state: bool,
    /// The most sectors that one request may have.
    pub max_sectors: u32,
    /// The most pieces of memory that one request may have.
    pub max_segments: usize,
    /// Bytes in the longest piece; a longer buffer counts as several.
    pub max_segment: usize,
    /// Where buffers may lie.
    pub reach: Reach,
}

/// How much a request is of what a command may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub sectors: u32,
    pub segments: usize,
}

impl Geometry {
    /// The size of a request that this disk takes.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn check<B: Buffer>(&self, request: &Request<B>) -> Result<Extent, BlockError> {
        let changes = matches!(request.operation, Operation::Write { .. } | Operation::Discard { .. });
        if changes && self.read_only {
            return Err(BlockError::Unsupported);
        }
        let sectors = match request.operation {
            Operation::Read | Operation::Write { .. } => return self.check_transfer(request),
            Operation::Flush => 0,
            Operation::Discard { .. } if self.max_discard == 0 => return Err(BlockError::Unsupported),
            Operation::Discard { sectors } if sectors == 0 || sectors > self.max_discard => {
                return Err(BlockError::Invalid);
            }
            Operation::Discard { sectors } => {
                self.check_range(request.sector, sectors)?;
                sectors
            }
        };
        if request.buffers.is_empty() {
            Ok(Extent { sectors, segments: 0 })
        } else {
            Err(BlockError::Invalid)
        }
    }

    fn check_transfer<B: Buffer>(&self, request: &Request<B>) -> Result<Extent, BlockError> {
        let (mut bytes, mut segments) = (0usize, 0usize);
        for buffer in &request.buffers {
            let (address, len) = (buffer.address(), buffer.len());
            if len == 0 || len % 2 != 0 || address % 2 != 0 || !self.reach.covers(address, len) {
                return Err(BlockError::Invalid);
            }
            bytes = bytes.checked_add(len).ok_or(BlockError::Invalid)?;
            segments = segments.saturating_add(len.div_ceil(self.max_segment));
        }
        let sectors = u32::try_from(bytes / SECTOR_SIZE).map_err(|_| BlockError::Invalid)?;
        if sectors == 0
            || bytes % SECTOR_SIZE != 0
            || sectors > self.max_sectors
            || segments > self.max_segments
        {
            return Err(BlockError::Invalid);
        }
        self.check_range(request.sector, sectors)?;
        Ok(Extent { sectors, segments })
    }

    fn check_range(&self, sector: u64, sectors: u32) -> Result<(), BlockError> {
        let per_logical = u64::from(self.logical_sector) / SECTOR_SIZE as u64;
        let end = sector.checked_add(u64::from(sectors)).ok_or(BlockError::OutOfRange)?;
        if end > self.sectors {
            return Err(BlockError::OutOfRange);
        }
        let is_whole = sector.is_multiple_of(per_logical) && end.is_multiple_of(per_logical);
        if is_whole { Ok(()) } else { Err(BlockError::Invalid) }
    }
}
