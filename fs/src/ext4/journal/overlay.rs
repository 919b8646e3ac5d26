//! A read-only disk with newer blocks over it.

use crate::{
    Device, Op, Result,
    block::{BlockDevice, BlockDeviceRef, Direction, Piece, Transfer},
};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// A disk as it would be if some blocks had been written to it.
pub struct Overlay {
    below: BlockDeviceRef,
    block_size: u64,
    /// By their numbers.
    blocks: Arc<BTreeMap<u64, Box<[u8]>>>,
}

impl Overlay {
    /// These blocks over a disk; each is `block_size` bytes, a whole number of sectors.
    pub fn new(below: BlockDeviceRef, block_size: u64, blocks: BTreeMap<u64, Box<[u8]>>) -> Arc<Self> {
        Arc::new(Overlay { below, block_size, blocks: Arc::new(blocks) })
    }
}

/// Puts what lies over a part of the disk into the pages that the part was read into.
fn cover(blocks: &BTreeMap<u64, Box<[u8]>>, block_size: u64, offset: u64, pieces: &[Piece]) {
    let mut at = offset;
    for piece in pieces {
        let end = at + piece.len() as u64;
        for (number, block) in blocks.range(at / block_size..end.div_ceil(block_size)) {
            let start = number * block_size;
            let (from, to) = (start.max(at), (start + block_size).min(end));
            let bytes = &block[(from - start) as usize..(to - start) as usize];
            piece.page().write(piece.offset() + (from - at) as usize, bytes);
        }
        at = end;
    }
}

impl BlockDevice for Overlay {
    fn size(&self) -> u64 {
        self.below.size()
    }

    fn sector_size(&self) -> u32 {
        self.below.sector_size()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn device(&self) -> Device {
        self.below.device()
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        if transfer.direction == Direction::Write {
            return Op::Ready(Err(Errno::EROFS));
        }
        let pieces: Vec<Piece> = transfer
            .pieces
            .iter()
            .map(|piece| Piece::new(piece.page().clone(), piece.offset(), piece.len()))
            .collect();
        let (blocks, block_size, offset) = (self.blocks.clone(), self.block_size, transfer.offset);
        let below = self.below.transfer(transfer);
        Op::waiting(async move {
            below.await?;
            cover(&blocks, block_size, offset, &pieces);
            Ok(())
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        Op::Ready(Ok(()))
    }
}
