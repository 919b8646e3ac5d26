//! eventfd, timerfd, signalfd.

use crate::check::{BAD, outcome, show, sys, value};
use std::io;
use support::clock::{now, sleep_ms};
use support::patience::{child_in_call, later, thread_in_call};
use support::process::fork;
use support::ring::{Entry, Ring, names};

const MS: i64 = 1_000_000;

fn read_number(fd: i64) -> io::Result<u64> {
    let mut number = 0_u64;
    sys!(SYS_read, fd, &raw mut number, 8).map(|_| number)
}

fn write_number(fd: i64, number: u64) -> io::Result<i64> {
    sys!(SYS_write, fd, &raw const number, 8)
}

/// The events of a file now, in words.
fn polled(fd: i64) -> String {
    polled_for(fd, 0)
}

fn polled_for(fd: i64, milliseconds: i32) -> String {
    let mut entry =
        libc::pollfd { fd: fd as i32, events: libc::POLLIN | libc::POLLOUT | libc::POLLPRI, revents: 0 };
    if let Err(error) = sys!(SYS_poll, &raw mut entry, 1, milliseconds) {
        return support::errno::error_name(&error);
    }
    let known =
        [(libc::POLLIN, "IN"), (libc::POLLOUT, "OUT"), (libc::POLLERR, "ERR"), (libc::POLLHUP, "HUP")];
    let set: Vec<&str> =
        known.iter().filter(|(bit, _)| entry.revents & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "nothing".into() } else { set.join("|") }
}

/// What `/proc` tells of a descriptor.
fn details(fd: i64) {
    let name = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    show("name", name.map_or_else(|error| error.to_string(), |name| name.display().to_string()));
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    for line in text.lines() {
        if !["pos", "mnt_id", "ino", "eventfd-id", "it_value"].iter().any(|word| line.starts_with(word)) {
            show("fdinfo", line);
        }
    }
}

pub fn run() {
    counters();
    full_counters();
    waiting_for_counters();
    timers();
    waiting_for_timers();
    wall_timers();
    signals();
    waiting_for_signals();
    signal_kinds();
}

fn counters() {
    outcome("eventfd strange flags", sys!(SYS_eventfd2, 0, 4));
    let fd = sys!(SYS_eventfd2, 3, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).expect("an eventfd");
    value("close on exec", sys!(SYS_fcntl, fd, libc::F_GETFD));
    show("flags", format!("{:#o}", sys!(SYS_fcntl, fd, libc::F_GETFL).unwrap_or(-1)));
    details(fd);
    show("polled", polled(fd));
    value("read", read_number(fd));
    show("polled", polled(fd));
    value("read empty", read_number(fd));
    value("write", write_number(fd, 5));
    value("write", write_number(fd, 6));
    value("read the sum", read_number(fd));
    value("write 0", write_number(fd, 0));
    show("polled", polled(fd));
    let mut large = [0_u64; 2];
    outcome("short read", sys!(SYS_read, fd, large.as_mut_ptr(), 7));
    outcome("short write", sys!(SYS_write, fd, large.as_ptr(), 7));
    large[0] = 9;
    value("long write", sys!(SYS_write, fd, large.as_ptr(), 16));
    value("long read", sys!(SYS_read, fd, large.as_mut_ptr(), 16));
    show("is", large[0]);
    let _ = write_number(fd, 4);
    outcome("read to a bad place", sys!(SYS_read, fd, BAD, 8));
    // What the bad place was to get is lost on Linux, and there to be read on Rusk.
    let _ = read_number(fd);
    let _ = write_number(fd, 0x0807_0605_0403_0201);
    let mut pieces = [[0_u8; 3]; 4];
    let vectors: Vec<[usize; 2]> = pieces.iter_mut().map(|piece| [piece.as_mut_ptr() as usize, 3]).collect();
    outcome("read in pieces that are too short", sys!(SYS_readv, fd, vectors.as_ptr(), 2));
    value("read in short pieces", sys!(SYS_readv, fd, vectors.as_ptr(), 4));
    show("are", format!("{pieces:?}"));
    outcome("read in pieces, none there", sys!(SYS_readv, fd, vectors.as_ptr(), 4));
    outcome("write from a bad place", sys!(SYS_write, fd, BAD, 8));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let fresh = sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    let _ = write_number(fd, 4);
    value("read to memory never touched, across a page", sys!(SYS_read, fd, fresh + 4092, 8));
    let _ = sys!(SYS_close, fd);
    let fd = sys!(SYS_eventfd2, 3, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK).expect("an eventfd");
    for _ in 0..3 {
        value("semaphore", read_number(fd));
    }
    value("semaphore", read_number(fd));
    let _ = sys!(SYS_close, fd);
    let old = sys!(SYS_eventfd, 1).expect("an eventfd");
    value("old call", read_number(old));
    let _ = sys!(SYS_close, old);
}

