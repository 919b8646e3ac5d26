//! epoll.

use crate::check::{BAD, KERNEL, outcome, show, sys, value};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use support::clock::{now, sleep_ms};
use support::patience::{child_in_call, later, until, until_steady};
use support::pipe::{Pipe, pipe, read, write};
use support::process::{Child, Ended, call_of, fork};

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const ET: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
const ALL: u32 = IN | OUT | (libc::EPOLLPRI | libc::EPOLLRDHUP) as u32;

const ADD: i32 = libc::EPOLL_CTL_ADD;
const MOD: i32 = libc::EPOLL_CTL_MOD;
const DEL: i32 = libc::EPOLL_CTL_DEL;

fn names(events: u32) -> String {
    let known = [
        (libc::EPOLLIN, "IN"),
        (libc::EPOLLPRI, "PRI"),
        (libc::EPOLLOUT, "OUT"),
        (libc::EPOLLERR, "ERR"),
        (libc::EPOLLHUP, "HUP"),
        (libc::EPOLLRDHUP, "RDHUP"),
        (libc::EPOLLRDNORM, "RDNORM"),
        (libc::EPOLLWRNORM, "WRNORM"),
    ];
    let set: Vec<&str> =
        known.iter().filter(|(bit, _)| events & *bit as u32 != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { format!("{events:#x}") } else { set.join("|") }
}

/// An instance, closed when dropped.
struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> Self {
        let fd = sys!(SYS_epoll_create1, 0).expect("an instance");
        // SAFETY: fresh and ours.
        Self(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }

    fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    fn control(&self, operation: i32, fd: i32, events: u32, data: u64) -> io::Result<i64> {
        let mut event = libc::epoll_event { events, u64: data };
        sys!(SYS_epoll_ctl, self.fd(), operation, fd, &raw mut event)
    }

    fn add(&self, fd: i32, events: u32, data: u64) {
        self.control(ADD, fd, events, data).expect("a new interest");
    }

    fn wait(&self, max: usize, milliseconds: i32) -> io::Result<Vec<(u64, u32)>> {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; max];
        let count = sys!(SYS_epoll_wait, self.fd(), events.as_mut_ptr(), max, milliseconds)?;
        Ok(events[..count as usize].iter().map(|event| (event.u64, event.events)).collect())
    }

    /// Prints what is ready, in the order in which it is told.
    fn show(&self, what: &str, milliseconds: i32) {
        self.show_most(what, 16, milliseconds);
    }

    fn show_most(&self, what: &str, max: usize, milliseconds: i32) {
        match self.wait(max, milliseconds) {
            Ok(events) => show(what, list(&events)),
            Err(error) => outcome::<()>(what, Err(error)),
        }
    }
}

fn list(events: &[(u64, u32)]) -> String {
    if events.is_empty() {
        return "nothing".into();
    }
    events.iter().map(|(data, events)| format!("{data} {}", names(*events))).collect::<Vec<_>>().join(", ")
}

fn ends(pipe: &Pipe) -> (i32, i32) {
    (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd())
}

