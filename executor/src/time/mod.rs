//! Time: instants, sleeping, time limits.
//!
//! Every CPU has a hierarchical [timer wheel](self::Wheel) whose entries lie inside the [`Sleep`]
//! futures. Starting and dropping one costs a short lock and a few stores, whatever the number of
//! timers; nothing is allocated. Start reading with `sleep.rs`.

mod sleep;
mod wheel;

#[cfg(all(test, loom))]
pub(crate) use sleep::Timer;
pub(crate) use sleep::expire;
pub use sleep::{Elapsed, Sleep, Timeout, sleep, sleep_until, timeout, timeout_after};
pub(crate) use wheel::Wheel;

use crate::platform::hooks;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since boot, which last for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than everything.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// Now.
    #[inline]
    #[must_use]
    pub fn now() -> Instant {
        Instant(hooks::now())
    }

    /// Nanoseconds since boot.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier`; zero if it is not.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long ago; zero if it is in the future.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }
}

impl From<u64> for Instant {
    fn from(nanos: u64) -> Instant {
        Instant(nanos)
    }
}

/// Saturates at [`Instant::FAR_FUTURE`].
impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Saturates at zero.
impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
