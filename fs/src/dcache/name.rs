//! Names in directories and their hashes.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use smallvec::SmallVec;

/// A name that is kept: short ones inline.
pub(crate) type OwnedName = SmallVec<[u8; 24]>;

/// The longest name, bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);

/// Makes the hashes of names unpredictable to programs, so that none can make a directory slow by
/// choosing colliding names. To be called at boot, before the first superblock exists: cached names
/// are not hashed again.
pub fn set_hash_seed(seed: u64) {
    SEED.store(seed | 1, Relaxed);
}

/// A name to look up, with its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

impl<'a> Name<'a> {
    /// Hashes `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Name { bytes, hash: hash(bytes) }
    }
}

/// Multiplies to 128 bits and folds: every input bit reaches every output bit.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
}

/// A keyed hash made for names: most are 3 to 16 bytes, which cost two loads and two multiplications.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let seed = SEED.load(Relaxed);
    let len = bytes.len();
    let (a, b) = match len {
        0 => (0, 0),
        1..4 => (u64::from(bytes[0]) | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]) << 16, 0),
        4..8 => (half(bytes, 0), half(bytes, len - 4)),
        8..=16 => (word(bytes, 0), word(bytes, len - 8)),
        _ => {
            let mut state = seed;
            let mut at = 0;
            while at + 16 < len {
                state = fold(word(bytes, at) ^ state, word(bytes, at + 8) ^ seed.rotate_left(32));
                at += 16;
            }
            (word(bytes, len - 16) ^ state, word(bytes, len - 8))
        }
    };
    fold(a ^ seed, fold(b ^ seed.rotate_left(32) ^ len as u64, 0xd6e8_feb8_6659_fd93))
}
