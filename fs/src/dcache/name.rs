//! Names in directories: how they are cut out of a path, hashed and compared.
//!
//! Eight bytes at a time. A name is taken as little-endian words, the last one filled up with zeros, and everything works on
//! those: finding the slash that ends it, the hash, and equality. Names of up to sixteen bytes, which nearly all are, are
//! equal when their length and two words are.

use executor::atomic::{AtomicU64, Ordering::Relaxed};
use smallvec::SmallVec;

/// A name that is kept: short ones inline.
pub(crate) type OwnedName = SmallVec<[u8; 24]>;

/// The longest name, bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);

/// Makes the hashes of names unpredictable to programs, so that none can make a directory slow by choosing colliding names.
/// To be called at boot, before the first superblock exists: names that are in use are not hashed again.
pub fn set_hash_seed(seed: u64) {
    SEED.store(seed | 1, Relaxed);
}

/// What is compared of a name: its length and its first two words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    len: usize,
    first: u64,
    second: u64,
}

impl Key {
    /// Bytes that the key says all about.
    const WHOLE: usize = 16;
}

/// A name to look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
    pub key: Key,
}

/// Multiplies to 128 bits and folds: every input bit reaches every output bit.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const SLASHES: u64 = 0x2f2f_2f2f_2f2f_2f2f;
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes of a word come before the first slash, at most eight.
#[inline(always)]
fn before_slash(word: u64) -> usize {
    // A byte that equals '/' becomes zero, and the lowest zero byte borrows from its high bit; what borrows
    // run on into above it does not matter.
    let word = word ^ SLASHES;
    let zeros = word.wrapping_sub(LOW) & !word & HIGH;
    zeros.trailing_zeros() as usize / 8
}

/// The first `count` bytes of a word, fewer than eight.
#[inline(always)]
fn front(word: u64, count: usize) -> u64 {
    word & ((1 << (8 * count)) - 1)
}

/// The word at `at`, with zeros for what lies behind the end of `text`. `at` is before the end.
#[inline(always)]
fn word(text: &[u8], at: usize) -> u64 {
    if let Some(bytes) = text.get(at..at + 8) {
        return u64::from_le_bytes(bytes.try_into().unwrap());
    }
    match text.last_chunk::<8>() {
        // Near the end of a long enough text, the last eight bytes contain the word.
        Some(bytes) => u64::from_le_bytes(*bytes) >> (8 * (8 - (text.len() - at))),
        None => short_word(&text[at..]),
    }
}

/// Up to seven bytes as a word: from both ends, the middle perhaps twice.
#[inline(always)]
fn short_word(text: &[u8]) -> u64 {
    match (text.first_chunk::<4>(), text.last_chunk::<4>(), text) {
        (Some(low), Some(high), _) => {
            let high = u64::from(u32::from_le_bytes(*high)) << (8 * (text.len() - 4));
            u64::from(u32::from_le_bytes(*low)) | high
        }
        (_, _, &[first, .., last]) => {
            let middle = u64::from(text[text.len() / 2]) << (8 * (text.len() / 2));
            u64::from(first) | middle | u64::from(last) << (8 * (text.len() - 1))
        }
        (_, _, &[only]) => u64::from(only),
        _ => 0,
    }
}

#[inline(always)]
fn hash_of(first: u64, second: u64) -> u64 {
    let seed = SEED.load(Relaxed);
    fold(first ^ seed, second ^ seed.rotate_left(32))
}

/// Adds what follows the first two words to a hash.
fn hash_more(mut hash: u64, name: &[u8]) -> u64 {
    let key = SEED.load(Relaxed) ^ 0xd6e8_feb8_6659_fd93;
    for at in (Key::WHOLE..name.len()).step_by(8) {
        hash = fold(hash ^ word(name, at), key);
    }
    hash
}

