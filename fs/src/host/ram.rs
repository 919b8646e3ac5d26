//! A disk in the host's memory.

use super::Snapshot;
use crate::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Transfer},
};
use std::sync::{Arc, RwLock};
use std::vec::Vec;
use syscalls::Errno;

/// A disk in memory, which answers at once.
pub struct RamDisk {
    contents: RwLock<Snapshot>,
    size: u64,
    sector_size: u32,
    read_only: bool,
}

impl RamDisk {
    /// A disk with these contents: a whole number of sectors of this size.
    ///
    /// # Panics
    /// When they are not.
    #[allow(clippy::needless_pass_by_value, reason = "most callers have no other use for it")]
    pub fn new(contents: Vec<u8>, sector_size: u32) -> Arc<Self> {
        Self::with(Snapshot::new(&contents), sector_size, false)
    }

    /// A disk with these contents that refuses writes, with sectors of 512 bytes.
    #[allow(clippy::needless_pass_by_value, reason = "as above")]
    pub fn read_only(contents: Vec<u8>) -> Arc<Self> {
        Self::with(Snapshot::new(&contents), 512, true)
    }

    /// A disk that begins as a snapshot, which stays as it is, with sectors of 512 bytes.
    ///
    /// # Panics
    /// When that is not a whole number of sectors.
    pub fn of(snapshot: Snapshot) -> Arc<Self> {
        Self::with(snapshot, 512, false)
    }

    fn with(snapshot: Snapshot, sector_size: u32, read_only: bool) -> Arc<Self> {
        let size = snapshot.len() as u64;
        assert!(size.is_multiple_of(sector_size.into()));
        Arc::new(RamDisk { contents: RwLock::new(snapshot), size, sector_size, read_only })
    }

    /// What is on it now.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn contents(&self) -> Vec<u8> {
        self.snapshot().to_vec()
    }

    /// What is on it now, sharing with it what neither changes.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn snapshot(&self) -> Snapshot {
        self.contents.read().expect("a transfer panicked").clone()
    }
}

impl BlockDevice for RamDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn device(&self) -> Device {
        Device::new(1, 0)
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        if !transfer.fits(self.size, self.sector_size) {
            return Op::Ready(Err(Errno::EIO));
        }
        if transfer.direction == Direction::Write && self.read_only {
            return Op::Ready(Err(Errno::EROFS));
        }
        match transfer.direction {
            Direction::Read => {
                let Ok(contents) = self.contents.read() else { return Op::Ready(Err(Errno::EIO)) };
                contents.fill(&transfer);
            }
            Direction::Write => {
                let Ok(mut contents) = self.contents.write() else { return Op::Ready(Err(Errno::EIO)) };
                contents.take(&transfer);
            }
        }
        Op::Ready(Ok(()))
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        Op::Ready(Ok(()))
    }
}