fn full_counters() {
    let fd = sys!(SYS_eventfd2, 0, libc::EFD_NONBLOCK).expect("an eventfd");
    outcome("write the impossible", write_number(fd, u64::MAX));
    outcome("write the most", write_number(fd, u64::MAX - 1));
    show("polled", polled(fd));
    outcome("one more", write_number(fd, 1));
    outcome("none more", write_number(fd, 0));
    value("read", read_number(fd));
    outcome("nearly the most", write_number(fd, u64::MAX - 3));
    show("polled", polled(fd));
    outcome("three more", write_number(fd, 3));
    outcome("two more", write_number(fd, 2));
    show("polled", polled(fd));
    let _ = sys!(SYS_close, fd);
}

fn waiting_for_counters() {
    let fd = sys!(SYS_eventfd2, 0, 0).expect("an eventfd");
    let child = later(libc::SYS_read, || drop(write_number(fd, 7)));
    value("read waits", read_number(fd));
    let _ = child.wait();
    let _ = write_number(fd, u64::MAX - 2);
    let child = later(libc::SYS_write, || drop(read_number(fd)));
    value("write waits", write_number(fd, 2));
    let _ = child.wait();
    value("and then it is", read_number(fd));
    let child = later(libc::SYS_poll, || drop(write_number(fd, 1)));
    show("poll waits", {
        let mut entry = libc::pollfd { fd: fd as i32, events: libc::POLLIN, revents: 0 };
        let result = sys!(SYS_poll, &raw mut entry, 1, 60_000);
        format!("{} {}", result.unwrap_or(-1), entry.revents)
    });
    let _ = child.wait();
    let _ = read_number(fd);
    // A writer that has to wait, while poll says that there is room: for less.
    let _ = write_number(fd, u64::MAX - 5);
    let writer = child_in_call(libc::SYS_write, || i32::from(write_number(fd, 10).is_err()));
    show("room for less", polled(fd));
    value("writer", Ok(writer.state()));
    outcome("less", write_number(fd, 1));
    value("read", read_number(fd));
    value("writer", writer.wait().map(crate::check::describe));
    value("its number", read_number(fd));
    // Several readers of one semaphore.
    let shared = sys!(SYS_eventfd2, 0, libc::EFD_SEMAPHORE).expect("an eventfd");
    let reader = |_| child_in_call(libc::SYS_read, || read_number(shared).map_or(99, |one| one as i32));
    let readers: Vec<_> = (0..3).map(reader).collect();
    let _ = write_number(shared, 3);
    for reader in readers {
        value("each gets one", reader.wait().map(crate::check::describe));
    }
}

fn set(fd: i64, flags: i32, first: [i64; 2], period: [i64; 2]) -> io::Result<i64> {
    let new = [period, first];
    sys!(SYS_timerfd_settime, fd, flags, new.as_ptr(), 0)
}

