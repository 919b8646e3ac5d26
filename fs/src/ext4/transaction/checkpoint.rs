//! Checkpoints: bringing committed blocks to their places, so that the log has room again.

use super::Transactions;
use crate::{
    Page, Result,
    block::{Piece, Pieces, Transfer},
    ext4::{
        memory,
        volume::{Turns, Volume},
    },
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use executor::atomic::Ordering::AcqRel;
use executor::sync::SpinMutex;
use syscalls::Errno;

/// What is committed and not yet at its place.
pub struct Checkpoint {
    /// The last committed contents of blocks.
    blocks: BTreeMap<u64, Page>,
    /// The last transaction whose blocks are among them, and where in the log the next one begins.
    last: Option<(u64, u32)>,
}

impl Checkpoint {
    pub const fn new() -> Self {
        Checkpoint { blocks: BTreeMap::new(), last: None }
    }
}

/// Bytes that are written in one transfer, at most.
const MOST: usize = 512 << 10;

impl Volume {
    /// Enters the blocks of a transaction that is committed; `next` is where in the log the next one begins. The blocks of metadata
    /// that it freed are not brought to their places any more: afterwards nobody writes there but who gets them.
    pub(super) async fn note_committed(
        &self,
        transactions: &Transactions,
        id: u64,
        next: u32,
        blocks: Vec<(u64, Page)>,
        revoked: &[u64],
    ) {
        if !revoked.is_empty() {
            // A checkpoint under way may be writing one of them: it must have come there before something else is written there.
            let _none = transactions.checkpointing.lock().await;
            each_with_turns(revoked.iter(), &transactions.checkpoint, |checkpoint, number| {
                checkpoint.blocks.remove(number);
            })
            .await;
        }
        each_with_turns(blocks.into_iter(), &transactions.checkpoint, |checkpoint, (number, page)| {
            checkpoint.blocks.insert(number, page);
        })
        .await;
        transactions.checkpoint.lock().last = Some((id, next));
    }

    /// Brings all that is committed now to its place and frees its part of the log. After an error the log stays as it is, and
    /// nothing is written any more.
    pub async fn checkpoint(&self) -> Result<()> {
        let Some(transactions) = &self.transactions else { return Ok(()) };
        let done = self.checkpoint_alone(transactions).await;
        done.inspect_err(|error| self.fail(*error))
    }

    async fn checkpoint_alone(&self, transactions: &Transactions) -> Result<()> {
        let _alone = transactions.checkpointing.lock().await;
        if transactions.has_failed() {
            return Err(Errno::EIO);
        }
        let mut blocks = Vec::new();
        let last = loop {
            let missing = {
                let checkpoint = transactions.checkpoint.lock();
                let Some(last) = checkpoint.last else { return Ok(()) };
                if checkpoint.blocks.len() <= blocks.capacity() {
                    blocks.extend(checkpoint.blocks.iter().map(|(number, page)| (*number, page.clone())));
                    break last;
                }
                checkpoint.blocks.len()
            };
            memory::reserve(&mut blocks, missing).await;
        };
        self.store_blocks(&blocks).await?;
        self.disk.device().flush().await?;
        if let Some(log) = &transactions.log {
            log.set_start(&self.disk, last.0 + 1, Some(last.1)).await?;
        }
        let done = |checkpoint: &mut Checkpoint, (number, page): (u64, Page)| {
            // Unless it has been committed again meanwhile.
            if checkpoint.blocks.get(&number).is_some_and(|now| now.as_ptr() == page.as_ptr()) {
                checkpoint.blocks.remove(&number);
            }
        };
        each_with_turns(blocks.into_iter(), &transactions.checkpoint, done).await;
        let mut checkpoint = transactions.checkpoint.lock();
        if checkpoint.last == Some(last) {
            checkpoint.last = None;
        }
        Ok(())
    }

    /// Writes blocks, which are sorted, to their places.
    pub(super) async fn store_blocks(&self, blocks: &[(u64, Page)]) -> Result<()> {
        let len = self.geometry.block_size as usize;
        let mut turns = Turns::default();
        let mut rest = blocks;
        while let Some((first, _)) = rest.first() {
            let most = rest.len().min(MOST / len);
            let together = |at: &usize| rest[*at].0 == first + *at as u64;
            let count = (0..most).take_while(together).count();
            let (part, behind) = rest.split_at(count);
            let pieces: Pieces = part.iter().map(|(_, page)| Piece::new(page.clone(), 0, len)).collect();
            self.disk.device().transfer(Transfer::write(first * len as u64, pieces)).await?;
            for (number, page) in part {
                self.disk.cache().refresh(number * len as u64, &page.bytes()[..len]);
                turns.next().await;
            }
            rest = behind;
        }
        Ok(())
    }
}

/// Does something under a lock for each item, with others having their turns.
async fn each_with_turns<T, L>(
    items: impl Iterator<Item = T>,
    lock: &SpinMutex<L>,
    mut each: impl FnMut(&mut L, T),
) {
    let mut turns = Turns::default();
    for item in items {
        each(&mut lock.lock(), item);
        turns.next().await;
    }
}

impl Transactions {
    /// Nothing can be written any more: who waits is told.
    /// Whether that is new.
    pub(super) fn fail(&self) -> bool {
        let is_new = !self.failed.swap(true, AcqRel);
        self.ended.wake_all();
        // The task that commits ends.
        self.hurry();
        is_new
    }
}