/// Reads what is there.
fn drain(pipe: &Pipe) {
    let _ = sys!(SYS_fcntl, pipe.reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
    let _ = read(&pipe.reader, &mut [0; 100]);
}

/// Writes once three processes wait; how many events they are told of. Whoever waits on is killed.
fn told(pipe: &Pipe, wait: impl Fn() -> io::Result<Vec<(u64, u32)>>) -> i32 {
    let waiter = |_| child_in_call(libc::SYS_epoll_wait, || wait().map_or(99, |events| events.len() as i32));
    let waiters: Vec<Child> = (0..3).map(waiter).collect();
    let _ = write(&pipe.writer, b"x");
    sleep_ms(50);
    let end = |waiter: Child| {
        until_steady(|| waiter.state() == 'Z' || call_of(waiter.pid) == Some(libc::SYS_epoll_wait));
        let _ = waiter.kill(libc::SIGKILL);
        match waiter.wait() {
            Ok(Ended::Exited(count)) => count,
            _ => 0,
        }
    };
    waiters.into_iter().map(end).sum()
}

pub fn run() {
    making();
    control();
    levels();
    edges();
    once();
    order();
    waits();
    closing();
    nesting();
    exclusive();
    answers();
    masks();
    inheritance();
    details();
}

fn making() {
    outcome("epoll_create 0", sys!(SYS_epoll_create, 0));
    outcome("epoll_create negative", sys!(SYS_epoll_create, -1));
    outcome("epoll_create1 strange flags", sys!(SYS_epoll_create1, 1));
    for (what, made) in [
        ("epoll_create", sys!(SYS_epoll_create, 1)),
        ("epoll_create1", sys!(SYS_epoll_create1, 0)),
        ("epoll_create1 CLOEXEC", sys!(SYS_epoll_create1, libc::EPOLL_CLOEXEC)),
    ] {
        let Ok(fd) = made else { return outcome(what, made) };
        value(what, sys!(SYS_fcntl, fd, libc::F_GETFD));
        show("flags", format!("{:#o}", sys!(SYS_fcntl, fd, libc::F_GETFL).unwrap_or(-1)));
        let mut buffer = [0_u8; 16];
        outcome("read", sys!(SYS_read, fd, buffer.as_mut_ptr(), 16));
        outcome("write", sys!(SYS_write, fd, buffer.as_ptr(), 16));
        let name = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        show("name", name.map_or_else(|error| error.to_string(), |name| name.display().to_string()));
        // SAFETY: plain old data.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        outcome("fstat", sys!(SYS_fstat, fd, &raw mut stat));
        show("mode and size", format!("{:#o} {}", stat.st_mode, stat.st_size));
        let _ = sys!(SYS_close, fd);
    }
}

fn control() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    let (reader, writer) = ends(&p);
    outcome("add", epoll.control(ADD, reader, IN, 1));
    outcome("add again", epoll.control(ADD, reader, IN, 1));
    outcome("modify", epoll.control(MOD, reader, IN, 2));
    outcome("modify another", epoll.control(MOD, writer, IN, 2));
    outcome("remove another", epoll.control(DEL, writer, IN, 2));
    outcome("remove", epoll.control(DEL, reader, IN, 2));
    outcome("remove again", epoll.control(DEL, reader, IN, 2));
    outcome("remove without an event", epoll.control(ADD, reader, IN, 1));
    outcome("is", sys!(SYS_epoll_ctl, epoll.fd(), DEL, reader, 0));
    outcome("unknown operation", epoll.control(7, reader, IN, 1));
    outcome("add without an event", sys!(SYS_epoll_ctl, epoll.fd(), ADD, reader, 0));
    outcome("add with a bad event", sys!(SYS_epoll_ctl, epoll.fd(), ADD, reader, KERNEL));
    outcome("add closed", epoll.control(ADD, 99, IN, 1));
    outcome("add negative", epoll.control(ADD, -1, IN, 1));
    outcome("add itself", epoll.control(ADD, epoll.fd(), IN, 1));
    let mut event = libc::epoll_event { events: IN, u64: 1 };
    outcome("to a closed instance", sys!(SYS_epoll_ctl, 99, ADD, reader, &raw mut event));
    outcome("to no instance", sys!(SYS_epoll_ctl, writer, ADD, reader, &raw mut event));
    for name in [c"/etc/passwd", c"/", c"/dev/null", c"/dev/zero"] {
        let file = sys!(SYS_open, name.as_ptr(), 0).expect("a file") as i32;
        outcome(&format!("add {}", name.to_string_lossy()), epoll.control(ADD, file, IN, 1));
        outcome("modify", epoll.control(MOD, file, IN, 1));
        outcome("remove", epoll.control(DEL, file, IN, 1));
        let _ = sys!(SYS_close, file);
    }
    let place = sys!(SYS_open, c"/etc/passwd".as_ptr(), libc::O_PATH).expect("a place") as i32;
    outcome("add a place", epoll.control(ADD, place, IN, 1));
    let mut one = libc::epoll_event { events: 0, u64: 0 };
    let buffer = &raw mut one;
    outcome("wait for 0", sys!(SYS_epoll_wait, epoll.fd(), buffer, 0, 0));
    outcome("wait for -1", sys!(SYS_epoll_wait, epoll.fd(), buffer, -1, 0));
    outcome("wait for too many", sys!(SYS_epoll_wait, epoll.fd(), buffer, i32::MAX / 12 + 1, 0));
    outcome("wait in the kernel", sys!(SYS_epoll_wait, epoll.fd(), KERNEL, 1, 0));
    outcome("wait in a bad place, nothing there", sys!(SYS_epoll_wait, epoll.fd(), BAD, 1, 0));
    outcome("wait on a closed one", sys!(SYS_epoll_wait, 99, buffer, 1, 0));
    outcome("wait on none", sys!(SYS_epoll_wait, reader, buffer, 1, 0));
    outcome("pwait bad mask size", sys!(SYS_epoll_pwait, epoll.fd(), buffer, 1, 0, &raw const event, 4));
    outcome("pwait bad mask", sys!(SYS_epoll_pwait, epoll.fd(), buffer, 1, 0, BAD, 8));
    let times = [[0_i64, 0], [-1, 0], [0, 1_000_000_000], [0, 1000]];
    for time in times {
        let result = sys!(SYS_epoll_pwait2, epoll.fd(), buffer, 1, time.as_ptr(), 0, 8);
        outcome(&format!("pwait2 {time:?}"), result);
    }
    outcome("pwait2 bad time", sys!(SYS_epoll_pwait2, epoll.fd(), buffer, 1, BAD, 0, 8));
}

