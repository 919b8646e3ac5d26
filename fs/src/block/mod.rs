//! Disks: what a driver gives, and what the page cache and the file systems on disks use.
//!
//! ```text
//!   /dev/sda            file systems on disks
//!       │                      │
//!   BlockInode ── PageCache ───┤                 inode.rs, crate::cache
//!                    │         │ contents of files
//!                    ▼         ▼
//!              trait BlockDevice                 each transfer an Op, which owns its pages
//!                    │
//!                 a driver
//! ```

mod inode;

pub use inode::{BlockInode, Claim, Opening};

use crate::{Device, Op, PAGE_SIZE, Page, Result};
use alloc::sync::Arc;
use smallvec::SmallVec;

/// Bytes in the unit in which Linux counts a disk's contents, whatever the disk's own sectors are.
pub const SECTOR: u64 = 512;

/// Which way a transfer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the device into the pages.
    Read,
    /// From the pages to the device.
    Write,
}

/// A part of a page that takes part in a transfer.
#[derive(Debug)]
pub struct Piece {
    page: Page,
    offset: u16,
    len: u16,
}

impl Piece {
    /// So many bytes of a page from `offset` on.
    ///
    /// # Panics
    /// When there are none, or not so many in a page.
    pub fn new(page: Page, offset: usize, len: usize) -> Self {
        assert!(len > 0 && offset < PAGE_SIZE && len <= PAGE_SIZE - offset);
        Piece { page, offset: offset as u16, len: len as u16 }
    }

    /// A whole page.
    pub fn whole(page: Page) -> Self {
        Self::new(page, 0, PAGE_SIZE)
    }

    /// The page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Where in the page it begins, bytes.
    pub fn offset(&self) -> usize {
        self.offset.into()
    }

    /// Its length in bytes, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.len.into()
    }
}

/// The parts of a transfer, in the order of the device's bytes.
pub type Pieces = SmallVec<[Piece; 4]>;

/// Bytes that are to be moved between a device and pages.
///
/// It owns its pages, and whoever carries it out keeps it until the device no longer touches them: a future that waits for a
/// transfer may be dropped, and the memory stays valid.
#[derive(Debug)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// Where on the device, bytes: a multiple of its sector size.
    pub offset: u64,
    /// Where in memory. Each piece begins at a multiple of the device's sector size in its page and is a multiple of it long.
    pub pieces: Pieces,
    /// A write is done only when it is on stable storage, whatever caches the device has ("force unit access").
    pub force_unit_access: bool,
}

impl Transfer {
    /// Reads from `offset` on.
    pub fn read(offset: u64, pieces: Pieces) -> Self {
        Transfer { direction: Direction::Read, offset, pieces, force_unit_access: false }
    }

    /// Writes from `offset` on, perhaps into a cache of the device's.
    pub fn write(offset: u64, pieces: Pieces) -> Self {
        Transfer { direction: Direction::Write, offset, pieces, force_unit_access: false }
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Whether it lies on a device of this size, and along the borders of its sectors: drivers need not carry out, and answer
    /// with `EIO`, what does not.
    pub fn fits(&self, size: u64, sector: u32) -> bool {
        let aligned = |value: u64| value.is_multiple_of(u64::from(sector.max(1)));
        aligned(self.offset)
            && self.pieces.iter().all(|piece| aligned(piece.offset as u64) && aligned(piece.len as u64))
            && self.offset.checked_add(self.bytes()).is_some_and(|end| end <= size)
    }
}

/// A disk, or a part of one.
///
/// **Order.** Transfers are carried out in any order and at the same time; who needs an order awaits the first before beginning
/// the second. Overlapping ones are never begun together by the page cache.
///
/// **Begin.** A transfer or flush may begin when the method is called or when its future is first polled.
///
/// **Cancellation.** Dropping the future of a transfer gives up waiting. A transfer that has begun goes on, and the device owns
/// its pages until it is over.
///
/// **Errors.** `EIO` when the device failed, after all that the driver could try; `EROFS` for a write to what is read-only;
/// `ENODEV` when the device has gone. A failed write may have changed any part of its range.
pub trait BlockDevice: Send + Sync {
    /// Bytes on the device: a multiple of 512. Where it changes, whoever changes it tells the file that programs see
    /// ([`BlockInode::resize`]).
    fn size(&self) -> u64;

    /// Bytes in a logical sector, the unit of transfers: a power of two from 512 to 4096.
    fn sector_size(&self) -> u32;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Its device number, as in `st_rdev` of its node.
    fn device(&self) -> Device;

    /// Somebody begins to use it: an open file, a file system.
    fn opened(&self) {}

    /// One of those does not use it any more. Waits for nothing.
    fn closed(&self) {}

    /// Moves bytes.
    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>>;

    /// Brings what was written, and was done before this was called, from the device's caches to stable storage.
    fn flush(&self) -> Op<'static, Result<()>>;
}

/// A shared device.
pub type BlockDeviceRef = Arc<dyn BlockDevice>;
