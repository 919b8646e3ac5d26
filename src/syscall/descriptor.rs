//! Descriptors: close(2), dup(2), fcntl(2), pipe(2), ioctl(2).

use fs::{Direct, Seal, Seals};
use linux_raw_sys::{general as linux, ioctl as requests};
use syscalls::Errno;

use super::{file_owner, process::unshare_files, socket};
use crate::{
    device::loops,
    file::{self, File, Reservation, disk, events::dnotify, looped, terminal},
    memory,
    process::Caller,
    user_memory::{self, SysResult},
};

/// `RLIMIT_NOFILE`: descriptors are below this.
pub fn descriptor_limit(caller: &Caller) -> u64 {
    caller.process().limits.soft(linux::RLIMIT_NOFILE)
}

/// Sets the lowest free descriptor aside, which an open does before it makes or empties a file.
#[inline(always)]
pub fn reserve(caller: &Caller) -> Result<Reservation<'_>, Errno> {
    caller.files.reserve(descriptor_limit(caller))
}

/// Gives a file that leaves nothing behind if it is dropped the lowest free descriptor.
pub fn install(caller: &Caller, file: alloc::sync::Arc<File>, flags: u32) -> SysResult {
    caller.files.insert(file, 0, descriptor_limit(caller), flags & linux::O_CLOEXEC != 0)
}

#[inline]
pub fn close(caller: &Caller, fd: i32) -> SysResult {
    caller.files.remove(fd)?;
    Ok(0)
}

/// As [`close`], while there are loop devices with files: the last close of one may bring something that is waited for.
pub async fn close_settled(caller: &Caller, fd: i32) -> SysResult {
    let file = caller.files.remove(fd)?;
    settle(file).await;
    Ok(0)
}

/// Lets go of a file; if that was a disk's, what follows its last close is done afterwards.
async fn settle(file: alloc::sync::Arc<File>) {
    let is_disk = disk::of(&file).is_some();
    drop(file);
    if is_disk {
        loops::settled().await;
    }
}

/// Flags of close_range(2), from `<linux/close_range.h>`.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

pub async fn close_range(caller: &mut Caller, first: usize, last: usize, flags: usize) -> SysResult {
    let (first, last, flags) = (first as u32, last as u32, flags as u32);
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        unshare_files(caller).await?;
    }
    let (first, last) = (first as usize, last as usize);
    match flags & CLOSE_RANGE_CLOEXEC {
        0 => {
            caller.files.close_range(first, last).await;
            loops::settled().await;
        }
        _ => caller.files.mark_range(first, last),
    }
    Ok(0)
}

pub fn dup(caller: &Caller, fd: i32) -> SysResult {
    install(caller, caller.files.get(fd)?, 0)
}

pub fn dup2(caller: &Caller, old: i32, new: i32) -> SysResult {
    let file = caller.files.get(old)?;
    if old == new {
        return Ok(new as usize);
    }
    replace(caller, file, new, false)
}

pub fn dup3(caller: &Caller, old: i32, new: i32, flags: u32) -> SysResult {
    if flags & !linux::O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    replace(caller, caller.files.get(old)?, new, flags & linux::O_CLOEXEC != 0)
}

/// As [`dup2`], while there are loop devices with files.
pub async fn dup2_settled(caller: &Caller, old: i32, new: i32) -> SysResult {
    let replaced = if old == new { None } else { caller.files.get(new).ok() };
    let result = dup2(caller, old, new);
    if let Some(replaced) = replaced {
        settle(replaced).await;
    }
    result
}

/// As [`dup3`], while there are loop devices with files.
pub async fn dup3_settled(caller: &Caller, old: i32, new: i32, flags: u32) -> SysResult {
    let replaced = caller.files.get(new).ok();
    let result = dup3(caller, old, new, flags);
    if let Some(replaced) = replaced {
        settle(replaced).await;
    }
    result
}

fn replace(caller: &Caller, file: alloc::sync::Arc<File>, new: i32, close_on_exec: bool) -> SysResult {
    if new < 0 || new as u64 >= descriptor_limit(caller) {
        return Err(Errno::EBADF);
    }
    caller.files.replace(file, new as usize, close_on_exec)?;
    Ok(new as usize)
}

