//! Telling, before anybody has to wait for memory, that little is left.
//!
//! Between the two marks there is what is given away while somebody hears of it: a sixteenth of memory is kept free by those who
//! can give something back, and they are told when half of that is gone.

use super::pool;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use executor::sync::Notify;

/// Wakes who can give something back.
static LOW: Notify = Notify::new();
/// Whether somebody waits for `LOW`. Relaxed: a missed notification is made up for by the next chain taken.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Frames that are to be free.
fn wanted() -> usize {
    pool::reserve() + pool::total() / 16
}

/// Frames were taken from the pool, which has so many left. Without its lock.
#[inline]
pub(super) fn taken(free: usize) {
    if WAITING.load(Relaxed) && free < pool::reserve() + pool::total() / 32 {
        LOW.notify();
    }
}

/// Waits until little memory is left. For one task.
pub async fn until_low() {
    WAITING.store(true, Relaxed);
    LOW.notified().await;
    WAITING.store(false, Relaxed);
}

/// How many frames more are to be free.
pub fn missing() -> usize {
    wanted().saturating_sub(pool::free())
}
