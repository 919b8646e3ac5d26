//! Where everything is: descriptors, and the memory that all share.

use crate::library::{RING_WORDS, SHARED};

/// Descriptors: the ring, another one that only gets messages, and of each source where it is read, written to, and where it is read
/// in the end.
pub const RINGS: [i32; 2] = [40, 41];
pub const READS: [i32; 3] = [44, 46, 48];
pub const WRITES: [i32; 3] = [45, 47, 49];
pub const SPARES: [i32; 3] = [50, 51, 52];

pub const PAGE: usize = 4096;
/// In the memory that all share come first the words of both rings. Not zero: all is over.
pub const DONE: i64 = 2 * RING_WORDS;
/// The lock of the buffers in a ring, and how many have been put there.
pub const PLACES: i64 = DONE + 64;
pub const PUT: i64 = DONE + 128;
/// Then buffers.
pub const BUFFERS: usize = SHARED + PAGE;
/// A group has no more than so many.
pub const BUFFERS_MAX: usize = 8;
/// Pages with buffers.
pub const BUFFER_PAGES: usize = 3;
/// Last the ring that buffers are in.
pub const BUFFER_RING: usize = BUFFERS + BUFFER_PAGES * PAGE;
/// Bytes of the whole.
pub const SHARED_LEN: usize = BUFFER_RING + PAGE - SHARED;

/// Words of a buffer, and its bytes: room for some units, with a header of two words before them.
pub const WORDS: usize = 5;
pub const SIZE: usize = 8 * WORDS;
/// What is in a buffer that is nobody's turn to write to.
pub const NOTHING: i64 = 0x5a5a_5a5a;

/// The rings' mappings, and those of their entries.
pub const MAPPINGS: [[usize; 2]; 2] = [[0x1100_0000, 0x1200_0000], [0x1300_0000, 0x1400_0000]];

/// Where a group's buffers are, one behind the other: some of them in one page, some in the next, and one in both.
pub const fn group_at(group: usize) -> usize {
    BUFFERS + PAGE * (1 + group) - 2 * SIZE - 8
}

/// Where a buffer is.
pub fn address_of(id: usize) -> usize {
    group_at(id / BUFFERS_MAX) + id % BUFFERS_MAX * SIZE
}

/// Which buffer is there.
pub fn buffer_at(address: u64) -> usize {
    let group = usize::from(address as usize >= group_at(1));
    group * BUFFERS_MAX + (address as usize - group_at(group)) / SIZE
}
