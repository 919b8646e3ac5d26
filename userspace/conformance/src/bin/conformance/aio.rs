//! Asynchronous transfers: io_setup(2) and its kin.

use crate::check::{BAD, aside, call, event_names, outcome, show, sys, value};
use std::io;

const READ: u16 = 0;
const WRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDATASYNC: u16 = 3;
const POLL: u16 = 5;
const NOTHING: u16 = 6;
const READ_VECTOR: u16 = 7;
const WRITE_VECTOR: u16 = 8;
/// `IOCB_FLAG_RESFD`.
const COUNTED: u32 = 1;

/// The number of `io_pgetevents`.
const PGETEVENTS: i64 = 333;

/// `struct iocb`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Request {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: u16,
    fd: i32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    counter: i32,
}

/// `struct io_event`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    second: i64,
}

fn setup(count: u32) -> io::Result<u64> {
    let mut context = 0_u64;
    sys!(SYS_io_setup, count, &raw mut context).map(|_| context)
}

fn submit(context: u64, requests: &[*const Request]) -> io::Result<i64> {
    sys!(SYS_io_submit, context, requests.len(), requests.as_ptr())
}

/// Submits one, and says with which outcome.
fn submit_one(what: &str, context: u64, request: &Request) {
    value(what, submit(context, &[request]));
}

/// Takes up to eight events, waiting for `least` of them for so long, and shows them by their requests' names: which of several
/// is done first is nobody's promise.
fn take(what: &str, context: u64, least: i64, milliseconds: i64) -> Vec<Event> {
    let mut events = [Event::default(); 8];
    let time = libc::timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let taken = sys!(SYS_io_getevents, context, least, 8, events.as_mut_ptr(), &raw const time);
    let count = *taken.as_ref().unwrap_or(&0) as usize;
    value(what, taken);
    events[..count].sort_by_key(|event| event.data);
    for event in &events[..count] {
        show("event", format!("{} {} {}", event.data, event.result, event.second));
    }
    events[..count].to_vec()
}

/// The same of polls. Linux tells of synonyms, too, if somebody had to wait.
fn take_polled(what: &str, context: u64, least: i64, milliseconds: i64) {
    let mut events = [Event::default(); 8];
    let time = libc::timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let taken = sys!(SYS_io_getevents, context, least, 8, events.as_mut_ptr(), &raw const time);
    let count = *taken.as_ref().unwrap_or(&0) as usize;
    value(what, taken);
    for event in &events[..count] {
        let known = i64::from(libc::POLLIN | libc::POLLPRI | libc::POLLOUT | libc::POLLERR | libc::POLLHUP);
        show("event", format!("{} {}", event.data, event_names((event.result & known) as i16)));
    }
}

fn file() -> i32 {
    let path = c"/tmp/aio";
    let fd =
        sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600);
    let _ = sys!(SYS_unlink, path.as_ptr());
    fd.expect("a file") as i32
}

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    sys!(SYS_pipe2, ends.as_mut_ptr(), 0).expect("a pipe");
    ends
}

/// A number in a file of `/proc/sys/fs`.
fn setting(name: &str) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/sys/fs/{name}")).unwrap_or_default();
    text.trim().parse().unwrap_or(-1)
}

pub fn run() {
    contexts();
    transfers();
    refusals();
    polls();
    counters();
    taking();
    interruptions();
    children();
    ends();
}

