//! A file's contents: what its pages come from.

use super::{complaints::Place, layout::InodeFlags, node::Node, xattr};
use crate::{
    Attributes, Op, PAGE_SIZE, Result,
    block::{Piece, Pieces, Transfer},
    cache::{Backing, Pages},
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use syscalls::Errno;

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
            if self.flags.contains(InodeFlags::INLINE_DATA) {
                self.load_inline(index, &pages)?;
            } else {
                self.load_blocks(index, &pages).await?;
            }
            self.zero_tail(index, &pages);
            Ok(())
        })
    }

    fn store(&self, _index: u64, _pages: Pages) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EROFS))
    }
}

impl Node {
    /// What the inode itself holds of the contents: its first bytes, and the attribute `system.data`.
    pub fn inline_data(&self) -> Result<Vec<u8>> {
        let size = usize::try_from(self.attributes.size()).unwrap_or(usize::MAX);
        let mut data = self.block.to_vec();
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
        let mut parts = Vec::<Part>::new();
        while logical < end {
            let run = self.map(logical).await?;
            let count = run.count.min(end - logical);
            if let Some(physical) = run.physical {
                let mut offset = physical * block_size;
                for block in logical - first..logical - first + count {
                    add_block(&mut parts, offset, block_size, pages, block * block_size);
                    offset += block_size;
                }
            }
            logical += count;
        }
        let device = self.volume.disk.device();
        let transfers =
            parts.into_iter().map(|part| device.transfer(Transfer::read(part.offset, part.pieces)));
        together(transfers.collect()).await
    }

    /// Whatever is on the disk behind the end of the file, programs that map the last page see zeros.
    fn zero_tail(&self, index: u64, pages: &Pages) {
        let size = self.attributes.size();
        let within = size as usize % PAGE_SIZE;
        let last = (size / PAGE_SIZE as u64).checked_sub(index).and_then(|at| usize::try_from(at).ok());
        if let Some(page) = last.and_then(|at| pages.get(at)) {
            page.zero(within, PAGE_SIZE - within);
        }
    }

    /// Reads a block of a directory or a link, as metadata.
    pub async fn read_block(&self, logical: u64) -> Result<alloc::boxed::Box<[u8]>> {
        match self.map(logical).await?.physical {
            Some(physical) => self.volume.block(physical).await,
            None => {
                let place = Place::Directory(self.number, logical);
                Err(self.volume.corrupt(place, "there is a hole"))
            }
        }
    }
}

/// Adds a block, whose place in the pages is `at`, to a transfer that ends where it begins, or to a new one.
fn add_block(parts: &mut Vec<Part>, offset: u64, len: u64, pages: &Pages, at: u64) {
    let (number, within) = (at as usize / PAGE_SIZE, at as usize % PAGE_SIZE);
    let piece = |start, len: usize| Piece::new(pages[number].clone(), start, len);
    let Some(part) = parts.last_mut().filter(|part| part.end == offset) else {
        let pieces = Pieces::from_iter([piece(within, len as usize)]);
        parts.push(Part { offset, end: offset + len, pieces });
        return;
    };
    part.end += len;
    // What follows in the same page makes one piece with what is before it.
    match part.pieces.last_mut() {
        Some(last) if within > 0 && last.offset() + last.len() == within => {
            *last = piece(last.offset(), last.len() + len as usize);
        }
        _ => part.pieces.push(piece(within, len as usize)),
    }
}

/// Waits for transfers that go on at the same time; the first error is that of all.
async fn together(mut transfers: Vec<Op<'static, Result<()>>>) -> Result<()> {
    if transfers.len() == 1
        && let Some(only) = transfers.pop()
    {
        return only.await;
    }
    let mut result = Ok(());
    poll_fn(|context| {
        transfers.retain_mut(|transfer| match core::pin::Pin::new(transfer).poll(context) {
            Poll::Ready(done) => {
                result = result.and(done);
                false
            }
            Poll::Pending => true,
        });
        if transfers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}