fn timers() {
    outcome("strange clock", sys!(SYS_timerfd_create, libc::CLOCK_PROCESS_CPUTIME_ID, 0));
    outcome("unknown clock", sys!(SYS_timerfd_create, 77, 0));
    outcome("strange flags", sys!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 1));
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_REALTIME_ALARM,
        libc::CLOCK_BOOTTIME_ALARM,
    ] {
        let made = sys!(SYS_timerfd_create, clock, 0);
        if clock < libc::CLOCK_REALTIME_ALARM {
            // The machine may lack a clock that could wake it.
            outcome(&format!("clock {clock}"), made);
        }
    }
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    let fd = sys!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, flags).expect("a timer");
    value("close on exec", sys!(SYS_fcntl, fd, libc::F_GETFD));
    show("flags", format!("{:#o}", sys!(SYS_fcntl, fd, libc::F_GETFL).unwrap_or(-1)));
    details(fd);
    show("polled", polled(fd));
    value("read when off", read_number(fd));
    outcome("write", write_number(fd, 1));
    let mut number = 0_u64;
    outcome("short read", sys!(SYS_read, fd, &raw mut number, 7));
    outcome("negative", set(fd, 0, [-1, 0], [0, 0]));
    outcome("too many nanoseconds", set(fd, 0, [0, 1_000_000_000], [0, 0]));
    outcome("bad period", set(fd, 0, [0, 1], [0, -1]));
    outcome("strange flags", set(fd, 4, [0, 1], [0, 0]));
    outcome("no setting", sys!(SYS_timerfd_settime, fd, 0, 0, 0));
    outcome("bad setting", sys!(SYS_timerfd_settime, fd, 0, BAD, 0));
    let valid = [0_i64; 4];
    outcome("no timer", sys!(SYS_timerfd_settime, 0, 0, valid.as_ptr(), 0));
    outcome("closed", sys!(SYS_timerfd_settime, 99, 0, valid.as_ptr(), 0));
    outcome("bad place for the old", sys!(SYS_timerfd_settime, fd, 0, valid.as_ptr(), BAD));
    let mut left = [9_i64; 4];
    outcome("get", sys!(SYS_timerfd_gettime, fd, left.as_mut_ptr()));
    show("is", format!("{left:?}"));
    outcome("get to a bad place", sys!(SYS_timerfd_gettime, fd, BAD));
    outcome("get of no timer", sys!(SYS_timerfd_gettime, 0, left.as_mut_ptr()));
    outcome("get of a closed one", sys!(SYS_timerfd_gettime, 99, left.as_mut_ptr()));
    outcome("once", set(fd, 0, [1000, 0], [0, 0]));
    value("too early", read_number(fd));
    outcome("get", sys!(SYS_timerfd_gettime, fd, left.as_mut_ptr()));
    show("is", format!("{} {}", left[..2] == [0; 2], (900..=1000).contains(&left[2])));
    outcome("sooner", set(fd, 0, [0, MS], [0, 0]));
    show("polled", polled_for(fd, 60_000));
    outcome("get", sys!(SYS_timerfd_gettime, fd, left.as_mut_ptr()));
    show("is", format!("{left:?}"));
    value("read", read_number(fd));
    value("once only", read_number(fd));
    let start = now();
    outcome("again and again", set(fd, 0, [0, MS], [0, 10 * MS]));
    sleep_ms(60);
    let count = read_number(fd);
    let most = (now() - start) / (10 * MS as u64) + 1;
    show("read", count.is_ok_and(|count| (5..=most).contains(&count)));
    outcome("get", sys!(SYS_timerfd_gettime, fd, left.as_mut_ptr()));
    show("is", format!("{:?} {}", &left[..3], (0..=10 * MS).contains(&left[3])));
    let mut old = [9_i64; 4];
    outcome("off", sys!(SYS_timerfd_settime, fd, 0, valid.as_ptr(), old.as_mut_ptr()));
    show("was", format!("{:?} {}", &old[..3], (0..=10 * MS).contains(&old[3])));
    sleep_ms(20);
    value("read when off", read_number(fd));
    // A period without a first time is off.
    outcome("period alone", set(fd, 0, [0, 0], [0, MS]));
    sleep_ms(5);
    value("read", read_number(fd));
    outcome("long ago", set(fd, libc::TFD_TIMER_ABSTIME, [0, 1], [0, 0]));
    show("polled", polled_for(fd, 60_000));
    value("read", read_number(fd));
    outcome("expired, then set anew", set(fd, 0, [0, 1], [0, 0]));
    show("polled", polled_for(fd, 60_000));
    outcome("far", set(fd, 0, [1000, 0], [0, 0]));
    value("read", read_number(fd));
    outcome("very far", set(fd, 0, [i64::MAX, 0], [i64::MAX, 0]));
    value("read", read_number(fd));
    let _ = sys!(SYS_close, fd);
}

