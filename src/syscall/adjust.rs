//! Adjusting the clock (adjtimex(2), clock_adjtime(2)).
//!
//! The wall clock runs as the machine's counter does, and can be set, but not made faster or slower: what asks for that is
//! refused. What time daemons note for each other is kept.

use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::clock;
use crate::process::{Caller, credentials::capability};
use crate::user_memory::{self, SysResult};
use crate::wall_clock;

/// `struct timex`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Timex {
    modes: u32,
    pad: u32,
    offset: i64,
    frequency: i64,
    max_error: i64,
    estimated_error: i64,
    status: i32,
    pad2: u32,
    constant: i64,
    precision: i64,
    tolerance: i64,
    /// Seconds, and micro- or nanoseconds.
    time: [i64; 2],
    tick: i64,
    pulses: [i64; 2],
    shift: i32,
    pad3: u32,
    counts: [i64; 5],
    tai: i32,
    spare: [u32; 11],
}

/// What `modes` asks for (`<linux/timex.h>`).
mod modes {
    pub const OFFSET: u32 = 0x0001;
    pub const FREQUENCY: u32 = 0x0002;
    pub const MAX_ERROR: u32 = 0x0004;
    pub const ESTIMATED_ERROR: u32 = 0x0008;
    pub const STATUS: u32 = 0x0010;
    pub const TIME_CONSTANT: u32 = 0x0020;
    pub const TAI: u32 = 0x0080;
    pub const SET_OFFSET: u32 = 0x0100;
    pub const MICRO: u32 = 0x1000;
    pub const NANO: u32 = 0x2000;
    pub const TICK: u32 = 0x4000;
    pub const SINGLE_SHOT: u32 = 0x8000;
    pub const READ_SINGLE_SHOT: u32 = 0x2000 | SINGLE_SHOT;
}

/// The clock is not held to any other (`STA_UNSYNC`), and counts nanoseconds (`STA_NANO`).
const UNSYNCHRONISED: i32 = 0x0040;
const NANOSECONDS: i32 = 0x2000;
/// Bits of the status that only the kernel sets (`STA_RONLY`).
const READ_ONLY: i32 = 0xff00;

/// Microseconds that a clock tick has at the rate there is (`USER_HZ`).
const TICK: i64 = 10_000;

/// What is kept for those who ask.
struct Notes {
    status: i32,
    max_error: i64,
    estimated_error: i64,
    constant: i64,
    tai: i32,
}

/// Linux's, at first.
static NOTES: SpinMutex<Notes> = SpinMutex::new(Notes {
    status: UNSYNCHRONISED,
    max_error: 16_000_000,
    estimated_error: 16_000_000,
    constant: 2,
    tai: 0,
});

pub async fn adjtimex(caller: &Caller, address: usize) -> SysResult {
    let mut timex: Timex = user_memory::read(caller, address).await?;
    let state = adjust(caller, &mut timex)?;
    user_memory::write(caller, address, timex).await?;
    Ok(state)
}

pub async fn clock_adjtime(caller: &Caller, id: u32, address: usize) -> SysResult {
    match id {
        linux::CLOCK_REALTIME => adjtimex(caller, address).await,
        // Those that cannot be set at all, and those that do not exist.
        _ if id <= linux::CLOCK_TAI => {
            user_memory::read::<Timex>(caller, address).await.and(Err(Errno::EOPNOTSUPP))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Does what is asked for and answers with how things are; returns the state of the clock.
fn adjust(caller: &Caller, timex: &mut Timex) -> SysResult {
    /// `TIME_OK` and `TIME_ERROR`.
    const STATES: [usize; 2] = [0, 5];
    let asked = timex.modes;
    if asked & modes::SINGLE_SHOT != 0 && asked & modes::OFFSET == 0 {
        return Err(Errno::EINVAL);
    }
    let reads = asked == 0 || asked & modes::READ_SINGLE_SHOT == modes::READ_SINGLE_SHOT;
    if !reads && !caller.credentials.has(capability::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    if !reads {
        change(caller, timex)?;
    }
    let notes = NOTES.lock();
    let nanoseconds = notes.status & NANOSECONDS != 0;
    let now = wall_clock::now_ns();
    let fraction = (now % 1_000_000_000) as i64;
    *timex = Timex {
        modes: asked,
        offset: 0,
        frequency: 0,
        max_error: notes.max_error,
        estimated_error: notes.estimated_error,
        status: notes.status,
        constant: notes.constant,
        precision: 1,
        // Parts per million, in units of 2^-16.
        tolerance: 500 << 16,
        time: [(now / 1_000_000_000) as i64, if nanoseconds { fraction } else { fraction / 1000 }],
        tick: TICK,
        tai: notes.tai,
        ..Timex::read_from_bytes(&[0; size_of::<Timex>()]).map_err(|_| Errno::EINVAL)?
    };
    Ok(STATES[usize::from(notes.status & UNSYNCHRONISED != 0)])
}

fn change(caller: &Caller, timex: &Timex) -> Result<(), Errno> {
    let asked = |mode: u32| timex.modes & mode != 0;
    let changes_rate = asked(modes::OFFSET) && timex.offset != 0
        || asked(modes::FREQUENCY) && timex.frequency != 0
        || asked(modes::TICK) && timex.tick != TICK;
    if asked(modes::TICK) && !(TICK * 9 / 10..=TICK * 11 / 10).contains(&timex.tick) {
        return Err(Errno::EINVAL);
    }
    if changes_rate {
        return Err(Errno::EOPNOTSUPP);
    }
    if asked(modes::SET_OFFSET) {
        let unit = if asked(modes::NANO) { 1 } else { 1000 };
        let [seconds, fraction] = timex.time;
        if !(0..1_000_000_000 / unit).contains(&fraction) {
            return Err(Errno::EINVAL);
        }
        let step = seconds.checked_mul(1_000_000_000).and_then(|step| step.checked_add(fraction * unit));
        let time =
            step.and_then(|step| wall_clock::now_ns().checked_add_signed(step)).ok_or(Errno::EINVAL)?;
        clock::set_wall(caller, time)?;
    }
    let mut notes = NOTES.lock();
    if asked(modes::STATUS) {
        notes.status = notes.status & READ_ONLY | timex.status & !READ_ONLY;
    }
    if asked(modes::NANO) {
        notes.status |= NANOSECONDS;
    }
    if asked(modes::MICRO) {
        notes.status &= !NANOSECONDS;
    }
    if asked(modes::MAX_ERROR) {
        notes.max_error = timex.max_error;
    }
    if asked(modes::ESTIMATED_ERROR) {
        notes.estimated_error = timex.estimated_error;
    }
    if asked(modes::TIME_CONSTANT) {
        notes.constant = timex.constant.clamp(0, 10);
    }
    if asked(modes::TAI) && timex.constant >= 0 {
        notes.tai = timex.constant as i32;
    }
    Ok(())
}
