//! Time.

use std::fs;
use std::io;
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

/// Which time a measurement counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// All that passes.
    Elapsed,
    /// That in which the machine, which has one CPU, has something to do, in hundredths of a second: how long disks make it
    /// wait is not in it. Under `-icount shift=0` only this is a count of instructions, for idle time passes in leaps.
    Busy,
}

/// A measurement that goes on.
pub struct Stopwatch {
    began: u64,
    idle: Option<u64>,
}

impl Stopwatch {
    /// Starts it.
    pub fn start(count: Count) -> io::Result<Self> {
        let idle = if count == Count::Busy { Some(idle()?) } else { None };
        Ok(Self { began: now(), idle })
    }

    /// Nanoseconds from its start.
    pub fn read(&self) -> io::Result<u64> {
        let elapsed = now() - self.began;
        let idle = self.idle.map_or(Ok(0), |before| idle().map(|after| after - before))?;
        Ok(elapsed.saturating_sub(idle))
    }
}

/// Nanoseconds that all CPUs together have had nothing to do, or nothing but to wait for disks, in hundredths of a second.
fn idle() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    // cpu user nice system idle iowait ...
    let fields = text.lines().next().into_iter().flat_map(str::split_whitespace).skip(4).take(2);
    let hundredths = fields.map(str::parse::<u64>).sum::<Result<u64, _>>().map_err(io::Error::other)?;
    Ok(hundredths * 10_000_000)
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
