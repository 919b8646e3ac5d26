//! Requests to other rings, attributes of files, and what restricts a ring or cancels from outside.

use super::{file, one, read_end, ring, submit, told};
use crate::check::{BAD, outcome, path, show, sys, value};
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, Parameters, Ring, names::*};

pub fn run() {
    messages();
    files_sent();
    attributes();
    cancelled();
    places();
    restricted();
    own_numbers();
}

/// A message to another ring: a completion there.
fn messages() {
    let mut ring = ring();
    let mut other = super::ring();
    let to = |fd: i32| Entry { fd, off: 77, len: 12, ..Entry::new(MSG_RING, 1) };
    let there = to(other.as_raw_fd());
    one(&mut ring, "sent", there);
    told(&mut other, "received");
    let own = to(ring.as_raw_fd());
    submit(&mut ring, "to itself", &[own], 2);
    one(&mut ring, "to no file", to(777));
    one(&mut ring, "to another file", to(0));
    one(&mut ring, "a buffer", Entry { buf_index: 1, ..there });
    one(&mut ring, "a priority", Entry { ioprio: 1, ..there });
    one(&mut ring, "a flag", Entry { op_flags: 1, ..there });
    one(&mut ring, "a strange flag", Entry { op_flags: 4, ..there });
    one(&mut ring, "a strange kind", Entry { addr: 9, ..there });
    one(&mut ring, "a place", Entry { file_index: 1, ..there });
    one(&mut ring, "less than nothing", Entry { len: -5_i32 as u32, ..there });
    told(&mut other, "received");
    let parameters = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
    let asleep = Ring::with(4, parameters).expect("a ring");
    one(&mut ring, "to one that takes nothing", to(asleep.as_raw_fd()));
    // More than there is room for.
    let small = Ring::new(1).expect("a ring");
    for _ in 0..4 {
        one(&mut ring, "to a small one", to(small.as_raw_fd()));
    }
}

/// A registered file, to a place of another ring.
fn files_sent() {
    let mut ring = ring();
    let mut other = super::ring();
    let buffer = [0_u8; 4];
    let file = file("/tmp/ring", b"0123456789");
    // SAFETY: the arguments are live.
    unsafe {
        outcome("register", ring.register(2, [file.as_raw_fd(), -1].as_ptr(), 2));
        outcome("register there", other.register(2, [-1, -1, -1].as_ptr(), 3));
    }
    let send = |from: u64, to: i32| Entry {
        fd: other.as_raw_fd(),
        off: 77,
        len: 12,
        addr: 1,
        addr3: from,
        file_index: to,
        ..Entry::new(MSG_RING, 1)
    };
    let [second, lowest] = [send(0, 2), send(0, -1)];
    one(&mut ring, "sent", second);
    one(&mut ring, "to the lowest place", lowest);
    one(&mut ring, "and the next", lowest);
    one(&mut ring, "and none", lowest);
    let [empty, none, nowhere] = [send(1, 1), send(9, 1), send(0, 9)];
    one(&mut ring, "no file there", empty);
    one(&mut ring, "no such place", none);
    one(&mut ring, "to no place", nowhere);
    one(&mut ring, "quietly", Entry { op_flags: 1, ..send(0, 1) });
    one(&mut ring, "strangely", Entry { op_flags: 2, ..send(0, 1) });
    let own = Entry { fd: ring.as_raw_fd(), ..send(0, 1) };
    one(&mut ring, "to itself", own);
    told(&mut other, "received");
    one(&mut other, "read there", Entry::transfer(READ, 1, 1, &buffer, 3).flags(FIXED_FILE));
    show("bytes", String::from_utf8_lossy(&buffer));
}

