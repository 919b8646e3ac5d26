//! Writing transactions to the log.
//!
//! ```text
//!   revoked numbers │ descriptor: tags │ copy │ copy │ ... │ descriptor ... ──flush──► commit block, at once on the medium
//! ```
//!
//! The copies are the transaction's own pages: nothing is copied but a block that begins as the journal's own blocks do.

use super::{
    layout::{
        BlockTail, CommitHeader, JOURNAL_MAGIC, JournalFeatures, JournalHeader, JournalSuperblock,
        RevokeHeader, Tag, Tag3, TagFlags, kind,
    },
    log::{self, Journal},
};
use crate::{
    Page, Result, Timestamp,
    block::{BlockInode, Piece, Pieces, Transfer},
    ext4::{checksum::crc32c, memory, volume::Turns},
};
use alloc::vec::Vec;
use core::mem::offset_of;
use core::ops::Range;
use executor::sync::SpinMutex;
use syscalls::Errno;
use zerocopy::big_endian::U32;
use zerocopy::{FromZeros, IntoBytes};

/// The log of a journal, for writing.
pub struct Log {
    /// Blocks of the journal that lie together: from which block of it on, and where.
    runs: Vec<(u32, Range<u64>)>,
    block_size: usize,
    superblock: SpinMutex<JournalSuperblock>,
    features: JournalFeatures,
    seed: Option<u32>,
    first: u32,
    blocks: u32,
    place: SpinMutex<Place>,
}

/// What of the ring is in use.
struct Place {
    /// Where the next transaction begins.
    head: u32,
    /// Where the first one begins that is not at its places yet.
    start: u32,
    used: u32,
}

/// Blocks written in one transfer, at most.
const MOST: usize = 128;

impl Log {
    /// The log of a journal that is empty, and the first transaction in it.
    pub async fn open(journal: &Journal) -> Result<(Self, u64)> {
        let superblock = journal.superblock().clone();
        let (first, blocks) = (superblock.first.get(), superblock.blocks.get());
        let mut runs = Vec::new();
        let mut at = 0;
        while at < blocks {
            let run = journal.run(at).await?;
            let count = run.count.min(u64::from(blocks - at));
            let physical = run.data().ok_or(Errno::EUCLEAN)?;
            runs.push((at, physical..physical + count));
            at += count as u32;
        }
        let sequence = u64::from(superblock.sequence.get()).max(1);
        let log = Log {
            runs,
            block_size: superblock.block_size.get() as usize,
            features: journal.features(),
            seed: journal.seed,
            first,
            blocks,
            place: SpinMutex::new(Place { head: first, start: first, used: 0 }),
            superblock: SpinMutex::new(superblock),
        };
        Ok((log, sequence))
    }

    /// Where on the disk it is, in runs.
    pub fn places(&self) -> impl Iterator<Item = Range<u64>> {
        self.runs.iter().map(|(_, run)| run.clone())
    }

    /// Blocks that it has room for.
    pub fn room(&self) -> u32 {
        self.blocks - self.first
    }

    /// Blocks that are free.
    pub fn free(&self) -> u32 {
        self.room() - self.place.lock().used
    }

    /// Blocks that a transaction needs.
    pub fn blocks_for(&self, copies: usize, revoked: usize) -> u32 {
        let descriptors = copies.div_ceil(self.tags_per_block());
        (descriptors + copies + revoked.div_ceil(self.numbers_per_block()) + 1) as u32
    }

    fn tail_len(&self) -> usize {
        if self.seed.is_some() { size_of::<BlockTail>() } else { 0 }
    }

    fn has(&self, feature: JournalFeatures) -> bool {
        self.features.contains(feature)
    }

    fn tag_len(&self) -> usize {
        let wide = if self.has(JournalFeatures::SIXTY_FOUR_BIT) { 4 } else { 0 };
        if self.has(JournalFeatures::CHECKSUM_3) {
            size_of::<Tag3>()
        } else {
            size_of::<Tag>() + wide + if self.has(JournalFeatures::CHECKSUM_2) { 2 } else { 0 }
        }
    }

    fn tags_per_block(&self) -> usize {
        // The first tag is followed by a UUID.
        (self.block_size - size_of::<JournalHeader>() - 16 - self.tail_len()) / self.tag_len()
    }