fn contexts() {
    outcome("no requests", setup(0));
    outcome("very many requests", setup(u32::MAX));
    outcome("too many requests", setup(70_000));
    outcome("as many as have a number", setup(0x40_0000));
    outcome("one more", setup(0x40_0001));
    outcome("bad place", sys!(SYS_io_setup, 1, BAD));
    let mut taken = 1_u64;
    outcome("not empty", sys!(SYS_io_setup, 1, &raw mut taken));
    let before = setting("aio-nr");
    let context = setup(5).expect("a context");
    show("counted", setting("aio-nr") - before);
    show("at most", setting("aio-max-nr"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.contains("aio")) {
        show("mapped", line.split_whitespace().nth(1).unwrap_or("nothing"));
        show("name", &line[line.find('/').unwrap_or(0)..]);
    }
    outcome("destroy", sys!(SYS_io_destroy, context));
    show("counted", setting("aio-nr") - before);
    outcome("destroy again", sys!(SYS_io_destroy, context));
    outcome("destroy nothing", sys!(SYS_io_destroy, 0));
}

fn transfers() {
    let context = setup(8).expect("a context");
    let fd = file();
    let text = b"what is written";
    let mut write =
        Request { data: 1, opcode: WRITE, fd, buffer: text.as_ptr() as u64, ..Request::default() };
    (write.bytes, write.key) = (text.len() as u64, 77);
    submit_one("write", context, &write);
    // SAFETY: the kernel has written there.
    show("key", unsafe { (&raw const write.key).read_volatile() });
    let events = take("written", context, 1, 1000);
    show("of it", events.first().is_some_and(|event| event.object == &raw const write as u64));
    let sync = Request { data: 2, opcode: FSYNC, fd, ..Request::default() };
    let sync_data = Request { data: 3, opcode: FDATASYNC, ..sync };
    value("sync both", submit(context, &[&sync, &sync_data]));
    take("synced", context, 2, 1000);

    let mut room = [0_u8; 32];
    let mut read =
        Request { data: 4, opcode: READ, fd, buffer: room.as_mut_ptr() as u64, ..Request::default() };
    (read.bytes, read.offset) = (32, 5);
    submit_one("read", context, &read);
    take("was read", context, 1, 1000);
    show("read", String::from_utf8_lossy(&room[..10]));
    read.offset = 100;
    submit_one("read behind the end", context, &read);
    take("was read", context, 1, 1000);
    (read.offset, read.buffer) = (0, BAD as u64);
    submit_one("read to nowhere", context, &read);
    take("was read", context, 1, 1000);
    read.bytes = 0;
    submit_one("read nothing", context, &read);
    take("was read", context, 1, 1000);

    let (mut first, mut second) = ([0_u8; 4], [0_u8; 6]);
    let pieces = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: 6 },
    ];
    let vector =
        Request { data: 5, opcode: READ_VECTOR, fd, buffer: pieces.as_ptr() as u64, ..Request::default() };
    let mut vector = Request { bytes: 2, ..vector };
    submit_one("read pieces", context, &vector);
    take("was read", context, 1, 1000);
    show("pieces", format!("{} {}", String::from_utf8_lossy(&first), String::from_utf8_lossy(&second)));
    (vector.opcode, vector.offset) = (WRITE_VECTOR, 20);
    submit_one("write pieces", context, &vector);
    take("was written", context, 1, 1000);
    value("offset is the file's", sys!(SYS_lseek, fd, 0, libc::SEEK_CUR));
    value("size", sys!(SYS_lseek, fd, 0, libc::SEEK_END));
    vector.rw_flags = 1 << 30;
    submit_one("strange flags", context, &vector);
    vector.rw_flags = 0;
    vector.bytes = 5000;
    submit_one("too many pieces", context, &vector);
    vector.bytes = 2;
    vector.buffer = BAD as u64;
    submit_one("pieces from nowhere", context, &vector);
    let _ = sys!(SYS_io_destroy, context);
    let _ = sys!(SYS_close, fd);
}