/// Extended attributes, by path and by descriptor.
fn attributes() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"");
    let (name, place, nowhere) = (path("trusted.colour"), path("/tmp/ring"), path("/tmp/ring/nothing"));
    let mut room = [0_u8; 16];
    let entry = |opcode, value: *const u8, len: usize| Entry {
        fd: file.as_raw_fd(),
        addr: name.as_ptr() as u64,
        off: value as u64,
        len: len as u32,
        addr3: if opcode == SETXATTR || opcode == GETXATTR { place.as_ptr() as u64 } else { 0 },
        ..Entry::new(opcode, 1)
    };
    let get = |opcode, room: &mut [u8]| entry(opcode, room.as_mut_ptr(), room.len());
    one(&mut ring, "none yet", get(FGETXATTR, &mut room));
    one(&mut ring, "set", entry(FSETXATTR, b"red".as_ptr(), 3));
    one(&mut ring, "only if there is none", Entry { op_flags: 1, ..entry(FSETXATTR, b"blue".as_ptr(), 4) });
    one(&mut ring, "only if there is one", Entry { op_flags: 2, ..entry(SETXATTR, b"green".as_ptr(), 5) });
    one(&mut ring, "strangely", Entry { op_flags: 8, ..entry(SETXATTR, b"green".as_ptr(), 5) });
    let by_path = get(GETXATTR, &mut room);
    one(&mut ring, "got", by_path);
    show("value", String::from_utf8_lossy(&room[..5]));
    one(&mut ring, "its length", entry(GETXATTR, std::ptr::null(), 0));
    one(&mut ring, "too small", get(FGETXATTR, &mut room[..2]));
    one(&mut ring, "flags", Entry { op_flags: 1, ..by_path });
    one(&mut ring, "nowhere", Entry { addr3: nowhere.as_ptr() as u64, ..by_path });
    one(&mut ring, "no path", Entry { addr3: BAD as u64, ..by_path });
    one(&mut ring, "no name", Entry { addr: BAD as u64, ..by_path });
    one(&mut ring, "no room", Entry { off: BAD as u64, ..by_path });
    one(&mut ring, "no file", Entry { fd: 777, ..get(FGETXATTR, &mut room) });
    one(&mut ring, "a registered file", get(FGETXATTR, &mut room).flags(FIXED_FILE));
    one(&mut ring, "a registered file, by path", by_path.flags(FIXED_FILE));
    one(&mut ring, "a registered file to set", entry(FSETXATTR, b"red".as_ptr(), 3).flags(FIXED_FILE));
    one(&mut ring, "a priority", Entry { ioprio: 1, ..by_path });
    one(&mut ring, "a large value", entry(FSETXATTR, b"red".as_ptr(), 65537));
    one(&mut ring, "a bad value", entry(FSETXATTR, BAD as *const u8, 3));
    let pipe = pipe().expect("a pipe");
    one(&mut ring, "of a pipe", Entry { fd: read_end(&pipe), ..get(FGETXATTR, &mut room) });
}

/// `struct io_uring_sync_cancel_reg`.
#[repr(C)]
struct Cancel {
    name: u64,
    fd: i32,
    flags: u32,
    seconds: i64,
    nanoseconds: i64,
    pad: [u64; 4],
}

/// Cancelling without a request.
fn cancelled() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let read = |name| Entry::transfer(READ, name, read_end(&pipe), &buffer, -1);
    let cancel = |name| Cancel { name, fd: -1, flags: 0, seconds: -1, nanoseconds: -1, pad: [0; 4] };
    let of_file = |flags| Cancel { fd: read_end(&pipe), flags, ..cancel(0) };
    let begin = |ring: &mut Ring, names: &[u64]| {
        for name in names {
            ring.push(read(*name));
        }
        ring.submit_within(0).expect("a submission");
    };
    let ask = |ring: &Ring, what: &str, cancel: &Cancel| {
        // SAFETY: it is live.
        value(what, unsafe { ring.register(REGISTER_SYNC_CANCEL, std::ptr::from_ref(cancel), 1) });
    };
    ask(&ring, "nothing", &cancel(5));
    begin(&mut ring, &[5, 5, 6, 7]);
    ask(&ring, "one", &cancel(5));
    told(&mut ring, "cancelled");
    ask(&ring, "another name", &cancel(9));
    ask(&ring, "all of that name", &Cancel { flags: 1, ..cancel(5) });
    told(&mut ring, "cancelled");
    ask(&ring, "all of that name again", &Cancel { flags: 1, ..cancel(5) });
    ask(&ring, "by its file", &of_file(2));
    told(&mut ring, "cancelled");
    ask(&ring, "all of its file", &of_file(3));
    told(&mut ring, "cancelled");
    begin(&mut ring, &[1, 2, 3]);
    ask(&ring, "any", &Cancel { flags: 4, ..cancel(0) });
    told(&mut ring, "cancelled");
    ask(&ring, "none", &Cancel { flags: 4, ..cancel(0) });
    ask(&ring, "strange flags", &Cancel { flags: 64, ..cancel(0) });
    ask(&ring, "padding", &Cancel { pad: [0, 0, 0, 1], ..cancel(0) });
    ask(&ring, "within a time", &Cancel { seconds: 0, nanoseconds: 1000, ..cancel(5) });
    ask(&ring, "no such file", &Cancel { fd: 777, flags: 2, ..cancel(0) });
    ask(&ring, "no registered file", &Cancel { fd: 0, flags: 2 | 8, ..cancel(0) });
    // SAFETY: it is live.
    unsafe {
        let two = cancel(5);
        outcome("two", ring.register(REGISTER_SYNC_CANCEL, &raw const two, 2));
        outcome("bad", ring.register(REGISTER_SYNC_CANCEL, BAD as *const u8, 1));
    }
}

