//! The real-time clock: the wall clock's value at start. Source: Motorola MC146818A data sheet.

use x86_64::instructions::port::Port;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;

/// The fields as the chip gives them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Raw([u8; 6]);

fn register(number: u8) -> u8 {
    // Bit 7 of the index port keeps NMIs from being turned off.
    // SAFETY: the clock's two ports; reading a register has no side effect (status C is not read).
    unsafe {
        Port::new(0x70).write(number);
        Port::new(0x71).read()
    }
}

fn read_raw() -> Raw {
    Raw([SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(register))
}

/// Nanoseconds since 1970, UTC, to the second; 0 where there is no sensible clock.
pub(super) fn read() -> u64 {
    const UPDATE_IN_PROGRESS: u8 = 0x80;
    const TRIES: usize = 1000;
    // Two equal readings outside an update are a consistent one.
    let mut last = None;
    for _ in 0..TRIES {
        if register(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
            continue;
        }
        let raw = read_raw();
        if last == Some(raw) {
            return decode(raw, register(STATUS_B)).map_or(0, |seconds| seconds * 1_000_000_000);
        }
        last = Some(raw);
    }
    0
}

fn decode(raw: Raw, status: u8) -> Option<u64> {
    const BINARY: u8 = 1 << 2;
    const HOURS_24: u8 = 1 << 1;
    const AFTERNOON: u8 = 0x80;
    let number =
        |value: u8| u64::from(if status & BINARY != 0 { value } else { (value >> 4) * 10 + (value & 0xf) });
    let [second, minute, hour, day, month, year] = raw.0;
    let mut hours = number(hour & !AFTERNOON);
    if status & HOURS_24 == 0 {
        hours = hours % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 };
    }
    // The chip has two digits of the year; this century's.
    let (day, month, year) = (number(day), number(month), 2000 + number(year));
    if !(1..=31).contains(&day) || !(1..=12).contains(&month) {
        return None;
    }
    Some(((days_since_1970(year, month, day) * 24 + hours) * 60 + number(minute)) * 60 + number(second))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, with years that begin in March so that the leap day
/// is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day - 1 - 719_468
}
