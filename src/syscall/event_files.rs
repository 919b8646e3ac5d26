//! Files to wait on: eventfd(2), timerfd_create(2), signalfd(2), inotify(7).

use fs::{Access, LookupFlags};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    attempt::{Attempt, Pause, copy_in, copy_out},
    descriptor::install,
};
use crate::{
    file::{
        events::{
            counter,
            inotify::{self, Inotify},
            signals::{self, SignalFile},
            timer::{self, TimerFile},
        },
        lookup,
    },
    memory::frame,
    process::{
        Caller,
        credentials::capability,
        signal::SignalSet,
        times::{Interval, TimeSpec},
    },
    user_memory::{self, SysResult},
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

/// `timerfd_settime` that need not tell what it was set to before: attempted again, it would tell what it has set.
pub fn timerfd_settime_now(caller: &Caller, fd: i32, flags: u32, new: usize, old: usize) -> Attempt {
    if old != 0 || frame::is_short() {
        return Err(Pause::General);
    }
    set_timer(caller, fd, flags, copy_in(new)?)?;
    Ok(0)
}

pub async fn timerfd_settime(caller: &Caller, fd: i32, flags: u32, new: usize, old: usize) -> SysResult {
    let before = set_timer(caller, fd, flags, user_memory::read(caller, new).await?)?;
    user_memory::write_optional(caller, old, before).await?;
    Ok(0)
}

fn set_timer(caller: &Caller, fd: i32, flags: u32, new: Interval) -> Result<Interval, Errno> {
    let valid = |time: TimeSpec| time.to_ns().ok_or(Errno::EINVAL);
    let (period, first) = (valid(new.period)?, valid(new.left)?);
    if flags & !(linux::TFD_TIMER_ABSTIME | timer::CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    TimerFile::of(&file).ok_or(Errno::EINVAL)?.set(flags, first, period)
}

pub fn timerfd_gettime(caller: &Caller, fd: i32, address: usize) -> Attempt {
    let file = caller.files.get_open(fd)?;
    copy_out(address, &TimerFile::of(&file).ok_or(Errno::EINVAL)?.left())?;
    Ok(0)
}

pub fn inotify_init1(caller: &Caller, flags: u32) -> SysResult {
    if flags & !PLAIN != 0 {
        return Err(Errno::EINVAL);
    }
    install(caller, inotify::new(caller, flags)?, flags)
}

pub async fn inotify_add_watch(caller: &Caller, fd: i32, path: usize, mask: u32) -> SysResult {
    const BOTH: u32 = linux::IN_MASK_ADD | linux::IN_MASK_CREATE;
    if mask & !inotify::KNOWN != 0 || mask == 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    let instance = Inotify::of(&file).filter(|_| mask & BOTH != BOTH).ok_or(Errno::EINVAL)?;
    let mut how = LookupFlags::empty();
    how.set(LookupFlags::FOLLOW, mask & linux::IN_DONT_FOLLOW == 0);
    how.set(LookupFlags::DIRECTORY, mask & linux::IN_ONLYDIR != 0);
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path(caller, lookup::CWD, &name, how).await?;
    fs::check(place.inode().attributes(), &caller.credentials.fs, Access::READ)?;
    instance.watch(&place, mask).map(|number| number as usize)
}

pub fn inotify_rm_watch(caller: &Caller, fd: i32, number: i32) -> SysResult {
    let file = caller.files.get_open(fd)?;
    Inotify::of(&file).ok_or(Errno::EINVAL)?.unwatch(number).map(|()| 0)
}

pub async fn signalfd4(caller: &Caller, fd: i32, set: usize, size: usize, flags: u32) -> SysResult {
    if size != size_of::<SignalSet>() {
        return Err(Errno::EINVAL);
    }
    let set = user_memory::read(caller, set).await?;
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