/// Which places of registered files are given away.
fn places() {
    let mut ring = ring();
    #[repr(C)]
    struct Range(u32, u32, u64);
    let ask = |ring: &Ring, what: &str, range: Range| {
        // SAFETY: it is live.
        value(what, unsafe { ring.register(REGISTER_FILE_RANGE, &raw const range, 0) });
    };
    ask(&ring, "no places", Range(0, 1, 0));
    // SAFETY: the argument is live.
    outcome("register", unsafe { ring.register(2, [-1_i32; 8].as_ptr(), 8) });
    ask(&ring, "a range", Range(2, 3, 0));
    ask(&ring, "too long a range", Range(6, 3, 0));
    ask(&ring, "an endless one", Range(2, u32::MAX, 0));
    ask(&ring, "reserved", Range(0, 1, 1));
    let counted = Range(2, 3, 0);
    // SAFETY: it is live.
    outcome("counted", unsafe { ring.register(REGISTER_FILE_RANGE, &raw const counted, 1) });
    let name = path("/dev/null");
    let open =
        Entry { fd: libc::AT_FDCWD, addr: name.as_ptr() as u64, file_index: -1, ..Entry::new(OPENAT, 1) };
    for _ in 0..4 {
        one(&mut ring, "opened", open);
    }
    one(&mut ring, "closed", Entry { file_index: 4, ..Entry::new(CLOSE, 1) });
    one(&mut ring, "elsewhere", Entry { file_index: 8, ..open });
    one(&mut ring, "opened", open);
    ask(&ring, "an empty range", Range(8, 0, 0));
    one(&mut ring, "opened nowhere", open);
    ask(&ring, "all", Range(0, 8, 0));
    for _ in 0..5 {
        one(&mut ring, "opened", open);
    }
}

/// `struct io_uring_restriction`: what is restricted, and to what.
#[repr(C)]
#[derive(Clone, Copy)]
struct Restriction(u16, u8, u8, [u32; 3]);

