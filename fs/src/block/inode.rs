//! A disk as a file: its bytes through the page cache.

use super::{BlockDeviceRef, Pieces, Transfer};
use crate::{
    Attributes, Birth, Copies, Direct, FileType, Inode, Memory, Op, PAGE_SIZE, Page, PageRun, Position,
    Result, Sink, SleepLock, Source, Written,
    cache::{Backing, Flusher, PageCache, Pages},
    mapping,
    tree::pages_to,
};
use alloc::sync::Arc;
use core::any::Any;
use core::ops::Range;
use executor::sync::RwLock;
use syscalls::Errno;

/// What all openers of a disk's node read and write, and the file system on it with them: the kernel makes one for each disk,
/// and the nodes lead to it ([`Inode::open`]). The size of this file is the disk's.
pub struct BlockInode {
    disk: Arc<Disk>,
    cache: Arc<PageCache>,
    /// Written to while writing through the cache, so that each write is whole; read while writing past it.
    order: RwLock<()>,
    /// Held by the file system on the disk.
    claim: SleepLock,
}

/// The right to be the file system on a disk, until it is dropped.
pub struct Claim(Opening);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.0.claim.unlock();
    }
}

/// A use of a disk, of which the device knows until this is dropped. As a file it is the disk's.
pub struct Opening(Arc<BlockInode>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.device().closed();
    }
}

/// The disk behind the cache.
struct Disk {
    device: BlockDeviceRef,
    attributes: Attributes,
}

impl BlockInode {
    /// The file of a disk; `dev` and `ino` are where stat finds it when it looks at the open file.
    pub fn new(device: BlockDeviceRef, dev: crate::Device, ino: u64) -> Arc<Self> {
        let attributes = Attributes::new(Birth {
            dev,
            ino,
            kind: FileType::Block,
            permissions: 0o660,
            uid: 0,
            gid: 0,
            rdev: device.device(),
        });
        attributes.set_size(device.size());
        let disk = Arc::new(Disk { device, attributes });
        let cache = PageCache::new(disk.clone(), &Flusher::new());
        Arc::new(BlockInode { disk, cache, order: RwLock::new(()), claim: SleepLock::new() })
    }

    /// Begins to use the disk.
    pub fn open(self: Arc<Self>) -> Opening {
        self.device().opened();
        Opening(self)
    }

    /// Waits until no file system uses the disk, and keeps others from it.
    pub async fn claim(self: Arc<Self>) -> Claim {
        self.claim.lock_raw().await;
        Claim(self.open())
    }

    /// The device has another size now. What programs see behind its end they lose.
    pub async fn resize(&self) {
        let size = self.disk.device.size();
        self.disk.attributes.set_size(size);
        self.forget(pages_to(size)..u64::MAX).await;
    }

    /// What was written is on the disk, as far as that can be, and nothing of the disk is in memory. While nobody writes.
    pub async fn empty(&self) -> Result<()> {
        let synced = self.fsync(false).await;
        self.forget(0..u64::MAX).await;
        synced
    }

    async fn forget(&self, pages: Range<u64>) {
        {
            let _stores = self.cache.hold_stores().await;
            self.cache.discard(pages.clone()).await;
        }
        mapping::lose(&self.disk.attributes, pages, Copies::Stay).await;
    }

    /// The disk.
    pub fn device(&self) -> &BlockDeviceRef {
        &self.disk.device
    }

    /// Its pages that are in memory.
    pub fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    /// Where a write begins, if there is anything to write to.
    fn place(&self, position: Position, len: usize) -> Result<u64> {
        let size = self.disk.attributes.size();
        let at = match position {
            Position::At(offset) => offset,
            Position::End => size,
        };
        match () {
            () if self.disk.device.is_read_only() => Err(Errno::EPERM),
            () if at >= size && len > 0 => Err(Errno::ENOSPC),
            () => Ok(at),
        }
    }

    /// Leaves out what of a memory comes behind the end of the disk, for a transfer from or to `offset`, which lies before it.
    /// `EINVAL` unless all lies along the borders of sectors.
    fn fit(&self, offset: u64, memory: &mut Memory) -> Result<()> {
        let left = self.disk.attributes.size() - offset;
        memory.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let sector = self.disk.device.sector_size();
        if offset.is_multiple_of(sector.into()) && memory.is_aligned(sector) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    async fn write_past_cache(&self, at: u64, memory: Memory) -> Result<usize> {
        let (len, bytes) = (memory.len(), at..at + memory.len() as u64);
        let _order = self.order.read().await;
        self.cache.settle(bytes.clone()).await?;
        self.cache.withdraw(bytes).await;
        let pieces = memory.pieces(0..len)?;
        self.disk.device.transfer(Transfer::write(at, pieces)).await?;
        self.cache.overwritten(at, &memory).await;
        Ok(len)
    }

    /// Notes what a write did.
    fn written(&self, at: u64, count: Result<usize>) -> Result<Written> {
        let count = count?;
        self.disk.attributes.note_modification();
        Ok(Written { at, count })
    }
}

impl Disk {
    /// The parts of pages from `index` on that are on the disk.
    fn pieces(&self, index: u64, pages: Pages) -> Pieces {
        let mut at = index * PAGE_SIZE as u64;
        let piece = |page: Page| {
            let len = self.device.size().saturating_sub(at).min(PAGE_SIZE as u64) as usize;
            at += PAGE_SIZE as u64;
            (len > 0).then(|| super::Piece::new(page, 0, len))
        };
        pages.into_iter().filter_map(piece).collect()
    }
}

impl Backing for Arc<Disk> {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn load(&self, index: u64, pages: Pages) -> Op<'_, Result<()>> {
        let pieces = self.pieces(index, pages);
        self.device.transfer(Transfer::read(index * PAGE_SIZE as u64, pieces))
    }

