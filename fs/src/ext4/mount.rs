//! Mounting and unmounting.

use super::{
    ROOT,
    complaints::{Complaints, Log, Place},
    features::{Compatible, Incompatible, ReadOnlyCompatible},
    geometry::Geometry,
    journal::{self, Journal},
    layout::{RawSuperblock, SUPERBLOCK_OFFSET},
    memory,
    node::Expected,
    options::Options,
    transaction::Transactions,
    volume::Volume,
};
use crate::{
    FileType, Inode, Result, Timestamp,
    block::{BlockInode, Piece, Pieces, Transfer},
    urgently,
};
use alloc::sync::Arc;
use core::mem::offset_of;
use syscalls::Errno;
use zerocopy::{FromZeros, IntoBytes};

/// A mounted file system. When it is dropped it is unmounted, by a task: the disk is free when
/// [`BlockInode::claim`] is had.
pub struct Ext4 {
    pub(super) volume: Arc<Volume>,
    pub(super) root: Arc<dyn Inode>,
}

/// The most blocks in a transaction without journal.
const MOST: usize = 1024;
/// In the superblock's `state`: it was unmounted.
const CLEAN: u16 = 1;
/// There: something is not as it must be.
const ERRORS: u16 = 2;

/// Reads the superblock. `EIO` if the disk ends before it, as on Linux.
async fn read_superblock(disk: &BlockInode, complaints: &Complaints) -> Result<Geometry> {
    let mut raw = RawSuperblock::new_zeroed();
    let mut bytes = raw.as_mut_bytes();
    let wanted = bytes.len();
    if disk.cache().read(SUPERBLOCK_OFFSET, &mut bytes).await? != wanted {
        return Err(Errno::EIO);
    }
    let device = disk.device();
    Geometry::check(&raw, device.size(), device.sector_size(), complaints)
}

/// Says what is remarkable about a file system that is being mounted.
fn tell(geometry: &Geometry, complaints: &Complaints) {
    for (bit, name) in geometry.features.unwritable() {
        let name = name.unwrap_or("unknown to this kernel");
        complaints.say(format_args!("feature {name} ({bit:#x}) is not supported: read-only"));
    }
    if geometry.last_orphan != 0 || geometry.features.read_only.contains(ReadOnlyCompatible::ORPHAN_PRESENT) {
        complaints.say(format_args!("there are deleted files that still take room"));
    }
}

impl Ext4 {
    /// Mounts the file system on a disk, for reading and, unless `read_only` is set, for writing. If it was not unmounted, its
    /// journal is replayed: onto the disk, or in memory if the disk is read-only. `EINVAL` when there is none, or one that
    /// cannot be read, and `EROFS` when it cannot be written to; why goes to `log`, as do all complaints from then on. Waits
    /// until nobody else uses the disk.
    pub async fn mount(
        disk: Arc<BlockInode>,
        log: Arc<dyn Log>,
        read_only: bool,
        options: Options,
    ) -> Result<Arc<Self>> {
        let claim = disk.clone().claim().await;
        let complaints = Arc::new(Complaints::new(log, disk.device().device()));
        if !disk.device().is_read_only() {
            // What was written to the disk's node counts.
            disk.fsync(true).await?;
        }
        let mut disk = disk;
        let mut geometry = read_superblock(&disk, &complaints).await?;
        if geometry.has(Incompatible::NEEDS_RECOVERY) {
            let volume = Volume::open(disk, geometry, complaints.clone(), None, options, None).await?;
            disk = journal::recover(&volume).await?;
            // The superblock, too, may have been in the journal.
            geometry = read_superblock(&disk, &complaints).await?;
        }
        tell(&geometry, &complaints);
        let transactions = open_transactions(&disk, &geometry, &complaints).await?;
        let volume = Volume::open(disk, geometry, complaints, transactions, options, Some(claim)).await?;
        let root = volume.get(ROOT, Expected::Name).await?;
        if root.attributes().kind != FileType::Directory {
            return Err(volume.corrupt(Place::Inode(ROOT), "is the root, but no directory"));
        }
        let mounted = Ext4 { volume, root };
        if !read_only {
            mounted.volume.begin_writing().await?;
        }
        Ok(Arc::new(mounted))
    }

