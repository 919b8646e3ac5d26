//! A disk, or a part of one, as programs and file systems see it: what is moved is counted, and so are its users.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fs::{
    Device, Op, Result,
    block::{BlockDevice, BlockDeviceRef, Direction, SECTOR, Transfer},
};
use syscalls::Errno;

use super::traffic::Traffic;

/// A disk under its number, or a partition under one of its own.
pub struct Span {
    disk: BlockDeviceRef,
    number: Device,
    /// Where on the disk a partition is.
    part: Option<Part>,
    /// Who has it open. Relaxed: whoever acts on it keeps others from opening it.
    users: AtomicUsize,
    traffic: Arc<Traffic>,
}

struct Part {
    /// Its first byte, and how many it has.
    start: u64,
    len: u64,
    whole: Arc<Span>,
}

impl Span {
    /// The whole of a disk.
    pub fn whole(disk: BlockDeviceRef) -> Arc<Self> {
        let number = disk.device();
        Arc::new(Self { disk, number, part: None, users: AtomicUsize::new(0), traffic: Arc::default() })
    }

    /// A part of this, which is whole: `len` bytes from `start` on.
    pub fn part(self: &Arc<Self>, number: Device, start: u64, len: u64) -> Arc<Self> {
        let part = Some(Part { start, len, whole: self.clone() });
        let disk = self.disk.clone();
        Arc::new(Self { disk, number, part, users: AtomicUsize::new(0), traffic: Arc::default() })
    }

    /// What was moved.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How many use it; for a whole disk without those of its partitions.
    pub fn users(&self) -> usize {
        self.users.load(Relaxed)
    }

    /// Carries something out, counted; `direction` is None for a flush.
    fn counted(
        &self,
        direction: Option<Direction>,
        sectors: u64,
        work: Op<'static, Result<()>>,
    ) -> Op<'static, Result<()>> {
        let here = self.traffic.begin();
        let on_whole = self.part.as_ref().map(|part| part.whole.traffic.begin());
        Op::waiting(async move {
            work.await?;
            here.done(direction, sectors);
            on_whole.inspect(|whole| whole.done(direction, sectors));
            Ok(())
        })
    }
}

impl BlockDevice for Span {
    fn size(&self) -> u64 {
        self.part.as_ref().map_or_else(|| self.disk.size(), |part| part.len)
    }

    fn sector_size(&self) -> u32 {
        self.disk.sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn device(&self) -> Device {
        self.number
    }

    fn opened(&self) {
        self.users.fetch_add(1, Relaxed);
        self.disk.opened();
    }

    fn closed(&self) {
        self.users.fetch_sub(1, Relaxed);
        self.disk.closed();
    }

    fn transfer(&self, mut transfer: Transfer) -> Op<'static, Result<()>> {
        // A disk may have become smaller since it was divided.
        if !transfer.fits(self.size(), 1) {
            return Op::Ready(Err(Errno::EIO));
        }
        transfer.offset += self.part.as_ref().map_or(0, |part| part.start);
        let (direction, sectors) = (transfer.direction, transfer.bytes() / SECTOR);
        self.counted(Some(direction), sectors, self.disk.transfer(transfer))
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        self.counted(None, 0, self.disk.flush())
    }
}
