//! Reading the log: which blocks of the file system it has newer copies of.
//!
//! ```text
//!   start ─► descriptor: tags │ copy │ copy │ ... │ revoke │ descriptor │ copy │ commit 7 ─► descriptor ... commit 8 ─► ?
//! ```
//!
//! A transaction counts if its commit block is there and right. The log ends with the first block that does not go on with
//! it: what is there was written before, or was being written when the machine stopped.

use super::{
    layout::{CommitHeader, JournalFeatures, RevokeHeader, Tag, Tag3, TagFlags, kind},
    log::Journal,
};
use crate::Result;
use crate::ext4::{checksum::crc32c, volume::Turns};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::offset_of;
use zerocopy::FromBytes;
use zerocopy::big_endian::{U32, U64};

/// A copy of a block in the log.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// Where it is in the journal.
    pub at: u32,
    pub escaped: bool,
    pub sequence: u32,
    pub checksum: Option<Checksum>,
}

/// A copy's check sum.
#[derive(Clone, Copy, Debug)]
pub enum Checksum {
    Whole(u32),
    Half(u16),
}

/// What the log has.
#[derive(Default)]
pub struct Found {
    /// The last copy of each block, by the block's number in the file system.
    pub copies: BTreeMap<u64, Copy>,
    /// Transactions.
    pub transactions: u32,
    /// The number of the next one.
    pub next: u32,
}

/// A transaction whose end has not been seen.
#[derive(Default)]
struct Open {
    copies: Vec<(u64, Copy)>,
    revoked: Vec<u64>,
    /// Whether something in it cannot be: in one that has an end that is damage, while one that has none may be half written.
    wrong: Option<(u32, &'static str)>,
}

impl Journal {
    /// Reads the log to its end.
    pub async fn scan(&self) -> Result<Found> {
        let mut found = Found::default();
        let Some((mut at, mut sequence)) = self.start() else {
            found.next = self.sequence();
            return Ok(found);
        };
        let mut open = Open::default();
        // The log does not overtake itself.
        let mut left = self.room();
        let mut turns = Turns::default();
        while left > 0 {
            turns.next().await;
            let block = self.block(at).await?;
            let Some(header) = Self::header(&block).filter(|header| header.sequence.get() == sequence) else {
                break;
            };
            let this = at;
            (at, left) = (self.after(at), left - 1);
            match header.kind.get() {
                kind::DESCRIPTOR => {
                    let Some(body) = self.checked(&block) else { break };
                    for (number, mut copy) in self.tags(body, sequence) {
                        if number >= self.volume().geometry.blocks {
                            open.wrong =
                                open.wrong.or(Some((this, "a tag names a block outside of the file system")));
                        }
                        copy.at = at;
                        (at, left) = (self.after(at), left.saturating_sub(1));
                        open.copies.push((number, copy));
                    }
                }
                kind::REVOKE => {
                    let Some(body) = self.checked(&block) else { break };
                    if self.revoked(body, &mut open.revoked).is_none() {
                        open.wrong = open.wrong.or(Some((this, "length of revoked numbers is wrong")));
                    }
                }
                kind::COMMIT => {
                    if !self.commit_is_right(&block) {
                        break;
                    }
                    let Open { copies, revoked, wrong } = core::mem::take(&mut open);
                    if let Some((block, what)) = wrong {
                        return Err(self.corrupt(block, what));
                    }
                    found.copies.extend(copies);
                    for number in revoked {
                        found.copies.remove(&number);
                    }
                    found.transactions += 1;
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
        }
        found.next = sequence;
        Ok(found)
    }

    /// The tags of a descriptor; where their copies are is left open.
    fn tags(&self, body: &[u8], sequence: u32) -> Vec<(u64, Copy)> {
        let mut tags = Vec::new();
        let mut rest = &body[size_of::<super::layout::JournalHeader>().min(body.len())..];
        while let Some((number, flags, checksum, behind)) = self.tag(rest) {
            let escaped = flags.contains(TagFlags::ESCAPED);
            tags.push((number, Copy { at: 0, escaped, sequence, checksum }));
            if flags.contains(TagFlags::LAST) {
                break;
            }
            let uuid = if flags.contains(TagFlags::SAME_UUID) { 0 } else { 16 };
            rest = behind.get(uuid..).unwrap_or(&[]);
        }
        tags
    }

    /// The first tag in a list.
    fn tag<'a>(&self, list: &'a [u8]) -> Option<(u64, TagFlags, Option<Checksum>, &'a [u8])> {
        let wide = self.has(JournalFeatures::SIXTY_FOUR_BIT);
        let pair =
            |low: U32, high: U32| u64::from(if wide { high.get() } else { 0 }) << 32 | u64::from(low.get());
        if self.has(JournalFeatures::CHECKSUM_3) {
            let (tag, rest) = Tag3::read_from_prefix(list).ok()?;
            let flags = TagFlags::from_bits_retain(tag.flags.get());
            let checksum = Some(Checksum::Whole(tag.checksum.get()));
            return Some((pair(tag.block, tag.block_high), flags, checksum, rest));
        }
        let (tag, mut rest) = Tag::read_from_prefix(list).ok()?;
        let mut high = U32::new(0);
        if wide {
            (high, rest) = U32::read_from_prefix(rest).ok()?;
        }
        let mut checksum = None;
        if self.has(JournalFeatures::CHECKSUM_2) {
            checksum = Some(Checksum::Half(tag.checksum.get()));
            // Two bytes of room that nothing uses.
            rest = rest.get(2..)?;
        }
        let flags = TagFlags::from_bits_retain(tag.flags.get().into());
        Some((pair(tag.block, high), flags, checksum, rest))
    }

    /// Reads a block of revoked numbers. None if their length is wrong.
    fn revoked(&self, body: &[u8], revoked: &mut Vec<u64>) -> Option<()> {
        const HEAD: usize = size_of::<RevokeHeader>();
        let (head, _) = RevokeHeader::read_from_prefix(body).ok()?;
        let list = body.get(HEAD..head.used.get() as usize)?;
        if self.has(JournalFeatures::SIXTY_FOUR_BIT) {
            let numbers =
                list.chunks_exact(size_of::<U64>()).filter_map(|bytes| U64::read_from_bytes(bytes).ok());
            revoked.extend(numbers.map(U64::get));
        } else {
            let numbers =
                list.chunks_exact(size_of::<U32>()).filter_map(|bytes| U32::read_from_bytes(bytes).ok());
            revoked.extend(numbers.map(|number| u64::from(number.get())));
        }
        Some(())
    }

    fn commit_is_right(&self, block: &[u8]) -> bool {
        const AT: usize = offset_of!(CommitHeader, checksum);
        let Some(seed) = self.seed else { return true };
        let Ok((head, _)) = CommitHeader::read_from_prefix(block) else { return false };
        let sum = crc32c(crc32c(seed, &block[..AT]), &[0; size_of::<U32>()]);
        crc32c(sum, &block[AT + size_of::<U32>()..]) == head.checksum[0].get()
    }
}