fn levels() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    let (reader, writer) = ends(&p);
    epoll.show("no interests", 0);
    epoll.add(reader, ALL, 1);
    epoll.add(writer, ALL, 2);
    epoll.show("empty", 0);
    let _ = write(&p.writer, b"xy");
    epoll.show("filled", 0);
    epoll.show("still", 0);
    let _ = read(&p.reader, &mut [0]);
    epoll.show("one left", 0);
    drain(&p);
    epoll.show("drained", 0);
    let _ = epoll.control(MOD, writer, IN, 3);
    epoll.show("nothing that is asked for", 0);
    let _ = epoll.control(MOD, writer, OUT | libc::EPOLLWRNORM as u32, 4);
    epoll.show("with another name", 0);
    let _ = epoll.control(MOD, writer, 0, 5);
    epoll.show("nothing asked for", 0);
    let Pipe { reader: last, writer } = p;
    drop(last);
    epoll.show("reader gone", 0);
    drop(writer);
    epoll.show("writer gone, too", 0);
    let p = pipe().expect("a pipe");
    epoll.add(p.reader.as_raw_fd(), 0, 6);
    let _ = write(&p.writer, b"x");
    epoll.show("data, not asked for", 0);
    drop(p.writer);
    epoll.show("hang-up, not asked for", 0);
}

fn edges() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    let (reader, writer) = ends(&p);
    let _ = write(&p.writer, b"x");
    epoll.add(reader, IN | ET, 1);
    epoll.show("ready when added", 0);
    epoll.show("not again", 0);
    let _ = write(&p.writer, b"x");
    epoll.show("more", 0);
    let _ = (write(&p.writer, b"x"), write(&p.writer, b"x"));
    epoll.show("twice more", 0);
    epoll.show("told once", 0);
    let _ = read(&p.reader, &mut [0]);
    epoll.show("some left is no news", 0);
    let _ = epoll.control(MOD, reader, IN | ET, 2);
    epoll.show("modified", 0);
    let _ = write(&p.writer, b"x");
    drain(&p);
    epoll.show("written, and read before anybody looked", 0);
    epoll.add(writer, OUT | ET, 3);
    epoll.show("room", 0);
    let _ = write(&p.writer, b"x");
    drain(&p);
    epoll.show("a read where there was room", 0);
    let _ = sys!(SYS_fcntl, writer, libc::F_SETFL, libc::O_NONBLOCK);
    while write(&p.writer, &[0; 4096]).is_ok() {}
    epoll.show("full", 0);
    let mut page = [0; 4096];
    let _ = read(&p.reader, &mut page);
    epoll.show("a page read", 0);
    let _ = read(&p.reader, &mut page);
    epoll.show("another", 0);
    drop(p.reader);
    epoll.show("reader gone", 0);
    epoll.show("told once", 0);
}

