//! Who owns a file, and the signals that tell of its events (fcntl(2), "Managing signals").

use crate::check::{Argument, BAD, aside, outcome, path, show, sys};
use std::fs;
use std::io;
use std::ptr::null;
use support::patience::until;

const SETOWN: i32 = 8;
const GETOWN: i32 = 9;
const SETSIG: i32 = 10;
const GETSIG: i32 = 11;
const SETOWN_EX: i32 = 15;
const GETOWN_EX: i32 = 16;
const GETOWNER_UIDS: i32 = 17;

const TID: i32 = 0;
const PID: i32 = 1;
const PGRP: i32 = 2;

/// A real-time signal, which says what has happened.
const RICH: i32 = 36;

fn fcntl(fd: i32, command: i32, argument: impl Argument) -> io::Result<i64> {
    sys!(SYS_fcntl, fd, command, argument)
}

fn own_id() -> i32 {
    std::process::id() as i32
}

/// The descriptor that a call has made; -1, which nobody has, if it has failed.
fn made(what: &str, result: io::Result<i64>) -> i32 {
    let descriptor = result.as_ref().map_or(-1, |descriptor| *descriptor as i32);
    outcome(what, result);
    descriptor
}

fn pipe() -> [i32; 2] {
    let mut pair = [-1_i32; 2];
    outcome("pipe", sys!(SYS_pipe2, pair.as_mut_ptr(), 0));
    pair
}

fn sockets(kind: i32) -> [i32; 2] {
    let mut pair = [-1_i32; 2];
    outcome("sockets", sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr()));
    pair
}

fn write(fd: i32, bytes: &[u8]) {
    outcome("write", sys!(SYS_write, fd, bytes.as_ptr(), bytes.len()));
}

fn close(fd: i32) {
    let _ = sys!(SYS_close, fd);
}

/// Shows who owns a file: the kind, and whether it is who is expected.
fn owner(what: &str, fd: i32, expected: i32) {
    let mut named = [-1_i32; 2];
    outcome(what, fcntl(fd, GETOWN_EX, named.as_mut_ptr()));
    let who = match named[1] {
        0 => "nobody",
        id if id == expected => "as expected",
        _ => "somebody else",
    };
    println!("{what}: kind {} {who}", named[0]);
}

const fn bits(signals: &[i32]) -> u64 {
    let (mut bits, mut at) = (0, 0);
    while at < signals.len() {
        bits |= 1 << (signals[at] - 1);
        at += 1;
    }
    bits
}

const WAITED: u64 = bits(&[libc::SIGIO, libc::SIGCHLD, libc::SIGUSR1, RICH]);

fn block() {
    let set = WAITED;
    outcome("block", sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, null::<u64>(), 8));
}

/// The next of the signals that are waited for, within so many milliseconds.
fn next(milliseconds: i64) -> io::Result<[i32; 32]> {
    let (set, mut info) = (WAITED, [0_i32; 32]);
    let time = libc::timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    sys!(SYS_rt_sigtimedwait, &raw const set, info.as_mut_ptr(), &raw const time, 8).map(|_| info)
}

/// Shows the signal that tells of a file.
fn told(what: &str, fd: i32) {
    match next(10_000) {
        Ok(info) => {
            let (code, band) = (info[2], i64::from(info[4] as u32) | i64::from(info[5]) << 32);
            let at = if info[6] == fd { "its descriptor" } else { "no descriptor" };
            println!("{what}: signal {} code {code} band {band:#x} {at}", info[0]);
        }
        Err(error) => outcome(what, Err::<(), _>(error)),
    }
}

/// Shows that nobody tells of anything.
fn silent(what: &str) {
    outcome(what, next(20).map(|info| info[0]));
}

fn signals(fd: i32, on: bool) {
    let flags = fcntl(fd, libc::F_GETFL, 0).unwrap_or(0) as i32 & !libc::O_ASYNC;
    outcome("O_ASYNC", fcntl(fd, libc::F_SETFL, if on { flags | libc::O_ASYNC } else { flags }));
}

