//! What a thread waits for: `wchan` and `syscall` (proc_pid_wchan(5), proc_pid_syscall(5)).
//!
//! A waiting thread is in the middle of a call, and its future awaits what that call is for. So the name of the wait follows
//! from the call, and from the file that it is about; nobody has to write it down before he waits. The names are those of the
//! functions in which Linux 6.1 waits, where there is one that says what it is: tools look for these.

#![allow(non_upper_case_globals, reason = "the numbers have the names that Linux's headers give them")]

use alloc::{format, string::String, sync::Arc};
use core::fmt::Write;

use linux_raw_sys::general::*;
use net::unix::Kind;
use syscalls::{Errno, Sysno};

use super::Target;
use crate::{
    arch::user::glimpse::Glimpse,
    file::{File, Object},
    process::Thread,
    procfs::text::{Made, TextBuffer},
};

/// `syscall`: number, arguments, stack pointer and instruction pointer of the call that it is in; `running`, where it is in
/// none to wait for.
pub fn call(target: &Target, out: &mut TextBuffer) -> Made {
    target.check_access().map_err(|_| Errno::EPERM)?;
    let Some(thread) = &target.thread else { return Ok(writeln!(out, "-1 0x0 0x0")?) };
    let Some(Glimpse { call, arguments, stack, instruction }) = look(thread) else {
        return Ok(writeln!(out, "running")?);
    };
    match call {
        None => write!(out, "-1")?,
        Some(number) => {
            write!(out, "{number}")?;
            arguments.iter().try_for_each(|argument| write!(out, " {argument:#x}"))?;
        }
    }
    Ok(writeln!(out, " {stack:#x} {instruction:#x}")?)
}

/// `wchan`: the name of what it waits for; 0 if it does not wait, or the asking thread may not know.
pub fn channel(target: &Target, out: &mut TextBuffer) -> Made {
    let name = match &target.thread {
        Some(thread) if target.check_access().is_ok() => wait(target, thread),
        _ => None,
    };
    Ok(write!(out, "{}", name.as_deref().unwrap_or("0"))?)
}

/// Whoever asks for itself is in the call that asks. Who waits for a CPU runs.
fn look(thread: &Thread) -> Option<Glimpse> {
    let is_self = Thread::current().is_some_and(|own| core::ptr::eq(&*own, thread));
    if thread.is_runnable() && !is_self { None } else { thread.glimpse() }
}

fn wait(target: &Target, thread: &Thread) -> Option<String> {
    if thread.is_runnable() {
        return None;
    }
    let glimpse = thread.glimpse()?;
    Some(if thread.is_halted() {
        "ptrace_stop".into()
    } else if thread.process.signals.lock().is_stopped() {
        "do_signal_stop".into()
    } else {
        match glimpse.call {
            Some(number) => of_call(target, number as u32, glimpse.arguments[0] as i32),
            // Whoever has not called has met a page that is not there yet.
            None => "exc_page_fault".into(),
        }
    })
}

/// What a call waits for whose first argument is this. Sockets are known by what Linux waits for in theirs.
fn of_call(target: &Target, number: u32, fd: i32) -> String {
    let name = match number {
        __NR_read | __NR_readv | __NR_pread64 | __NR_preadv | __NR_preadv2 => match open_file(target, fd) {
            Some(file) if file.socket().is_some() => receiving(&file),
            file => return format!("{}_read", kind(file.as_deref())),
        },
        __NR_write | __NR_writev | __NR_pwrite64 | __NR_pwritev | __NR_pwritev2 => {
            match open_file(target, fd) {
                Some(file) if file.socket().is_some() => SENDING,
                file => return format!("{}_write", kind(file.as_deref())),
            }
        }
        __NR_recvfrom | __NR_recvmsg | __NR_recvmmsg => match open_file(target, fd) {
            Some(file) => receiving(&file),
            None => "unix_recvmsg",
        },
        __NR_sendto | __NR_sendmsg | __NR_sendmmsg => SENDING,
        // A connection that nobody has accepted yet waits in the listener's queue as a packet does.
        __NR_accept | __NR_accept4 => FOR_PACKET,
        __NR_connect => "unix_wait_for_peer",
        __NR_poll | __NR_ppoll => "do_sys_poll",
        __NR_select | __NR_pselect6 => "do_select",
        __NR_epoll_wait | __NR_epoll_pwait | __NR_epoll_pwait2 => "do_epoll_wait",
        __NR_futex => "futex_wait_queue",
        __NR_nanosleep | __NR_clock_nanosleep => "hrtimer_nanosleep",
        __NR_wait4 | __NR_waitid => "do_wait",
        __NR_rt_sigsuspend => "sigsuspend",
        __NR_rt_sigtimedwait => "do_sigtimedwait",
        __NR_flock => "locks_lock_inode_wait",
        __NR_fcntl => "fcntl_setlk",
        // One end of a named pipe waits for the other.
        __NR_open | __NR_openat | __NR_openat2 => "wait_for_partner",
        __NR_vfork | __NR_clone | __NR_clone3 | __NR_fork => "kernel_clone",
        __NR_execve | __NR_execveat => "de_thread",
        __NR_semop | __NR_semtimedop => "do_semtimedop",
        __NR_msgsnd => "do_msgsnd",
        __NR_msgrcv => "do_msgrcv",
        __NR_io_getevents | __NR_io_pgetevents => "read_events",
        __NR_io_uring_enter => "io_cqring_wait",
        __NR_exit | __NR_exit_group => "do_exit",
        _ => {
            let name = Sysno::new(number as usize).map_or("syscall", |call| call.name());
            return format!("__do_sys_{name}");
        }
    };
    name.into()
}

const FOR_PACKET: &str = "__skb_wait_for_more_packets";
const SENDING: &str = "sock_alloc_send_pskb";

/// What whoever receives from a socket waits for.
fn receiving(file: &File) -> &'static str {
    match file.socket().map(|file| file.socket.kind) {
        Some(Kind::Stream) => "unix_stream_read_generic",
        _ => FOR_PACKET,
    }
}

/// What a descriptor refers to.
fn open_file(target: &Target, fd: i32) -> Option<Arc<File>> {
    let files = target.process.files.lock().clone();
    files?.get(fd).ok()
}

/// The kind of file that it is.
fn kind(file: Option<&File>) -> String {
    match file.map(File::object) {
        Some(Object::Stream(stream, _)) if stream.pipe().is_some() => "pipe".into(),
        Some(Object::Stream(stream, _)) => {
            // anon_inode:[eventfd], anon_inode:inotify
            let name = stream.name();
            let kind = name.rsplit(':').next().unwrap_or(&name);
            kind.trim_matches(['[', ']']).into()
        }
        Some(Object::Terminal(..)) => "n_tty".into(),
        Some(Object::Socket(_)) => "sock".into(),
        Some(Object::Inode(..) | Object::Place(_)) | None => "vfs".into(),
    }
}
