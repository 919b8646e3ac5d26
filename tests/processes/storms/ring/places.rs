//! Where everything is: descriptors, the memory that all share, and the ring's own.

use crate::library::SHARED;

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

/// The memory that all share has words, and then buffers, each request's in a page that it may be the first to touch.
pub const BUFFERS: usize = SHARED + PAGE;
pub const BUFFER_PAGES: usize = 16;
pub const PAGE: usize = 4096;
/// Locks, of what is submitted and of what is completed.
pub const SUBMISSION: i64 = 0;
pub const COMPLETION: i64 = 64;
/// The number of the next entry.
pub const NEXT: i64 = 128;
/// Not zero: all is over.
pub const DONE: i64 = 192;
/// Addresses in the ring: of the words that heads, tails and flags are, of the entries' numbers, and of the completions.
pub const SUBMISSION_HEAD: i64 = 256;
pub const SUBMISSION_TAIL: i64 = 264;
pub const FLAGS: i64 = 272;
pub const NUMBERS: i64 = 280;
pub const COMPLETION_HEAD: i64 = 288;
pub const COMPLETION_TAIL: i64 = 296;
pub const COMPLETIONS: i64 = 304;
/// Where each of them is told in `struct io_uring_params`.
pub const TOLD: [(i64, i64); 7] = [
    (SUBMISSION_HEAD, 40),
    (SUBMISSION_TAIL, 44),
    (FLAGS, 56),
    (NUMBERS, 64),
    (COMPLETION_HEAD, 80),
    (COMPLETION_TAIL, 84),
    (COMPLETIONS, 100),
];
/// Where the ring is mapped, and its entries.
pub const RINGS: usize = 0x1100_0000;
pub const ENTRIES: usize = 0x1200_0000;
