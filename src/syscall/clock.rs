//! Clocks and sleeping (clock_gettime(2), nanosleep(2)).

use alloc::{boxed::Box, sync::Arc};

use executor::{sleep_until, time::Instant};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Arguments,
    attempt::{Attempt, Pause, copy_in, copy_out, copy_out_optional},
    poll, thread,
};
use crate::{
    arch::{clock, user::UserContext},
    process::{
        Caller,
        credentials::capability,
        interruptible,
        run::Restart,
        timers::clock::Clock,
        times::{TimeSpec, TimeVal},
    },
    user_memory::{self, SysResult},
    wall_clock,
};

/// The time on a clock, in nanoseconds.
fn read_clock(caller: &Caller, id: usize) -> Result<u64, Errno> {
    Clock::of(caller, id as i32)?.now().ok_or(Errno::EINVAL)
}

pub fn clock_gettime(caller: &Caller, id: usize, address: usize) -> Attempt {
    copy_out(address, &TimeSpec::from_ns(read_clock(caller, id)?))?;
    Ok(0)
}

pub fn clock_getres(caller: &Caller, id: usize, address: usize) -> Attempt {
    read_clock(caller, id)?;
    copy_out_optional(address, &TimeSpec { seconds: 0, nanoseconds: 1 })?;
    Ok(0)
}

pub async fn clock_settime(caller: &Caller, id: usize, address: usize) -> SysResult {
    if id as u32 != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    let time = user_memory::read::<TimeSpec>(caller, address).await?.to_ns().ok_or(Errno::EINVAL)?;
    set_wall(caller, time)
}