pub fn run() {
    owners();
    which_files();
    aside("pipes", || {
        block();
        pipes();
    });
    aside("sockets", || {
        block();
        of_sockets();
    });
    aside("directories", || {
        outcome("a group", sys!(SYS_setpgid, 0, 0));
        block();
        directories();
    });
    aside("terminals", || {
        block();
        terminals();
    });
    aside("groups", || {
        outcome("a group", sys!(SYS_setpgid, 0, 0));
        block();
        groups();
    });
    aside("users", || {
        block();
        users();
    });
}

fn owners() {
    let [file, other] = pipe();
    let own = own_id();
    show("at first", fcntl(file, GETOWN, 0).unwrap_or(-1));
    owner("at first", file, own);
    outcome("a process", fcntl(file, SETOWN, own));
    show("it is", fcntl(file, GETOWN, 0).is_ok_and(|id| id == i64::from(own)));
    owner("a process", file, own);
    owner("the other end", other, own);
    outcome("nobody", fcntl(file, SETOWN, 0));
    owner("nobody", file, own);
    let mut group = 0;
    aside("a group", || {
        outcome("a group", sys!(SYS_setpgid, 0, 0));
        group = own_id();
        outcome("a group", fcntl(file, SETOWN, -group));
        owner("a group", file, group);
    });
    owner("a group that is gone", file, own);
    outcome("no such process", fcntl(file, SETOWN, 0x3f_ffff));
    outcome("no such group", fcntl(file, SETOWN, -0x3f_ffff));
    outcome("the least number", fcntl(file, SETOWN, i32::MIN));
    for (what, kind, id) in [
        ("a thread", TID, own),
        ("a process", PID, own),
        ("no group", PGRP, 0x3f_ffff),
        ("no thread", TID, 0x3f_ffff),
        ("nobody", PID, 0),
        ("no kind", 3, own),
        ("no kind", -1, own),
        ("a negative number", PID, -own),
    ] {
        let named = [kind, id];
        outcome(what, fcntl(file, SETOWN_EX, named.as_ptr()));
        owner(what, file, own);
    }
    outcome("nowhere", fcntl(file, SETOWN_EX, BAD));
    outcome("nowhere", fcntl(file, GETOWN_EX, BAD));
    let mut users = [9_u32; 2];
    outcome("its users", fcntl(file, GETOWNER_UIDS, users.as_mut_ptr()));
    println!("its users: {users:?}");
    for signal in [64, 65, -1, 9, 0] {
        outcome(&format!("signal {signal}"), fcntl(file, SETSIG, signal));
        show("it is", fcntl(file, GETSIG, 0).unwrap_or(-1));
    }
    let place = made("a place", sys!(SYS_openat, libc::AT_FDCWD, path("/").as_ptr(), libc::O_PATH));
    outcome("of a place", fcntl(place, SETOWN, own));
    outcome("of a place", fcntl(place, GETOWN, 0));
    outcome("of nothing", fcntl(-1, GETOWN, 0));
    for fd in [file, other, place] {
        close(fd);
    }
}