fn once() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    let reader = p.reader.as_raw_fd();
    epoll.add(reader, IN | ONCE, 1);
    let _ = write(&p.writer, b"x");
    epoll.show("once", 0);
    epoll.show("not again", 0);
    let _ = write(&p.writer, b"x");
    epoll.show("nor for more", 0);
    outcome("add is no way to go on", epoll.control(ADD, reader, IN, 1));
    let _ = epoll.control(MOD, reader, IN | ONCE, 2);
    epoll.show("set anew", 0);
    let Pipe { reader: _reader, writer } = p;
    drop(writer);
    epoll.show("not even a hang-up", 0);
    let _ = epoll.control(MOD, reader, IN | ET | ONCE, 3);
    epoll.show("set anew by edge", 0);
    epoll.show("and that was it", 0);
}

fn order() {
    let epoll = Epoll::new();
    let pipes: Vec<_> = (0..8).map(|_| pipe().expect("a pipe")).collect();
    for (index, pipe) in pipes.iter().enumerate() {
        epoll.add(pipe.reader.as_raw_fd(), IN, index as u64);
    }
    for index in [5, 2, 7, 0] {
        let _ = write(&pipes[index].writer, b"x");
    }
    epoll.show("as they came", 0);
    epoll.show_most("two of four", 2, 0);
    epoll.show_most("the other two", 2, 0);
    epoll.show_most("the first again", 1, 0);
    let _ = write(&pipes[1].writer, b"x");
    epoll.show("all with a fifth", 0);
    drain(&pipes[2]);
    epoll.show("without one", 0);
    let _ = epoll.control(DEL, pipes[7].reader.as_raw_fd(), 0, 0);
    epoll.show("without another", 0);
    pipes.iter().for_each(drain);
    epoll.show("none", 0);
}

fn waits() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    epoll.add(p.reader.as_raw_fd(), IN, 1);
    let start = now();
    epoll.show("50 ms", 50);
    show("took at least that", now() - start >= 50_000_000);
    let mut one = libc::epoll_event { events: 0, u64: 0 };
    let time = [0_i64, 30_000_000];
    let start = now();
    value("pwait2 30 ms", sys!(SYS_epoll_pwait2, epoll.fd(), &raw mut one, 1, time.as_ptr(), 0, 8));
    show("took at least that", now() - start >= 30_000_000);
    let child = later(libc::SYS_epoll_wait, || drop(write(&p.writer, b"x")));
    epoll.show("wakes on data", -1);
    let _ = (child.wait(), drain(&p));
    let child = later(libc::SYS_epoll_wait, || drop(write(&p.writer, b"x")));
    epoll.show("wakes in time", 60_000);
    let _ = (child.wait(), drain(&p));
    let q = pipe().expect("a pipe");
    let child = later(libc::SYS_epoll_wait, || {
        let _ = epoll.control(ADD, q.writer.as_raw_fd(), OUT, 2);
    });
    epoll.show("wakes on a new interest", 60_000);
    let _ = (child.wait(), epoll.control(DEL, q.writer.as_raw_fd(), 0, 0));
    let _ = epoll.control(ADD, q.writer.as_raw_fd(), 0, 3);
    let child = later(libc::SYS_epoll_wait, || {
        let _ = epoll.control(MOD, q.writer.as_raw_fd(), OUT, 4);
    });
    epoll.show("wakes on a changed interest", 60_000);
    let _ = (child.wait(), epoll.control(DEL, q.writer.as_raw_fd(), 0, 0));
    let mut entry = libc::pollfd { fd: epoll.fd(), events: libc::POLLIN, revents: 0 };
    value("poll on it, nothing", sys!(SYS_poll, &raw mut entry, 1, 0));
    let child = later(libc::SYS_poll, || drop(write(&p.writer, b"x")));
    value("poll on it wakes", sys!(SYS_poll, &raw mut entry, 1, 60_000));
    show("with", entry.revents);
    let _ = child.wait();
    value("and again", sys!(SYS_poll, &raw mut entry, 1, 0));
    drain(&p);
    value("and not when drained", sys!(SYS_poll, &raw mut entry, 1, 0));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            child_in_call(libc::SYS_epoll_wait, || {
                epoll.wait(4, 60_000).map_or(99, |events| events.len() as i32)
            })
        })
        .collect();
    let _ = write(&p.writer, b"x");
    for waiter in waiters {
        value("as long as it is ready, each is told", waiter.wait().map(crate::check::describe));
    }
    drain(&p);
    let _ = epoll.control(MOD, p.reader.as_raw_fd(), IN | ET, 1);
    show("of an edge, one is told", told(&p, || epoll.wait(4, -1)));
}

