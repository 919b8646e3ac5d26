//! Who gets signals for a file's events: the commands of fcntl(2) and ioctl(2) for that.

use linux_raw_sys::{general as linux, ioctl as requests};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::user_memory::{self, SysResult};
use crate::{
    file::{
        File,
        events::owner::{Who, set_signals, takes_signals},
    },
    memory,
    process::Caller,
};

/// `F_GETOWNER_UIDS`, which the headers hide.
const GET_OWNER_USERS: u32 = 17;

/// `struct f_owner_ex`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Named {
    kind: u32,
    id: u32,
}

/// Whether a command of fcntl(2) is about a file's owner and has a structure.
pub fn is_command(command: u32) -> bool {
    matches!(command, linux::F_SETOWN_EX | linux::F_GETOWN_EX | GET_OWNER_USERS)
}

/// Whether a command may make a file's owner, or what tells him of its events.
pub fn makes_something(command: u32, argument: usize) -> bool {
    match command {
        linux::F_SETOWN | linux::F_SETSIG | linux::F_NOTIFY => true,
        linux::F_SETFL => argument as u32 & linux::FASYNC != 0,
        _ => false,
    }
}

/// The commands of fcntl(2) for a file's owner that have a structure.
pub async fn fcntl(caller: &Caller, fd: i32, command: u32, argument: usize) -> SysResult {
    let file = caller.files.get_open(fd)?;
    match command {
        linux::F_SETOWN_EX => {
            let Named { kind, id } = user_memory::read(caller, argument).await?;
            memory::check_pressure().await?;
            set_owner(caller, &file, kind, id)?;
        }
        linux::F_GETOWN_EX => {
            let (kind, id) =
                file.watches().ownership().map_or((linux::F_OWNER_TID, 0), |known| known.owner());
            user_memory::write(caller, argument, Named { kind, id }).await?;
        }
        _ => {
            let users = file.watches().ownership().map_or([0; 2], |known| known.users());
            user_memory::write(caller, argument, users).await?;
        }
    }
    Ok(0)
}

fn set_owner(caller: &Caller, file: &File, kind: u32, id: u32) -> Result<(), Errno> {
    let who = Who::named(kind, id)?;
    file.watches().ownership_to_set().set_owner(who, kind, &caller.credentials);
    Ok(())
}

/// `F_SETOWN`: a process, or a group by its negative number.
pub fn set(caller: &Caller, file: &File, who: i32) -> SysResult {
    if who == i32::MIN {
        return Err(Errno::EINVAL);
    }
    let kind = if who < 0 { linux::F_OWNER_PGRP } else { linux::F_OWNER_PID };
    set_owner(caller, file, kind, who.unsigned_abs())?;
    Ok(0)
}

/// `F_GETOWN`: the same.
pub fn get(file: &File) -> i32 {
    match file.watches().ownership().map(|known| known.owner()) {
        Some((linux::F_OWNER_PGRP, group)) => -(group as i32),
        Some((_, id)) => id as i32,
        None => 0,
    }
}

/// `F_SETSIG`: 0 is SIGIO that says nothing more.
pub fn set_signal(file: &File, signal: usize) -> SysResult {
    if signal > 64 {
        return Err(Errno::EINVAL);
    }
    file.watches().ownership_to_set().set_signal(signal as u8);
    Ok(0)
}

/// `F_GETSIG`.
pub fn signal(file: &File) -> u8 {
    file.watches().ownership().map_or(0, |known| known.signal())
}

/// `O_ASYNC`: whether signals tell of the events of the file at this descriptor. False if they cannot, and nothing is changed.
pub fn set_signalling(caller: &Caller, file: &File, fd: i32, on: bool) -> Result<bool, Errno> {
    if on == (file.flags() & linux::FASYNC != 0) {
        return Ok(true);
    }
    if !takes_signals(file) {
        return Ok(false);
    }
    set_signals(file, fd, on)?;
    // A terminal has an owner by itself: who is in front of it.
    if on && let Some(terminal) = file.terminal() {
        let ownership = file.watches().ownership_to_set();
        if ownership.is_unset() {
            let (kind, id) = match terminal.tty().foreground() {
                0 => (linux::F_OWNER_PID, caller.process().pid),
                group => (linux::F_OWNER_PGRP, group as u32),
            };
            // Who has gone meanwhile owns nothing.
            let who = Who::named(kind, id).unwrap_or_default();
            ownership.set_owner(who, kind, &caller.credentials);
        }
    }
    Ok(true)
}

/// The requests of ioctl(2) that sockets have for their owner; `None` for another.
pub async fn ioctl(caller: &Caller, file: &File, request: u32, argument: usize) -> Option<SysResult> {
    Some(match request {
        requests::FIOSETOWN | requests::SIOCSPGRP => match user_memory::read(caller, argument).await {
            Ok(who) => memory::check_pressure().await.and_then(|()| set(caller, file, who)),
            Err(errno) => Err(errno),
        },
        requests::FIOGETOWN | requests::SIOCGPGRP => {
            user_memory::write(caller, argument, get(file)).await.map(|()| 0)
        }
        _ => return None,
    })
}
