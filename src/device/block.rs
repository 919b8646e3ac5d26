//! A driver's disk, or a partition of it, as what the page cache and file systems see.

use alloc::sync::Arc;

use drivers::block::{BlockError, Buffers, Disk, Operation, Request, SECTOR_SIZE};
use fs::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Piece, Pieces, Transfer},
};
use syscalls::Errno;

use super::traffic::Traffic;
use crate::memory::DmaPiece;

/// A disk that a driver serves, or a part of one, under a device number.
pub struct Driven {
    disk: Arc<Disk<DmaPiece>>,
    number: Device,
    /// Its first byte on the disk, and how many it has.
    start: u64,
    len: u64,
    traffic: Arc<Traffic>,
    /// That of the disk which it is a part of.
    traffic_of_whole: Option<Arc<Traffic>>,
}

impl Driven {
    /// The whole of a disk.
    pub fn whole(disk: Arc<Disk<DmaPiece>>, number: Device) -> Arc<Self> {
        let len = disk.geometry().sectors * SECTOR_SIZE as u64;
        Arc::new(Self { disk, number, start: 0, len, traffic: Arc::default(), traffic_of_whole: None })
    }

    /// A part of this, which is whole: `len` bytes from `start` on.
    pub fn part(&self, number: Device, start: u64, len: u64) -> Arc<Self> {
        let (disk, whole) = (self.disk.clone(), Some(self.traffic.clone()));
        Arc::new(Self { disk, number, start, len, traffic: Arc::default(), traffic_of_whole: whole })
    }

    /// What was moved.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Carries something out, counted; `direction` is None for a flush.
    fn counted(
        &self,
        direction: Option<Direction>,
        sectors: u64,
        work: impl Future<Output = core::result::Result<(), BlockError>> + Send + 'static,
    ) -> Op<'static, Result<()>> {
        let here = self.traffic.begin();
        let on_whole = self.traffic_of_whole.as_ref().map(Traffic::begin);
        Op::waiting(async move {
            work.await?;
            here.done(direction, sectors);
            on_whole.inspect(|whole| whole.done(direction, sectors));
            Ok(())
        })
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
        self.len
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
        if !transfer.fits(self.len, self.sector_size()) {
            return Op::Ready(Err(Errno::EIO));
        }
        let operation = match transfer.direction {
            Direction::Read => Operation::Read,
            Direction::Write => Operation::Write { fua: transfer.force_unit_access },
        };
        let sector = (self.start + transfer.offset) / SECTOR_SIZE as u64;
        let sectors = transfer.bytes() / SECTOR_SIZE as u64;
        let work = carry_out(self.disk.clone(), operation, sector, transfer.pieces);
        self.counted(Some(transfer.direction), sectors, work)
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        let disk = self.disk.clone();
        self.counted(None, 0, async move { disk.submit(Request::flush()).await.0 })
    }
}