/// What becomes of interests when descriptors and files go.
fn closing() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    let reader = p.reader.as_raw_fd();
    let _ = write(&p.writer, b"x");
    epoll.add(reader, IN, 1);
    let copy = sys!(SYS_dup, reader).expect("a copy") as i32;
    outcome("the same file by another descriptor", epoll.control(ADD, copy, IN, 2));
    epoll.show("both", 0);
    let _ = sys!(SYS_close, copy);
    epoll.show("one descriptor closed, the file not", 0);
    outcome("remove by the closed one", epoll.control(DEL, copy, IN, 2));
    let other = pipe().expect("a pipe");
    let _ = sys!(SYS_dup2, other.reader.as_raw_fd(), copy);
    outcome("another file by that number", epoll.control(ADD, copy, IN, 3));
    let _ = write(&other.writer, b"x");
    epoll.show("all three", 0);
    let _ = sys!(SYS_close, copy);
    drop(p.reader);
    epoll.show("the first file closed", 0);
    drop(other.reader);
    epoll.show("and the other", 0);
    // A child keeps a file open.
    let p = pipe().expect("a pipe");
    let _ = write(&p.writer, b"x");
    epoll.add(p.reader.as_raw_fd(), IN, 4);
    let until = pipe().expect("a pipe");
    let child = fork(|| {
        let _ = read(&until.reader, &mut [0]);
        0
    })
    .expect("fork");
    drop(p.reader);
    epoll.show("open in a child", 0);
    let _ = (write(&until.writer, b"x"), child.wait());
    epoll.show("child gone", 0);
    // An instance that goes before its files.
    let p = pipe().expect("a pipe");
    for round in 0..3 {
        let short = Epoll::new();
        short.add(p.reader.as_raw_fd(), IN, round);
        let _ = write(&p.writer, b"x");
        short.show("short-lived", 0);
    }
}

fn nesting() {
    let (outer, inner, p) = (Epoll::new(), Epoll::new(), pipe().expect("a pipe"));
    let reader = p.reader.as_raw_fd();
    inner.add(reader, IN, 1);
    outer.add(inner.fd(), IN, 2);
    outer.show("nothing inside", 0);
    let _ = write(&p.writer, b"x");
    outer.show("something inside", 0);
    outer.show("still", 0);
    inner.show("inside", 0);
    drain(&p);
    outer.show("drained", 0);
    let child = later(libc::SYS_epoll_wait, || drop(write(&p.writer, b"x")));
    outer.show("wakes through both", 60_000);
    let _ = (child.wait(), drain(&p));
    let _ = outer.control(MOD, inner.fd(), IN | ET, 3);
    outer.show("by edge, nothing", 0);
    let _ = write(&p.writer, b"x");
    outer.show("by edge", 0);
    outer.show("told once", 0);
    let _ = write(&p.writer, b"x");
    outer.show("more inside", 0);
    inner.show("inside", 0);
    outer.show("looked at inside", 0);
    outcome("a circle of two", inner.control(ADD, outer.fd(), IN, 1));
    let third = Epoll::new();
    outer.add(third.fd(), IN, 4);
    outcome("twice the same", outer.control(ADD, third.fd(), IN, 4));
    third.add(inner.fd(), IN, 5);
    outer.show("by two ways", 0);
    outcome("a circle of three", inner.control(ADD, outer.fd(), IN, 1));
    drop(third);
    outer.show("one way closed", 0);
    // Deeper and deeper, from below and from above.
    let chain: Vec<_> = (0..8).map(|_| Epoll::new()).collect();
    for level in 1..8 {
        let result = chain[level].control(ADD, chain[level - 1].fd(), IN, level as u64);
        outcome(&format!("from below, {level} above the lowest"), result);
    }
    let chain: Vec<_> = (0..8).map(|_| Epoll::new()).collect();
    for level in 1..8 {
        let result = chain[level - 1].control(ADD, chain[level].fd(), IN, level as u64);
        outcome(&format!("from above, {level} below the highest"), result);
    }
    // One that is watched by many.
    let lowest = Epoll::new();
    let many: Vec<_> = (0..20).map(|_| Epoll::new()).collect();
    many.iter().for_each(|epoll| epoll.add(lowest.fd(), IN, 1));
    let p = pipe().expect("a pipe");
    lowest.add(p.reader.as_raw_fd(), IN, 1);
    let _ = write(&p.writer, b"x");
    let told = many.iter().filter(|epoll| epoll.wait(1, 0).is_ok_and(|events| events.len() == 1)).count();
    show("watched by twenty", told);
}

