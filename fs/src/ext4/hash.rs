//! Hashes of names, by which directories with a hash tree find them.

/// What a file system mixes into its hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashSeed([u32; 4]);

/// How to hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Function {
    Legacy,
    HalfMd4,
    Tea,
}

/// A way of hashing, as a directory names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HashVersion {
    function: Function,
    /// Whether bytes above 127 are taken as they are, and not as negative numbers.
    unsigned: bool,
}

/// The hash that marks the end of a listing, which no name has.
const END: u32 = 0xffff_fffe;

impl HashSeed {
    /// A seed of zeros stands for the initial value of MD4.
    pub fn new(words: [u32; 4]) -> Self {
        const MD4: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        HashSeed(if words == [0; 4] { MD4 } else { words })
    }
}

impl HashVersion {
    /// The version of this number in a directory; the superblock says whether the first three are unsigned.
    pub fn from_number(number: u8, unsigned: bool) -> Option<Self> {
        let (function, unsigned) = match number {
            0 => (Function::Legacy, unsigned),
            1 => (Function::HalfMd4, unsigned),
            2 => (Function::Tea, unsigned),
            3 => (Function::Legacy, true),
            4 => (Function::HalfMd4, true),
            5 => (Function::Tea, true),
            _ => return None,
        };
        Some(HashVersion { function, unsigned })
    }

    /// The hash of a name. Its lowest bit is clear.
    pub fn hash(self, name: &[u8], seed: &HashSeed) -> u32 {
        self.mix(name, seed).0
    }

    /// The hash of a name, and another one that tells most names of the same hash apart.
    pub fn hashes(self, name: &[u8], seed: &HashSeed) -> (u32, u32) {
        let (hash, minor) = self.mix(name, seed);
        let other = || HashVersion { function: Function::HalfMd4, ..self }.mix(name, seed).0;
        (hash, minor.unwrap_or_else(other))
    }

    /// The hash of a name, and what else came out.
    fn mix(self, name: &[u8], seed: &HashSeed) -> (u32, Option<u32>) {
        let widen = |byte: u8| if self.unsigned { u32::from(byte) } else { byte as i8 as u32 };
        let mut state = seed.0;
        let (hash, minor) = match self.function {
            Function::Legacy => (legacy(name, widen), None),
            Function::HalfMd4 => {
                each_block::<8>(name, widen, |block| half_md4(&mut state, block));
                (state[1], Some(state[2]))
            }
            Function::Tea => {
                each_block::<4>(name, widen, |block| tea(&mut state, block));
                (state[0], Some(state[1]))
            }
        };
        let hash = match hash & !1 {
            END => END - 2,
            hash => hash,
        };
        (hash, minor)
    }
}

fn legacy(name: &[u8], widen: impl Fn(u8) -> u32) -> u32 {
    let (mut now, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    for byte in name {
        let mut next = before.wrapping_add(now ^ widen(*byte).wrapping_mul(7_152_373));
        if next & 0x8000_0000 != 0 {
            next = next.wrapping_sub(0x7fff_ffff);
        }
        (now, before) = (next, now);
    }
    now << 1
}

/// Calls `mix` with the name in blocks of words, the last one filled up with the length of what was left.
fn each_block<const WORDS: usize>(
    name: &[u8],
    widen: impl Fn(u8) -> u32,
    mut mix: impl FnMut(&[u32; WORDS]),
) {
    let mut rest = name;
    while !rest.is_empty() {
        let pad = (rest.len() as u32) * 0x0101_0101;
        let part = &rest[..rest.len().min(4 * WORDS)];
        let mut block = [pad; WORDS];
        let words = part.chunks_exact(4);
        if let left @ [_, ..] = words.remainder() {
            block[part.len() / 4] = left.iter().fold(pad, |word, byte| widen(*byte).wrapping_add(word << 8));
        }
        for (word, bytes) in block.iter_mut().zip(words) {
            // Nothing is left of the filling.
            let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| widen(bytes[at]));
            *word = (first << 24).wrapping_add(second << 16).wrapping_add(third << 8).wrapping_add(fourth);
        }
        mix(&block);
        rest = &rest[part.len()..];
    }
}

/// Half of the steps of MD4's compression.
fn half_md4(state: &mut [u32; 4], block: &[u32; 8]) {
    let choose = |x, y, z| z ^ (x & (y ^ z));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x, y, z| x ^ y ^ z;
    let mut mixed = *state;
    half_round(&mut mixed, block, choose, 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]);
    half_round(&mut mixed, block, majority, 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]);
    half_round(&mut mixed, block, parity, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]);
    for (word, mixed) in state.iter_mut().zip(mixed) {
        *word = word.wrapping_add(mixed);
    }
}

/// Half of the steps of one of MD4's rounds. Inlined: with everything known but the words, no loop is left.
#[inline(always)]
fn half_round(
    state: &mut [u32; 4],
    block: &[u32; 8],
    mix: impl Fn(u32, u32, u32) -> u32,
    constant: u32,
    order: [usize; 8],
    shifts: [u32; 4],
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (step, word) in order.into_iter().enumerate() {
        let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(block[word]).wrapping_add(constant);
        // Each step changes one of the four, in turn.
        (a, b, c, d) = (d, sum.rotate_left(shifts[step % 4]), b, c);
    }
    *state = [a, b, c, d];
}

/// The Tiny Encryption Algorithm, with the block as the key.
fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let mut sum = 0u32;
    let [mut x, mut y, ..] = *state;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        let mix = |z: u32, low: u32, high: u32| {
            (z << 4).wrapping_add(low) ^ z.wrapping_add(sum) ^ (z >> 5).wrapping_add(high)
        };
        x = x.wrapping_add(mix(y, key[0], key[1]));
        y = y.wrapping_add(mix(x, key[2], key[3]));
    }
    state[0] = state[0].wrapping_add(x);
    state[1] = state[1].wrapping_add(y);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of debugfs's `dx_hash`.
    #[test]
    fn hashes_are_those_of_e2fsprogs() {
        const LONG: &str = "a-name-of-more-than-thirty-two-bytes-for-sure";
        let none = HashSeed::new([0; 4]);
        let seed = HashSeed::new([0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89]);
        for (version, seed, name, hash) in [
            (0, none, "a", 0xe74b_53e2),
            (0, none, "name", 0x12db_5a78),
            (0, none, LONG, 0x4e56_5212),
            (1, none, "a", 0xd5fa_7d7a),
            (1, none, "name", 0x0812_4552),
            (1, none, LONG, 0x51f2_b9f2),
            (1, none, "grüße", 0xd75e_0ad8),
            (1, seed, "a", 0x35dc_0cc4),
            (1, seed, "name", 0x370a_7248),
            (1, seed, LONG, 0x1e53_9816),
            (2, none, "a", 0x6d0e_a4c0),
            (2, none, "name", 0xd909_e39e),
            (2, none, LONG, 0x3e45_f006),
        ] {
            let version = HashVersion::from_number(version, false).unwrap();
            assert_eq!(version.hash(name.as_bytes(), &seed), hash, "{version:?} of {name}");
        }
    }
}