fn which_files() {
    let name = path("regular");
    let [read, write] = pipe();
    let [near, far] = sockets(libc::SOCK_DGRAM);
    let open =
        |name: &str| sys!(SYS_openat, libc::AT_FDCWD, path(name).as_ptr(), libc::O_RDWR).unwrap_or(-1) as i32;
    let made =
        made("made", sys!(SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    let files = [
        ("pipe", read),
        ("its other end", write),
        ("socket", near),
        ("regular", made),
        ("null", open("/dev/null")),
        ("master", open("/dev/ptmx")),
        ("counter", sys!(SYS_eventfd2, 0, 0).unwrap_or(-1) as i32),
        ("timer", sys!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0).unwrap_or(-1) as i32),
        ("epoll", sys!(SYS_epoll_create1, 0).unwrap_or(-1) as i32),
        ("inotify", sys!(SYS_inotify_init1, 0).unwrap_or(-1) as i32),
    ];
    for (what, fd) in files {
        let is_on = || fcntl(fd, libc::F_GETFL, 0).unwrap_or(0) as i32 & libc::O_ASYNC != 0;
        signals(fd, true);
        show(what, is_on());
        signals(fd, false);
        show(what, is_on());
        for on in [0, 1, 1, 0] {
            outcome(&format!("{what} {on}"), sys!(SYS_ioctl, fd, libc::FIOASYNC, &raw const on));
            show(what, is_on());
        }
    }
    outcome("nowhere", sys!(SYS_ioctl, near, libc::FIOASYNC, BAD));
    // The requests of sockets.
    let (own, mut found) = (own_id(), 0);
    for (what, fd) in [("socket", near), ("pipe", read)] {
        outcome(what, sys!(SYS_ioctl, fd, 0x8901, &raw const own));
        outcome(what, sys!(SYS_ioctl, fd, 0x8903, &raw mut found));
        show(what, found == own);
        outcome(what, sys!(SYS_ioctl, fd, 0x8902, BAD));
        outcome(what, sys!(SYS_ioctl, fd, 0x8904, BAD));
    }
    close(far);
    files.iter().for_each(|(_, fd)| close(*fd));
    let _ = fs::remove_file("regular");
}

fn pipes() {
    let [read, into] = pipe();
    outcome("owner", fcntl(read, SETOWN, own_id()));
    signals(read, true);
    write(into, b"a");
    told("something to read", read);
    outcome("signal", fcntl(read, SETSIG, RICH));
    write(into, b"b");
    told("something to read", read);
    for (what, signal) in
        [("SIGIO by name", libc::SIGIO), ("SIGCHLD", libc::SIGCHLD), ("SIGUSR1", libc::SIGUSR1)]
    {
        outcome(what, fcntl(read, SETSIG, signal));
        write(into, b"c");
        told(what, read);
    }
    outcome("signal", fcntl(read, SETSIG, RICH));
    let copy = fcntl(read, libc::F_DUPFD, 100).unwrap_or(-1) as i32;
    write(into, b"d");
    told("by the first descriptor", read);
    // By a descriptor for signals.
    let set = WAITED;
    let file = made("signals", sys!(SYS_signalfd4, -1, &raw const set, 8, 0));
    write(into, b"e");
    let mut info = [0_u32; 32];
    outcome("read", sys!(SYS_read, file, info.as_mut_ptr(), 128));
    println!(
        "signal {} code {} at its descriptor {} band {:#x}",
        info[0],
        info[2] as i32,
        info[5] == read as u32,
        info[7]
    );
    close(file);
    signals(read, false);
    write(into, b"f");
    silent("off");
    let thread = [TID, own_id()];
    outcome("a thread", fcntl(read, SETOWN_EX, thread.as_ptr()));
    signals(copy, true);
    write(into, b"g");
    told("a thread, by the second descriptor", copy);
    // Room.
    let size = fcntl(into, libc::F_GETPIPE_SZ, 0).unwrap_or(0);
    let flags = libc::O_WRONLY | libc::O_NONBLOCK;
    outcome("no waiting", fcntl(into, libc::F_SETFL, flags));
    signals(copy, false);
    let page = vec![b'x'; 4096];
    let is_full = || sys!(SYS_write, into, page.as_ptr(), page.len()).is_err();
    show("filled", until(is_full));
    outcome("owner", fcntl(into, SETOWN, own_id()));
    outcome("signal", fcntl(into, SETSIG, RICH));
    signals(into, true);
    let mut buffer = vec![0_u8; size as usize];
    outcome("emptied", sys!(SYS_read, read, buffer.as_mut_ptr(), buffer.len()));
    told("room", into);
    close(read);
    close(copy);
    told("no reader", into);
    close(into);
    let [read, into] = pipe();
    outcome("owner", fcntl(read, SETOWN, own_id()));
    outcome("signal", fcntl(read, SETSIG, RICH));
    signals(read, true);
    close(into);
    told("no writer", read);
    close(read);
    silent("closed");
    // What happens to files.
    let watch = made("inotify", sys!(SYS_inotify_init1, 0));
    let _ = fs::create_dir("watched");
    outcome("watch", sys!(SYS_inotify_add_watch, watch, path("watched").as_ptr(), libc::IN_CREATE));
    outcome("owner", fcntl(watch, SETOWN, own_id()));
    outcome("signal", fcntl(watch, SETSIG, RICH));
    signals(watch, true);
    let _ = fs::write("watched/file", "");
    told("a file was made", watch);
    let _ = fs::remove_dir_all("watched");
}

/// What happens in directories.
fn directories() {
    const NOTIFY: i32 = 1026;
    const CREATE: u32 = 4;
    const DELETE: u32 = 8;
    const MULTISHOT: u32 = 1 << 31;
    const ALL: u32 = MULTISHOT | 0x3f;
    let _ = fs::create_dir_all("seen/deeper");
    let open = |flags: i32| {
        let flags = flags | libc::O_DIRECTORY;
        made("open", sys!(SYS_openat, libc::AT_FDCWD, path("seen").as_ptr(), flags))
    };
    let ask = |fd: i32, events: u32| outcome("ask", fcntl(fd, NOTIFY, events as usize));
    let several = |what: &str, count: usize, fd: i32| (0..count).for_each(|_| told(what, fd));
    let [read, into] = pipe();
    ask(read, CREATE);
    ask(read, 0);
    close(read);
    close(into);
    let place = open(libc::O_PATH);
    ask(place, CREATE);
    close(place);
    // Once, by the plain signal.
    let fd = open(0);
    ask(fd, CREATE | DELETE);
    owner("of itself", fd, own_id());
    let _ = fs::write("seen/file", "");
    told("made", fd);
    let _ = fs::remove_file("seen/file");
    silent("removed");
    // Always, and by which descriptor.
    outcome("signal", fcntl(fd, SETSIG, RICH));
    ask(fd, ALL);
    let _ = fs::write("seen/file", "bytes");
    several("made and written", 2, fd);
    let _ = fs::read("seen/file");
    several("read", 1, fd);
    let mode = |name: &str| sys!(SYS_fchmodat, libc::AT_FDCWD, path(name).as_ptr(), 0o700);
    outcome("mode", mode("seen/file"));
    several("its mode", 1, fd);
    outcome("mode", mode("seen"));
    several("the directory's mode", 1, fd);
    let _ = fs::rename("seen/file", "seen/other");
    several("renamed", 3, fd);
    let _ = fs::rename("seen/other", "seen/deeper/file");
    several("moved out", 1, fd);
    let _ = fs::rename("seen/deeper/file", "seen/file");
    several("moved in", 1, fd);
    let _ = fs::read_dir("seen").map(Iterator::count);
    several("listed", 2, fd);
    let _ = fs::write("seen/deeper/other", "bytes");
    silent("deeper");
    let _ = fs::create_dir("seen/directory");
    several("a directory", 1, fd);
    let _ = fs::remove_dir("seen/directory");
    several("and no more", 1, fd);
    // By another descriptor of the same open file, and another open file.
    let copy = fcntl(fd, libc::F_DUPFD, 100).unwrap_or(-1) as i32;
    ask(copy, CREATE);
    let _ = fs::remove_file("seen/file");
    several("by the second", 1, copy);
    let second = open(0);
    ask(second, CREATE);
    outcome("signal", fcntl(second, SETSIG, libc::SIGUSR1));
    let _ = fs::File::create("seen/file");
    let (mut first, mut other) =
        (next(10_000).map_or(0, |info| info[0]), next(10_000).map_or(0, |info| info[0]));
    if first > other {
        (first, other) = (other, first);
    }
    println!("two open files: {first} {other}");
    // A child's copy is none of ours.
    aside("a child", || {
        close(fd);
        ask(second, 0);
    });
    show("its end", next(10_000).map_or(0, |info| info[0]));
    let _ = fs::remove_file("seen/file");
    several("after a child has closed it", 1, copy);
    ask(fd, 0);
    let _ = fs::File::create("seen/file");
    silent("no more");
    ask(fd, ALL);
    let _ = fs::remove_file("seen/file");
    close(copy);
    several("before one descriptor was closed", 1, fd);
    let _ = fs::File::create("seen/file");
    silent("after that");
    // It belongs to somebody already.
    let group = [PGRP, sys!(SYS_getpgid, 0).unwrap_or(0) as i32];
    outcome("a group", fcntl(second, SETOWN_EX, group.as_ptr()));
    ask(second, DELETE);
    owner("of a group", second, group[1]);
    outcome("nobody", fcntl(second, SETOWN, 0));
    let _ = fs::remove_dir_all("seen");
    silent("to nobody");
    close(second);
    close(fd);
}

fn of_sockets() {
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [near, far] = sockets(kind);
        outcome("owner", fcntl(near, SETOWN, own_id()));
        outcome("signal", fcntl(near, SETSIG, RICH));
        let on = 1;
        outcome("on", sys!(SYS_ioctl, near, libc::FIOASYNC, &raw const on));
        write(far, b"message");
        told("a message", near);
        if kind != libc::SOCK_DGRAM {
            close(far);
            told("closed", near);
        }
        close(near);
        close(far);
    }
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    for (to, from) in address.sun_path.iter_mut().zip(b"listens") {
        *to = *from as i8;
    }
    let socket = || made("socket", sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0));
    let (listener, caller) = (socket(), socket());
    outcome("bind", sys!(SYS_bind, listener, &raw const address, size_of_val(&address)));
    outcome("listen", sys!(SYS_listen, listener, 5));
    outcome("owner", fcntl(listener, SETOWN, own_id()));
    outcome("signal", fcntl(listener, SETSIG, RICH));
    signals(listener, true);
    outcome("connect", sys!(SYS_connect, caller, &raw const address, size_of_val(&address)));
    told("somebody calls", listener);
    let _ = fs::remove_file("listens");
}

