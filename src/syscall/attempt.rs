//! System calls that are done at once.
//!
//! Most calls need not wait: the file is in memory, the pipe has bytes, the page is there. [`attempt`] serves those
//! with plain functions, without making a future. Whatever stands in the way is named by a [`Pause`]; the caller
//! waits for exactly that and attempts again. An attempt that pauses has done nothing, except for the bytes that it
//! says have been moved already, or the entries of a ring that have been taken.

use alloc::{boxed::Box, sync::Arc};
use core::{mem::MaybeUninit, ptr};

use executor::{rcu, sync::Events, time::Instant};
use fs::{LookupFlags, Path, Position, pipe::Call, watch};
use linux_raw_sys::general::*;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{
    clock, descriptor, epoll, event_files, file_owner, identity, lock, memory, metadata, open, poll, process,
    read_write, schedule, signal, socket, system, thread, timer, uring, vectored,
};
use crate::{
    arch::{
        uaccess::{self, Fault, UserRange},
        user::{Access, UserContext},
    },
    device::loops,
    file::{self, File, Object, bulk, lookup, poll::Wait, regular},
    memory::frame,
    process::{Caller, rseq, signal::send},
    user_memory::{PathBuf, SysResult, UserBuffer},
};

/// What keeps a call from being done at once.
pub enum Pause {
    /// A page of user memory is missing, or may be: a transfer that has moved as much as a poll may goes on there.
    Fault(usize, Access),
    /// A stream has nothing to give, or no room.
    Readiness(Arc<File>, Events),
    /// None of several files is ready.
    Files(Box<Wait>),
    /// None of the files of the epoll instance that the call is about is ready; it waits until this time.
    Epoll(Instant),
    /// The thread has begun a futex wait, which ends at this time.
    Futex(Instant),
    /// The call is a sleep until this time.
    Sleep(Instant),
    /// The call lets others have their turn.
    Turn,
    /// None of the signals that the thread awaits, until this time, has been sent yet.
    Signal(Instant),
    /// No child had anything to report after this many [events](crate::process::Process::child_events).
    Child(u32),
    /// The call takes the general way.
    General,
    /// It failed.
    Failed(Errno),
}

