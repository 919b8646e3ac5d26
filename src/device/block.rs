//! A driver's disk as what the page cache and file systems see.

use alloc::sync::Arc;

use drivers::block::{BlockError, Buffers, Disk, Operation, Request, SECTOR_SIZE};
use fs::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Piece, Pieces, Transfer},
};
use syscalls::Errno;

use crate::memory::DmaPiece;

/// A disk that a driver serves, under a device number.
pub struct Driven {
    disk: Arc<Disk<DmaPiece>>,
    number: Device,
}

impl Driven {
    /// The disk of a driver.
    pub fn new(disk: Arc<Disk<DmaPiece>>, number: Device) -> Arc<Self> {
        Arc::new(Self { disk, number })
    }
}

/// The next request of a transfer: as many pieces as the disk takes at a time.
fn next_request(
    disk: &Disk<DmaPiece>,
    operation: Operation,
    sector: u64,
    pieces: &mut impl Iterator<Item = Piece>,
) -> Request<DmaPiece> {
    let limits = disk.geometry();
    // A piece is a page at most, so there is room for another if there is for a page.
    let most_pieces = limits.max_segments / fs::PAGE_SIZE.div_ceil(limits.max_segment);
    let most = limits.max_sectors as usize * SECTOR_SIZE;
    let mut buffers = Buffers::new();
    let mut bytes = 0;
    while bytes + fs::PAGE_SIZE <= most && buffers.len() < most_pieces {
        let Some(piece) = pieces.next() else { break };
        bytes += piece.len();
        buffers.push(DmaPiece(piece));
    }
    Request { operation, sector, buffers }
}

async fn carry_out(
    disk: Arc<Disk<DmaPiece>>,
    operation: Operation,
    mut sector: u64,
    pieces: Pieces,
) -> core::result::Result<(), BlockError> {
    let mut pieces = pieces.into_iter().peekable();
    while pieces.peek().is_some() {
        let request = next_request(&disk, operation, sector, &mut pieces);
        let bytes: usize = request.buffers.iter().map(|piece| piece.0.len()).sum();
        sector += (bytes / SECTOR_SIZE) as u64;
        disk.submit(request).await.0?;
    }
    Ok(())
}

impl BlockDevice for Driven {
    fn size(&self) -> u64 {
        self.disk.geometry().sectors * SECTOR_SIZE as u64
    }

    fn sector_size(&self) -> u32 {
        self.disk.geometry().logical_sector
    }

    fn is_read_only(&self) -> bool {
        self.disk.geometry().read_only
    }

    fn device(&self) -> Device {
        self.number
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        if !transfer.fits(self.size(), self.sector_size()) {
            return Op::Ready(Err(Errno::EIO));
        }
        let operation = match transfer.direction {
            Direction::Read => Operation::Read,
            Direction::Write => Operation::Write { fua: transfer.force_unit_access },
        };
        let sector = transfer.offset / SECTOR_SIZE as u64;
        let work = carry_out(self.disk.clone(), operation, sector, transfer.pieces);
        Op::waiting(async move { Ok(work.await?) })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        let disk = self.disk.clone();
        Op::waiting(async move { Ok(disk.submit(Request::flush()).await.0?) })
    }
}
