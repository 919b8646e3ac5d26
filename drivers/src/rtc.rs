//! The real-time clock, an MC146818 or what is made like it: the wall clock's value at start.
//!
//! Once a second the chip adds one to its registers; while it does, they may hold anything, and a bit tells that an
//! update is near or going on. That takes 2 ms on a chip. On a virtual machine it can take much longer: QEMU holds the
//! bit from 244 µs before the second until its own timer for it has run, and a busy host may let that wait.
//!
//! Source: Motorola, MC146818A data sheet (1984).

use core::fmt;
use core::time::Duration;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;

/// How long an update may take before the registers are taken as they are, and then how long they may go on changing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no time to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcError {
    /// Nobody answers.
    Absent,
    /// No two readings were equal, for seconds.
    Unsteady,
    /// The registers hold no time that exists.
    NoSuchTime,
}

impl fmt::Display for RtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "there is none",
            Self::Unsteady => "it does not keep still",
            Self::NoSuchTime => "it shows no time that exists",
        })
    }
}

impl core::error::Error for RtcError {}

/// Time since 1970, UTC, to the second. Years are those of this century: the chip has two digits for them.
///
/// `register` reads one of the chip's registers, `now` is a clock that only counts; it bounds the waiting, which goes
/// round without a pause: this is for a machine that starts.
pub fn read(register: impl Fn(u8) -> u8, now: impl Fn() -> Duration) -> Result<Duration, RtcError> {
    const UPDATE_IN_PROGRESS: u8 = 1 << 7;
    const NOBODY: u8 = 0xff;
    let start = now();
    loop {
        let (state, format) = (register(STATUS_A), register(STATUS_B));
        if state == NOBODY && format == NOBODY {
            return Err(RtcError::Absent);
        }
        let waited = now().saturating_sub(start);
        if state & UPDATE_IN_PROGRESS == 0 || waited >= PATIENCE {
            // An update that begins after the look at the state shows as a difference.
            let time = Registers::read(&register);
            if time == Registers::read(&register) {
                return time.decode(format).ok_or(RtcError::NoSuchTime);
            }
        }
        if waited >= 2 * PATIENCE {
            return Err(RtcError::Unsteady);
        }
        core::hint::spin_loop();
    }
}

/// The time as the chip has it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Registers {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
}

impl Registers {
    fn read(register: impl Fn(u8) -> u8) -> Self {
        Self {
            second: register(SECONDS),
            minute: register(MINUTES),
            hour: register(HOURS),
            day: register(DAY),
            month: register(MONTH),
            year: register(YEAR),
        }
    }

    /// Since 1970, where status register B, `format`, says how numbers are written.
    fn decode(self, format: u8) -> Option<Duration> {
        const HOURS_24: u8 = 1 << 1;
        const BINARY: u8 = 1 << 2;
        const AFTERNOON: u8 = 1 << 7;
        let number = |value: u8| match (format & BINARY != 0, value >> 4, value & 0xf) {
            (true, ..) => Some(u64::from(value)),
            (false, tens @ 0..=9, ones @ 0..=9) => Some(u64::from(tens) * 10 + u64::from(ones)),
            (false, ..) => None,
        };
        let within =
            |value: u8, from: u64, to: u64| number(value).filter(|number| (from..=to).contains(number));
        let hour = if format & HOURS_24 != 0 {
            within(self.hour, 0, 23)?
        } else {
            // Midnight and noon are both twelve.
            within(self.hour & !AFTERNOON, 1, 12)? % 12 + if self.hour & AFTERNOON != 0 { 12 } else { 0 }
        };
        let days = days_since_1970(
            2000 + within(self.year, 0, 99)?,
            within(self.month, 1, 12)?,
            within(self.day, 1, 31)?,
        );
        let minutes = (days * 24 + hour) * 60 + within(self.minute, 0, 59)?;
        Some(Duration::from_secs(minutes * 60 + within(self.second, 0, 59)?))
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, with years that begin in March so that the leap day
/// is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day - 1 - 719_468
}
