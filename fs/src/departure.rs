//! File systems that are being taken apart in the background: their memory is on its way back.

use executor::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many are under way. Relaxed: a hint.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Whether a file system is being taken apart, so that memory will come back.
pub fn is_tearing_down() -> bool {
    UNDER_WAY.load(Relaxed) > 0
}

/// Held by whoever takes something large apart.
pub(crate) struct Departure(());

impl Departure {
    pub fn begin() -> Self {
        UNDER_WAY.fetch_add(1, Relaxed);
        Departure(())
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Relaxed);
    }
}
