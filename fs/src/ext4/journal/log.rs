//! The journal as a file of blocks, and what its superblock says.

use super::layout::{BlockTail, JOURNAL_MAGIC, JournalFeatures, JournalHeader, JournalSuperblock, kind};
use crate::ext4::{
    checksum::{START, crc32c},
    complaints::Place,
    map::Run,
    node::{Expected, Node},
    volume::Volume,
};
use crate::{FileType, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The type of check sum that is CRC-32C.
const CRC32C: u8 = 4;
/// Names of features that are not supported.
const UNSUPPORTED: &[(u32, &str)] = &[(0x4, "async_commit"), (0x20, "fast_commit")];

/// A journal.
pub struct Journal {
    node: Node,
    superblock: JournalSuperblock,
    features: JournalFeatures,
    /// What check sums begin with, where blocks have them.
    pub seed: Option<u32>,
}

impl Journal {
    /// Reads and checks the journal's superblock.
    pub async fn open(volume: &Arc<Volume>) -> Result<Self> {
        let number = volume.geometry.journal_inode;
        if number == 0 {
            volume.complaints.say(format_args!("not mounted: the journal is on another disk"));
            return Err(Errno::EINVAL);
        }
        let node = Node::read(volume, number, Expected::Name).await?;
        if node.attributes.kind != FileType::Regular {
            return Err(node.corrupt("is no journal"));
        }
        let mut journal = Journal {
            node,
            superblock: JournalSuperblock::new_zeroed(),
            features: JournalFeatures::empty(),
            seed: None,
        };
        let block = journal.block(0).await?;
        match JournalSuperblock::read_from_prefix(&block) {
            Ok((superblock, _)) => journal.superblock = superblock,
            Err(_) => return Err(journal.corrupt(0, "superblock is too short")),
        }
        journal.check()?;
        Ok(journal)
    }

    fn check(&mut self) -> Result<()> {
        let (volume, superblock) = (&self.node.volume, &self.superblock);
        let header = &superblock.header;
        if header.magic.get() != JOURNAL_MAGIC
            || !matches!(header.kind.get(), kind::SUPERBLOCK_1 | kind::SUPERBLOCK_2)
        {
            return Err(self.corrupt(0, "there is no superblock"));
        }
        if header.kind.get() == kind::SUPERBLOCK_2 {
            self.features = JournalFeatures::from_bits_retain(superblock.feature_incompat.get());
        }
        let unknown = self.features.bits() & !JournalFeatures::all().bits();
        if unknown != 0 {
            let name = UNSUPPORTED.iter().find(|(bit, _)| unknown & bit != 0).map(|(_, name)| *name);
            let name = name.unwrap_or("unknown to this kernel");
            volume.complaints.say(format_args!(
                "not mounted: the journal has feature {name} ({unknown:#x}), which is not supported",
            ));
            return Err(Errno::EINVAL);
        }
        if self.features.intersects(JournalFeatures::CHECKSUM_2 | JournalFeatures::CHECKSUM_3) {
            if superblock.checksum_type != CRC32C {
                return Err(self.corrupt(0, "check sums are of an unknown type"));
            }
            if sum(superblock) != superblock.checksum.get() {
                return Err(self.corrupt(0, "check sum of the superblock is wrong"));
            }
            self.seed = Some(crc32c(START, &superblock.uuid));
        }
        let blocks = superblock.blocks.get();
        let room = self.node.attributes.size() / volume.geometry.block_size;
        let (first, start) = (superblock.first.get(), superblock.start.get());
        if u64::from(superblock.block_size.get()) != volume.geometry.block_size
            || u64::from(blocks) > room
            || !(1..blocks).contains(&first)
            || start != 0 && !(first..blocks).contains(&start)
        {
            return Err(self.corrupt(0, "measures in the superblock are wrong"));
        }
        if superblock.error.get() != 0 {
            volume.complaints.say(format_args!("the journal was ended by an error"));
        }
        Ok(())
    }

    pub fn volume(&self) -> &Arc<Volume> {
        &self.node.volume
    }

    /// Where the log begins and with which transaction; `None` if it is empty.
    pub fn start(&self) -> Option<(u32, u32)> {
        let start = self.superblock.start.get();
        (start != 0).then(|| (start, self.sequence()))
    }

    /// The number of the first transaction in the log, or of the next one if it is empty.
    pub fn sequence(&self) -> u32 {
        self.superblock.sequence.get()
    }

    /// How many blocks the log has room for.
    pub fn room(&self) -> u32 {
        self.superblock.blocks.get() - self.superblock.first.get()
    }

    /// The block after this one: the log is a ring.
    pub fn after(&self, block: u32) -> u32 {
        if block + 1 >= self.superblock.blocks.get() { self.superblock.first.get() } else { block + 1 }
    }

    pub fn superblock(&self) -> &JournalSuperblock {
        &self.superblock
    }

    pub fn features(&self) -> JournalFeatures {
        self.features
    }

    /// Where blocks of the journal from one on are.
    pub async fn run(&self, number: u32) -> Result<Run> {
        self.node.map(number.into()).await
    }

    pub fn has(&self, feature: JournalFeatures) -> bool {
        self.features.contains(feature)
    }

    /// Reads a block of the journal.
    pub async fn block(&self, number: u32) -> Result<Box<[u8]>> {
        match self.node.map(number.into()).await?.data() {
            Some(physical) => {
                let mut block = alloc::vec![0; self.volume().geometry.block_size as usize];
                let (offset, wanted) = (physical * block.len() as u64, block.len());
                let read = self.volume().disk.cache().read(offset, &mut &mut block[..]).await?;
                if read < wanted {
                    Err(self.corrupt(number, "lies behind the end of the disk"))
                } else {
                    Ok(block.into())
                }
            }
            None => Err(self.corrupt(number, "there is a hole")),
        }
    }

    /// The head of a block, if it is one of the journal's own.
    pub fn header(block: &[u8]) -> Option<JournalHeader> {
        let (header, _) = JournalHeader::read_from_prefix(block).ok()?;
        (header.magic.get() == JOURNAL_MAGIC).then_some(header)
    }

    /// The bytes of a descriptor or a block of revoked numbers before its check sum; `None` if that is wrong.
    pub fn checked<'a>(&self, block: &'a [u8]) -> Option<&'a [u8]> {
        let Some(seed) = self.seed else { return Some(block) };
        let (body, tail) = BlockTail::read_from_suffix(block).ok()?;
        (crc32c(crc32c(seed, body), &[0; size_of::<BlockTail>()]) == tail.checksum.get()).then_some(body)
    }

    pub fn corrupt(&self, block: u32, what: &'static str) -> Errno {
        self.node.volume.corrupt(Place::Journal(block), what)
    }

    /// Where the superblock is on the disk, in bytes, and its bytes when the log is empty and goes on with this transaction.
    pub async fn emptied(&self, sequence: u32) -> Result<(u64, JournalSuperblock)> {
        let mut superblock = self.superblock.clone();
        superblock.start.set(0);
        superblock.sequence.set(sequence);
        if self.seed.is_some() {
            superblock.checksum.set(sum(&superblock));
        }
        match self.node.map(0).await?.data() {
            Some(physical) => Ok((physical * self.volume().geometry.block_size, superblock)),
            None => Err(self.corrupt(0, "there is a hole")),
        }
    }
}

/// The check sum of a superblock.
pub fn sum(superblock: &JournalSuperblock) -> u32 {
    let mut superblock = superblock.clone();
    superblock.checksum.set(0);
    crc32c(START, superblock.as_bytes())
}
