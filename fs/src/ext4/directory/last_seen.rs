//! Where in its directory a file's entry was entered or found last. Who removes or replaces the entry looks there first, and
//! needs neither the name's hash nor the way to its leaf.
//!
//! It is a hint: the entry may have moved, or been another of the file's names. It is right if the name is there with the file.

use executor::atomic::{AtomicU64, Ordering::Relaxed};

/// A place in a directory: a block, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Number of the block in the directory.
    pub number: u64,
    /// Bytes from its beginning.
    pub offset: usize,
}

/// Bits for the place in a block, of which none has more than 64 KiB.
const OFFSET: u32 = 16;

/// Where an entry of a file was seen last.
pub struct LastSeen(AtomicU64);

impl LastSeen {
    /// Nowhere. (At the beginning of a directory is its entry `.`.)
    pub const fn nowhere() -> Self {
        LastSeen(AtomicU64::new(0))
    }

    /// Where it was.
    pub fn get(&self) -> Option<Whereabouts> {
        let seen = self.0.load(Relaxed);
        let offset = seen as usize & ((1 << OFFSET) - 1);
        (seen != 0).then_some(Whereabouts { number: seen >> OFFSET, offset })
    }

    /// Notes where it is.
    pub fn note(&self, Whereabouts { number, offset }: Whereabouts) {
        if number < 1 << (u64::BITS - OFFSET) && offset < 1 << OFFSET {
            self.0.store(number << OFFSET | offset as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_remembered() {
        let seen = LastSeen::nowhere();
        assert_eq!(seen.get(), None);
        for (number, offset) in [(0, 24), (3, 0), ((1 << 48) - 1, 65532)] {
            seen.note(Whereabouts { number, offset });
            assert_eq!(seen.get(), Some(Whereabouts { number, offset }));
        }
        // What does not fit.
        seen.note(Whereabouts { number: 1 << 48, offset: 12 });
        seen.note(Whereabouts { number: 1, offset: 1 << 16 });
        assert_eq!(seen.get(), Some(Whereabouts { number: (1 << 48) - 1, offset: 65532 }));
    }
}