fn waiting_for_timers() {
    for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
        let fd = sys!(SYS_timerfd_create, clock, 0).expect("a timer");
        let start = now();
        let _ = set(fd, 0, [0, 20 * MS], [0, 0]);
        value("read waits", read_number(fd));
        show("took at least that", now() - start >= 20 * MS as u64);
        let mut time = [0_i64; 2];
        let _ = sys!(SYS_clock_gettime, clock, time.as_mut_ptr());
        let end = time[1] + 20 * MS;
        let end = [time[0] + end / 1_000_000_000, end % 1_000_000_000];
        let _ = set(fd, libc::TFD_TIMER_ABSTIME, end, [0, 0]);
        value("read waits for a moment", read_number(fd));
        let _ = sys!(SYS_clock_gettime, clock, time.as_mut_ptr());
        show("not too early", time >= end);
        let _ = set(fd, 0, [0, 10 * MS], [0, 10 * MS]);
        show("poll waits", polled_for(fd, 60_000));
        show("ready", read_number(fd).is_ok_and(|count| count >= 1));
        show("and again", polled_for(fd, 60_000));
        // Set while somebody waits.
        let _ = set(fd, 0, [1000, 0], [0, 0]);
        let child = later(libc::SYS_read, || drop(set(fd, 0, [0, MS], [0, 0])));
        value("set nearer meanwhile", read_number(fd));
        let _ = (child.wait(), sys!(SYS_close, fd));
    }
    let fd = sys!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK).expect("a timer");
    let epoll = sys!(SYS_epoll_create1, 0).expect("an instance");
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 5 };
    let _ = sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event);
    let wait = |what: &str, milliseconds: i32| {
        let mut told = libc::epoll_event { events: 0, u64: 0 };
        let count = sys!(SYS_epoll_wait, epoll, &raw mut told, 1, milliseconds);
        let data = told.u64;
        value(what, count.map(|count| format!("{count} {data}")));
    };
    let _ = set(fd, 0, [0, 10 * MS], [0, 10 * MS]);
    wait("by edge", 60_000);
    wait("no more before it is read", 50);
    let _ = read_number(fd);
    wait("read", 60_000);
    let _ = (sys!(SYS_close, epoll), sys!(SYS_close, fd));
}

fn wall_time() -> [i64; 2] {
    let mut time = [0_i64; 2];
    let _ = sys!(SYS_clock_gettime, libc::CLOCK_REALTIME, time.as_mut_ptr());
    time
}

/// Timers by a clock that is set.
fn wall_timers() {
    const CANCEL: i32 = 2;
    let jump = |seconds: i64| {
        let mut time = wall_time();
        time[0] += seconds;
        sys!(SYS_clock_settime, libc::CLOCK_REALTIME, time.as_ptr())
    };
    let make = || sys!(SYS_timerfd_create, libc::CLOCK_REALTIME, libc::TFD_NONBLOCK).expect("a timer");
    let (watching, plain, relative) = (make(), make(), make());
    let mut end = wall_time();
    end[0] += 500;
    let _ = set(watching, libc::TFD_TIMER_ABSTIME | CANCEL, end, [0, 0]);
    let _ = set(plain, libc::TFD_TIMER_ABSTIME, end, [0, 0]);
    let _ = set(relative, 0, [500, 0], [0, 0]);
    value("read", read_number(watching));
    outcome("set the clock", jump(100));
    show("polled", polled(watching));
    value("told that the clock was set", read_number(watching));
    value("told once", read_number(watching));
    value("not told", read_number(plain));
    outcome("set the clock past the end", jump(1000));
    value("expired, but not for that", read_number(watching));
    show("expired", polled_for(plain, 60_000));
    value("read", read_number(plain));
    value("not expired", read_number(relative));
    show("a ring's time-out goes by what it was set to", ring_timer(wall_time()));
    let waiter = child_in_call(libc::SYS_read, || match read_blocking(watching, end) {
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => 3,
        Ok(count) => 10 + count as i32,
        Err(_) => 9,
    });
    outcome("back", jump(-1100));
    value("a reader that waits", waiter.wait().map(crate::check::describe));
    let sleeper = child_in_call(libc::SYS_clock_nanosleep, || {
        let mut end = wall_time();
        end[0] += 10_000;
        let (clock, flags) = (libc::CLOCK_REALTIME, libc::TIMER_ABSTIME);
        i32::from(sys!(SYS_clock_nanosleep, clock, flags, end.as_ptr(), 0).is_err())
    });
    outcome("on, past the time that somebody sleeps until", jump(20_000));
    value("the sleeper", sleeper.wait().map(crate::check::describe));
    outcome("back", jump(-20_000));
    let _ = (sys!(SYS_close, watching), sys!(SYS_close, plain), sys!(SYS_close, relative));
}