fn terminals() {
    let open = |name: &str| {
        let flags = libc::O_RDWR | libc::O_NOCTTY;
        made(name, sys!(SYS_openat, libc::AT_FDCWD, path(name).as_ptr(), flags))
    };
    let master = open("/dev/ptmx");
    let (unlocked, mut number) = (0, 0);
    outcome("unlock", sys!(SYS_ioctl, master, libc::TIOCSPTLCK, &raw const unlocked));
    outcome("number", sys!(SYS_ioctl, master, libc::TIOCGPTN, &raw mut number));
    let name = path(&format!("/dev/pts/{number}"));
    let terminal =
        made("terminal", sys!(SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY));
    owner("at first", terminal, own_id());
    outcome("signal", fcntl(terminal, SETSIG, RICH));
    signals(terminal, true);
    owner("by itself", terminal, own_id());
    write(master, b"line\n");
    told("a line", terminal);
    signals(terminal, false);
    outcome("owner", fcntl(master, SETOWN, own_id()));
    outcome("signal", fcntl(master, SETSIG, RICH));
    let mut echo = [0_u8; 64];
    outcome("echo", sys!(SYS_read, master, echo.as_mut_ptr(), echo.len()));
    signals(master, true);
    write(terminal, b"output");
    told("output", master);
}