fn refusals() {
    let context = setup(8).expect("a context");
    let fd = file();
    let mut room = [0_u8; 8];
    let good = Request { fd, buffer: room.as_mut_ptr() as u64, bytes: 8, ..Request::default() };
    submit_one("closed", context, &Request { fd: 999, ..good });
    submit_one("unknown operation", context, &Request { opcode: 99, ..good });
    submit_one("no operation", context, &Request { opcode: NOTHING, ..good });
    submit_one("reserved", context, &Request { reserved: 1, ..good });
    submit_one("negative length", context, &Request { bytes: u64::MAX, ..good });
    submit_one("negative offset", context, &Request { offset: -1, ..good });
    submit_one("sync with a length", context, &Request { opcode: FSYNC, ..good });
    submit_one("counter is none", context, &Request { flags: COUNTED, counter: fd, ..good });
    submit_one("counter is closed", context, &Request { flags: COUNTED, counter: 999, ..good });
    submit_one("poll a file", context, &Request { opcode: POLL, fd, ..Request::default() });
    let directory =
        sys!(SYS_openat, libc::AT_FDCWD, c"/tmp".as_ptr(), libc::O_RDONLY).expect("a directory") as i32;
    submit_one("read a directory", context, &Request { fd: directory, ..good });
    submit_one("write a directory", context, &Request { fd: directory, opcode: WRITE, ..good });
    let ends = pipe();
    submit_one("read the wrong end", context, &Request { fd: ends[1], ..good });
    submit_one("write the wrong end", context, &Request { fd: ends[0], opcode: WRITE, ..good });
    submit_one("sync a pipe", context, &Request { fd: ends[0], opcode: FSYNC, ..Request::default() });
    let poll = Request { fd: ends[0], opcode: POLL, buffer: 1, ..Request::default() };
    submit_one("poll for too much", context, &Request { buffer: 0x1_0001, ..poll });
    submit_one("poll with a length", context, &Request { bytes: 1, ..poll });

    value("none", sys!(SYS_io_submit, context, 0, 0));
    value("fewer than none", sys!(SYS_io_submit, context, -1, 0));
    value("list is nowhere", sys!(SYS_io_submit, context, 1, BAD));
    value("request is nowhere", submit(context, &[BAD as *const Request]));
    value("no context", submit(0, &[&good]));
    let local = 0_u64;
    value("no context either", submit(&raw const local as u64, &[&good]));
    let bad = Request { fd: 999, ..good };
    value("the second is bad", submit(context, &[&good, &bad, &good]));
    take("the first", context, 1, 1000);
    take("no more", context, 0, 0);
    let _ = sys!(SYS_io_destroy, context);
    for fd in [fd, directory, ends[0], ends[1]] {
        let _ = sys!(SYS_close, fd);
    }
}

fn polls() {
    let context = setup(8).expect("a context");
    let ends = pipe();
    let poll =
        Request { data: 1, fd: ends[0], opcode: POLL, buffer: libc::POLLIN as u64, ..Request::default() };
    submit_one("poll", context, &poll);
    take_polled("nothing yet", context, 0, 0);
    take_polled("nothing for a while", context, 1, 20);
    value("write", sys!(SYS_write, ends[1], c"x".as_ptr(), 1));
    take_polled("ready", context, 1, 1000);
    submit_one("poll what is ready", context, &poll);
    take_polled("ready", context, 1, 1000);
    let mut byte = 0_u8;
    value("read", sys!(SYS_read, ends[0], &raw mut byte, 1));
    submit_one("poll", context, &poll);
    let mut unused = Event::default();
    let cancel = |what: &str, request: *const Request, unused: &mut Event| {
        outcome(what, sys!(SYS_io_cancel, context, request, &raw mut *unused));
    };
    cancel("cancel another", &Request { data: 2, ..poll }, &mut unused);
    cancel("cancel with a key", &Request { key: 1, ..poll }, &mut unused);
    cancel("cancel nowhere", BAD as *const Request, &mut unused);
    cancel("cancel", &poll, &mut unused);
    take_polled("cancelled", context, 1, 1000);
    cancel("cancel again", &poll, &mut unused);
    submit_one("poll for the end", context, &poll);
    let _ = sys!(SYS_close, ends[1]);
    take_polled("hung up", context, 1, 1000);
    let _ = sys!(SYS_io_destroy, context);
    let _ = sys!(SYS_close, ends[0]);
}

fn counters() {
    let context = setup(8).expect("a context");
    let fd = file();
    let counter = sys!(SYS_eventfd2, 0, libc::EFD_NONBLOCK).expect("an eventfd") as i32;
    let write = Request { opcode: WRITE, fd, buffer: c"abc".as_ptr() as u64, bytes: 3, ..Request::default() };
    let write = Request { flags: COUNTED, counter, ..write };
    value("write twice", submit(context, &[&write, &write]));
    take("written", context, 2, 1000);
    let mut number = 0_u64;
    value("counter", sys!(SYS_read, counter, &raw mut number, 8).map(|_| number));
    let _ = sys!(SYS_io_destroy, context);
    let _ = sys!(SYS_close, fd);
    let _ = sys!(SYS_close, counter);
}

