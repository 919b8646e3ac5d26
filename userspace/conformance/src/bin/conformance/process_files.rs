//! Processes by descriptors: pidfd_open and its kin.

use crate::check::{BAD, describe, outcome, show, sys, value};
use std::io;
use std::os::fd::AsRawFd;
use support::patience::later;
use support::pipe::{pipe, read, write};
use support::process::{Child, fork};

fn open(pid: i32) -> io::Result<i64> {
    sys!(SYS_pidfd_open, pid, 0)
}

fn polled(fd: i64, milliseconds: i32) -> String {
    let mut entry = libc::pollfd { fd: fd as i32, events: libc::POLLIN, revents: 0 };
    let count = sys!(SYS_poll, &raw mut entry, 1, milliseconds);
    count
        .map_or_else(|error| support::errno::error_name(&error), |count| format!("{count} {}", entry.revents))
}

fn send(fd: i64, signal: i32) -> io::Result<i64> {
    sys!(SYS_pidfd_send_signal, fd, signal, 0, 0)
}

/// What waitid says of the process that a descriptor is of.
fn wait(fd: i64, options: i32) -> io::Result<String> {
    // SAFETY: plain old data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    sys!(SYS_waitid, libc::P_PIDFD, fd, &raw mut info, options, 0)?;
    // SAFETY: of a child, or zero.
    let status = unsafe { info.si_status() };
    Ok(format!("{} {} {status}", info.si_signo, info.si_code))
}

/// A child that ends with this status when told, by a byte.
fn child_until_told(status: i32) -> (Child, support::pipe::Pipe) {
    let until = pipe().expect("a pipe");
    let child = fork(|| {
        let _ = read(&until.reader, &mut [0]);
        status
    })
    .expect("fork");
    (child, until)
}

pub fn run() {
    opening();
    ending();
    signals();
    descriptors();
    clones();
}

fn opening() {
    outcome("pid 0", open(0));
    outcome("negative", open(-1));
    outcome("nobody", open(99_999_999));
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    outcome("strange flags", sys!(SYS_pidfd_open, own, 1));
    let fd = open(own).expect("of ourselves");
    value("close on exec", sys!(SYS_fcntl, fd, libc::F_GETFD));
    show("flags", format!("{:#o}", sys!(SYS_fcntl, fd, libc::F_GETFL).unwrap_or(-1)));
    let name = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    show("name", name.map_or_else(|error| error.to_string(), |name| name.display().to_string()));
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let right = text.lines().filter(|line| line.ends_with(&format!("\t{own}"))).count();
    show("fdinfo tells the process", right);
    outcome("read", sys!(SYS_read, fd, &raw const own, 4));
    outcome("write", sys!(SYS_write, fd, &raw const own, 4));
    show("polled", polled(fd, 0));
    let _ = sys!(SYS_close, fd);
    let thread = std::thread::spawn(|| outcome("of a thread", open(sys!(SYS_gettid).unwrap_or(0) as i32)));
    let _ = thread.join();
}

fn ending() {
    let (child, until) = child_until_told(7);
    let fd = open(child.pid).expect("of a child");
    let nonblocking = sys!(SYS_pidfd_open, child.pid, libc::O_NONBLOCK).expect("of a child");
    show("polled, alive", polled(fd, 0));
    value("waitid, alive", wait(fd, libc::WEXITED | libc::WNOHANG));
    value("the same by a descriptor that does not wait", wait(nonblocking, libc::WEXITED));
    outcome("strange options", wait(fd, 0));
    let _ = write(&until.writer, b"x");
    show("polled until it ends", polled(fd, 5000));
    value("waitid, and leave it", wait(fd, libc::WEXITED | libc::WNOWAIT));
    value("waitid", wait(fd, libc::WEXITED));
    value("again", wait(fd, libc::WEXITED));
    outcome("signal", send(fd, 0));
    show("polled, gone", polled(fd, 0));
    let _ = (sys!(SYS_close, fd), sys!(SYS_close, nonblocking));
    outcome("waitid of a closed one", wait(99, libc::WEXITED));
    outcome("waitid of another file", wait(0, libc::WEXITED));
    // SAFETY: asks for a number.
    let parent = open(unsafe { libc::getppid() });
    if let Ok(parent) = parent {
        outcome("waitid of one that is no child", wait(parent, libc::WEXITED));
        let _ = sys!(SYS_close, parent);
    }
    // Waited for in epoll, with a blocked waitid in another process's way.
    let (child, until) = child_until_told(0);
    let fd = open(child.pid).expect("of a child");
    let epoll = sys!(SYS_epoll_create1, 0).expect("an instance");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    outcome("add", sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event));
    value("epoll, alive", sys!(SYS_epoll_wait, epoll, &raw mut event, 1, 0));
    let killer = later(libc::SYS_epoll_wait, || drop(send(fd, libc::SIGKILL)));
    value("epoll", sys!(SYS_epoll_wait, epoll, &raw mut event, 1, 60_000));
    value("waitid", wait(fd, libc::WEXITED));
    value("killer", killer.wait().map(describe));
    drop(until);
    let _ = (sys!(SYS_close, fd), sys!(SYS_close, epoll));
}