    fn number_len(&self) -> usize {
        if self.has(JournalFeatures::SIXTY_FOUR_BIT) { 8 } else { 4 }
    }

    fn numbers_per_block(&self) -> usize {
        (self.block_size - size_of::<RevokeHeader>() - self.tail_len()) / self.number_len()
    }

    fn after(&self, block: u32) -> u32 {
        if block + 1 >= self.blocks { self.first } else { block + 1 }
    }

    /// Where a block of the journal is.
    fn physical(&self, block: u32) -> u64 {
        let behind = self.runs.partition_point(|(first, _)| *first <= block);
        let (first, run) = &self.runs[behind - 1];
        run.start + u64::from(block - first)
    }

    /// Notes on the disk where the log begins, and with which transaction; `None` for an empty log, as it is left when it
    /// is not in use.
    pub async fn set_start(&self, disk: &BlockInode, sequence: u64, start: Option<u32>) -> Result<()> {
        let superblock = {
            let mut superblock = self.superblock.lock();
            superblock.start.set(start.unwrap_or(0));
            superblock.sequence.set(sequence as u32);
            if self.seed.is_some() {
                let sum = log::sum(&superblock);
                superblock.checksum.set(sum);
            }
            superblock.clone()
        };
        let page = memory::page().await;
        page.write(0, superblock.as_bytes());
        self.store(disk, self.physical(0), &[page], true).await?;
        if let Some(start) = start {
            let mut place = self.place.lock();
            let freed = (start + self.room() - place.start) % self.room();
            // As far as it was in use; a start at the head empties it.
            place.used = if start == place.head { 0 } else { place.used - freed };
            place.start = start;
        }
        Ok(())
    }

    /// Notes on the disk that the log is in use, empty, and goes on with this transaction.
    pub async fn begin(&self, disk: &BlockInode, sequence: u64) -> Result<()> {
        self.set_start(disk, sequence, Some(self.first)).await?;
        disk.device().flush().await
    }

    /// Writes blocks that lie together, from this one of the disk on; with `at_once` they are on the medium then. What the disk's
    /// page cache has of them is from before: it learns of them, for who mounts or checks the disk next.
    async fn store(&self, disk: &BlockInode, physical: u64, pages: &[Page], at_once: bool) -> Result<()> {
        let len = self.block_size;
        let offset = physical * len as u64;
        let pieces: Pieces = pages.iter().map(|page| Piece::new(page.clone(), 0, len)).collect();
        let mut write = Transfer::write(offset, pieces);
        write.force_unit_access = at_once;
        disk.device().transfer(write).await?;
        let mut turns = Turns::default();
        for (number, page) in pages.iter().enumerate() {
            disk.cache().refresh(offset + (number * len) as u64, &page.bytes()[..len]);
            turns.next().await;
        }
        Ok(())
    }

    /// Writes a transaction, for which there is room, and has it on the medium in the end. Returns where the next one begins.
    pub async fn write(
        &self,
        disk: &BlockInode,
        id: u64,
        copies: &[(u64, Page)],
        revoked: &[u64],
    ) -> Result<u32> {
        let start = self.place.lock().head;
        let mut pages = memory::list(self.blocks_for(copies.len(), revoked.len()) as usize).await;
        for numbers in revoked.chunks(self.numbers_per_block()) {
            pages.push(self.revoke_block(id, numbers).await);
        }
        let mut turns = Turns::default();
        for part in copies.chunks(self.tags_per_block()) {
            let descriptor = self.block(id, kind::DESCRIPTOR).await;
            pages.push(descriptor.clone());
            let mut at = size_of::<JournalHeader>();
            for (number, (block, page)) in part.iter().enumerate() {
                let (page, escaped) = self.copy(page).await;
                let mut flags = TagFlags::empty();
                flags.set(TagFlags::ESCAPED, escaped);
                flags.set(TagFlags::SAME_UUID, number > 0);
                flags.set(TagFlags::LAST, number + 1 == part.len());
                at = self.put_tag(&descriptor, at, id, *block, flags, &page);
                pages.push(page);
                turns.next().await;
            }
            self.seal(&descriptor);
        }
        let mut at = start;
        let mut rest = &pages[..];
        while !rest.is_empty() {
            let (count, physical) = self.together(at, rest.len().min(MOST));
            let (part, behind) = rest.split_at(count);
            self.store(disk, physical, part, false).await?;
            (0..count).for_each(|_| at = self.after(at));
            rest = behind;
        }
        // What it describes, and the contents of files that it leads to, are on the medium before it counts.
        disk.device().flush().await?;
        let commit = self.commit_block(id).await;
        self.store(disk, self.physical(at), &[commit], true).await?;
        let next = self.after(at);
        let mut place = self.place.lock();
        place.head = next;
        place.used += pages.len() as u32 + 1;
        Ok(next)
    }

