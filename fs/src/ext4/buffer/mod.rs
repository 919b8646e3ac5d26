//! Blocks of metadata in memory: one object for each, as long as it is in use or memory suffices.
//!
//! ```text
//!   Volume::buffer(number, owner) ─► there ─► the block
//!                │ absent                       ▲
//!                └─► read from the disk, check sum compared, once
//! ```
//!
//! A [`Buffer`] is looked at and changed under a spin lock of its own, so never across an `.await`. [`Owner`] says what it is
//! part of, and so how its check sum is made: changes do not make it, the commit does, once (`sums`).

mod block;
mod sums;

pub use block::{Buffer, Change, Collected, Contents};
pub use sums::{Form, Owner, bitmap_sum, descriptor_sum, seal_bitmap, seal_block};

use super::{complaints::Place, volume::Volume};
use crate::{
    Page, Result, SleepLock,
    block::{Piece, Pieces, Transfer},
    cache,
};
use alloc::sync::Arc;
use executor::atomic::{AtomicUsize, Ordering::Relaxed};
use executor::sync::SpinMutex;
use hashbrown::HashMap;
use syscalls::Errno;

const SHARDS: usize = 64;
/// Blocks that are read at the same time, at most.
const LOADS: usize = 32;

/// The blocks of a file system that are in memory.
pub(super) struct Buffers {
    shards: [SpinMutex<HashMap<u64, Arc<Buffer>>>; SHARDS],
    /// Held by who reads a block whose number falls to it.
    loads: [SleepLock; LOADS],
    /// How many there are. Relaxed: a guide.
    count: AtomicUsize,
}

impl Buffers {
    pub fn new() -> Self {
        Buffers {
            shards: core::array::from_fn(|_| SpinMutex::new(HashMap::new())),
            loads: [const { SleepLock::new() }; LOADS],
            count: AtomicUsize::new(0),
        }
    }

    fn shard(&self, number: u64) -> &SpinMutex<HashMap<u64, Arc<Buffer>>> {
        &self.shards[number as usize % SHARDS]
    }

    fn find(&self, number: u64) -> Option<Arc<Buffer>> {
        self.shard(number).lock().get(&number).cloned()
    }

    /// Enters a block. With `replace` in the place of what was there, else only if nothing was.
    pub fn enter(&self, new: Arc<Buffer>, replace: bool) -> Result<Arc<Buffer>> {
        let mut shard = self.shard(new.number()).lock();
        if !replace && let Some(there) = shard.get(&new.number()) {
            return Ok(there.clone());
        }
        shard.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let old = shard.insert(new.number(), new.clone());
        drop(shard);
        self.count.fetch_add(usize::from(old.is_none()), Relaxed);
        drop(old);
        Ok(new)
    }

    /// Takes a block out that is being freed.
    pub fn forget(&self, number: u64) -> Option<Arc<Buffer>> {
        let old = self.shard(number).lock().remove(&number);
        self.count.fetch_sub(usize::from(old.is_some()), Relaxed);
        old
    }
}

impl cache::Shrink for Buffers {
    fn pages(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn shrink(&self, count: usize) -> usize {
        let mut gone = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            // Who has one from here holds another owner; nobody can get one meanwhile.
            shard.retain(|_, buffer| {
                let give_up = gone < count && Arc::strong_count(buffer) == 1 && buffer.is_idle();
                gone += usize::from(give_up);
                !give_up
            });
        }
        self.count.fetch_sub(gone, Relaxed);
        gone
    }
}

impl Volume {
    fn block_len(&self) -> usize {
        self.geometry.block_size as usize
    }

    /// A block of metadata, read if it is not in memory. `EUCLEAN` if it is not what `owner` says, or part of something else.
    pub async fn buffer(&self, number: u64, owner: Owner) -> Result<Arc<Buffer>> {
        match self.buffer_now(number, owner)? {
            Some(buffer) => Ok(buffer),
            None => self.read_buffer(number, owner).await,
        }
    }

    /// As [`buffer`](Self::buffer), if it need not be read.
    pub fn buffer_now(&self, number: u64, owner: Owner) -> Result<Option<Arc<Buffer>>> {
        match self.buffers.find(number).filter(|buffer| buffer.is_loaded()) {
            Some(buffer) => self.use_buffer(buffer, owner).map(Some),
            None => Ok(None),
        }
    }

    #[cold]
    async fn read_buffer(&self, number: u64, owner: Owner) -> Result<Arc<Buffer>> {
        let buffer = self.buffers.enter(Arc::new(Buffer::empty(number, self.block_len())), false)?;
        if !buffer.is_loaded() {
            self.load(&buffer, owner).await?;
        }
        self.use_buffer(buffer, owner)
    }

    fn use_buffer(&self, buffer: Arc<Buffer>, owner: Owner) -> Result<Arc<Buffer>> {
        buffer.touch();
        if buffer.owner().agrees(&owner) {
            Ok(buffer)
        } else {
            Err(self.corrupt(Place::Block(buffer.number()), "is part of two things"))
        }
    }

    async fn load(&self, buffer: &Buffer, owner: Owner) -> Result<()> {
        let _turn = self.buffers.loads[buffer.number() as usize % LOADS].lock().await;
        if buffer.is_loaded() {
            return Ok(());
        }
        let page = cache::new_page().await?;
        let (number, len) = (buffer.number(), buffer.len());
        let pieces = Pieces::from_iter([Piece::new(page.clone(), 0, len)]);
        let read = self.disk.device().transfer(Transfer::read(number * len as u64, pieces)).await;
        if let Err(error) = read {
            self.complaints.once(Place::Block(number), "cannot be read");
            return Err(error);
        }
        let owner = owner.check(&self.geometry, number, &page.bytes()[..len]);
        let owner = owner.map_err(|(place, what)| self.corrupt(place, what))?;
        let wrong = owner.wrong_parts(&self.geometry, &page.bytes()[..len]);
        buffer.fill(page, owner, wrong);
        Ok(())
    }

    /// A block of zeros, which was free until now and is changed before anybody else knows it.
    pub async fn fresh(&self, number: u64, owner: Owner) -> Result<Arc<Buffer>> {
        let page: Page = cache::new_page().await?;
        self.buffers.enter(Arc::new(Buffer::zeroed(number, self.block_len(), page, owner)), true)
    }
}
