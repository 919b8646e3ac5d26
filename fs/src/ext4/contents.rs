//! A file's contents: what its pages come from, and go to (`store`).

use super::{layout::InodeFlags, memory, node::Node, xattr};
use crate::{
    Attributes, Op, PAGE_SIZE, Result,
    block::{Direction, Piece, Pieces, Transfer},
    cache::{Backing, Pages},
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use syscalls::Errno;

/// Blocks of pages that are moved, in transfers that each lie together on the disk.
pub(super) struct Parts<'a> {
    /// Bytes in a block.
    pub block_size: u64,
    /// The pages.
    pub pages: &'a Pages,
    parts: Vec<Part>,
}

/// A run of pieces that lie together on the disk.
struct Part {
    offset: u64,
    end: u64,
    pieces: Pieces,
}

impl Backing for Arc<Node> {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn load(&self, index: u64, pages: Pages) -> Op<'_, Result<()>> {
        Op::waiting(async move {
            if self.has(InodeFlags::INLINE_DATA) {
                self.load_inline(index, &pages)?;
            } else {
                // The blocks stay the file's until they have been read.
                let _blocks = self.map_lock.read().await;
                self.load_blocks(index, &pages).await?;
            }
            self.zero_tail(index, &pages);
            Ok(())
        })
    }

    fn store(&self, index: u64, pages: Pages) -> Op<'_, Result<()>> {
        Op::waiting(async move {
            loop {
                match self.store_pages(index, pages.clone()).await {
                    // Nobody could be told that they are lost, and they need not be.
                    Err(Errno::ENOMEM) => memory::wait().await,
                    Err(error) => {
                        // Perhaps nobody asks.
                        self.volume.complaints.once(self.place(), "contents could not be stored");
                        return Err(error);
                    }
                    Ok(()) => return Ok(()),
                }
            }
        })
    }

    fn wants_room(&self) -> bool {
        true
    }

    fn promise_room(&self, index: u64) -> Op<'_, Result<()>> {
        self.promise_page(index)
    }
}

impl Node {
    /// What the inode itself holds of the contents: its first bytes, and the attribute `system.data`.
    pub fn inline_data(&self) -> Result<Vec<u8>> {
        let size = usize::try_from(self.attributes.size()).unwrap_or(usize::MAX);
        let mut data = self.block().to_vec();
        data.extend(xattr::inline_data(self)?);
        // A longer file reads as zeros behind that, as on Linux.
        data.truncate(size);
        Ok(data)
    }

    fn load_inline(&self, index: u64, pages: &Pages) -> Result<()> {
        let data = self.inline_data()?;
        let start = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE).min(data.len());
        for (page, part) in pages.iter().zip(data[start..].chunks(PAGE_SIZE)) {
            page.write(0, part);
        }
        Ok(())
    }

    /// Reads pages, with one transfer for blocks that lie together.
    async fn load_blocks(&self, index: u64, pages: &Pages) -> Result<()> {
        let block_size = self.volume.geometry.block_size;
        let per_page = PAGE_SIZE as u64 / block_size;
        let (mut logical, first) = (index * per_page, index * per_page);
        // Nothing is behind the end of the file.
        let end = self.attributes.size().div_ceil(block_size).min(first + pages.len() as u64 * per_page);
        let mut parts = Parts::new(block_size, pages);
        while logical < end {
            let run = self.map(logical).await?;
            let count = run.count.min(end - logical);
            if let Some(physical) = run.data() {
                parts.add(logical - first, physical, count);
            }
            logical += count;
        }
        parts.transfer(self, Direction::Read).await
    }

    /// Whatever is on the disk behind the end of the file, programs that map the last page see zeros.
    pub(super) fn zero_tail(&self, index: u64, pages: &Pages) {
        let size = self.attributes.size();
        let within = size as usize % PAGE_SIZE;
        let last = (size / PAGE_SIZE as u64).checked_sub(index).and_then(|at| usize::try_from(at).ok());
        if let Some(page) = last.and_then(|at| pages.get(at)) {
            page.zero(within, PAGE_SIZE - within);
        }
    }
}

impl<'a> Parts<'a> {
    pub fn new(block_size: u64, pages: &'a Pages) -> Self {
        Parts { block_size, pages, parts: Vec::new() }
    }

    /// Adds blocks that lie together on the disk; `number` is the first one's among the blocks of the pages.
    pub fn add(&mut self, number: u64, physical: u64, count: u64) {
        for step in 0..count {
            self.add_block((physical + step) * self.block_size, (number + step) * self.block_size);
        }
    }

    /// Adds a block, whose place in the pages is `at`, to a transfer that ends where it begins, or to a new one.
    fn add_block(&mut self, offset: u64, at: u64) {
        let len = self.block_size;
        let (number, within) = (at as usize / PAGE_SIZE, at as usize % PAGE_SIZE);
        let piece = |start, len: usize| Piece::new(self.pages[number].clone(), start, len);
        let Some(part) = self.parts.last_mut().filter(|part| part.end == offset) else {
            let pieces = Pieces::from_iter([piece(within, len as usize)]);
            self.parts.push(Part { offset, end: offset + len, pieces });
            return;
        };
        part.end += len;
        // What follows in the same page makes one piece with what is before it.
        match part.pieces.last_mut() {
            Some(last)
                if last.page().as_ptr() == self.pages[number].as_ptr()
                    && last.offset() + last.len() == within =>
            {
                *last = piece(last.offset(), last.len() + len as usize);
            }
            _ => part.pieces.push(piece(within, len as usize)),
        }
    }

    /// Moves them all at the same time.
    pub async fn transfer(self, node: &Node, direction: Direction) -> Result<()> {
        let device = node.volume.disk.device();
        let transfers = self.parts.into_iter().map(|part| {
            device.transfer(match direction {
                Direction::Read => Transfer::read(part.offset, part.pieces),
                Direction::Write => Transfer::write(part.offset, part.pieces),
            })
        });
        together(transfers.collect()).await
    }
}

/// Waits for transfers that go on at the same time; the first error is that of all. To begin one takes some thousand
/// instructions, so others get a turn before all have begun.
pub(super) async fn together(mut transfers: Vec<Op<'static, Result<()>>>) -> Result<()> {
    if transfers.len() == 1
        && let Some(only) = transfers.pop()
    {
        return only.await;
    }
    let mut result = Ok(());
    poll_fn(|context| {
        let (mut pending, mut is_enough) = (0, false);
        transfers.retain_mut(|transfer| {
            if is_enough {
                return true;
            }
            let polled = core::pin::Pin::new(transfer).poll(context);
            is_enough = executor::should_yield();
            match polled {
                Poll::Ready(done) => result = result.and(done),
                Poll::Pending => pending += 1,
            }
            polled.is_pending()
        });
        if transfers.is_empty() {
            return Poll::Ready(());
        }
        if is_enough {
            // First those that were not reached.
            transfers.rotate_left(pending);
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    result
}