    /// How many blocks of the journal from one on lie together, up to `most`, and where.
    fn together(&self, block: u32, most: usize) -> (usize, u64) {
        let behind = self.runs.partition_point(|(first, _)| *first <= block);
        let (first, run) = &self.runs[behind - 1];
        let physical = run.start + u64::from(block - first);
        (most.min((run.end - physical) as usize), physical)
    }

    async fn block(&self, id: u64, kind: u32) -> Page {
        let page = memory::page().await;
        let header = JournalHeader {
            magic: U32::new(JOURNAL_MAGIC),
            kind: U32::new(kind),
            sequence: U32::new(id as u32),
        };
        page.write(0, header.as_bytes());
        page
    }

    /// Puts the check sum at the end of a block.
    fn seal(&self, page: &Page) {
        if let Some(seed) = self.seed {
            let at = self.block_size - size_of::<BlockTail>();
            let sum = crc32c(seed, &page.bytes()[..self.block_size]);
            page.write(at, &sum.to_be_bytes());
        }
    }

    async fn revoke_block(&self, id: u64, numbers: &[u64]) -> Page {
        let page = self.block(id, kind::REVOKE).await;
        let mut at = size_of::<RevokeHeader>();
        for number in numbers {
            let bytes = number.to_be_bytes();
            page.write(at, &bytes[8 - self.number_len()..]);
            at += self.number_len();
        }
        page.write(offset_of!(RevokeHeader, used), &(at as u32).to_be_bytes());
        self.seal(&page);
        page
    }

    /// The page to write for a block: its own, or a copy if it would look like one of the journal's blocks.
    async fn copy(&self, page: &Page) -> (Page, bool) {
        if page.bytes()[..4] != JOURNAL_MAGIC.to_be_bytes() {
            return (page.clone(), false);
        }
        let copy = memory::page().await;
        copy.write(4, &page.bytes()[4..self.block_size]);
        (copy, true)
    }

    /// Writes a tag to a descriptor; returns where the next one goes.
    fn put_tag(&self, to: &Page, at: usize, id: u64, block: u64, flags: TagFlags, copy: &Page) -> usize {
        let sum = self.seed.map_or(0, |seed| {
            crc32c(crc32c(seed, &(id as u32).to_be_bytes()), &copy.bytes()[..self.block_size])
        });
        let mut next = at + self.tag_len();
        if self.has(JournalFeatures::CHECKSUM_3) {
            let tag = Tag3 {
                block: U32::new(block as u32),
                flags: U32::new(flags.bits()),
                block_high: U32::new((block >> 32) as u32),
                checksum: U32::new(sum),
            };
            to.write(at, tag.as_bytes());
        } else {
            let mut tag = Tag::new_zeroed();
            tag.block.set(block as u32);
            tag.flags.set(flags.bits() as u16);
            if self.has(JournalFeatures::CHECKSUM_2) {
                tag.checksum.set(sum as u16);
            }
            to.write(at, tag.as_bytes());
            if self.has(JournalFeatures::SIXTY_FOUR_BIT) {
                to.write(at + size_of::<Tag>(), &((block >> 32) as u32).to_be_bytes());
            }
        }
        if !flags.contains(TagFlags::SAME_UUID) {
            to.write(next, &self.superblock.lock().uuid);
            next += 16;
        }
        next
    }

    async fn commit_block(&self, id: u64) -> Page {
        let page = self.block(id, kind::COMMIT).await;
        let now = Timestamp::now();
        page.write(offset_of!(CommitHeader, seconds), &(now.seconds as u64).to_be_bytes());
        page.write(offset_of!(CommitHeader, nanoseconds), &now.nanoseconds.to_be_bytes());
        if let Some(seed) = self.seed {
            let sum = crc32c(seed, &page.bytes()[..self.block_size]);
            page.write(offset_of!(CommitHeader, checksum), &sum.to_be_bytes());
        }
        page
    }
}
