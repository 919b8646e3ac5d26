//! Orphans that were on the disk when the file system was mounted.

use crate::Result;
use alloc::vec::Vec;
use executor::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use executor::sync::SpinMutex;
use syscalls::Errno;

/// Where one is noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In this place of the file.
    File(u32),
    /// In the list, as the one of this index.
    List(u32),
}

/// Those that nobody has adopted yet.
pub struct Found {
    opened: AtomicBool,
    /// How many there are: usually none, so that nobody looks for one.
    count: AtomicUsize,
    /// By number; `None` for those that have been adopted.
    places: SpinMutex<Vec<(u32, Option<Place>)>>,
}

impl Found {
    pub fn new() -> Self {
        Found {
            opened: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            places: SpinMutex::new(Vec::new()),
        }
    }

    /// Whether nobody has looked yet.
    pub fn begin(&self) -> bool {
        !self.opened.swap(true, Relaxed)
    }

    /// These were found.
    pub fn set(&self, mut found: Vec<(u32, Option<Place>)>) {
        found.sort_unstable_by_key(|(number, _)| *number);
        // Each once, whatever the disk says.
        found.dedup_by_key(|(number, _)| *number);
        let count = found.len();
        *self.places.lock() = found;
        // Release pairs with the Acquire in `take`.
        self.count.store(count, Release);
    }

    /// Their numbers.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        let places = self.places.lock();
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(places.len()).map_err(|_| Errno::ENOMEM)?;
        numbers.extend(places.iter().filter(|(_, place)| place.is_some()).map(|(number, _)| *number));
        Ok(numbers)
    }

    /// Somebody adopts one.
    pub fn take(&self, number: u32) -> Option<Place> {
        if self.count.load(Acquire) == 0 {
            return None;
        }
        let mut places = self.places.lock();
        let at = places.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let place = places[at].1.take()?;
        if self.count.fetch_sub(1, Relaxed) == 1 {
            *places = Vec::new();
        }
        Some(place)
    }
}
