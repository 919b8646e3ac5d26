//! Where everything is: descriptors, the memory that all share, and the ring's own.

use crate::library::{RING_WORDS, SHARED};

/// Descriptors: the ring, the eventfd that it adds to, a counter that is polled again and again, a semaphore, and pipes: of
/// tokens, one with little room, and one in which there is never anything.
pub const RING: i32 = 40;
pub const EVENT: i32 = 41;
pub const COUNTER: i32 = 42;
pub const SEMAPHORE: i32 = 43;
pub const TOKENS: [i32; 2] = [44, 45];
pub const NARROW: [i32; 2] = [46, 47];
pub const DRY: [i32; 2] = [48, 49];
/// Those that are registered, by their numbers there.
pub const REGISTERED: [i32; 6] = [TOKENS[0], TOKENS[1], NARROW[1], SEMAPHORE, DRY[0], DRY[1]];

/// The memory that all share has the ring's words, and then buffers, each request's in a page that it may be the first to touch.
pub const BUFFERS: usize = SHARED + PAGE;
pub const BUFFER_PAGES: usize = 16;
pub const PAGE: usize = 4096;
/// Not zero: all is over.
pub const DONE: i64 = RING_WORDS;
/// Where the ring is mapped, and its entries.
pub const RINGS: usize = 0x1100_0000;
pub const ENTRIES: usize = 0x1200_0000;
