//! The devices that are nothing but a rule: null, zero, full, random and urandom (`null(4)`, `full(4)`, `random(4)`).

use syscalls::Errno;

use crate::random::Random;

/// Bytes offered at once.
const PIECE: usize = 4096;
static ZEROS: [u8; PIECE] = [0; PIECE];
/// Random bytes made at once: on the stack, so not many.
const RANDOM_PIECE: usize = 256;

/// One of the character devices of major number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryDevice {
    /// Takes everything, gives nothing.
    Null,
    /// Takes everything, gives zeros.
    Zero,
    /// Takes nothing for want of space, gives zeros.
    Full,
    /// Gives random bytes once enough entropy has been gathered, takes entropy.
    Random,
    /// The same, without waiting.
    Urandom,
}

impl MemoryDevice {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Null, Self::Zero, Self::Full, Self::Random, Self::Urandom];

    /// The name in /dev. Everybody may read and write all of them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Zero => "zero",
            Self::Full => "full",
            Self::Random => "random",
            Self::Urandom => "urandom",
        }
    }

    /// Device number, major and minor.
    pub const fn device(self) -> (u32, u32) {
        match self {
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
            Self::Full => (1, 7),
            Self::Random => (1, 8),
            Self::Urandom => (1, 9),
        }
    }

    /// The device with this number.
    pub fn from_device(device: (u32, u32)) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.device() == device)
    }

    /// Whether a read now would wait for entropy.
    pub fn must_wait(self, random: &Random) -> bool {
        self == Self::Random && !random.is_seeded()
    }

    /// Gives the reader `wanted` bytes through `put`, which says how much it took; less than offered ends the read.
    /// Returns the bytes moved. Never waits; the work grows with `wanted`, which the caller keeps to what may be done
    /// in one turn. The caller has asked [`Self::must_wait`].
    pub fn read_with(self, random: &Random, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let mut moved = 0;
        let mut give = |piece: &[u8]| {
            let taken = put(piece).min(piece.len());
            moved += taken;
            taken == piece.len()
        };
        match self {
            Self::Null => {}
            Self::Zero | Self::Full => {
                for start in (0..wanted).step_by(PIECE) {
                    if !give(&ZEROS[..PIECE.min(wanted - start)]) {
                        break;
                    }
                }
            }
            Self::Random | Self::Urandom => {
                let mut stream = random.stream();
                let mut piece = [0; RANDOM_PIECE];
                for start in (0..wanted).step_by(RANDOM_PIECE) {
                    let piece = &mut piece[..RANDOM_PIECE.min(wanted - start)];
                    stream.fill(piece);
                    if !give(piece) {
                        break;
                    }
                }
            }
        }
        moved
    }

    /// Takes `bytes`: all of them. What is written to the random devices stirs the pool without counting as entropy.
    ///
    /// # Errors
    /// ENOSPC from the full device.
    pub fn write(self, random: &Random, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Full => return Err(Errno::ENOSPC),
            Self::Null | Self::Zero => {}
            Self::Random | Self::Urandom => random.mix(bytes, 0),
        }
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(device: MemoryDevice, wanted: usize, accept: usize) -> Vec<u8> {
        let random = Random::new();
        let mut bytes = Vec::new();
        let moved = device.read_with(&random, wanted, &mut |piece| {
            let taken = piece.len().min(accept - bytes.len());
            bytes.extend_from_slice(&piece[..taken]);
            taken
        });
        assert_eq!(moved, bytes.len());
        bytes
    }

    #[test]
    fn each_keeps_its_rule() {
        let random = Random::new();
        assert_eq!(read(MemoryDevice::Null, 100, 100), []);
        assert_eq!(read(MemoryDevice::Zero, 10_000, 10_000), [0; 10_000]);
        assert_eq!(read(MemoryDevice::Full, 5000, 5000), [0; 5000]);
        let bytes = read(MemoryDevice::Urandom, 1000, 1000);
        assert!(bytes.len() == 1000 && bytes.iter().any(|&byte| byte != bytes[0]));
        assert_ne!(bytes[..256], bytes[256..512]);
        assert_eq!(MemoryDevice::Null.write(&random, b"gone"), Ok(4));
        assert_eq!(MemoryDevice::Full.write(&random, b"no"), Err(Errno::ENOSPC));
        assert_eq!(MemoryDevice::Random.write(&random, b"salt"), Ok(4));
        assert!(MemoryDevice::Random.must_wait(&random) && !MemoryDevice::Urandom.must_wait(&random));
    }

    #[test]
    fn a_fault_ends_the_read() {
        for device in [MemoryDevice::Zero, MemoryDevice::Urandom] {
            assert_eq!(read(device, 100_000, 5001).len(), 5001);
        }
    }

    #[test]
    fn numbers_lead_back() {
        for device in MemoryDevice::ALL {
            assert_eq!(MemoryDevice::from_device(device.device()), Some(device));
        }
        assert_eq!(MemoryDevice::from_device((1, 1)), None);
    }
}