fn exclusive() {
    let p = pipe().expect("a pipe");
    let reader = p.reader.as_raw_fd();
    let (epoll, inner) = (Epoll::new(), Epoll::new());
    outcome("exclusive", epoll.control(ADD, reader, IN | EXCLUSIVE, 1));
    outcome("modify it", epoll.control(MOD, reader, IN, 1));
    outcome("modify to exclusive", epoll.control(MOD, reader, IN | EXCLUSIVE, 1));
    let _ = write(&p.writer, b"x");
    epoll.show("exclusive", 0);
    outcome("remove it", epoll.control(DEL, reader, 0, 0));
    outcome("with more events", epoll.control(ADD, reader, ALL | EXCLUSIVE, 1));
    outcome("once", epoll.control(ADD, reader, IN | ONCE | EXCLUSIVE, 1));
    outcome("by edge", epoll.control(ADD, reader, IN | ET | EXCLUSIVE, 1));
    outcome("another instance", epoll.control(ADD, inner.fd(), IN | EXCLUSIVE, 1));
    drain(&p);
    // Each of several waits on its own instance; of those that are exclusive, one wakes.
    for (what, events) in [("exclusive", IN | ET | EXCLUSIVE), ("not exclusive", IN | ET)] {
        let wait = || {
            let own = Epoll::new();
            own.add(reader, events, 1);
            own.wait(4, -1)
        };
        show(&format!("{what}, told"), told(&p, wait));
        drain(&p);
    }
}

/// Answers that have no page to go to, or only to a part.
fn answers() {
    let epoll = Epoll::new();
    let pipes: Vec<_> = (0..3).map(|_| pipe().expect("a pipe")).collect();
    for (index, pipe) in pipes.iter().enumerate() {
        epoll.add(pipe.reader.as_raw_fd(), IN | ET, index as u64);
        let _ = write(&pipe.writer, b"x");
    }
    outcome("a bad place", sys!(SYS_epoll_wait, epoll.fd(), BAD, 4, 0));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let both = sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    let _ = sys!(SYS_munmap, both + 4096, 4096);
    value("room for one", sys!(SYS_epoll_wait, epoll.fd(), both + 4096 - 12, 4, 0));
    // The second lies across the end.
    value("and half a one", sys!(SYS_epoll_wait, epoll.fd(), both + 4096 - 18, 4, 0));
    epoll.show("nothing is lost", 0);
    let _ = write(&pipes[0].writer, b"x");
    let fresh = sys!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    value("memory never touched", sys!(SYS_epoll_wait, epoll.fd(), fresh, 4, 0));
    let child = later(libc::SYS_epoll_wait, || drop(write(&pipes[1].writer, b"x")));
    let fresh = sys!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    value("the same after a wait", sys!(SYS_epoll_wait, epoll.fd(), fresh, 4, 60_000));
    let _ = child.wait();
    let child = later(libc::SYS_epoll_wait, || drop(write(&pipes[1].writer, b"x")));
    outcome("a bad place after a wait", sys!(SYS_epoll_wait, epoll.fd(), BAD, 4, 60_000));
    let _ = child.wait();
    epoll.show("nothing is lost", 0);
}

