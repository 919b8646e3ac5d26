//! Time stamps of files, and the clock they come from.

use executor::atomic::{AtomicU64, Ordering::Relaxed};

/// A point in time: seconds since 1970-01-01 00:00:00 UTC, and nanoseconds within the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// 0..1_000_000_000, counted forwards also before 1970.
    pub nanoseconds: u32,
}

/// The earliest second a file can carry: ext4's with extra time bits, 1901-12-13.
pub const SECONDS_MIN: i64 = -(1 << 31);
/// The latest second a file can carry: ext4's with extra time bits, 2446-05-10.
pub const SECONDS_MAX: i64 = (1 << 34) - (1 << 31) - 1;

impl Timestamp {
    /// The time now, from the program's [`Clock`].
    #[inline]
    pub fn now() -> Self {
        __rusk_fs_clock_now()
    }

    /// From nanoseconds since 1970.
    #[inline]
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Timestamp {
            seconds: (nanoseconds / 1_000_000_000) as i64,
            nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        }
    }

    /// One word that sorts as the time does: 34 bits of seconds over 30 of nanoseconds. Times out of
    /// range become the nearest that fits, as `inode_set_mtime` and its kin do on Linux.
    #[inline]
    fn pack(self) -> u64 {
        let seconds = self.seconds.clamp(SECONDS_MIN, SECONDS_MAX) - SECONDS_MIN;
        (seconds as u64) << 30 | u64::from(self.nanoseconds)
    }

    #[inline]
    fn unpack(word: u64) -> Self {
        Timestamp { seconds: (word >> 30) as i64 + SECONDS_MIN, nanoseconds: word as u32 & ((1 << 30) - 1) }
    }
}

/// A [`Timestamp`] that is read and written as one word, so that a reader never sees the seconds
/// of one time with the nanoseconds of another. It orders nothing else: all accesses are relaxed.
#[derive(Debug, Default)]
pub struct AtomicTimestamp(AtomicU64);

impl AtomicTimestamp {
    /// Starts at `time`.
    #[inline]
    pub fn new(time: Timestamp) -> Self {
        AtomicTimestamp(AtomicU64::new(time.pack()))
    }

    /// The time.
    #[inline]
    pub fn load(&self) -> Timestamp {
        Timestamp::unpack(self.0.load(Relaxed))
    }

    /// Sets the time.
    #[inline]
    pub fn store(&self, time: Timestamp) {
        self.0.store(time.pack(), Relaxed);
    }

    /// Whether this time is not after one of the others.
    #[inline]
    pub fn not_after_any<const N: usize>(&self, others: [&AtomicTimestamp; N]) -> bool {
        let time = self.0.load(Relaxed);
        others.into_iter().any(|other| time <= other.0.load(Relaxed))
    }
}

/// The time a day ago, but for an hour or so: no clock is read to find that a time is not so old.
pub(crate) static A_DAY_AGO: AtomicTimestamp = AtomicTimestamp(AtomicU64::new(0));

/// Notes how late it is. To be called about once an hour, and when the clock was set.
pub fn note_time() {
    let mut then = Timestamp::now();
    then.seconds -= 24 * 60 * 60;
    A_DAY_AGO.store(then);
}

/// The wall clock. Implemented once per program and named with [`clock!`](crate::clock).
pub trait Clock {
    /// The time now. It is read on each change of a file, so a cheap clock is better than a fine one.
    fn now() -> Timestamp;
}

unsafe extern "Rust" {
    safe fn __rusk_fs_clock_now() -> Timestamp;
}

/// Makes a type that implements [`Clock`] the clock of this program.
#[macro_export]
macro_rules! clock {
    ($clock:ty) => {
        #[unsafe(no_mangle)]
        fn __rusk_fs_clock_now() -> $crate::Timestamp {
            <$clock as $crate::Clock>::now()
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_times_and_order() {
        let times = [
            Timestamp { seconds: SECONDS_MIN, nanoseconds: 0 },
            Timestamp { seconds: -1, nanoseconds: 999_999_999 },
            Timestamp { seconds: 0, nanoseconds: 0 },
            Timestamp { seconds: 1 << 32, nanoseconds: 1 },
            Timestamp { seconds: SECONDS_MAX, nanoseconds: 999_999_999 },
        ];
        for pair in times.windows(2) {
            assert!(pair[0].pack() < pair[1].pack());
        }
        for time in times {
            assert_eq!(AtomicTimestamp::new(time).load(), time);
        }
        let late = Timestamp { seconds: i64::MAX, nanoseconds: 5 };
        assert_eq!(AtomicTimestamp::new(late).load().seconds, SECONDS_MAX);
    }
}
