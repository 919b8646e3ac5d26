//! Keeping memory free: what caches of disks hold is given back before somebody has to wait for it.
//!
//! A task hears when little is left ([`frame::until_low`]) and takes pages out of the page cache until there is enough. They are
//! free after a grace period, which it waits for, so that it does not take out more than that. Who finds no memory all the
//! same waits by [`check_pressure`](super::check_pressure), which asks the caches, too.

use super::frame;
use core::time::Duration;
use executor::{Builder, Lane, SpawnError, rcu};

/// Pages that are taken out at a time.
const BATCH: usize = 256;
/// How long nothing is tried after nothing could be had.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts the task. It goes before programs: they are what takes the memory.
///
/// # Errors
/// When there is no memory for a task.
pub(super) fn start() -> Result<(), SpawnError> {
    Builder::new().name("reclaim").lane(Lane::Driver).try_spawn(reclaim()).map(drop)
}

async fn reclaim() {
    loop {
        frame::until_low().await;
        while frame::missing() > 0 {
            if fs::cache::shrink(BATCH).await == 0 {
                // What is dirty can be given up as soon as it is stored.
                fs::cache::hurry().await;
                executor::sleep(PAUSE).await;
                break;
            }
            rcu::barrier().await;
        }
    }
}