    /// Brings everything to stable storage.
    pub(super) async fn sync_all(&self) -> Result<()> {
        let Some(transactions) = &self.volume.transactions else { return Ok(()) };
        if transactions.has_failed() {
            return Err(Errno::EIO);
        }
        if self.volume.transactions().is_err() {
            let has_failed = self.volume.transactions.as_ref().is_some_and(Transactions::has_failed);
            return if has_failed { Err(Errno::EIO) } else { Ok(()) };
        }
        // Whatever cannot be stored, the rest can.
        let stored = self.volume.store_all().await;
        self.volume.commit().await?;
        stored
    }

    /// Has it written to, or not any more. That goes on to its end, whatever happens to who waits for it.
    pub(super) async fn allow_writing(&self, writing: bool) -> Result<()> {
        if writing == self.volume.transactions().is_ok() {
            return Ok(());
        }
        let volume = self.volume.clone();
        // In a task, which goes on to its end whatever happens to the caller.
        let change = executor::try_spawn(async move {
            if writing { volume.begin_writing().await } else { volume.end_writing().await }
        });
        change.map_err(|_| Errno::ENOMEM)?.await.unwrap_or(Err(Errno::EIO))
    }
}

/// What is needed to write to a file system; nothing if that cannot be.
async fn open_transactions(
    disk: &Arc<BlockInode>,
    geometry: &Geometry,
    complaints: &Arc<Complaints>,
) -> Result<Option<Transactions>> {
    let unwritable =
        geometry.features.unwritable().next().is_some() || geometry.has(Incompatible::INLINE_DATA);
    if disk.device().is_read_only() || unwritable {
        return Ok(None);
    }
    if !geometry.features.compatible.contains(Compatible::HAS_JOURNAL) {
        return Ok(Some(Transactions::new(None, 1, MOST)));
    }
    let volume =
        Volume::open(disk.clone(), geometry.clone(), complaints.clone(), None, Options::default(), None)
            .await?;
    let journal = Journal::open(&volume).await?;
    let (log, first) = journal::Log::open(&journal).await?;
    let most = (log.room() / 4) as usize;
    Ok(Some(Transactions::new(Some(log), first, most)))
}

impl Volume {
    /// From now on the file system is written to, and what was interrupted is finished.
    async fn begin_writing(self: &Arc<Self>) -> Result<()> {
        self.enable_writing().await?;
        self.open_orphans().await?;
        self.clean_orphans().await
    }

    /// From now on changes are possible; on the disk it is noted that the file system is in use.
    pub(super) async fn enable_writing(self: &Arc<Self>) -> Result<()> {
        if self.must_stop() {
            return Err(Errno::EROFS);
        }
        let Some(transactions) = &self.transactions else {
            if self.geometry.has(Incompatible::INLINE_DATA) {
                self.complaints.say(format_args!("feature inline_data: can only be read"));
            }
            return Err(Errno::EROFS);
        };
        if transactions.has_failed() {
            // What is in the log is the truth, until it is replayed.
            return Err(Errno::EROFS);
        }
        // In this order: a log that is not empty says so in the superblock, at any moment.
        self.note_use(true).await?;
        transactions.begin_log(&self.disk).await?;
        transactions.enable(true);
        transactions.set_stopped(false);
        match executor::try_spawn(urgently(self.clone().commit_until_closed())) {
            Ok(commits) => commits.detach(),
            Err(_) => {
                transactions.set_stopped(true);
                transactions.enable(false);
                return Err(Errno::ENOMEM);
            }
        }
        Ok(())
    }

    /// Everything that was changed is at its place, and the file system is marked as unmounted. Nothing can be changed afterwards.
    async fn end_writing(self: &Arc<Self>) -> Result<()> {
        let transactions = self.transactions()?;
        // What was deleted is freed: what is only to be dropped at the end of a grace period begins to end, and what has begun
        // ends.
        executor::rcu::barrier().await;
        self.inodes.wait_for_ending().await;
        self.store_all().await?;
        self.commit().await?;
        transactions.enable(false);
        // What was begun before has ended with the last one.
        transactions.close().await;
        if transactions.has_failed() {
            return Err(Errno::EIO);
        }
        self.checkpoint().await?;
        transactions.end_log(&self.disk).await?;
        self.note_use(false).await
    }
}

impl Volume {
    /// Notes the errors that were found in a superblock.
    pub(super) fn put_errors(&self, raw: &mut RawSuperblock) {
        let errors = self.complaints.take_errors();
        if errors > 0 {
            raw.state.set(raw.state.get() | ERRORS);
            raw.error_count.set(raw.error_count.get().saturating_add(errors));
        }
    }