pub fn fcntl(caller: &Caller, fd: i32, command: u32, argument: usize) -> SysResult {
    let file = caller.files.get(fd)?;
    match command {
        linux::F_DUPFD | linux::F_DUPFD_CLOEXEC => {
            let (argument, limit) = (argument as u32 as usize, descriptor_limit(caller));
            if argument as u64 >= limit {
                return Err(Errno::EINVAL);
            }
            caller.files.insert(file, argument, limit, command == linux::F_DUPFD_CLOEXEC)
        }
        linux::F_GETFD => Ok(usize::from(caller.files.close_on_exec(fd)?)),
        linux::F_SETFD => {
            caller.files.set_close_on_exec(fd, argument as u32 & linux::FD_CLOEXEC != 0)?;
            Ok(0)
        }
        linux::F_GETFL => Ok(file.flags() as usize),
        _ if file.flags() & linux::O_PATH != 0 => Err(Errno::EBADF),
        linux::F_SETFL if argument as u32 & linux::O_DIRECT != 0 && !takes_direct(&file) => {
            Err(Errno::EINVAL)
        }
        linux::F_SETFL => {
            file_owner::set_signalling(caller, &file, fd, argument as u32 & linux::FASYNC != 0)?;
            file.set_flags(argument as u32);
            if let Some(stream) = file.stream() {
                stream.set_direct(argument as u32 & linux::O_DIRECT != 0);
            }
            Ok(0)
        }
        linux::F_ADD_SEALS => {
            file.check_writable().map_err(|_| Errno::EPERM)?;
            let new = Seal::from_bits(argument as u32).ok_or(Errno::EINVAL)?;
            seals(&file)?.add(new).map(|()| 0)
        }
        linux::F_GET_SEALS => Ok(seals(&file)?.get().bits() as usize),
        linux::F_SETOWN => file_owner::set(caller, &file, argument as i32),
        // A group's number is negative here, and may be taken for an error's, as on Linux.
        linux::F_GETOWN => Ok(file_owner::get(&file) as isize as usize),
        linux::F_NOTIFY => dnotify::ask(caller, &file, fd, argument as u32).map(|()| 0),
        linux::F_SETSIG => file_owner::set_signal(&file, argument),
        linux::F_GETSIG => Ok(file_owner::signal(&file).into()),
        linux::F_GETPIPE_SZ | linux::F_SETPIPE_SZ => {
            let stream = file.stream().ok_or(Errno::EBADF)?;
            let pipe = stream.pipe().ok_or(Errno::EBADF)?;
            if command == linux::F_SETPIPE_SZ { pipe.set_capacity(argument) } else { Ok(pipe.capacity()) }
        }
        _ => Err(Errno::EINVAL),
    }
}

/// As [`fcntl`], as soon as there is memory.
///
/// # Errors
/// ENOMEM, and those of the command.
pub async fn fcntl_with_memory(caller: &Caller, fd: i32, command: u32, argument: usize) -> SysResult {
    memory::check_pressure().await?;
    fcntl(caller, fd, command, argument)
}

/// The seals of a file that can have any.
fn seals(file: &File) -> Result<&Seals, Errno> {
    file.inode().and_then(|inode| inode.seals()).ok_or(Errno::EINVAL)
}

/// Whether `O_DIRECT` says something for the file; for a pipe it means packets.
fn takes_direct(file: &File) -> bool {
    match file.inode() {
        Some(inode) => inode.direct() != Direct::Refused,
        None => file.stream().is_some_and(|stream| stream.pipe().is_some()),
    }
}

pub async fn pipe2(caller: &Caller, pair: usize, flags: u32) -> SysResult {
    /// `O_NOTIFICATION_PIPE`, whose bit is that of another flag.
    const NOTIFICATIONS: u32 = linux::O_EXCL;
    if flags & NOTIFICATIONS != 0 {
        return Err(Errno::ENOPKG);
    }
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let (first, second) = (reserve(caller)?, reserve(caller)?);
    user_memory::write(caller, pair, [first.number() as i32, second.number() as i32]).await?;
    let (reader, writer) = file::new_pipe(&caller.credentials.fs, flags);
    for (descriptor, end) in [(first, reader), (second, writer)] {
        descriptor.fill(end, flags & linux::O_CLOEXEC != 0);
    }
    Ok(0)
}

pub async fn ioctl(caller: &Caller, fd: i32, request: u32, argument: usize) -> SysResult {
    let file = caller.files.get_open(fd)?;
    match request {
        requests::FIOCLEX => {
            caller.files.set_close_on_exec(fd, true)?;
            return Ok(0);
        }
        requests::FIONCLEX => {
            caller.files.set_close_on_exec(fd, false)?;
            return Ok(0);
        }
        requests::FIONBIO => {
            let on: i32 = user_memory::read(caller, argument).await?;
            let flags = file.flags() & !linux::O_NONBLOCK;
            file.set_flags(if on != 0 { flags | linux::O_NONBLOCK } else { flags });
            return Ok(0);
        }
        requests::FIOASYNC => {
            let on: i32 = user_memory::read(caller, argument).await?;
            if on != 0 {
                memory::check_pressure().await?;
            }
            let can = file_owner::set_signalling(caller, &file, fd, on != 0)?;
            return if can { Ok(0) } else { Err(Errno::ENOTTY) };
        }
        _ => {}
    }
    if file.terminal().is_some() || file.stream().is_some_and(|stream| stream.master().is_some()) {
        return terminal::ioctl(caller, &file, request, argument).await;
    }
    if file.socket().is_some() {
        return socket::options::ioctl(caller, &file, request, argument).await;
    }
    if let Some(inode) = disk::of(&file) {
        return disk::ioctl(caller, &file, inode, request, argument).await;
    }
    if file.stream_as::<looped::Control>().is_some() {
        return looped::control(request, argument).await;
    }
    if let Some(stream) = file.stream() {
        if request == requests::FIONREAD {
            let readable = stream.readable()?;
            user_memory::write(caller, argument, readable as i32).await?;
            return Ok(0);
        }
    } else if request == requests::FIONREAD
        && let Some(inode) = file.inode()
        && !file.is_directory()
    {
        let left = inode.attributes().size().saturating_sub(*file.offset.lock().await);
        user_memory::write(caller, argument, left.min(i32::MAX as u64) as i32).await?;
        return Ok(0);
    }
    Err(Errno::ENOTTY)
}
