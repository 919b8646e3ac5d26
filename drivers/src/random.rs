//! The random number generator: entropy gathered with BLAKE2s, output from ChaCha20 with fast key erasure.
//!
//! ```text
//!   hardware, interrupts, writers ──mix──► Pool ──256 bits credited──► key ──► four blocks: new key │ bytes, or the
//!                                        (BLAKE2s)                                  key of the caller's own ChaCha20
//! ```
//!
//! Every request replaces the key before it sees a byte, so a stolen key tells nothing of the past (D. J. Bernstein,
//! "Fast-key-erasure random-number generators", 2017). A few bytes come from what the new key left over; many are made
//! without any lock held.

use blake2::{Blake2s256, Digest};
use executor::sync::{SpinMutex, WaitQueue};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const KEY_SIZE: usize = 32;
/// Bits of entropy that the pool needs before its output counts as unpredictable.
const ENOUGH_BITS: usize = 256;

/// Bytes that the generator has computed beside a new key: ChaCha20 is run four blocks of 64 bytes at a time.
pub const SHORT: usize = 4 * 64 - KEY_SIZE;

type Key = [u8; KEY_SIZE];

/// Where entropy comes from: an instruction like RDSEED, a device, a clock's jitter.
pub trait EntropySource {
    /// Fills `bytes` and says how many bits of them nobody could have guessed. 0: it has none, and has written
    /// nothing of worth.
    fn gather(&self, bytes: &mut [u8; KEY_SIZE]) -> usize;
}

/// The generator.
pub struct Random {
    state: SpinMutex<State>,
    /// Who waits for enough entropy.
    waiting: WaitQueue,
}

struct State {
    pool: Blake2s256,
    /// Entropy in the pool that the key has not got yet, in bits.
    credit: usize,
    key: Key,
    is_seeded: bool,
}

impl State {
    /// The key becomes a hash of everything so far and the pool, which starts over from it.
    fn reseed(&mut self) {
        let gathered = self.pool.finalize_reset();
        let mut hash = Blake2s256::new_with_prefix(self.key);
        hash.update(gathered);
        self.key = hash.finalize().into();
        self.pool.update(gathered);
        self.credit = 0;
    }

    /// The old key's generator, for one request. The key is replaced by the first of its output, which leaves
    /// [`SHORT`] bytes of what it computes at once.
    fn next_generator(&mut self) -> ChaCha20Rng {
        let mut generator = ChaCha20Rng::from_seed(self.key);
        generator.fill_bytes(&mut self.key);
        generator
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

impl Random {
    /// A generator that knows nothing yet: its output is the same at every start until it is given entropy.
    pub fn new() -> Self {
        let state = State { pool: Blake2s256::new(), credit: 0, key: [0; KEY_SIZE], is_seeded: false };
        Self { state: SpinMutex::new(state), waiting: WaitQueue::new() }
    }

    /// Stirs `bytes` in, of which `bits` bits could not have been guessed. The key takes over what is in the pool
    /// when that is enough to make a new key that nobody can work out from the old one: never a bit at a time.
    pub fn mix(&self, bytes: &[u8], bits: usize) {
        let mut state = self.state.lock();
        state.pool.update(bytes);
        state.credit = state.credit.saturating_add(bits.min(bytes.len() * 8));
        if state.credit >= ENOUGH_BITS {
            state.reseed();
            let was_seeded = core::mem::replace(&mut state.is_seeded, true);
            drop(state);
            if !was_seeded {
                self.waiting.wake_all();
            }
        }
    }

    /// Asks `source` for entropy until the generator is seeded anew, or the source has no more. To be called at the
    /// start, and from time to time. True: it was seeded.
    pub fn gather_from(&self, source: &dyn EntropySource) -> bool {
        let mut bytes = [0; KEY_SIZE];
        let mut total = 0;
        while total < ENOUGH_BITS {
            match source.gather(&mut bytes) {
                0 => return false,
                bits => {
                    self.mix(&bytes, bits);
                    total += bits;
                }
            }
        }
        true
    }

    /// Whether the output is unpredictable.
    pub fn is_seeded(&self) -> bool {
        self.state.lock().is_seeded
    }

    /// Waits until the output is unpredictable: what getrandom(2) and /dev/random do.
    pub async fn seeded(&self) {
        self.waiting.wait_until(|| self.is_seeded().then_some(())).await;
    }

    /// Fills `bytes` with random bytes. Up to [`SHORT`] bytes cost the same, and half of what more cost at least.
    pub fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() <= SHORT {
            self.state.lock().next_generator().fill_bytes(bytes);
        } else {
            let mut key = [0; KEY_SIZE];
            self.state.lock().next_generator().fill_bytes(&mut key);
            ChaCha20Rng::from_seed(key).fill_bytes(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// Gives so many bits each time, so many times.
    struct Source {
        bits: usize,
        left: Cell<usize>,
    }

    impl EntropySource for Source {
        fn gather(&self, bytes: &mut [u8; KEY_SIZE]) -> usize {
            if self.left.get() == 0 {
                return 0;
            }
            self.left.set(self.left.get() - 1);
            bytes.fill(self.left.get() as u8);
            self.bits
        }
    }

    fn take(random: &Random) -> [u8; 16] {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        bytes
    }

    #[test]
    fn requests_never_repeat() {
        let random = Random::new();
        let (first, second) = (take(&random), take(&random));
        assert_ne!(first, second);
        // Without entropy another generator makes the same: that is what `is_seeded` is about.
        assert_eq!(take(&Random::new()), first);
    }

    #[test]
    fn the_key_waits_for_enough_entropy() {
        let (random, twin) = (Random::new(), Random::new());
        random.mix(b"some of it", 80);
        assert!(!random.is_seeded());
        assert_eq!(take(&random), take(&twin));
        // More bits than bytes hold are not believed.
        random.mix(b"x", 1000);
        assert!(!random.is_seeded());
        random.mix(&[7; 32], 256);
        assert!(random.is_seeded());
        assert_ne!(take(&random), take(&twin));
    }

    #[test]
    fn a_weak_source_is_asked_more_often() {
        let random = Random::new();
        assert!(!random.gather_from(&Source { bits: 64, left: Cell::new(3) }));
        assert!(!random.is_seeded());
        let source = Source { bits: 64, left: Cell::new(100) };
        assert!(random.gather_from(&source));
        assert!(random.is_seeded());
        assert_eq!(source.left.get(), 96);
    }

    #[test]
    fn written_bytes_change_the_next_seed() {
        let (random, twin) = (Random::new(), Random::new());
        random.mix(b"salt", 0);
        for generator in [&random, &twin] {
            assert!(generator.gather_from(&Source { bits: 256, left: Cell::new(1) }));
        }
        assert_ne!(take(&random), take(&twin));
    }
}
