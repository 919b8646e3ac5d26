//! Waiting for a register: no interrupt tells of it.

use core::time::Duration;

use executor::{Instant, sleep};

/// The first pause between two looks, which doubles...
const SHORTEST: Duration = Duration::from_micros(10);
/// ...until it is this long.
const LONGEST: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, but not longer than `patience`. Whether it does.
pub async fn within(patience: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    let mut pause = SHORTEST;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
    true
}
