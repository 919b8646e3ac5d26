//! A disk in the host's memory.

use crate::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Transfer},
};
use std::sync::{Arc, RwLock};
use std::vec::Vec;
use syscalls::Errno;

/// A disk in memory, which answers at once.
pub struct RamDisk {
    contents: RwLock<Vec<u8>>,
    sector_size: u32,
    read_only: bool,
}

impl RamDisk {
    /// A disk with these contents: a whole number of sectors of this size.
    ///
    /// # Panics
    /// When they are not.
    pub fn new(contents: Vec<u8>, sector_size: u32) -> Arc<Self> {
        assert!(contents.len().is_multiple_of(sector_size as usize));
        Arc::new(RamDisk { contents: RwLock::new(contents), sector_size, read_only: false })
    }

    /// A disk with these contents that refuses writes, with sectors of 512 bytes.
    pub fn read_only(contents: Vec<u8>) -> Arc<Self> {
        Arc::new(RamDisk { contents: RwLock::new(contents), sector_size: 512, read_only: true })
    }

    /// What is on it now.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn contents(&self) -> Vec<u8> {
        self.contents.read().expect("a transfer panicked").clone()
    }
}

impl BlockDevice for RamDisk {
    fn size(&self) -> u64 {
        self.contents.read().map_or(0, |contents| contents.len() as u64)
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
        if !transfer.fits(self.size(), self.sector_size) {
            return Op::Ready(Err(Errno::EIO));
        }
        if transfer.direction == Direction::Write && self.read_only {
            return Op::Ready(Err(Errno::EROFS));
        }
        let mut at = transfer.offset as usize;
        for piece in &transfer.pieces {
            match transfer.direction {
                Direction::Read => {
                    let Ok(contents) = self.contents.read() else { return Op::Ready(Err(Errno::EIO)) };
                    piece.page().write(piece.offset(), &contents[at..at + piece.len()]);
                }
                Direction::Write => {
                    let Ok(mut contents) = self.contents.write() else { return Op::Ready(Err(Errno::EIO)) };
                    contents[at..at + piece.len()]
                        .copy_from_slice(&piece.page().bytes()[piece.offset()..][..piece.len()]);
                }
            }
            at += piece.len();
        }
        Op::Ready(Ok(()))
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        Op::Ready(Ok(()))
    }
}