fn taking() {
    let context = setup(8).expect("a context");
    let fd = file();
    let write = Request { opcode: WRITE, fd, buffer: c"abc".as_ptr() as u64, bytes: 3, ..Request::default() };
    let requests: Vec<Request> = (1..=4).map(|data| Request { data, ..write }).collect();
    let list: Vec<*const Request> = requests.iter().map(|request| &raw const *request).collect();
    value("write four times", submit(context, &list));
    let mut events = [Event::default(); 4];
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut get = |least: i64, most: i64| {
        sys!(SYS_io_getevents, context, least, most, events.as_mut_ptr(), &raw const none)
    };
    value("more than room for", get(2, 1));
    value("fewer than none", get(-1, 1));
    value("none", get(0, 0));
    value("one", get(1, 1));
    value("two of them", get(2, 2));
    outcome("to nowhere", sys!(SYS_io_getevents, context, 1, 1, BAD, &raw const none));
    outcome("time is nowhere", sys!(SYS_io_getevents, context, 1, 1, events.as_mut_ptr(), BAD));
    outcome("no context", sys!(SYS_io_getevents, 0, 1, 1, events.as_mut_ptr(), &raw const none));
    take("what is left", context, 1, 1000);
    take("nothing", context, 1, 10);
    let _ = sys!(SYS_io_destroy, context);
    let _ = sys!(SYS_close, fd);
}

extern "C" fn nothing(_: i32) {}

fn interruptions() {
    let context = setup(8).expect("a context");
    // SAFETY: all zeros are a sigaction: the default one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does nothing.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    let alarm = |milliseconds: i64| {
        let soon = libc::timeval { tv_sec: 0, tv_usec: milliseconds * 1000 };
        let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
        let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, &raw const once, 0);
    };
    let mut events = [Event::default(); 1];
    alarm(30);
    outcome("interrupted", sys!(SYS_io_getevents, context, 1, 1, events.as_mut_ptr(), 0));
    let blocked = 1_u64 << (libc::SIGALRM - 1);
    let argument = [&raw const blocked as u64, 8];
    let time = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let masked = |least: i64, events: &mut [Event; 1], argument: *const u64| {
        let words =
            [context, least as u64, 1, events.as_mut_ptr() as u64, &raw const time as u64, argument as u64];
        call(PGETEVENTS, &words.map(|word| word as usize))
    };
    alarm(30);
    outcome("not interrupted", masked(1, &mut events, argument.as_ptr()));
    let wrong = [&raw const blocked as u64, 4];
    outcome("a mask of another size", masked(1, &mut events, wrong.as_ptr()));
    outcome("no mask", masked(0, &mut events, std::ptr::null()));
    let _ = sys!(SYS_io_destroy, context);
}

/// A child has a copy of the memory, but none of the contexts.
fn children() {
    let context = setup(8).expect("a context");
    let fd = file();
    let write = Request { opcode: WRITE, fd, buffer: c"abc".as_ptr() as u64, bytes: 3, ..Request::default() };
    aside("child", || {
        submit_one("in the child", context, &write);
        outcome("destroy in the child", sys!(SYS_io_destroy, context));
    });
    submit_one("in the parent", context, &write);
    take("written", context, 1, 1000);
    let _ = sys!(SYS_io_destroy, context);
}

/// A context ends with requests that wait.
fn ends() {
    let context = setup(8).expect("a context");
    let ends = pipe();
    let poll = Request { fd: ends[0], opcode: POLL, buffer: libc::POLLIN as u64, ..Request::default() };
    value("poll twice", submit(context, &[&poll, &poll]));
    outcome("destroy", sys!(SYS_io_destroy, context));
    submit_one("too late", context, &poll);
    aside("child", || {
        let context = setup(8).expect("a context");
        submit_one("poll", context, &poll);
    });
}
