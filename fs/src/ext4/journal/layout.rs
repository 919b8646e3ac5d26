//! What is in the journal, which jbd2 writes: big-endian.

use bitflags::bitflags;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What each block of the journal that is no copy begins with.
pub const JOURNAL_MAGIC: u32 = 0xc03b_3998;

/// What a block is, in `kind` of its head.
pub mod kind {
    pub const DESCRIPTOR: u32 = 1;
    pub const COMMIT: u32 = 2;
    pub const SUPERBLOCK_1: u32 = 3;
    pub const SUPERBLOCK_2: u32 = 4;
    pub const REVOKE: u32 = 5;
}

/// The head of a block.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct JournalHeader {
    pub magic: U32,
    pub kind: U32,
    pub sequence: U32,
}

/// Block 0 of the journal: 1024 bytes.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct JournalSuperblock {
    pub header: JournalHeader,
    pub block_size: U32,
    /// Blocks in the journal.
    pub blocks: U32,
    /// The first block of the log.
    pub first: U32,
    /// The first transaction in the log.
    pub sequence: U32,
    /// Where it begins, or zero for an empty log.
    pub start: U32,
    pub error: U32,
    pub feature_compat: U32,
    pub feature_incompat: U32,
    pub feature_ro_compat: U32,
    pub uuid: [u8; 16],
    pub users: U32,
    pub dynamic_superblock: U32,
    pub max_transaction: U32,
    pub max_transaction_data: U32,
    pub checksum_type: u8,
    pub padding: [u8; 3],
    pub fast_commit_blocks: U32,
    pub head: U32,
    pub reserved: [U32; 40],
    pub checksum: U32,
    pub user_ids: [u8; 768],
}

const _: () = assert!(size_of::<JournalSuperblock>() == 1024);

bitflags! {
    /// Features of a journal without which it cannot be read; those that are known here.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct JournalFeatures: u32 {
        const REVOKE = 1;
        const SIXTY_FOUR_BIT = 2;
        const CHECKSUM_2 = 8;
        const CHECKSUM_3 = 16;
    }

    /// A tag's flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct TagFlags: u32 {
        /// The copy begins with zeros in place of the journal's magic number.
        const ESCAPED = 1;
        /// No UUID follows.
        const SAME_UUID = 2;
        /// The last of its block.
        const LAST = 8;
    }
}

/// A tag of a descriptor with [`JournalFeatures::CHECKSUM_3`]: which block of the file system a copy is of.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Tag3 {
    pub block: U32,
    pub flags: U32,
    pub block_high: U32,
    pub checksum: U32,
}

/// A tag without that feature; the high half is there with [`JournalFeatures::SIXTY_FOUR_BIT`].
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Tag {
    pub block: U32,
    pub checksum: U16,
    pub flags: U16,
}

/// The head of a block of revoked numbers.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RevokeHeader {
    pub header: JournalHeader,
    /// Bytes in use, this head among them.
    pub used: U32,
}

/// The head of a block that ends a transaction.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct CommitHeader {
    pub header: JournalHeader,
    pub checksum_type: u8,
    pub checksum_size: u8,
    pub padding: [u8; 2],
    pub checksum: [U32; 8],
    pub seconds: U64,
    pub nanoseconds: U32,
}

/// At the end of descriptors and blocks of revoked numbers, with check sums.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockTail {
    pub checksum: U32,
}