/// Whether a ring's time-out at a time of the wall clock ends within a minute.
fn ring_timer(end: [i64; 2]) -> bool {
    const ABSOLUTE_BY_WALL: u32 = 1 | 8;
    let mut ring = Ring::new(4).expect("a ring");
    ring.push(Entry {
        addr: end.as_ptr() as u64,
        len: 1,
        op_flags: ABSOLUTE_BY_WALL,
        ..Entry::new(names::TIMEOUT, 1)
    });
    let _ = ring.submit(0);
    (0..600).any(|_| {
        sleep_ms(100);
        ring.pop().is_some()
    })
}

fn read_blocking(fd: i64, mut end: [i64; 2]) -> io::Result<u64> {
    let _ = sys!(SYS_fcntl, fd, libc::F_SETFL, 0);
    end[0] += 10_000;
    set(fd, libc::TFD_TIMER_ABSTIME | 2, end, [0, 0])?;
    read_number(fd)
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn block(set: u64) {
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, 0, 8);
}

/// Signals read, by number and what else is known of them.
fn read_signals(fd: i64, most: usize) -> io::Result<String> {
    // SAFETY: plain old data.
    let mut infos: [libc::signalfd_siginfo; 4] = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    let count = sys!(SYS_read, fd, infos.as_mut_ptr(), most * size)? as usize / size;
    // SAFETY: asks for numbers.
    let (own, user) = unsafe { (libc::getpid() as u32, libc::getuid()) };
    let text = |info: &libc::signalfd_siginfo| {
        let sender = if info.ssi_pid == own { "self" } else { "another" };
        let user = info.ssi_uid == user;
        format!("{} {} from {sender} {user} {}", info.ssi_signo, info.ssi_code, info.ssi_int)
    };
    Ok(infos[..count].iter().map(text).collect::<Vec<_>>().join(", "))
}

fn signals() {
    let set = bit(libc::SIGUSR1) | bit(libc::SIGUSR2) | bit(libc::SIGKILL);
    outcome("bad set size", sys!(SYS_signalfd4, -1, &raw const set, 4, 0));
    outcome("bad set", sys!(SYS_signalfd4, -1, BAD, 8, 0));
    outcome("strange flags", sys!(SYS_signalfd4, -1, &raw const set, 8, 1));
    outcome("closed", sys!(SYS_signalfd4, 99, &raw const set, 8, 0));
    outcome("negative", sys!(SYS_signalfd4, -2, &raw const set, 8, 0));
    outcome("another file", sys!(SYS_signalfd4, 0, &raw const set, 8, 0));
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    let fd = sys!(SYS_signalfd4, -1, &raw const set, 8, flags).expect("a signalfd");
    value("close on exec", sys!(SYS_fcntl, fd, libc::F_GETFD));
    show("flags", format!("{:#o}", sys!(SYS_fcntl, fd, libc::F_GETFL).unwrap_or(-1)));
    details(fd);
    block(set);
    show("polled", polled(fd));
    value("read, none there", read_signals(fd, 1));
    outcome("short read", sys!(SYS_read, fd, &raw const set, 127));
    outcome("write", sys!(SYS_write, fd, &raw const set, 128));
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    let send = |signal: i32| drop(sys!(SYS_kill, own, signal));
    send(libc::SIGUSR2);
    send(libc::SIGUSR1);
    send(libc::SIGUSR1);
    show("polled", polled(fd));
    value("read one", read_signals(fd, 1));
    value("read the rest", read_signals(fd, 4));
    value("read, none left", read_signals(fd, 4));
    send(libc::SIGUSR1);
    send(libc::SIGUSR2);
    value("read all", read_signals(fd, 4));
    let other = bit(libc::SIGHUP);
    block(set | other);
    send(libc::SIGHUP);
    value("another signal", read_signals(fd, 1));
    value("set anew", sys!(SYS_signalfd4, fd, &raw const other, 8, 0).map(|again| again == fd));
    show("polled", polled(fd));
    value("that signal", read_signals(fd, 1));
    details(fd);
    let thread = sys!(SYS_gettid).unwrap_or(0);
    let _ = sys!(SYS_tgkill, own, thread, libc::SIGHUP);
    value("for the thread", read_signals(fd, 1));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let fresh = sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    send(libc::SIGHUP);
    value("to memory never touched, across a page", sys!(SYS_read, fd, fresh + 4000, 128));
    // Read in one thread, sent to another.
    let handle = std::thread::spawn(move || {
        let _ = sys!(SYS_tgkill, own, sys!(SYS_gettid).unwrap_or(0), libc::SIGHUP);
        value("for the other thread, there", read_signals(fd, 1));
        let _ = sys!(SYS_tgkill, own, thread, libc::SIGHUP);
        value("for the first thread, not there", read_signals(fd, 1));
    });
    let _ = handle.join();
    value("but here", read_signals(fd, 1));
    block(0);
    let _ = sys!(SYS_close, fd);
}

