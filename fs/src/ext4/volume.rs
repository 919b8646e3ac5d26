//! A file system's disk: what all its files share.

use super::{
    buffer::{Buffer, Buffers, Owner},
    complaints::{Complaints, Place},
    geometry::Geometry,
    inode_cache::InodeCache,
    node::Node,
    options::{Options, Settings},
    orphans::Orphans,
    space::Space,
    transaction::Transactions,
};
use crate::{
    Result,
    block::{BlockInode, Claim},
    cache::{self, Flusher},
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::sync::{Mutex, SpinMutex};
use syscalls::Errno;

/// What all inodes of a file system share.
pub(super) struct Volume {
    pub disk: Arc<BlockInode>,
    pub geometry: Geometry,
    pub complaints: Arc<Complaints>,
    pub settings: Settings,
    pub inodes: InodeCache,
    /// Stores contents of files.
    pub flusher: Arc<Flusher>,
    pub buffers: Arc<Buffers>,
    pub space: Space,
    /// `None` when it can only be read.
    pub transactions: Option<Transactions>,
    pub orphans: Orphans,
    /// Inodes whose times have changed since they were stored.
    pub new_times: SpinMutex<Vec<Arc<Node>>>,
    /// Whose turn it is to free blocks with memory that is kept for that.
    pub scarce: Mutex<()>,
    /// Keeps others from the disk.
    _claim: Option<Claim>,
}

/// Where an inode is: in this block, whose first inode is `first`, and from this byte on.
struct InodePlace {
    block: u64,
    first: u32,
    at: usize,
}

/// Steps of something that may take long without waiting for the disk.
#[derive(Default)]
pub(super) struct Turns(u32);

impl Turns {
    /// One step; others get a turn now and then, and before the poll has lasted long.
    pub async fn next(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(64) || executor::should_yield() {
            executor::yield_now().await;
        }
    }
}

impl Volume {
    /// Reads what all else needs. Nothing can be changed without `transactions`.
    pub async fn open(
        disk: Arc<BlockInode>,
        geometry: Geometry,
        complaints: Arc<Complaints>,
        transactions: Option<Transactions>,
        options: Options,
        claim: Option<Claim>,
    ) -> Result<Arc<Self>> {
        let buffers = Arc::new(Buffers::new());
        let weak: alloc::sync::Weak<Buffers> = Arc::downgrade(&buffers);
        cache::register(weak);
        let mut volume = Volume {
            disk,
            geometry,
            complaints,
            settings: Settings::new(options),
            inodes: InodeCache::new(),
            flusher: Flusher::new(),
            buffers,
            space: Space::empty(),
            transactions,
            orphans: Orphans::new(),
            new_times: SpinMutex::new(Vec::new()),
            scarce: Mutex::new(()),
            _claim: claim,
        };
        volume.space = Space::open(&volume).await?;
        Ok(Arc::new(volume))
    }

    /// The block with an inode, which the number must be one of, and where in there it is.
    pub async fn inode(&self, number: u32) -> Result<(Arc<Buffer>, usize)> {
        let InodePlace { block, first, at } = self.inode_place(number)?;
        Ok((self.buffer(block, Owner::Inodes { first }).await?, at))
    }

    /// As [`inode`](Self::inode), for one that is being made: a block in which no inode is in use need not be read.
    pub async fn inode_to_make(&self, number: u32) -> Result<(Arc<Buffer>, usize)> {
        let InodePlace { block, first, at } = self.inode_place(number)?;
        let owner = Owner::Inodes { first };
        let buffer = match self.buffer_now(block, owner)? {
            Some(buffer) => buffer,
            None => self.new_inodes(block, first).await?,
        };
        Ok((buffer, at))
    }

    /// Where an inode is.
    fn inode_place(&self, number: u32) -> Result<InodePlace> {
        let geometry = &self.geometry;
        if number == 0 || number > geometry.inodes {
            return Err(self.corrupt(Place::Inode(number), "there is no such inode"));
        }
        let (group, within) =
            ((number - 1) / geometry.inodes_per_group, (number - 1) % geometry.inodes_per_group);
        let table = self.space.groups()[group as usize].inode_table;
        let per_block = geometry.inodes_per_block();
        Ok(InodePlace {
            block: table + u64::from(within / per_block),
            first: number - within % per_block,
            at: (within % per_block) as usize * geometry.inode_size,
        })
    }

    /// A block of inodes that is not in memory, for one that is being made. What is on the disk does not matter if none is
    /// in use.
    #[cold]
    async fn new_inodes(&self, block: u64, first: u32) -> Result<Arc<Buffer>> {
        let owner = Owner::Inodes { first };
        let page = cache::new_page().await?;
        let zeros = Buffer::zeroed(block, self.geometry.block_size as usize, page, owner);
        self.enter_unless_used(first, Arc::new(zeros))?;
        self.buffer(block, owner).await
    }

    /// Checks that a run of blocks can belong to a file.
    pub fn check_blocks(&self, first: u64, count: u64, place: Place) -> Result<()> {
        if !self.geometry.contains(first, count) {
            Err(self.corrupt(place, "blocks lie outside of the file system"))
        } else if self.space.own().touches(&(first..first + count)) {
            Err(self.corrupt(place, "blocks are the file system's own"))
        } else {
            Ok(())
        }
    }

    /// The error for what cannot be used. The file system is not written to any more then, unless its options say otherwise.
    pub fn corrupt(&self, place: Place, what: &'static str) -> Errno {
        let was_written = self.transactions().is_ok();
        let error = self.complaints.corrupt(place, what);
        if was_written && let Some(transactions) = self.transactions.as_ref().filter(|_| self.must_stop()) {
            self.complaints.once(Place::Superblock, "read-only from now on, as there are errors");
            // With what was changed before, it is noted on the disk.
            transactions.hurry();
        }
        error
    }

    /// Whether something was found that is not as it must be, and nothing is to be changed then.
    pub fn must_stop(&self) -> bool {
        self.complaints.have_errors() && self.settings.stops_at_errors()
    }
}