    fn store(&self, index: u64, pages: Pages) -> Op<'_, Result<()>> {
        let pieces = self.pieces(index, pages);
        self.device.transfer(Transfer::write(index * PAGE_SIZE as u64, pieces))
    }
}

impl Inode for BlockInode {
    fn attributes(&self) -> &Attributes {
        &self.disk.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        self.cache.read(offset, sink)
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        let at = match self.place(position, source.remaining()) {
            Ok(at) => at,
            Err(error) => return Op::Ready(Err(error)),
        };
        let Some(alone) = self.order.try_write() else {
            return Op::waiting(async move {
                let _alone = self.order.write().await;
                self.written(at, self.cache.write(at, source).await)
            });
        };
        match self.cache.write(at, source) {
            Op::Ready(count) => Op::Ready(self.written(at, count)),
            Op::Waiting(rest) => Op::waiting(async move {
                let _alone = alone;
                self.written(at, rest.await)
            }),
        }
    }

    fn direct(&self) -> Direct {
        Direct::Unit(self.disk.device.sector_size())
    }

    fn read_direct(self: Arc<Self>, offset: u64, mut memory: Memory) -> Op<'static, Result<usize>> {
        if memory.is_empty() || offset >= self.disk.attributes.size() {
            return Op::Ready(Ok(0));
        }
        if let Err(error) = self.fit(offset, &mut memory) {
            return Op::Ready(Err(error));
        }
        let len = memory.len();
        Op::waiting(async move {
            self.cache.settle(offset..offset + len as u64).await?;
            self.disk.device.transfer(Transfer::read(offset, memory.pieces(0..len)?)).await?;
            Ok(len)
        })
    }

    fn write_direct(self: Arc<Self>, position: Position, mut memory: Memory) -> Op<'static, Result<Written>> {
        let at = match self.place(position, memory.len()) {
            Ok(at) if memory.is_empty() => return Op::Ready(Ok(Written { at, count: 0 })),
            Ok(at) => at,
            Err(error) => return Op::Ready(Err(error)),
        };
        if let Err(error) = self.fit(at, &mut memory) {
            return Op::Ready(Err(error));
        }
        Op::in_task(async move {
            let count = self.write_past_cache(at, memory).await;
            self.written(at, count)
        })
    }

    fn is_mappable(&self) -> bool {
        true
    }

    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page>> {
        if write && self.disk.device.is_read_only() {
            return Op::Ready(Err(Errno::EACCES));
        }
        self.cache.page(index, write)
    }

    fn has_page(&self, index: u64) -> bool {
        self.cache.has(index)
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        self.cache.pages_in_memory(range, each);
    }

    fn read_ahead(&self, range: Range<u64>) {
        self.cache.read_ahead(range);
    }

    fn forget_pages(&self, range: Range<u64>) -> Op<'_, ()> {
        Op::eager(self.cache.forget(range))
    }

    fn fsync(&self, _data_only: bool) -> Op<'_, Result<()>> {
        Op::waiting(async move {
            self.cache.sync().await?;
            self.disk.device.flush().await
        })
    }
}

impl Inode for Opening {
    fn attributes(&self) -> &Attributes {
        self.0.attributes()
    }

    fn as_any(&self) -> &dyn Any {
        self.0.as_any()
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        self.0.read_at(offset, sink)
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        self.0.write_at(position, source)
    }

    fn direct(&self) -> Direct {
        self.0.direct()
    }

    fn read_direct(self: Arc<Self>, offset: u64, memory: Memory) -> Op<'static, Result<usize>> {
        self.0.clone().read_direct(offset, memory)
    }

    fn write_direct(self: Arc<Self>, position: Position, memory: Memory) -> Op<'static, Result<Written>> {
        self.0.clone().write_direct(position, memory)
    }

    fn is_mappable(&self) -> bool {
        self.0.is_mappable()
    }

    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page>> {
        self.0.page(index, write)
    }

    fn has_page(&self, index: u64) -> bool {
        self.0.has_page(index)
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        self.0.pages_in_memory(range, each);
    }

    fn read_ahead(&self, range: Range<u64>) {
        self.0.read_ahead(range);
    }

    fn forget_pages(&self, range: Range<u64>) -> Op<'_, ()> {
        self.0.forget_pages(range)
    }

    fn fsync(&self, data_only: bool) -> Op<'_, Result<()>> {
        self.0.fsync(data_only)
    }
}
