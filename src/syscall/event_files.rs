//! Files to wait on: eventfd(2), timerfd_create(2), signalfd(2).

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    descriptor::install,
    user::{self, SysResult},
};
use crate::{
    file::events::{
        counter,
        signals::{self, SignalFile},
        timer::{self, TimerFile},
    },
    process::{
        Caller,
        credentials::capability,
        signal::SignalSet,
        times::{Interval, TimeSpec},
    },
};

/// The flags that all of them take.
const PLAIN: u32 = linux::O_CLOEXEC | linux::O_NONBLOCK;

pub fn eventfd2(caller: &Caller, value: u32, flags: u32) -> SysResult {
    if flags & !(PLAIN | counter::SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    install(caller, counter::new(value, flags), flags)
}

pub fn timerfd_create(caller: &Caller, clock: u32, flags: u32) -> SysResult {
    let is_alarm = matches!(clock, linux::CLOCK_REALTIME_ALARM | linux::CLOCK_BOOTTIME_ALARM);
    let is_plain = matches!(clock, linux::CLOCK_REALTIME | linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME);
    if flags & !PLAIN != 0 || !(is_alarm || is_plain) {
        return Err(Errno::EINVAL);
    }
    if is_alarm && !caller.credentials.has(capability::WAKE_ALARM) {
        return Err(Errno::EPERM);
    }
    install(caller, timer::new(clock, flags), flags)
}

pub async fn timerfd_settime(caller: &Caller, fd: i32, flags: u32, new: usize, old: usize) -> SysResult {
    let Interval { period, left } = user::read(caller, new).await?;
    let valid = |time: TimeSpec| time.to_ns().ok_or(Errno::EINVAL);
    let (period, first) = (valid(period)?, valid(left)?);
    if flags & !(linux::TFD_TIMER_ABSTIME | timer::CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    let before = TimerFile::of(&file).ok_or(Errno::EINVAL)?.set(flags, first, period)?;
    user::write_optional(caller, old, before).await?;
    Ok(0)
}

pub async fn timerfd_gettime(caller: &Caller, fd: i32, address: usize) -> SysResult {
    let file = caller.files.get_open(fd)?;
    let left = TimerFile::of(&file).ok_or(Errno::EINVAL)?.left();
    user::write(caller, address, left).await?;
    Ok(0)
}

pub async fn signalfd4(caller: &Caller, fd: i32, set: usize, size: usize, flags: u32) -> SysResult {
    if size != size_of::<SignalSet>() {
        return Err(Errno::EINVAL);
    }
    let set = user::read(caller, set).await?;
    if flags & !PLAIN != 0 {
        return Err(Errno::EINVAL);
    }
    if fd == -1 {
        return install(caller, signals::new(caller, set, flags), flags);
    }
    let file = caller.files.get_open(fd)?;
    SignalFile::of(&file).ok_or(Errno::EINVAL)?.set(set);
    Ok(fd as usize)
}