/// A ring that may do some things only.
fn restricted() {
    let asleep = || {
        let parameters = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
        Ring::with(8, parameters).expect("a ring")
    };
    let ask = |ring: &Ring, what: &str, restrictions: &[Restriction]| {
        let (first, count) = (restrictions.as_ptr(), restrictions.len() as u32);
        // SAFETY: they are live.
        outcome(what, unsafe { ring.register(REGISTER_RESTRICTIONS, first, count) });
    };
    let enable = |ring: &Ring, what: &str| {
        // SAFETY: no argument.
        outcome(what, unsafe { ring.register(REGISTER_ENABLE_RINGS, std::ptr::null::<u8>(), 0) });
    };
    let of = |kind, what: u8| Restriction(kind, what, 0, [0; 3]);
    let awake = ring();
    ask(&awake, "one that runs", &[of(1, NOP)]);
    let ring = asleep();
    ask(&ring, "a strange kind", &[of(4, 0)]);
    ask(&ring, "a strange operation", &[of(1, 200)]);
    ask(&ring, "a strange registration", &[of(0, 200)]);
    ask(&ring, "too many", &[of(1, NOP); 200]);
    // SAFETY: no memory is involved.
    unsafe {
        outcome("nowhere", ring.register(REGISTER_RESTRICTIONS, std::ptr::null::<u8>(), 1));
        outcome("at a bad address", ring.register(REGISTER_RESTRICTIONS, BAD as *const u8, 1));
    }
    let flags = |kind, flags| Restriction(kind, flags, 0, [0; 3]);
    ask(&ring, "some", &[of(1, NOP), of(1, READ), of(0, 12), of(0, 4), flags(2, ASYNC | FIXED_FILE)]);
    ask(&ring, "again", &[of(1, WRITE)]);
    enable(&ring, "enable");
    let mut ring = ring;
    one(&mut ring, "allowed", Entry::new(NOP, 1));
    one(&mut ring, "not allowed", Entry { fd: -1, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "a flag", Entry::new(NOP, 1).flags(ASYNC));
    one(&mut ring, "another flag", Entry::new(NOP, 1).flags(DRAIN));
    enable(&ring, "enable again");
    // SAFETY: no arguments.
    unsafe {
        outcome("a registration", ring.register(5, std::ptr::null::<u8>(), 0));
        let fd = ring.as_raw_fd();
        outcome("one that is allowed", ring.register(4, &raw const fd, 1));
        outcome("a strange one", ring.register(200, std::ptr::null::<u8>(), 0));
    }
    let ring = asleep();
    ask(&ring, "what there must be", &[of(1, READ), of(1, NOP), flags(3, FIXED_FILE), flags(2, ASYNC)]);
    enable(&ring, "enable");
    let mut ring = ring;
    one(&mut ring, "without", Entry::new(NOP, 1));
    one(&mut ring, "with it", Entry::new(NOP, 1).flags(FIXED_FILE));
    one(&mut ring, "with more", Entry::new(NOP, 1).flags(FIXED_FILE | ASYNC));
    one(&mut ring, "with too much", Entry::new(NOP, 1).flags(FIXED_FILE | LINK));
    for restrictions in [&[of(0, 12)][..], &[]] {
        let ring = asleep();
        ask(&ring, "no request", restrictions);
        enable(&ring, "enable");
        let mut ring = ring;
        one(&mut ring, "nothing is allowed", Entry::new(NOP, 1));
        enable(&ring, "enable again");
    }
}

/// `struct io_uring_rsrc_update`: a number, nothing, a descriptor.
#[repr(C)]
#[derive(Clone, Copy)]
struct Number(u32, u32, u64);

/// Numbers that a thread has for rings.
fn own_numbers() {
    let mut ring = ring();
    let fd = ring.as_raw_fd() as u64;
    let ask = |ring: &Ring, what: &str, operation: u32, numbers: &mut [Number]| {
        // SAFETY: they are live.
        value(what, unsafe { ring.register(operation, numbers.as_ptr(), numbers.len() as u32) });
        numbers.iter().map(|number| number.0 as i32).collect::<Vec<_>>()
    };
    let enter = |ring: &mut Ring, what: &str, number: i32| {
        ring.push(Entry::new(NOP, 1));
        value(what, sys!(SYS_io_uring_enter, number, 1, 1, GETEVENTS | REGISTERED_RING, 0, 8));
        told(ring, what);
    };
    enter(&mut ring, "none yet", 0);
    let any = Number(u32::MAX, 0, fd);
    ask(&ring, "none", REGISTER_RING_FDS, &mut []);
    ask(&ring, "too many", REGISTER_RING_FDS, &mut [any; 17]);
    ask(&ring, "reserved", REGISTER_RING_FDS, &mut [Number(u32::MAX, 1, fd)]);
    ask(&ring, "no file", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, 777)]);
    ask(&ring, "another file", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, 0)]);
    ask(&ring, "no number", REGISTER_RING_FDS, &mut [Number(16, 0, fd)]);
    let numbers = ask(&ring, "two", REGISTER_RING_FDS, &mut [Number(2, 0, fd), any]);
    show("numbers", format!("{numbers:?}"));
    let numbers = ask(&ring, "three", REGISTER_RING_FDS, &mut [any, any, Number(2, 0, fd)]);
    show("numbers", format!("{numbers:?}"));
    ask(&ring, "taken", REGISTER_RING_FDS, &mut [Number(2, 0, fd)]);
    enter(&mut ring, "by a number", 2);
    enter(&mut ring, "by no number", 7);
    enter(&mut ring, "by a large one", 16);
    enter(&mut ring, "by less than none", -1);
    let other = std::thread::spawn(|| {
        let entered = sys!(SYS_io_uring_enter, 2, 0, 0, GETEVENTS | REGISTERED_RING, 0, 8);
        value("by another thread", entered);
    });
    other.join().expect("a thread");
    ask(&ring, "with a descriptor", UNREGISTER_RING_FDS, &mut [Number(2, 0, fd)]);
    ask(&ring, "away", UNREGISTER_RING_FDS, &mut [Number(2, 0, 0), Number(16, 0, 0)]);
    ask(&ring, "away again", UNREGISTER_RING_FDS, &mut [Number(2, 0, 0)]);
    enter(&mut ring, "by that number", 2);
    // What the thread has closed it still has.
    let own = sys!(SYS_dup, ring.as_raw_fd()).expect("a descriptor") as u64;
    let numbers = ask(&ring, "by another descriptor", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, own)]);
    let _ = sys!(SYS_close, own);
    enter(&mut ring, "closed", numbers[0]);
}
