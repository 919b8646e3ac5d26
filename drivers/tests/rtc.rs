//! The real-time clock as chips and virtual machines have it, dates as the C library counts them.

use std::cell::Cell;
use std::time::Duration;

use drivers::rtc::{self, RtcError};

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;

/// A chip that starts at a time and counts its own seconds; looking at a register takes a microsecond of them.
struct Chip {
    /// Seconds since 1970 at `now` 0.
    start: u64,
    now: Cell<Duration>,
    format: u8,
    /// When an update begins in each second, and when it is over, maybe in a later one.
    update: (Duration, Duration),
}

const MICROSECOND: Duration = Duration::from_micros(1);

impl Chip {
    fn at(start: u64) -> Self {
        // As on the chip: 244 µs of notice, and 2 ms.
        let update = (Duration::from_micros(999_756), Duration::from_micros(1_001_984));
        Self { start, now: Cell::new(Duration::ZERO), format: HOURS_24, update }
    }

    fn updating(&self) -> bool {
        let (begin, end) = self.update;
        self.now.get() >= begin && self.now.get() < end
    }

    fn register(&self, number: u8) -> u8 {
        self.now.set(self.now.get() + MICROSECOND);
        match number {
            STATUS_A => 0x26 | if self.updating() { UPDATE_IN_PROGRESS } else { 0 },
            STATUS_B => self.format,
            // Whatever it may be, it is not the same twice.
            _ if self.updating() && self.now.get() >= Duration::from_secs(1) => {
                self.now.get().subsec_micros() as u8
            }
            _ => self.field(number),
        }
    }

    fn field(&self, number: u8) -> u8 {
        let seconds = (self.start + self.now.get().as_secs()) as libc::time_t;
        // SAFETY: plain data, all zeros are a time.
        let mut time: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: two valid places.
        assert!(!unsafe { libc::gmtime_r(&seconds, &mut time) }.is_null());
        let value = match number {
            0x00 => time.tm_sec,
            0x02 => time.tm_min,
            0x04 => return self.hour(time.tm_hour as u8),
            0x07 => time.tm_mday,
            0x08 => time.tm_mon + 1,
            0x09 => time.tm_year % 100,
            _ => panic!("register {number:#x}"),
        };
        self.write(value as u8)
    }

    fn hour(&self, hour: u8) -> u8 {
        match (self.format & HOURS_24 != 0, hour) {
            (true, _) => self.write(hour),
            (false, 0) => self.write(12),
            (false, 1..=11) => self.write(hour),
            (false, 12) => self.write(12) | 0x80,
            (false, _) => self.write(hour - 12) | 0x80,
        }
    }

    fn write(&self, value: u8) -> u8 {
        if self.format & BINARY != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn read(&self) -> Result<Duration, RtcError> {
        rtc::read(|number| self.register(number), || self.now.get())
    }
}

#[test]
fn dates_of_a_century_in_all_formats() {
    const CENTURY: std::ops::Range<u64> = 946_684_800..4_102_444_800;
    // A step that is no multiple of anything, so that all months, days and hours come.
    for start in CENTURY.step_by(98_765) {
        for format in [0, BINARY, HOURS_24, HOURS_24 | BINARY] {
            let chip = Chip { format, ..Chip::at(start) };
            assert_eq!(chip.read(), Ok(Duration::from_secs(start)), "format {format:#x}");
        }
    }
}

#[test]
fn every_microsecond_around_an_update() {
    for microsecond in 999_500..1_002_100 {
        let chip = Chip::at(1_000_000_000);
        chip.now.set(Duration::from_micros(microsecond));
        let time = chip.read().expect("a time").as_secs() - 1_000_000_000;
        assert!(time <= chip.now.get().as_secs(), "{microsecond}: {time}");
        assert!(time > 0 || microsecond < 1_000_000, "{microsecond}: a second late");
    }
}

/// As on a virtual machine whose host is busy: the bit stays until the host has had time to run a timer.
#[test]
fn an_update_that_takes_long_is_waited_for() {
    for milliseconds in [10, 100, 999] {
        let begin = Duration::from_micros(999_756);
        let chip =
            Chip { update: (begin, begin + Duration::from_millis(milliseconds)), ..Chip::at(1_000_000_000) };
        chip.now.set(begin);
        assert_eq!(chip.read(), Ok(Duration::from_secs(1_000_000_001)), "{milliseconds} ms");
    }
}

#[test]
fn a_bit_that_stays_is_not_believed() {
    let registers = [0x59, 0, 0x23, 0, 0x12, 0, 0, 0x31, 0x12, 0x99, 0xa6, HOURS_24];
    let now = Cell::new(Duration::ZERO);
    let register = |number: u8| {
        now.set(now.get() + MICROSECOND);
        registers[usize::from(number)]
    };
    let seconds = 4_102_444_800 - 24 * 3600 + (12 * 60 + 23) * 60 + 59;
    assert_eq!(rtc::read(register, || now.get()), Ok(Duration::from_secs(seconds)));
    assert!(now.get() < Duration::from_secs(3), "{:?}", now.get());
}

#[test]
fn without_a_chip_nobody_waits() {
    assert_eq!(rtc::read(|_| 0xff, || Duration::ZERO), Err(RtcError::Absent));
}

#[test]
fn one_that_never_keeps_still_is_given_up() {
    let now = Cell::new(Duration::ZERO);
    let register = |number| {
        now.set(now.get() + MICROSECOND);
        if number == STATUS_A { 0x26 } else { now.get().subsec_micros() as u8 & 0x3f }
    };
    assert_eq!(rtc::read(register, || now.get()), Err(RtcError::Unsteady));
    assert!(now.get() < Duration::from_secs(5), "{:?}", now.get());
}

#[test]
fn times_that_do_not_exist() {
    let good = [0x59, 0, 0x59, 0, 0x23, 0, 0, 0x31, 0x12, 0x99, 0x26, HOURS_24];
    let read = |registers: [u8; 12]| rtc::read(|number| registers[usize::from(number)], || Duration::ZERO);
    assert_eq!(read(good), Ok(Duration::from_secs(4_102_444_799)));
    let bad = [
        (0, 0x60),
        (0, 0x0a),
        (2, 0x60),
        (4, 0x24),
        (4, 0x92),
        (7, 0),
        (7, 0x32),
        (8, 0),
        (8, 0x13),
        (9, 0xa0),
    ];
    for (number, value) in bad {
        let mut registers = good;
        registers[number] = value;
        assert_eq!(read(registers), Err(RtcError::NoSuchTime), "register {number} = {value:#x}");
    }
}