fn waiting_for_signals() {
    let set = bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    block(set);
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    let fd = sys!(SYS_signalfd4, -1, &raw const set, 8, 0).expect("a signalfd");
    let send_in = |call: i64, signal: i32| later(call, || drop(sys!(SYS_kill, own, signal)));
    let child = send_in(libc::SYS_read, libc::SIGUSR1);
    value("read waits", read_signals(fd, 4));
    let _ = child.wait();
    let child = send_in(libc::SYS_poll, libc::SIGUSR2);
    show("poll waits", polled_for(fd, 60_000));
    let _ = child.wait();
    value("read", read_signals(fd, 4));
    let epoll = sys!(SYS_epoll_create1, 0).expect("an instance");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    let _ = sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event);
    let child = send_in(libc::SYS_epoll_wait, libc::SIGUSR1);
    let mut told = libc::epoll_event { events: 0, u64: 0 };
    value("epoll waits", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 60_000));
    let _ = child.wait();
    value("still", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    value("read", read_signals(fd, 4));
    value("no more", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    // Another signal's handler interrupts.
    extern "C" fn handler(_: i32) {}
    // SAFETY: the handler does nothing.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: as above.
    unsafe { libc::sigaction(libc::SIGHUP, &raw const action, std::ptr::null_mut()) };
    let child = send_in(libc::SYS_read, libc::SIGHUP);
    value("interrupted", read_signals(fd, 1));
    let _ = child.wait();
    // A reader in another thread gets what is sent to the process.
    let reader = thread_in_call(libc::SYS_read, move || value("in another thread", read_signals(fd, 1)));
    let _ = sys!(SYS_kill, own, libc::SIGUSR1);
    let _ = reader.join();
    // A child reads its own signals by the descriptor that it has inherited.
    let child = child_in_call(libc::SYS_read, || match read_signals(fd, 1) {
        Ok(text) if text.starts_with("12 0 from another") => 0,
        _ => 1,
    });
    let _ = child.kill(libc::SIGUSR2);
    value("in a child", child.wait().map(crate::check::describe));
    block(0);
    let _ = (sys!(SYS_close, fd), sys!(SYS_close, epoll));
}

/// What a child, a value, and a repeated signal look like.
fn signal_kinds() {
    let (real, set) = (40, bit(libc::SIGCHLD) | bit(40) | bit(libc::SIGALRM));
    block(set);
    let fd = sys!(SYS_signalfd4, -1, &raw const set, 8, 0).expect("a signalfd");
    // SAFETY: plain old data.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let child = fork(|| 7).expect("fork");
    let _ = sys!(SYS_read, fd, &raw mut info, 128);
    let right = info.ssi_pid == child.pid as u32;
    show("a child", format!("{} {} {} {right}", info.ssi_signo, info.ssi_code, info.ssi_status));
    let _ = child.wait();
    // SAFETY: asks for numbers.
    let (own, user) = unsafe { (libc::getpid(), libc::getuid()) };
    for number in [11_i32, 12] {
        let mut raw = [0_i32; 32];
        (raw[0], raw[2], raw[4], raw[5], raw[6]) = (real, -1, own, user as i32, number);
        let _ = sys!(SYS_rt_sigqueueinfo, own, real, raw.as_ptr());
    }
    value("with values", read_signals(fd, 4));
    let time = [0_i64, 0, 0, 1000];
    let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, time.as_ptr(), 0);
    let _ = sys!(SYS_read, fd, &raw mut info, 128);
    show("an alarm", format!("{} {} {}", info.ssi_signo, info.ssi_code, info.ssi_pid));
    block(0);
    let _ = sys!(SYS_close, fd);
}
