//! Zeroing frames in advance, on CPUs that have nothing better to do.

use super::chain::{BATCH, Chain};
use super::{metadata, pool};
use crate::arch::mem::clear_page;
use core::sync::atomic::{AtomicBool, Ordering};
use executor::sync::Notify;
use executor::{Builder, Lane, SpawnError};

/// Frames that the task keeps zeroed: 16 MiB, or a 64th of memory if that is less.
fn target() -> usize {
    (pool::statistics().total / 64).min(4096)
}

/// Wakes the task.
static LOW: Notify = Notify::new();
/// Whether the task waits for `LOW`. Relaxed: a missed notification is made up for by the next chain taken.
static WAITING: AtomicBool = AtomicBool::new(false);

/// A chain of zeroed frames was taken from the depot.
pub(super) fn taken() {
    if WAITING.load(Ordering::Relaxed) {
        LOW.notify();
    }
}

/// Starts the task that keeps zeroed frames in stock. It runs in the background lane: on idle CPUs only.
///
/// # Errors
/// When there is no memory for a task.
pub fn start_zeroing() -> Result<(), SpawnError> {
    Builder::new().name("zero frames").lane(Lane::Background).try_spawn(keep_stock()).map(drop)
}

async fn keep_stock() {
    let target = target();
    loop {
        while pool::zeroed() < target {
            let Some(dirty) = pool::take_for_zeroing() else { break };
            pool::put_zeroed(clean(dirty).await);
        }
        WAITING.store(true, Ordering::Relaxed);
        LOW.notified().await;
        WAITING.store(false, Ordering::Relaxed);
    }
}

/// Zeroes a chain's frames, giving way to other work after each.
///
/// Never cancelled: the task has no handle. So the frames in `dirty` and `clean` cannot be lost at the await.
async fn clean(mut dirty: Chain) -> Chain {
    let frames = metadata::all();
    let mut clean = Chain::default();
    while let Some(number) = dirty.pop(frames) {
        // SAFETY: a free frame that this task has taken.
        unsafe { clear_page(super::pointer(number).as_ptr()) };
        clean.push(frames, number);
        if executor::should_yield() || clean.count.is_multiple_of(BATCH / 8) {
            executor::yield_now().await;
        }
    }
    clean
}