fn signals() {
    let (child, _until) = child_until_told(0);
    let fd = open(child.pid).expect("of a child");
    outcome("signal 0", send(fd, 0));
    outcome("no such signal", send(fd, 65));
    outcome("strange flags", sys!(SYS_pidfd_send_signal, fd, 0, 0, 1));
    outcome("another file", send(0, 0));
    outcome("closed", send(99, 0));
    outcome("bad info", sys!(SYS_pidfd_send_signal, fd, 0, BAD, 0));
    let mut info = [0_i32; 32];
    (info[0], info[2]) = (libc::SIGTERM, -1);
    outcome("info of another signal", sys!(SYS_pidfd_send_signal, fd, libc::SIGUSR1, info.as_ptr(), 0));
    info[2] = 0;
    outcome("as if by kill", sys!(SYS_pidfd_send_signal, fd, libc::SIGTERM, info.as_ptr(), 0));
    info[2] = -1;
    outcome("with info", sys!(SYS_pidfd_send_signal, fd, libc::SIGTERM, info.as_ptr(), 0));
    value("ended", child.wait().map(describe));
    outcome("gone", send(fd, libc::SIGTERM));
    let _ = sys!(SYS_close, fd);
    by_directory();
}

/// Before there were pidfds, a process's directory was one.
fn by_directory() {
    let (child, _until) = child_until_told(0);
    let directory = |name: &str, flags| {
        let name = std::ffi::CString::new(format!("/proc/{}{name}", child.pid)).expect("no NUL in it");
        sys!(SYS_openat, libc::AT_FDCWD, name.as_ptr(), flags, 0).expect("of a child")
    };
    let fd = directory("", libc::O_DIRECTORY);
    for (name, other) in [
        ("path only", directory("", libc::O_PATH)),
        ("a thread's directory", directory(&format!("/task/{}", child.pid), 0)),
        ("a directory in it", directory("/fd", 0)),
        ("a file in it", directory("/stat", 0)),
    ] {
        outcome(name, send(other, 0));
        let _ = sys!(SYS_close, other);
    }
    outcome("its directory", send(fd, libc::SIGTERM));
    value("ended", child.wait().map(describe));
    outcome("a directory of what is gone", send(fd, libc::SIGTERM));
    let _ = sys!(SYS_close, fd);
}

fn descriptors() {
    let theirs = pipe().expect("a pipe");
    let (child, until) = {
        let until = pipe().expect("a pipe");
        let (own, told) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let child = fork(|| {
            // A pipe that only the child has.
            let inside = pipe().expect("a pipe");
            let number = inside.reader.as_raw_fd();
            let _ = write(&inside.writer, b"from inside");
            let _ = write(&told.writer, &number.to_ne_bytes());
            let _ = read(&until.reader, &mut [0]);
            0
        })
        .expect("fork");
        let mut number = [0; 4];
        let _ = read(&told.reader, &mut number);
        drop(own);
        (child, (until, i32::from_ne_bytes(number)))
    };
    drop(theirs);
    let (until, number) = until;
    let fd = open(child.pid).expect("of a child");
    outcome("strange flags", sys!(SYS_pidfd_getfd, fd, number, 1));
    outcome("closed there", sys!(SYS_pidfd_getfd, fd, 77, 0));
    outcome("another file", sys!(SYS_pidfd_getfd, 0, number, 0));
    let taken = sys!(SYS_pidfd_getfd, fd, number, 0).expect("theirs");
    value("close on exec", sys!(SYS_fcntl, taken, libc::F_GETFD));
    let mut buffer = [0_u8; 32];
    let count = sys!(SYS_read, taken, buffer.as_mut_ptr(), 32).unwrap_or(0) as usize;
    show("read", String::from_utf8_lossy(&buffer[..count]));
    crate::check::in_child("without the right", || {
        let _ = sys!(SYS_setuid, 1000);
        match sys!(SYS_pidfd_getfd, fd, number, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => 3,
            _ => 4,
        }
    });
    let _ = (write(&until.writer, b"x"), child.wait());
    outcome("gone", sys!(SYS_pidfd_getfd, fd, number, 0));
    let _ = (sys!(SYS_close, fd), sys!(SYS_close, taken));
}

fn clones() {
    const PIDFD: i32 = libc::CLONE_PIDFD;
    let end = |result: io::Result<i64>, status: i32| {
        if let Ok(0) = result {
            // SAFETY: ends the child.
            unsafe { libc::_exit(status) };
        }
        result
    };
    let mut fd = -1_i32;
    let made = end(sys!(SYS_clone, PIDFD | libc::SIGCHLD, 0, &raw mut fd, 0, 0), 5);
    outcome("clone", made);
    value("its end", wait(fd.into(), libc::WEXITED));
    value("close on exec", sys!(SYS_fcntl, fd, libc::F_GETFD));
    let _ = sys!(SYS_close, fd);
    let both = PIDFD | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    outcome("clone with both in one place", end(sys!(SYS_clone, both, 0, &raw mut fd, 0, 0), 0));
    outcome("clone, bad place", end(sys!(SYS_clone, PIDFD | libc::SIGCHLD, 0, BAD, 0, 0), 0));
    let detached = PIDFD | 0x0040_0000 | libc::SIGCHLD;
    outcome("clone, detached", end(sys!(SYS_clone, detached, 0, &raw mut fd, 0, 0), 0));
    let mut arguments = [0_u64; 11];
    (arguments[0], arguments[1], arguments[4]) = (PIDFD as u64, &raw mut fd as u64, libc::SIGCHLD as u64);
    outcome("clone3", end(sys!(SYS_clone3, arguments.as_ptr(), 88), 6));
    value("its end", wait(fd.into(), libc::WEXITED));
    let _ = sys!(SYS_close, fd);
    outcome("nobody is left", sys!(SYS_wait4, -1, 0, libc::WNOHANG, 0));
    let limit = [fd as u64 + 1, 4096];
    let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, limit.as_ptr(), 0);
    let held = sys!(SYS_dup, 0);
    outcome("no descriptor left", end(sys!(SYS_clone, PIDFD | libc::SIGCHLD, 0, &raw mut fd, 0, 0), 0));
    outcome("nobody was made", sys!(SYS_wait4, -1, 0, libc::WNOHANG, 0));
    let _ = held.map(|fd| sys!(SYS_close, fd));
}