impl From<Errno> for Pause {
    #[inline(always)]
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// The outcome of an attempt.
pub type Attempt = Result<usize, Pause>;

/// Serves the call that `context` asks for if that needs no waiting. `moved` counts the bytes that earlier attempts of
/// the same call have moved, or what else they have done of it.
///
/// Each arm is a call in the last place, so that no stack frame stands between the loop and what serves a call.
#[inline]
pub fn attempt(caller: &mut Caller, context: &mut UserContext, moved: &mut usize) -> Attempt {
    // The upper half means nothing, as on Linux.
    let number = context.orig_rax as u32;
    let fd = context.rdi as i32;
    match number {
        __NR_read => read(caller, fd, context.rsi as usize, context.rdx as usize, moved),
        __NR_write => write(caller, fd, context.rsi as usize, context.rdx as usize, moved),
        __NR_readv | __NR_writev | __NR_preadv | __NR_pwritev | __NR_preadv2 | __NR_pwritev2 => {
            vectored::attempt(caller, context, moved)
        }
        __NR_lseek => read_write::lseek_now(caller, fd, context.rsi as i64, context.rdx as usize),
        __NR_pread64 => pread(caller, context),
        __NR_pwrite64 => pwrite(caller, context),
        __NR_open => open(caller, lookup::CWD, context.rdi as usize, context.rsi as u32, context.rdx as u32),
        __NR_openat => open(caller, fd, context.rsi as usize, context.rdx as u32, context.r10 as u32),
        __NR_creat => {
            let flags = O_CREAT | O_WRONLY | O_TRUNC;
            open(caller, lookup::CWD, context.rdi as usize, flags, context.rsi as u32)
        }
        __NR_sendto => socket::attempt::sendto(caller, context, moved),
        __NR_recvfrom => socket::attempt::recvfrom(caller, context, moved),
        __NR_stat => stat(caller, lookup::CWD, context.rdi as usize, context.rsi as usize, 0),
        __NR_lstat => {
            stat(caller, lookup::CWD, context.rdi as usize, context.rsi as usize, AT_SYMLINK_NOFOLLOW)
        }
        __NR_newfstatat => stat(caller, fd, context.rsi as usize, context.rdx as usize, context.r10 as u32),
        __NR_fstat => fstat(caller, fd, context.rsi as usize),
        __NR_unlink => unlink(caller, lookup::CWD, context.rdi as usize, 0),
        __NR_unlinkat => unlink(caller, fd, context.rsi as usize, context.rdx as u32),
        __NR_fcntl => fcntl(caller, fd, context.rsi as u32, context.rdx as usize),
        __NR_futex => thread::futex_now(caller, context),
        __NR_rseq => rseq::register(
            caller,
            context.rdi as usize,
            context.rsi as usize,
            context.rdx as usize,
            context.r10 as u32,
        ),
        __NR_nanosleep => clock::nanosleep(context.rdi as usize),
        __NR_clock_nanosleep => {
            clock::clock_nanosleep(caller, context.rdi as usize, context.rsi as u32, context.rdx as usize)
        }
        __NR_wait4 => process::wait4_now(
            caller,
            context.rdi as i32,
            context.rsi as usize,
            context.rdx as u32,
            context.r10 as usize,
        ),
        __NR_poll | __NR_ppoll | __NR_select | __NR_pselect6 => poll::attempt(caller, context),
        __NR_epoll_wait | __NR_epoll_pwait | __NR_epoll_pwait2 => epoll::attempt_wait(caller, context),
        __NR_epoll_ctl => epoll::attempt_control(caller, context),
        __NR_io_uring_enter => uring::attempt_enter(caller, context, moved),
        __NR_restart_syscall => poll::attempt_rest(caller, context),
        __NR_pause => Err(Pause::Sleep(Instant::FAR_FUTURE)),
        __NR_rt_sigsuspend => signal::rt_sigsuspend(caller, context.rdi as usize, context.rsi as usize),
        __NR_rt_sigtimedwait => {
            signal::rt_sigtimedwait(caller, context.rdi as usize, context.rdx as usize, context.r10 as usize)
        }
        __NR_rt_sigreturn => signal::rt_sigreturn(caller, context),
        __NR_rt_sigaction => signal::rt_sigaction(
            caller,
            context.rdi as usize,
            context.rsi as usize,
            context.rdx as usize,
            context.r10 as usize,
        ),
        __NR_rt_sigprocmask => signal::rt_sigprocmask(
            caller,
            context.rdi as usize,
            context.rsi as usize,
            context.rdx as usize,
            context.r10 as usize,
        ),
        __NR_close | __NR_dup2 | __NR_dup3 if loops::are_bound() => Err(Pause::General),
        __NR_close => now(caller, context, |caller, of| descriptor::close(caller, of.rdi as i32)),
        __NR_dup => now(caller, context, |caller, of| descriptor::dup(caller, of.rdi as i32)),
        __NR_dup2 => {
            now(caller, context, |caller, of| descriptor::dup2(caller, of.rdi as i32, of.rsi as i32))
        }
        __NR_dup3 => now(caller, context, |caller, of| {
            descriptor::dup3(caller, of.rdi as i32, of.rsi as i32, of.rdx as u32)
        }),
        __NR_setuid => now(caller, context, |caller, of| identity::setuid(caller, of.rdi as u32)),
        __NR_setgid => now(caller, context, |caller, of| identity::setgid(caller, of.rdi as u32)),
        __NR_setreuid => {
            now(caller, context, |caller, of| identity::setreuid(caller, of.rdi as u32, of.rsi as u32))
        }
        __NR_setregid => {
            now(caller, context, |caller, of| identity::setregid(caller, of.rdi as u32, of.rsi as u32))
        }
        __NR_setresuid => now(caller, context, |caller, of| {
            identity::setresuid(caller, of.rdi as u32, of.rsi as u32, of.rdx as u32)
        }),
        __NR_setresgid => now(caller, context, |caller, of| {
            identity::setresgid(caller, of.rdi as u32, of.rsi as u32, of.rdx as u32)
        }),
        __NR_setfsuid => now(caller, context, |caller, of| Ok(identity::setfsuid(caller, of.rdi as u32))),
        __NR_setfsgid => now(caller, context, |caller, of| Ok(identity::setfsgid(caller, of.rdi as u32))),
        __NR_getpgrp => now(caller, context, |caller, _| identity::getpgid(caller, 0)),
        __NR_getpgid => now(caller, context, |caller, of| identity::getpgid(caller, of.rdi as i32)),
        __NR_setpgid => {
            now(caller, context, |caller, of| identity::setpgid(caller, of.rdi as i32, of.rsi as i32))
        }
        __NR_getsid => now(caller, context, |caller, of| identity::getsid(caller, of.rdi as i32)),
        __NR_setsid => now(caller, context, |caller, _| identity::setsid(caller)),
        __NR_umask => Ok(caller.fs.set_umask(context.rdi as u32) as usize),
        __NR_set_tid_address => Ok(thread::set_tid_address(caller, context.rdi as usize)),
        __NR_set_robust_list => now(caller, context, |caller, of| {
            thread::set_robust_list(caller, of.rdi as usize, of.rsi as usize)
        }),
        __NR_sched_yield => Err(Pause::Turn),
        __NR_sched_get_priority_max => now(caller, context, |_, of| schedule::priority_max(of.rdi as usize)),
        __NR_sched_get_priority_min => now(caller, context, |_, of| schedule::priority_min(of.rdi as usize)),
        __NR_sched_getscheduler => {
            now(caller, context, |caller, of| schedule::sched_getscheduler(caller, of.rdi as i32))
        }
        __NR_getpriority => {
            now(caller, context, |caller, of| schedule::getpriority(caller, of.rdi as usize, of.rsi as u32))
        }
        __NR_setpriority => now(caller, context, |caller, of| {
            schedule::setpriority(caller, of.rdi as usize, of.rsi as u32, of.rdx as i32)
        }),
        __NR_kill => now(caller, context, |caller, of| signal::kill(caller, of.rdi as i32, of.rsi as usize)),
        __NR_tkill => {
            now(caller, context, |caller, of| signal::tkill(caller, of.rdi as i32, of.rsi as usize))
        }
        __NR_tgkill => now(caller, context, |caller, of| {
            signal::tgkill(caller, of.rdi as i32, of.rsi as i32, of.rdx as usize)
        }),
        __NR_sigaltstack => signal::sigaltstack_now(caller, context),
        __NR_rt_sigpending => signal::rt_sigpending(caller, context.rdi as usize, context.rsi as usize),
        __NR_getresuid => identity::getresuid(caller, context),
        __NR_getresgid => identity::getresgid(caller, context),
        __NR_getgroups => identity::getgroups(caller, fd, context.rsi as usize),
        __NR_getrusage => process::getrusage(caller, context.rdi as i32, context.rsi as usize),
        __NR_times => process::times(caller, context.rdi as usize),
        __NR_getrlimit => process::getrlimit(caller, context.rdi as u32, context.rsi as usize),
        __NR_setrlimit => process::setrlimit_now(caller, context.rdi as u32, context.rsi as usize),
        __NR_prlimit64 => process::prlimit_now(
            caller,
            context.rdi as i32,
            context.rsi as u32,
            context.rdx as usize,
            context.r10 as usize,
        ),
        __NR_sched_getparam => schedule::sched_getparam(caller, context.rdi as i32, context.rsi as usize),
        __NR_sched_getaffinity => schedule::sched_getaffinity(
            caller,
            context.rdi as i32,
            context.rsi as usize,
            context.rdx as usize,
        ),
        __NR_getcpu => schedule::getcpu(context.rdi as usize, context.rsi as usize),
        __NR_getsockname => socket::getsockname(caller, fd, context.rsi as usize, context.rdx as usize),
        __NR_getpeername => socket::getpeername(caller, fd, context.rsi as usize, context.rdx as usize),
        __NR_getsockopt => socket::options::getsockopt(caller, context),
        __NR_clock_gettime => clock::clock_gettime(caller, context.rdi as usize, context.rsi as usize),
        __NR_clock_getres => clock::clock_getres(caller, context.rdi as usize, context.rsi as usize),
        __NR_gettimeofday => clock::gettimeofday(context.rdi as usize, context.rsi as usize),
        __NR_time => clock::time(context.rdi as usize),
        __NR_alarm => timer::alarm_now(caller, context.rdi as u32),
        __NR_getitimer => timer::getitimer(caller, context.rdi as u32, context.rsi as usize),
        __NR_setitimer => {
            timer::setitimer_now(caller, context.rdi as u32, context.rsi as usize, context.rdx as usize)
        }
        __NR_timer_settime => timer::timer_settime_now(
            caller,
            context.rdi as i32,
            context.rsi as u32,
            context.rdx as usize,
            context.r10 as usize,
        ),
        __NR_timer_gettime => timer::timer_gettime(caller, context.rdi as i32, context.rsi as usize),
        __NR_timer_getoverrun => {
            now(caller, context, |caller, of| timer::timer_getoverrun(caller, of.rdi as i32))
        }
        __NR_timer_delete => now(caller, context, |caller, of| timer::timer_delete(caller, of.rdi as i32)),
        __NR_timerfd_settime => event_files::timerfd_settime_now(
            caller,
            fd,
            context.rsi as u32,
            context.rdx as usize,
            context.r10 as usize,
        ),
        __NR_timerfd_gettime => event_files::timerfd_gettime(caller, fd, context.rsi as usize),
        __NR_fsync => open::fsync_now(caller, fd, false),
        __NR_fdatasync => open::fsync_now(caller, fd, true),
        __NR_uname => system::uname(caller, context.rdi as usize),
        __NR_personality => Ok(system::personality(caller, context.rdi as u32)),
        __NR_sysinfo => system::sysinfo(context.rdi as usize),
        __NR_mmap => memory::map_now(caller, context),
        __NR_munmap => memory::unmap_now(caller, context),
        __NR_brk => memory::brk_now(caller, context),
        _ => Err(Pause::General),
    }
}

/// Serves a call that needs nothing to be there, in a function of its own.
#[inline(never)]
fn now(
    caller: &mut Caller,
    context: &UserContext,
    serve: impl FnOnce(&mut Caller, &UserContext) -> SysResult,
) -> Attempt {
    serve(caller, context).map_err(Pause::Failed)
}

/// Goes on with a `read`, `write`, `recvfrom` or `sendto` that has waited for `file`: the one that it began with, whatever
/// has become of the descriptor meanwhile.
pub fn resume(caller: &Caller, context: &UserContext, file: Arc<File>, moved: &mut usize) -> Attempt {
    let number = context.orig_rax as u32;
    let reads = matches!(number, __NR_read | __NR_recvfrom);
    if file.socket().is_some() {
        let has_flags = matches!(number, __NR_sendto | __NR_recvfrom);
        return socket::attempt::resume(caller, context, file, moved, !reads, has_flags);
    }
    let buffer = UserBuffer::new(context.rsi as usize, context.rdx as usize)?;
    if reads { read_stream(caller, file, buffer, moved) } else { write_stream(caller, file, buffer, moved) }
}

/// Copies a value out of user memory.
#[inline]
pub fn copy_in<T: FromBytes>(from: usize) -> Result<T, Pause> {
    match uaccess::copy_value_from_user(from) {
        Ok(value) => Ok(value),
        Err(Fault { address, .. }) => Err(Pause::Fault(address, Access::Read)),
    }
}

/// Copies values out of user memory.
#[inline]
pub fn copy_in_all<T: FromBytes + IntoBytes>(into: &mut [T], from: usize) -> Result<(), Pause> {
    match uaccess::copy_from_user(into.as_mut_bytes(), from) {
        Ok(()) => Ok(()),
        Err(Fault { address, .. }) => Err(Pause::Fault(address, Access::Read)),
    }
}

/// Copies a large value out of user memory to where it is used.
#[inline]
pub fn copy_into<T: FromBytes>(slot: &mut MaybeUninit<T>, from: usize) -> Result<&mut T, Pause> {
    match uaccess::copy_into_from_user(slot, from) {
        Ok(value) => Ok(value),
        Err(Fault { address, .. }) => Err(Pause::Fault(address, Access::Read)),
    }
}

/// Copies a value to user memory.
#[inline]
pub fn copy_out<T: IntoBytes + Immutable + ?Sized>(to: usize, value: &T) -> Result<(), Pause> {
    match uaccess::copy_to_user(to, value.as_bytes()) {
        Ok(()) => Ok(()),
        Err(Fault { address, .. }) => Err(Pause::Fault(address, Access::Write)),
    }
}

/// Copies a value to user memory unless `to` is null, which many calls take for "not wanted".
#[inline]
pub fn copy_out_optional<T: IntoBytes + Immutable>(to: usize, value: &T) -> Result<(), Pause> {
    if to == 0 { Ok(()) } else { copy_out(to, value) }
}

/// Copies a path that is short enough for the stack; longer ones and those with missing pages go the general way.
#[inline]
fn short_path(from: usize, buffer: &mut [u8; PathBuf::INLINE]) -> Result<usize, Pause> {
    uaccess::strncpy_from_user(buffer, from).map_err(|_| Pause::General)
}

/// A transfer from or to a file that stopped at a missing page is done anew in the general way: reading again, or
/// writing the same bytes in the same place again, changes nothing.
#[inline]
fn check_whole(buffer: &UserBuffer) -> Result<(), Pause> {
    if buffer.faulted() { Err(Pause::General) } else { Ok(()) }
}

/// What to do about a buffer that stopped at a missing page, after bytes have been moved.
#[inline]
fn check_fault(buffer: &UserBuffer) -> Result<(), Pause> {
    match buffer.missing() {
        None => Ok(()),
        Some((address, access)) => Err(Pause::Fault(address, access)),
    }
}

/// All commands but those for locks, which may have to wait, those with a structure, and those that take memory where it is short.
#[inline(never)]
fn fcntl(caller: &Caller, fd: i32, command: u32, argument: usize) -> Attempt {
    if lock::is_command(command)
        || file_owner::is_command(command)
        || file_owner::makes_something(command, argument) && frame::is_short()
    {
        return Err(Pause::General);
    }
    Ok(descriptor::fcntl(caller, fd, command, argument)?)
}

fn read(caller: &Caller, fd: i32, address: usize, len: usize, moved: &mut usize) -> Attempt {
    let file = caller.files.get(fd)?;
    match file.object() {
        Object::Inode(..) => {
            let Some(mut offset) = file.offset.try_lock() else { return Err(Pause::General) };
            let read = match read_cached(&file, address, len, *offset) {
                Some(read) => read,
                None => read_uncached(&file, address, len, *offset)?,
            };
            *offset += read as u64;
            Ok(read)
        }
        Object::Stream(..) => {
            file.check_readable()?;
            let buffer = UserBuffer::new(address, len)?;
            read_stream(caller, file, buffer, moved)
        }
        Object::Socket(_) => {
            file.check_readable()?;
            let buffer = UserBuffer::new(address, len)?;
            socket::attempt::read(caller, file, buffer, moved)
        }
        _ => Err(Pause::General),
    }
}

#[inline(always)]
fn read_stream(caller: &Caller, file: Arc<File>, mut buffer: UserBuffer, moved: &mut usize) -> Attempt {
    let Some(stream) = file.stream() else { return Err(Pause::General) };
    buffer.skip(*moved);
    // The thread has no other call meanwhile.
    let call = Call { number: ptr::from_ref(caller).addr(), so_far: *moved };
    match stream.try_read(caller, &mut buffer, call) {
        Ok(read) => {
            *moved += read;
            check_fault(&buffer)?;
            if read > 0 && buffer.remaining() > 0 && stream.never_ends() && !caller.thread.is_called() {
                return Err(Pause::Fault(buffer.address(), Access::Write));
            }
            file.note_read(Ok(*moved));
            Ok(*moved)
        }
        Err(_) if *moved > 0 => Ok(*moved),
        Err(Errno::EAGAIN) => {
            check_fault(&buffer)?;
            if file.is_nonblocking() {
                return Err(Pause::Failed(Errno::EAGAIN));
            }
            if stream.awaited_signals().is_some() {
                return Err(Pause::General);
            }
            Err(Pause::Readiness(file, Events::IN))
        }
        Err(errno) => Err(Pause::Failed(errno)),
    }
}

fn write(caller: &Caller, fd: i32, address: usize, len: usize, moved: &mut usize) -> Attempt {
    let file = caller.files.get(fd)?;
    file.check_writable()?;
    let mut buffer = UserBuffer::new(address, len)?;
    match file.object() {
        Object::Inode(path, contents) => {
            let inode = contents.as_ref().unwrap_or(path.inode());
            check_plain(&file, path, len)?;
            let Some(mut offset) = file.offset.try_lock() else { return Err(Pause::General) };
            buffer.limit(regular::limit_size(caller, *offset, len)?);
            let Ok(written) = inode.write_at(Position::At(*offset), &mut buffer).ready() else {
                return Err(Pause::General);
            };
            check_whole(&buffer)?;
            let written = written.map_err(unless_short)?;
            *offset = written.at + written.count as u64;
            Ok(written.count)
        }
        Object::Stream(stream, _) if stream.master().is_none() => write_stream(caller, file, buffer, moved),
        Object::Socket(_) => socket::attempt::write(caller, &file, buffer, moved),
        _ => Err(Pause::General),
    }
}

#[inline(always)]
fn write_stream(caller: &Caller, file: Arc<File>, mut buffer: UserBuffer, moved: &mut usize) -> Attempt {
    let Some(stream) = file.stream() else { return Err(Pause::General) };
    // Counted apart from the buffer: a device that throws bytes away does not take them out of it.
    let wanted = buffer.remaining();
    buffer.skip(*moved);
    loop {
        match stream.try_write(caller, &mut buffer) {
            Ok(written) => {
                *moved += written;
                check_fault(&buffer)?;
                if written == 0 || *moved >= wanted || stream.takes_once() {
                    file.note_written(Ok(*moved));
                    return Ok(*moved);
                }
                if executor::should_yield() {
                    return Err(Pause::Fault(buffer.address(), Access::Read));
                }
            }
            Err(Errno::EAGAIN) if !file.is_nonblocking() => {
                return Err(Pause::Readiness(file, Events::OUT));
            }
            Err(_) if *moved > 0 => return Ok(*moved),
            Err(Errno::EPIPE) => {
                send::broken_pipe(&caller.thread);
                return Err(Pause::Failed(Errno::EPIPE));
            }
            Err(errno) => return Err(Pause::Failed(errno)),
        }
    }
}

/// Where there is no memory, the general way waits for what caches have.
#[cold]
fn unless_short(errno: Errno) -> Pause {
    if errno == Errno::ENOMEM { Pause::General } else { Pause::Failed(errno) }
}

/// A write is done at once unless it is large or more goes with it: appending, going past the page cache, waiting for stable storage, taking
/// privileges away, telling those who watch files.
#[inline]
fn check_plain(file: &File, path: &Path, len: usize) -> Result<(), Pause> {
    let more = watch::exist()
        || file.flags() & (O_APPEND | O_SYNC | O_DIRECT) != 0
        || path.dentry().attributes().is_privileged();
    if more || len >= bulk::LARGE { Err(Pause::General) } else { Ok(()) }
}

/// Whether nothing goes with a read from a file with contents: it is not past the page cache, and nobody is told of it.
#[inline]
fn is_plain_read(file: &File) -> bool {
    !watch::exist() && file.flags() & O_DIRECT == 0
}

/// Reads from a file with contents what is one copy out of one page in memory. `None` if it is more than that, or is to fail.
#[inline(always)]
fn read_cached(file: &File, address: usize, len: usize, offset: u64) -> Option<usize> {
    let Object::Inode(path, None) = file.object() else { return None };
    if file.check_readable().is_err() || !is_plain_read(file) {
        return None;
    }
    let memory = UserRange::new(address, len).ok()?;
    let left = path.dentry().attributes().size().checked_sub(offset)?;
    let want = left.min(len as u64) as usize;
    let guard = rcu::read();
    memory.write(path.inode().cached(offset, &guard)?.get(..want)?).ok()?;
    file.note_access(path);
    Some(want)
}

/// Reads from a file with contents what is in memory, unless that is large.
#[inline(never)]
fn read_uncached(file: &File, address: usize, len: usize, offset: u64) -> Attempt {
    let Object::Inode(path, contents) = file.object() else { return Err(Pause::General) };
    file.check_readable()?;
    let mut buffer = UserBuffer::new(address, len)?;
    let is_large =
        len >= bulk::LARGE && path.dentry().attributes().size().saturating_sub(offset) >= bulk::LARGE as u64;
    if is_large || !is_plain_read(file) {
        return Err(Pause::General);
    }
    let inode = contents.as_ref().unwrap_or(path.inode());
    let Ok(read) = inode.read_at(offset, &mut buffer).ready() else { return Err(Pause::General) };
    check_whole(&buffer)?;
    let read = read?;
    file.note_access(path);
    Ok(read)
}

fn pread(caller: &Caller, context: &UserContext) -> Attempt {
    let (fd, address, len) = (context.rdi as i32, context.rsi as usize, context.rdx as usize);
    let offset = context.r10 as i64;
    // Neither the offset nor the end may be negative; which error that is depends on the file.
    if offset | offset.wrapping_add(len as i64) < 0 {
        return Err(Pause::General);
    }
    let file = caller.files.get(fd)?;
    read_at(&file, address, len, offset)
}

/// Reads from a file with contents at an offset; neither that nor the end is negative.
#[inline(always)]
pub fn read_at(file: &File, address: usize, len: usize, offset: i64) -> Attempt {
    match read_cached(file, address, len, offset as u64) {
        Some(read) => Ok(read),
        None => read_uncached(file, address, len, offset as u64),
    }
}

fn pwrite(caller: &Caller, context: &UserContext) -> Attempt {
    let (fd, address, len) = (context.rdi as i32, context.rsi as usize, context.rdx as usize);
    let offset = context.r10 as i64;
    // Neither the offset nor the end may be negative; which error that is depends on the file.
    if offset | offset.wrapping_add(len as i64) < 0 {
        return Err(Pause::General);
    }
    let file = caller.files.get(fd)?;
    write_at(caller, &file, address, len, offset)
}

/// Writes to a file with contents; as [`read_at`].
#[inline(always)]
pub fn write_at(caller: &Caller, file: &File, address: usize, len: usize, offset: i64) -> Attempt {
    let Object::Inode(path, contents) = file.object() else { return Err(Pause::General) };
    file.check_writable()?;
    check_plain(file, path, len)?;
    let inode = contents.as_ref().unwrap_or(path.inode());
    let mut buffer = UserBuffer::new(address, len)?;
    buffer.limit(regular::limit_size(caller, offset as u64, len)?);
    let Ok(written) = inode.write_at(Position::At(offset as u64), &mut buffer).ready() else {
        return Err(Pause::General);
    };
    check_whole(&buffer)?;
    Ok(written.map_err(unless_short)?.count)
}

/// Opens or makes a file whose directory is in the name cache.
fn open(caller: &Caller, directory: i32, path: usize, flags: u32, mode: u32) -> Attempt {
    if flags & (__O_TMPFILE | O_TRUNC | O_PATH | O_DIRECT) != 0 || frame::is_short() {
        return Err(Pause::General);
    }
    let mut name = [0; PathBuf::INLINE];
    let len = short_path(path, &mut name)?;
    let descriptor = open::begin(caller, &name[..len])?;
    let origin = lookup::Origin::new(caller, directory, &name[..len])?;
    let wanted = fs::OpenFlags::from_bits_retain(flags);
    let opened = origin.view(caller).open(&name[..len], wanted, mode & 0o7777, LookupFlags::empty());
    let Ok(opened) = opened.ready() else { return Err(Pause::General) };
    let Some(file) = file::of_opened(opened?, flags) else { return Err(Pause::General) };
    Ok(descriptor.fill(file?, flags & O_CLOEXEC != 0))
}

fn stat(caller: &Caller, directory: i32, path: usize, address: usize, flags: u32) -> Attempt {
    if flags & !AT_SYMLINK_NOFOLLOW != 0 {
        return stat_without_path(caller, directory, path, address, flags);
    }
    let mut name = [0; PathBuf::INLINE];
    let len = short_path(path, &mut name)?;
    let follow = if flags == 0 { LookupFlags::FOLLOW } else { LookupFlags::empty() };
    let origin = lookup::Origin::new(caller, directory, &name[..len])?;
    let mut stat = metadata::Stat::new_zeroed();
    // Written where it is seen: the attributes are many words.
    let seen = origin.view(caller).inspect(&name[..len], follow, |_, dentry| {
        let current = dentry.inode().refresh().ready().ok()?;
        stat = metadata::Stat::from(dentry.attributes());
        Some(current)
    });
    let Some(Some(current)) = seen.transpose()? else { return Err(Pause::General) };
    current?;
    copy_out(address, &stat)?;
    Ok(0)
}

/// [`fstat`] as the C library does it.
#[inline(never)]
fn stat_without_path(caller: &Caller, fd: i32, path: usize, address: usize, flags: u32) -> Attempt {
    if flags != AT_EMPTY_PATH || fd == lookup::CWD || copy_in::<u8>(path)? != 0 {
        return Err(Pause::General);
    }
    fstat(caller, fd, address)
}

fn fstat(caller: &Caller, fd: i32, address: usize) -> Attempt {
    let file = caller.files.get(fd)?;
    let Object::Inode(path, _) = file.object() else { return Err(Pause::General) };
    let Ok(current) = path.inode().refresh().ready() else { return Err(Pause::General) };
    current?;
    copy_out(address, &metadata::Stat::from(path.dentry().attributes()))?;
    Ok(0)
}

fn unlink(caller: &Caller, directory: i32, path: usize, flags: u32) -> Attempt {
    if flags != 0 {
        return Err(Pause::General);
    }
    let mut name = [0; PathBuf::INLINE];
    let len = short_path(path, &mut name)?;
    let origin = lookup::Origin::new(caller, directory, &name[..len])?;
    let Ok(done) = origin.view(caller).unlink(&name[..len]).ready() else { return Err(Pause::General) };
    done?;
    Ok(0)
}