/// Sets the wall clock; EPERM, and EINVAL for a time before that of the boot.
pub fn set_wall(caller: &Caller, time: u64) -> SysResult {
    if !caller.credentials.has(capability::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    wall_clock::set(time).map(|()| 0)
}

pub fn gettimeofday(time: usize, zone: usize) -> Attempt {
    copy_out_optional(time, &TimeVal::from_ns(wall_clock::now_ns()))?;
    copy_out_optional(zone, &[0u32; 2])?;
    Ok(0)
}

pub async fn settimeofday(caller: &Caller, time: usize) -> SysResult {
    if time == 0 {
        return Ok(0);
    }
    let time = user_memory::read::<TimeVal>(caller, time).await?.to_ns().ok_or(Errno::EINVAL)?;
    set_wall(caller, time)
}

pub fn time(address: usize) -> Attempt {
    let seconds = wall_clock::now_ns() / 1_000_000_000;
    copy_out_optional(address, &seconds)?;
    Ok(seconds as usize)
}

/// `nanosleep`, up to the sleep.
pub fn nanosleep(request: usize) -> Attempt {
    let span = copy_in::<TimeSpec>(request)?.to_ns().ok_or(Errno::EINVAL)?;
    Err(Pause::Sleep(Instant(clock::now_ns().saturating_add(span))))
}

/// `clock_nanosleep`, up to the sleep.
pub fn clock_nanosleep(caller: &Caller, id: usize, flags: u32, request: usize) -> Attempt {
    match id as u32 {
        linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_REALTIME_COARSE
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_THREAD_CPUTIME_ID => return Err(Pause::Failed(Errno::EOPNOTSUPP)),
        _ if Clock::is_device(id as i32) => return Err(Pause::Failed(Errno::EOPNOTSUPP)),
        _ if goes_its_own_way(id, flags) => {
            // Of the wall clock, a time that has come is seen at once.
            let has_come = is_wall(id)
                && copy_in::<TimeSpec>(request)?.to_ns().is_some_and(|time| time <= wall_clock::now_ns());
            return if has_come { Ok(0) } else { Err(Pause::General) };
        }
        _ => {}
    }
    read_clock(caller, id)?;
    let time = copy_in::<TimeSpec>(request)?.to_ns().ok_or(Errno::EINVAL)?;
    let is_absolute = flags & linux::TIMER_ABSTIME != 0;
    Err(Pause::Sleep(Instant(if is_absolute { time } else { clock::now_ns().saturating_add(time) })))
}

/// Takes note of a sleep that a signal has interrupted: the general handler then tells what is left of it, unless it has
/// an end in absolute time.
pub fn sleep_interrupted(caller: &mut Caller, context: &UserContext, end: Instant) -> Attempt {
    let number = context.orig_rax as u32;
    if matches!(number, linux::__NR_pause | linux::__NR_rt_sigsuspend) {
        // Sleeps for ever, which nothing but a signal ends.
        return Err(Pause::Failed(Errno::ERESTARTNOHAND));
    }
    let is_plain = number == linux::__NR_nanosleep;
    if !is_plain && context.rsi as u32 & linux::TIMER_ABSTIME != 0 {
        return Err(Pause::Failed(Errno::ERESTARTNOHAND));
    }
    let remaining = if is_plain { context.rsi } else { context.r10 } as usize;
    caller.restart = Some(Box::new(Restart::Sleep { deadline: end.0, remaining }));
    Err(Pause::General)
}

/// Whether the time that a sleeper waits for is not known to come after a time since boot: it is CPU time, or one of a clock
/// that may be set meanwhile.
fn goes_its_own_way(id: usize, flags: u32) -> bool {
    match id as u32 {
        linux::CLOCK_PROCESS_CPUTIME_ID => true,
        _ if is_wall(id) => flags & linux::TIMER_ABSTIME != 0,
        _ => (id as i32) < 0,
    }
}

/// Whether it is a clock that may be set, and that one can wait for.
fn is_wall(id: usize) -> bool {
    matches!(id as u32, linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM | linux::CLOCK_TAI)
}

/// What is left to do of `clock_nanosleep`.
pub async fn clock_sleep_ended(caller: &mut Caller, arguments: Arguments) -> SysResult {
    let [id, flags, request, remaining, ..] = arguments;
    if !goes_its_own_way(id, flags as u32) {
        return sleep_ended(caller).await;
    }
    let clock = Clock::of(caller, id as i32)?;
    if let Clock::Thread(thread) = &clock
        && Arc::downgrade(&caller.thread).ptr_eq(thread)
    {
        return Err(Errno::EINVAL);
    }
    let time = user_memory::read::<TimeSpec>(caller, request).await?.to_ns().ok_or(Errno::EINVAL)?;
    let is_absolute = flags as u32 & linux::TIMER_ABSTIME != 0;
    let begun = if is_absolute { 0 } else { clock.now().ok_or(Errno::EINVAL)? };
    let end = begun.saturating_add(time);
    if interruptible(&caller.thread, clock.reached(end)).await.is_ok() {
        return Ok(0);
    }
    if is_absolute {
        return Err(Errno::ERESTARTNOHAND);
    }
    let left = end.saturating_sub(clock.now().unwrap_or(end));
    user_memory::write_optional(caller, remaining, TimeSpec::from_ns(left)).await?;
    Err(Errno::EINTR)
}

/// What is left to do of `nanosleep`.
pub async fn sleep_ended(caller: &mut Caller) -> SysResult {
    let Some(restart) = caller.restart.take() else { return Err(Errno::EINTR) };
    match *restart {
        Restart::Sleep { deadline, remaining } => cut_short(caller, deadline, remaining).await,
        _ => Err(Errno::EINTR),
    }
}

/// Sleeps until `deadline`.
async fn sleep_relative(caller: &mut Caller, deadline: u64, remaining: usize) -> SysResult {
    if interruptible(&caller.thread, sleep_until(deadline)).await.is_ok() {
        return Ok(0);
    }
    cut_short(caller, deadline, remaining).await
}

/// Tells what is left of a sleep, and how to go on.
async fn cut_short(caller: &mut Caller, deadline: u64, remaining: usize) -> SysResult {
    let left = deadline.saturating_sub(clock::now_ns());
    if left == 0 {
        return Ok(0);
    }
    user_memory::write_optional(caller, remaining, TimeSpec::from_ns(left)).await?;
    caller.restart = Some(Box::new(Restart::Sleep { deadline, remaining }));
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// restart_syscall: goes on with a call that a signal without a handler interrupted.
pub async fn restart_syscall(caller: &mut Caller, arguments: Arguments) -> SysResult {
    if let Some(Restart::Answer(_)) = caller.restart.as_deref() {
        return poll::answer_later(caller).await;
    }
    let Some(restart) = caller.restart.take() else { return Err(Errno::EINTR) };
    match *restart {
        Restart::Sleep { deadline, remaining } => sleep_relative(caller, deadline, remaining).await,
        Restart::Futex { address, value, deadline, bitset, private } => {
            thread::wait(caller, address, value, deadline, bitset, private).await
        }
        Restart::Poll { deadline } => poll::call_rest(caller, arguments, deadline).await,
        // These are gone on with elsewhere.
        Restart::Answer(_) | Restart::Info(_) | Restart::Pieces(..) => Err(Errno::EINTR),
    }
}