fn groups() {
    let ([read, into], [ready, tell], [seen, see]) = (pipe(), pipe(), pipe());
    let mut byte = 0_u8;
    let member = support::process::fork(|| {
        let _ = sys!(SYS_write, tell, b"r".as_ptr(), 1);
        let told = next(10_000);
        // Its end is a signal as well, which is not to come too early.
        let _ = sys!(SYS_read, seen, &raw mut byte, 1);
        i32::from(told.is_err())
    })
    .expect("fork");
    outcome("ready", sys!(SYS_read, ready, &raw mut byte, 1));
    outcome("owner", fcntl(read, SETOWN, -own_id()));
    signals(read, true);
    write(into, b"x");
    told("the first", read);
    write(see, b"s");
    show("the other", member.wait().is_ok_and(support::process::Ended::success));
}

fn users() {
    let [read, into] = pipe();
    let parent = own_id();
    aside("another user's", || {
        outcome("user", sys!(SYS_setresuid, 1000, 1000, 1000));
        outcome("owner", fcntl(read, SETOWN, parent));
        signals(read, true);
        let mut users = [9_u32; 2];
        outcome("its users", fcntl(read, GETOWNER_UIDS, users.as_mut_ptr()));
        println!("its users: {users:?}");
    });
    write(into, b"x");
    silent("not by another user");
    outcome("owner", fcntl(read, SETOWN, parent));
    write(into, b"x");
    told("by its own", read);
}
