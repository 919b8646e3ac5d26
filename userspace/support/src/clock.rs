//! Time.

use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC.
///
/// Under `-icount shift=0` this is a count of guest instructions.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into `time`; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds that `work` takes.
pub fn time(work: impl FnOnce()) -> u64 {
    let start = now();
    work();
    now() - start
}

/// Sleeps for some milliseconds.
pub fn sleep_ms(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