/// Signals that a call lets in.
fn masks() {
    extern "C" fn handler(_: i32) {}
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    epoll.add(p.reader.as_raw_fd(), IN, 1);
    let set = 1_u64 << (libc::SIGUSR1 - 1);
    let none = 0_u64;
    // SAFETY: plain old data.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does nothing.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    let child = later(libc::SYS_epoll_wait, || drop(sys!(SYS_kill, own, libc::SIGUSR1)));
    epoll.show("a signal, even with SA_RESTART", 60_000);
    let _ = child.wait();
    outcome("block", sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8));
    let _ = sys!(SYS_kill, own, libc::SIGUSR1);
    epoll.show("blocked", 10);
    let mut one = libc::epoll_event { events: 0, u64: 0 };
    let buffer = &raw mut one;
    let pwait = |time: i32| sys!(SYS_epoll_pwait, epoll.fd(), buffer, 1, time, &raw const none, 8);
    let _ = write(&p.writer, b"x");
    value("let in, but something is ready", pwait(5000));
    drain(&p);
    value("let in", pwait(5000));
    value("that was all", pwait(10));
    let pending = || {
        let mut pending = 0_u64;
        let _ = sys!(SYS_rt_sigpending, &raw mut pending, 8);
        show("pending", pending);
    };
    let _ = sys!(SYS_kill, own, libc::SIGUSR1);
    pending();
    let time = [0_i64, 50_000_000];
    let result = sys!(SYS_epoll_pwait2, epoll.fd(), buffer, 1, time.as_ptr(), &raw const none, 8);
    value("pwait2 lets in", result);
    pending();
    outcome("unblock", sys!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &raw const set, 0, 8));
    // A stop and a continuation end a wait.
    let child = child_in_call(libc::SYS_epoll_wait, || match epoll.wait(1, 60_000) {
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => 4,
        Ok(events) => events.len() as i32,
        Err(_) => 9,
    });
    let _ = child.kill(libc::SIGSTOP);
    until(|| child.state() == 'T');
    let _ = child.kill(libc::SIGCONT);
    value("stopped and continued", child.wait().map(crate::check::describe));
}

/// An instance is shared after fork, with what is put into it by either.
fn inheritance() {
    let (epoll, p, looked) = (Epoll::new(), pipe().expect("a pipe"), pipe().expect("a pipe"));
    let child = fork(|| {
        let own = pipe().expect("a pipe");
        let _ = write(&own.writer, b"x");
        epoll.add(own.reader.as_raw_fd(), IN, 1);
        epoll.show("in the child", 0);
        let _ = write(&p.writer, b"x");
        let _ = epoll.wait(4, 3000);
        let _ = read(&looked.reader, &mut [0]);
        0
    })
    .expect("fork");
    let _ = read(&p.reader, &mut [0]);
    epoll.show("in the parent, of a file that it does not have", 1000);
    let _ = (write(&looked.writer, b"x"), child.wait());
    epoll.show("the file is gone with the child", 0);
    outcome("an instance over exec", {
        let kept = sys!(SYS_epoll_create1, 0).expect("an instance");
        let closed = sys!(SYS_epoll_create1, libc::EPOLL_CLOEXEC).expect("an instance");
        let script = format!("ls -l /proc/self/fd/{kept} /proc/self/fd/{closed} 2>/dev/null | wc -l");
        std::process::Command::new("sh").arg("-c").arg(script).status()
    });
}

/// What `/proc` tells of an instance.
fn details() {
    let (epoll, p) = (Epoll::new(), pipe().expect("a pipe"));
    epoll.add(p.reader.as_raw_fd(), IN | ET, 0x1234);
    epoll.add(p.writer.as_raw_fd(), OUT | ONCE, 7);
    let _ = epoll.wait(1, 0);
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.fd())).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().collect();
    // In the order of addresses in the kernel.
    lines.sort_unstable();
    for line in lines {
        // Which inode it is depends on the machine.
        let line = line.split(" ino:").next().unwrap_or_default();
        let number = |fd: &str| {
            fd.trim().parse().is_ok_and(|fd: i32| [p.reader.as_raw_fd(), p.writer.as_raw_fd()].contains(&fd))
        };
        match line.strip_prefix("tfd:") {
            Some(rest) => show("interest", format!("{} {}", number(&rest[..9]), &rest[9..])),
            None if line.starts_with("flags") => show("fdinfo", line),
            None => {}
        }
    }
}
