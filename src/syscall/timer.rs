//! Timers that send signals (alarm(2), setitimer(2), timer_create(2)).

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::attempt::{Attempt, Pause, copy_in, copy_out};
use crate::{
    memory::frame,
    process::{
        Caller,
        credentials::capability,
        signal::numbers::{SIGALRM, SIGMAX},
        timers::{
            clock::Clock,
            interval::{self, Which},
            posix::{self, Message, Target},
        },
        times::{Interval, TimeVal},
        tree,
    },
    user_memory::{self, SysResult},
};

/// `alarm`, unless memory is short.
pub fn alarm_now(caller: &Caller, seconds: u32) -> Attempt {
    if frame::is_short() { Err(Pause::General) } else { Ok(alarm(caller, seconds)?) }
}

pub fn alarm(caller: &Caller, seconds: u32) -> SysResult {
    const SECOND: u64 = 1_000_000_000;
    let (left, _) = interval::set(caller.process(), Which::Real, u64::from(seconds) * SECOND, 0)?;
    Ok(left.div_ceil(SECOND) as usize)
}

pub fn getitimer(caller: &Caller, which: u32, address: usize) -> Attempt {
    let which = Which::from_number(which).ok_or(Errno::EINVAL)?;
    let (left, period) = interval::get(caller.process(), which);
    copy_out(address, &[TimeVal::from_ns(period), TimeVal::from_ns(left)])?;
    Ok(0)
}

/// `setitimer` that need not tell what it was set to before: attempted again, it would tell what it has set.
pub fn setitimer_now(caller: &Caller, which: u32, new: usize, old: usize) -> Attempt {
    if old != 0 || frame::is_short() {
        return Err(Pause::General);
    }
    set_interval(caller, which, if new == 0 { Default::default() } else { copy_in(new)? })?;
    Ok(0)
}

pub async fn setitimer(caller: &Caller, which: u32, new: usize, old: usize) -> SysResult {
    let new = if new == 0 { Default::default() } else { user_memory::read(caller, new).await? };
    let before = set_interval(caller, which, new)?;
    user_memory::write_optional(caller, old, before).await?;
    Ok(0)
}

/// Sets one of the three timers: its period, and when it expires first. Returns how it was.
fn set_interval(caller: &Caller, which: u32, [period, first]: [TimeVal; 2]) -> Result<[TimeVal; 2], Errno> {
    let (period, first) = (period.to_ns().ok_or(Errno::EINVAL)?, first.to_ns().ok_or(Errno::EINVAL)?);
    let which = Which::from_number(which).ok_or(Errno::EINVAL)?;
    let (left, old_period) = interval::set(caller.process(), which, first, period)?;
    Ok([TimeVal::from_ns(old_period), TimeVal::from_ns(left)])
}

/// The clock of a timer: EOPNOTSUPP for one that only tells the time.
fn clock_for_timer(caller: &Caller, id: i32) -> Result<Clock, Errno> {
    match id as u32 {
        linux::CLOCK_MONOTONIC_RAW | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_MONOTONIC_COARSE => {
            Err(Errno::EOPNOTSUPP)
        }
        _ if Clock::is_device(id) => Err(Errno::EOPNOTSUPP),
        linux::CLOCK_REALTIME_ALARM | linux::CLOCK_BOOTTIME_ALARM
            if !caller.credentials.has(capability::WAKE_ALARM) =>
        {
            Err(Errno::EPERM)
        }
        _ => Clock::of(caller, id),
    }
}

/// Whom a timer tells what, from the words of a `struct sigevent`; EINVAL for nonsense.
fn event(caller: &Caller, words: [u64; 3]) -> Result<(Target, Message), Errno> {
    let [value, signal_and_kind, thread] = words;
    let (signal, kind) = (signal_and_kind as u32, (signal_and_kind >> 32) as u32);
    let target = match kind {
        linux::SIGEV_NONE => Target::Nobody,
        // The C library starts a thread for its own signal.
        linux::SIGEV_SIGNAL | linux::SIGEV_THREAD => Target::Process,
        linux::SIGEV_THREAD_ID => {
            let thread = tree::lock().thread(thread as u32).ok_or(Errno::EINVAL)?;
            if !Arc::ptr_eq(&thread.process, caller.process()) {
                return Err(Errno::EINVAL);
            }
            Target::Thread(Arc::downgrade(&thread))
        }
        _ => return Err(Errno::EINVAL),
    };
    if kind != linux::SIGEV_NONE && !(1..=u32::from(SIGMAX)).contains(&signal) {
        return Err(Errno::EINVAL);
    }
    Ok((target, Message { signal: signal as u8, value: Some(value) }))
}

pub async fn timer_create(caller: &Caller, clock: i32, event_at: usize, id_at: usize) -> SysResult {
    /// Of a `struct sigevent`, in words; what is behind the first three is the C library's.
    const EVENT: usize = 8;
    let words = match event_at {
        0 => None,
        address => Some(user_memory::read::<[u64; EVENT]>(caller, address).await?),
    };
    let clock = clock_for_timer(caller, clock)?;
    let (target, message) = match words {
        None => (Target::Process, Message { signal: SIGALRM, value: None }),
        Some([value, kind, thread, ..]) => event(caller, [value, kind, thread])?,
    };
    let id = posix::create(caller.process(), clock, target, message)?;
    if let Err(errno) = user_memory::write(caller, id_at, id).await {
        let _ = posix::delete(caller.process(), id);
        return Err(errno);
    }
    Ok(0)
}

/// `timer_settime` that need not tell what it was set to before, as [`setitimer_now`].
pub fn timer_settime_now(caller: &Caller, id: i32, flags: u32, new: usize, old: usize) -> Attempt {
    if old != 0 || frame::is_short() {
        return Err(Pause::General);
    }
    if new == 0 {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    set_timer(caller, id, flags, copy_in(new)?)?;
    Ok(0)
}

pub async fn timer_settime(caller: &Caller, id: i32, flags: u32, new: usize, old: usize) -> SysResult {
    if new == 0 {
        return Err(Errno::EINVAL);
    }
    let before = set_timer(caller, id, flags, user_memory::read(caller, new).await?)?;
    user_memory::write_optional(caller, old, before).await?;
    Ok(0)
}

fn set_timer(caller: &Caller, id: i32, flags: u32, new: Interval) -> Result<Interval, Errno> {
    let (period, first) = (new.period.to_ns().ok_or(Errno::EINVAL)?, new.left.to_ns().ok_or(Errno::EINVAL)?);
    let is_absolute = flags & linux::TIMER_ABSTIME != 0;
    posix::get(caller.process(), id)?.set(is_absolute, first, period)
}

pub fn timer_gettime(caller: &Caller, id: i32, address: usize) -> Attempt {
    copy_out(address, &posix::get(caller.process(), id)?.left())?;
    Ok(0)
}

pub fn timer_getoverrun(caller: &Caller, id: i32) -> SysResult {
    Ok(posix::get(caller.process(), id)?.overrun() as usize)
}

pub fn timer_delete(caller: &Caller, id: i32) -> SysResult {
    posix::delete(caller.process(), id)?;
    Ok(0)
}