    /// Notes in the superblock, at once, whether the file system is in use or unmounted.
    pub(super) async fn note_use(&self, in_use: bool) -> Result<()> {
        let start = SUPERBLOCK_OFFSET as usize % self.geometry.block_size as usize;
        let superblock = &self.space.superblock;
        let page = memory::page().await;
        {
            let has_journal = self.geometry.features.compatible.contains(Compatible::HAS_JOURNAL);
            let (blocks, inodes) = self.space.free();
            superblock.set_initial(|bytes| {
                let Ok((raw, _)) =
                    <RawSuperblock as zerocopy::FromBytes>::mut_from_prefix(&mut bytes[start..])
                else {
                    return;
                };
                let now = Timestamp::now().seconds as u32;
                raw.write_time.set(now);
                if in_use {
                    raw.mount_time.set(now);
                    raw.mount_count.set(raw.mount_count.get().saturating_add(1));
                }
                let mut incompatible = Incompatible::from_bits_retain(raw.feature_incompat.get());
                let mut state = raw.state.get();
                if has_journal {
                    incompatible.set(Incompatible::NEEDS_RECOVERY, in_use);
                } else if in_use {
                    state &= !CLEAN;
                }
                if !in_use {
                    state |= CLEAN;
                }
                raw.feature_incompat.set(incompatible.bits());
                raw.state.set(state);
                self.put_errors(raw);
                let mut read_only = ReadOnlyCompatible::from_bits_retain(raw.feature_ro_compat.get());
                if self.geometry.features.compatible.contains(Compatible::ORPHAN_FILE) {
                    let has_orphans = !self.orphans.is_file_empty();
                    read_only.set(ReadOnlyCompatible::ORPHAN_PRESENT, in_use || has_orphans);
                }
                raw.feature_ro_compat.set(read_only.bits());
                raw.free_blocks_count.set(blocks as u32);
                raw.free_blocks_count_high.set((blocks >> 32) as u32);
                raw.free_inodes_count.set(inodes as u32);
                if self.geometry.has_checksums() {
                    let bytes = raw.as_bytes();
                    let sum = super::checksum::crc32c(
                        super::checksum::START,
                        &bytes[..offset_of!(RawSuperblock, checksum)],
                    );
                    raw.checksum.set(sum);
                }
            });
            page.write(0, &superblock.read());
        }
        let offset = superblock.number() * self.geometry.block_size;
        self.disk.cache().refresh(offset, &page.bytes()[..superblock.len()]);
        let pieces = Pieces::from_iter([Piece::new(page, 0, superblock.len())]);
        let mut write = Transfer::write(offset, pieces);
        write.force_unit_access = true;
        self.disk.device().transfer(write).await?;
        self.disk.device().flush().await
    }

    /// Stores the contents that are only in memory, of all files; the first error is that of all.
    pub(super) async fn store_all(&self) -> Result<()> {
        let mut result = Ok(());
        for shard in 0..super::inode_cache::SHARDS {
            let mut after = None;
            while let Some(inode) = self.inodes.after(shard, after) {
                after = Some(inode.number());
                result = result.and(inode.store_contents().await);
                result = result.and(inode.node().store_times().await);
            }
        }
        result
    }

    /// The end of a file system: contents that somebody still stores are waited for.
    async fn close(self: Arc<Self>) {
        if let Err(error) = self.store_all().await {
            self.complaints.say(format_args!("{error}: contents of files are lost"));
        }
        // Inodes end with their last user; what they have left to do they have begun.
        self.inodes.wait_until_empty().await;
        if let Err(error) = self.end_writing().await {
            self.fail(error);
        }
        self.give_up();
    }

    /// Nothing is written any more: lets go of what keeps this in memory.
    fn give_up(&self) {
        if let Some(transactions) = &self.transactions {
            transactions.hurry_to_close();
            transactions.forget_directories();
        }
        self.orphans.clear();
        self.flusher.close();
        let nodes = core::mem::take(&mut *self.new_times.lock());
        drop(nodes);
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if self.volume.transactions().is_ok() {
            match executor::try_spawn(self.volume.clone().close()) {
                Ok(task) => task.detach(),
                Err(_) => {
                    self.volume.complaints.say(format_args!("no memory to unmount: left in use"));
                    self.volume.give_up();
                }
            }
        } else {
            self.volume.give_up();
        }
    }
}