/// Length and hash of the name of at least sixteen bytes that `text` begins with.
#[cold]
fn long(text: &[u8]) -> (usize, u64) {
    let more = text[Key::WHOLE..].iter().position(|&byte| byte == b'/');
    let len = more.map_or(text.len(), |more| Key::WHOLE + more);
    (len, Name::new(&text[..len]).hash)
}

impl<'a> Name<'a> {
    /// The name that begins at `at` in a path: everything up to a slash or the end. `at` is before the end.
    #[inline(always)]
    pub fn at(path: &'a [u8], at: usize) -> Self {
        let left = path.len() - at;
        let first = word(path, at);
        let len = before_slash(first).min(left);
        if len < 8 {
            return Self::from_words(&path[at..at + len], front(first, len), 0);
        }
        let second = if left > 8 { word(path, at + 8) } else { 0 };
        let more = before_slash(second).min(left - 8);
        if more < 8 {
            return Self::from_words(&path[at..at + 8 + more], first, front(second, more));
        }
        let (len, hash) = long(&path[at..]);
        Name { bytes: &path[at..at + len], hash, key: Key { len, first, second } }
    }

    #[inline(always)]
    fn from_words(bytes: &'a [u8], first: u64, second: u64) -> Self {
        Name { bytes, hash: hash_of(first, second), key: Key { len: bytes.len(), first, second } }
    }

    /// A whole name.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let len = bytes.len();
        let first = if len == 0 { 0 } else { word(bytes, 0) };
        let second = if len <= 8 { 0 } else { word(bytes, 8) };
        let mut name = Self::from_words(bytes, first, second);
        if len > Key::WHOLE {
            name.hash = hash_more(name.hash, bytes);
        }
        name
    }

    /// Whether it is the name that was kept with this key.
    #[inline(always)]
    pub fn is(&self, key: &Key, kept: &OwnedName) -> bool {
        self.key == *key && (key.len <= Key::WHOLE || self.bytes == &**kept)
    }

    /// `.` or `..`.
    #[inline(always)]
    pub fn is_dots(&self) -> bool {
        (self.key.first == 0x2e && self.key.len == 1) || (self.key.first == 0x2e2e && self.key.len == 2)
    }
}

/// The hash of a whole name.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    Name::new(bytes).hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_wherever_it_stands() {
        let long = "a".repeat(40);
        let names = [
            "x",
            "ab",
            "abc",
            "usr",
            "local",
            "sixteen-byte-nam",
            "seventeen-byte-na",
            "12345678",
            "é",
            &long,
        ];
        for name in names {
            let whole = Name::new(name.as_bytes());
            for behind in ["", "/", "//", "/b", "/abcdefgh", "/abcdefghijklmnopqrstuvwxyz"] {
                let path = format!("{name}{behind}");
                let found = Name::at(path.as_bytes(), 0);
                assert_eq!(found.bytes, name.as_bytes(), "{path}");
                assert_eq!((found.hash, found.key), (whole.hash, whole.key), "{path}");
                let inside = format!("xyz/{path}");
                assert_eq!(Name::at(inside.as_bytes(), 4).key, whole.key, "{inside}");
            }
        }
    }

    #[test]
    fn different_names_differ() {
        let mut hashes: Vec<u64> = (0..100_000).map(|n| hash(format!("file{n}").as_bytes())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 100_000);
        // Low bits choose slots: about 100_000 / 16 names in each.
        let mut slots = [0; 16];
        hashes.iter().for_each(|hash| slots[*hash as usize % 16] += 1);
        assert!(slots.iter().all(|count| (5800..6700).contains(count)), "{slots:?}");
    }

    #[test]
    fn equality_of_long_names_looks_at_all_bytes() {
        let (one, other) = ("b".repeat(17), "b".repeat(16) + "c");
        let kept = OwnedName::from_slice(other.as_bytes());
        assert!(!Name::new(one.as_bytes()).is(&Name::new(other.as_bytes()).key, &kept));
        assert!(Name::new(other.as_bytes()).is(&Name::new(other.as_bytes()).key, &kept));
    }
}
