//! Where a directory's blocks are on the disk, as far as it was looked up lately: the first one, which is the root of a hash
//! tree, and one other. They never move as long as there is the directory.

use executor::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits for a block's place on the disk; one that lies further behind is not remembered.
const PLACE: u32 = 36;

/// The places of two blocks of a directory.
pub struct Places {
    /// A block's number in the directory, and its place on the disk, plus one. Zero for none.
    known: [AtomicU64; 2],
}

impl Places {
    /// None.
    pub const fn new() -> Self {
        Places { known: [const { AtomicU64::new(0) }; 2] }
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.known[usize::from(number != 0)]
    }

    /// Where a block is.
    pub fn get(&self, number: u64) -> Option<u64> {
        let known = self.slot(number).load(Relaxed);
        let place = known & ((1 << PLACE) - 1);
        if known >> PLACE == number { place.checked_sub(1) } else { None }
    }

    /// Notes where a block is.
    pub fn note(&self, number: u64, place: u64) {
        if number < 1 << (u64::BITS - PLACE) && place + 1 < 1 << PLACE {
            self.slot(number).store((number << PLACE) | (place + 1), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_one_other_are_remembered() {
        let places = Places::new();
        assert_eq!((places.get(0), places.get(1)), (None, None));
        places.note(0, 0);
        places.note(1, 10);
        assert_eq!((places.get(0), places.get(1), places.get(2)), (Some(0), Some(10), None));
        places.note((1 << 28) - 1, (1 << 36) - 2);
        assert_eq!((places.get(0), places.get(1)), (Some(0), None));
        assert_eq!(places.get((1 << 28) - 1), Some((1 << 36) - 2));
        // What does not fit.
        places.note(1 << 28, 5);
        places.note(3, (1 << 36) - 1);
        assert_eq!((places.get(1 << 28), places.get(3)), (None, None));
    }
}
