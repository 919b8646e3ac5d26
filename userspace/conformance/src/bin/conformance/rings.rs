//! io_uring: setup, enter, register, and every operation.

use crate::check::{BAD, event_names, in_child, outcome, path, show, sys, value};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use support::errno::error_name;
use support::memory::Anonymous;
use support::pipe::{Pipe, pipe};
use support::ring::{Completion, Entry, Parameters, Ring, names::*, setup};

const MS: i64 = 1_000_000;

pub fn run() {
    making();
    entering();
    transfers();
    streams();
    fixed();
    chains();
    drains();
    polls();
    timeouts();
    cancelling();
    names();
    files();
    sockets();
    splices();
    overflow();
    registered();
    hostile();
    poller();
    ends();
}

/// A result in words.
fn word(result: i32) -> String {
    if result < 0 { error_name(&io::Error::from_raw_os_error(-result)) } else { result.to_string() }
}

/// All completions, by name: results, and flags if there are any.
fn completions(ring: &mut Ring) -> Vec<String> {
    let mut all: Vec<Completion> = std::iter::from_fn(|| ring.pop()).collect();
    all.sort_by_key(|completion| completion.user_data);
    let text = |completion: &Completion| {
        let flags = if completion.flags == 0 { String::new() } else { format!("+{:x}", completion.flags) };
        // What is cancelled may just be looked at by another CPU; it ends as well.
        let result = if completion.res == -libc::EALREADY { 0 } else { completion.res };
        format!("{}={}{flags}", completion.user_data, word(result))
    };
    all.iter().map(text).collect()
}

/// Prints all completions.
fn told(ring: &mut Ring, what: &str) {
    show(what, completions(ring).join(" "));
}

/// Submits entries, waits until there are so many completions, and prints all. A time-out's end ends a wait early.
fn submit(ring: &mut Ring, what: &str, entries: &[Entry], least: u32) {
    for entry in entries {
        assert!(ring.push(*entry), "room in the ring");
    }
    let mut taken = ring.submit_within(least);
    let mut all = completions(ring);
    while taken.is_ok() && (all.len() as u32) < least {
        if let Err(error) = ring.submit_within(least - all.len() as u32) {
            taken = Err(error);
        }
        all.append(&mut completions(ring));
    }
    all.sort();
    let taken = taken.map_or_else(|error| error_name(&error), |taken| taken.to_string());
    show(what, format!("{taken}: {}", all.join(" ")));
}

/// Submits one entry and prints its result.
fn one(ring: &mut Ring, what: &str, entry: Entry) {
    submit(ring, what, &[entry], 1);
}

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

fn file(name: &str, contents: &[u8]) -> std::fs::File {
    std::fs::write(name, contents).expect("a file");
    std::fs::File::options().read(true).write(true).open(name).expect("a file")
}

fn read_end(pipe: &Pipe) -> RawFd {
    pipe.reader.as_raw_fd()
}

fn write_end(pipe: &Pipe) -> RawFd {
    pipe.writer.as_raw_fd()
}

fn write_to(fd: RawFd, bytes: &[u8]) {
    sys!(SYS_write, fd, bytes.as_ptr(), bytes.len()).expect("a write");
}

fn making() {
    let made = |entries, parameters: Parameters| {
        let mut parameters = parameters;
        let made = setup(entries, &mut parameters).map(|_| (parameters.sq_entries, parameters.cq_entries));
        made.map_or_else(|error| error_name(&error), |counts| format!("{counts:?}"))
    };
    let plain = Parameters::default();
    for entries in [0, 1, 3, 8, 4096, 32768, 32769] {
        show(&format!("{entries} entries"), made(entries, plain));
    }
    show("clamped", made(40000, Parameters { flags: SETUP_CLAMP, ..plain }));
    let sized = |cq_entries, more| Parameters { flags: SETUP_CQSIZE | more, cq_entries, ..plain };
    for size in [0, 3, 4, 5, 100, 70000] {
        show(&format!("room for {size}"), made(4, sized(size, 0)));
    }
    show("room clamped", made(4, sized(70000, SETUP_CLAMP)));
    show("unknown flag", made(4, Parameters { flags: 1 << 30, ..plain }));
    show("reserved", made(4, Parameters { resv: [0, 1, 0], ..plain }));
    show("a CPU without a poller", made(4, Parameters { flags: 4, ..plain }));
    show("a poller nowhere", made(4, Parameters { flags: 6, sq_thread_cpu: 5000, ..plain }));
    outcome("bad parameters", sys!(SYS_io_uring_setup, 4, BAD));
    let mut parameters = plain;
    let fd = setup(4, &mut parameters).expect("a ring");
    show("close on exec", sys!(SYS_fcntl, fd.as_raw_fd(), libc::F_GETFD).unwrap_or(-1));
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    show("name", name.map_or_else(|error| error.to_string(), |name| name.display().to_string()));
    show("one mapping", parameters.features & 1);
    show("no drop, stable, position", parameters.features >> 1 & 7);
    show("extended argument", parameters.features >> 8 & 1);
    let map = |offset: i64, len: usize, sharing: i32| {
        let mapped =
            sys!(SYS_mmap, 0, len, libc::PROT_READ | libc::PROT_WRITE, sharing, fd.as_raw_fd(), offset);
        mapped.map(|start| sys!(SYS_munmap, start, len))
    };
    outcome("mapped at 0", map(0, 4096, libc::MAP_SHARED));
    outcome("mapped at CQ", map(0x800_0000, 4096, libc::MAP_SHARED));
    outcome("mapped at SQEs", map(0x1000_0000, 4096, libc::MAP_SHARED));
    outcome("mapped elsewhere", map(0x2000_0000, 4096, libc::MAP_SHARED));
    let mut byte = 0_u8;
    outcome("read", sys!(SYS_read, fd.as_raw_fd(), &raw mut byte, 1));
    outcome("lseek", sys!(SYS_lseek, fd.as_raw_fd(), 0, 0));
}

fn entering() {
    let mut ring = ring();
    let fd = ring.as_raw_fd();
    outcome("enter no file", sys!(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0));
    outcome("enter another file", sys!(SYS_io_uring_enter, 0, 0, 0, 0, 0, 0));
    outcome("enter strange flags", sys!(SYS_io_uring_enter, fd, 0, 0, 1 << 20, 0, 0));
    value("enter nothing", sys!(SYS_io_uring_enter, fd, 0, 0, 0, 0, 0));
    value("enter more than there is", sys!(SYS_io_uring_enter, fd, 5, 0, 0, 0, 0));
    submit(&mut ring, "nothing", &[], 0);
    let nop = |name| Entry::new(NOP, name);
    one(&mut ring, "nop", nop(1));
    submit(&mut ring, "nops", &[nop(1), nop(2), nop(3)], 3);
    submit(&mut ring, "sixteen", &(0..16).map(nop).collect::<Vec<_>>(), 16);
    one(&mut ring, "unknown operation", Entry::new(200, 1));
    one(&mut ring, "unknown flag", nop(1).flags(0x80));
    one(&mut ring, "buffer select", nop(1).flags(0x20));
    one(&mut ring, "strange priority", Entry { ioprio: 1, ..nop(1) });
    one(&mut ring, "strange personality", Entry { personality: 7, ..nop(1) });
    submit(&mut ring, "stops at what is wrong", &[nop(1), Entry::new(200, 2), nop(3)], 2);
    value("the rest", ring.enter(1, 1, 1));
    told(&mut ring, "completions");
    let all = Parameters { flags: SETUP_SUBMIT_ALL, ..Parameters::default() };
    let mut all = Ring::with(8, all).expect("a ring");
    submit(&mut all, "submits all", &[nop(1), Entry::new(200, 2), nop(3)], 3);
    waiting(&mut ring);
    let disabled = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
    let mut ring = Ring::with(8, disabled).expect("a ring");
    submit(&mut ring, "disabled", &[nop(1)], 1);
    // SAFETY: no argument.
    outcome("enable", unsafe { ring.register(12, std::ptr::null::<u8>(), 0) });
    // SAFETY: no argument.
    outcome("enable again", unsafe { ring.register(12, std::ptr::null::<u8>(), 0) });
    value("enabled", ring.enter(1, 1, 1));
    told(&mut ring, "completions");
}

/// The extended argument: times and signals.
fn waiting(ring: &mut Ring) {
    #[repr(C)]
    struct Argument {
        mask: u64,
        mask_size: u32,
        pad: u32,
        time: u64,
    }
    let fd = ring.as_raw_fd();
    let time = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let mut argument = Argument { mask: 0, mask_size: 8, pad: 0, time: &raw const time as u64 };
    let wait = |argument: &Argument, size: usize| {
        sys!(SYS_io_uring_enter, fd, 0, 1, EXT_ARG | 1, std::ptr::from_ref(argument), size)
    };
    value("time is up", wait(&argument, 24));
    value("wrong size", wait(&argument, 16));
    argument.time = BAD as u64;
    value("bad time", wait(&argument, 24));
    argument.time = &raw const time as u64;
    let mask = 0_u64;
    argument.mask = &raw const mask as u64;
    argument.mask_size = 4;
    value("strange mask", wait(&argument, 24));
    argument.mask = BAD as u64;
    argument.mask_size = 8;
    value("bad mask", wait(&argument, 24));
    value("bad argument", sys!(SYS_io_uring_enter, fd, 0, 1, EXT_ARG | 1, BAD, 24));
    // A signal that is let in for the wait alone.
    extern "C" fn handle(_: i32) {}
    // SAFETY: the handler does nothing.
    unsafe {
        libc::signal(libc::SIGUSR1, handle as *const () as usize);
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut blocked, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
        libc::raise(libc::SIGUSR1);
    }
    argument.mask = &raw const mask as u64;
    argument.time = 0;
    value("interrupted", wait(&argument, 24));
    // SAFETY: the sets outlive the calls.
    unsafe {
        let mut now: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut now);
        show("blocked again", libc::sigismember(&raw const now, libc::SIGUSR1));
        libc::sigemptyset(&raw mut now);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const now, std::ptr::null_mut());
    }
}

fn transfers() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let fd = file.as_raw_fd();
    let buffer = [0_u8; 8];
    one(&mut ring, "read", Entry::transfer(READ, 1, fd, &buffer, 2));
    show("bytes", String::from_utf8_lossy(&buffer));
    one(&mut ring, "read at the end", Entry::transfer(READ, 1, fd, &buffer, 8));
    one(&mut ring, "read behind the end", Entry::transfer(READ, 1, fd, &buffer, 20));
    one(&mut ring, "read at a negative offset", Entry::transfer(READ, 1, fd, &buffer, -2));
    one(&mut ring, "read where the file is", Entry::transfer(READ, 1, fd, &buffer[..4], -1));
    one(&mut ring, "and on", Entry::transfer(READ, 1, fd, &buffer[..4], -1));
    show("bytes", String::from_utf8_lossy(&buffer[..4]));
    one(&mut ring, "write", Entry::transfer(WRITE, 1, fd, b"abcd", 8));
    one(&mut ring, "write later", Entry::transfer(WRITE, 1, fd, b"ef", 12).flags(ASYNC));
    let all = std::fs::read("/tmp/ring").unwrap_or_default();
    show("file", String::from_utf8_lossy(&all));
    one(&mut ring, "no file", Entry::transfer(READ, 1, -1, &buffer, 0));
    let bad = Entry { addr: BAD as u64, ..Entry::transfer(READ, 1, fd, &buffer, 0) };
    one(&mut ring, "bad buffer", bad);
    let far = Entry { addr: 0xffff_8000_0000_0000, ..bad };
    one(&mut ring, "far buffer", far);
    one(&mut ring, "strange flags", Entry { op_flags: 1 << 20, ..Entry::transfer(READ, 1, fd, &buffer, 0) });
    let only = std::fs::File::open("/tmp/ring").expect("a file");
    one(&mut ring, "write what is read only", Entry::transfer(WRITE, 1, only.as_raw_fd(), b"x", 0));
    let folder = std::fs::File::open("/tmp").expect("a folder");
    one(&mut ring, "read a folder", Entry::transfer(READ, 1, folder.as_raw_fd(), &buffer, 0));
    let (mut first, mut second) = ([0_u8; 3], [0_u8; 4]);
    let vectors = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: 3 },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: 4 },
    ];
    let vectored = Entry { fd, addr: vectors.as_ptr() as u64, len: 2, ..Entry::new(READV, 1) };
    one(&mut ring, "readv", vectored);
    show("bytes", format!("{} {}", String::from_utf8_lossy(&first), String::from_utf8_lossy(&second)));
    one(&mut ring, "writev", Entry { opcode: WRITEV, off: 20, ..vectored });
    one(&mut ring, "bad vectors", Entry { addr: BAD as u64, ..vectored });
    one(&mut ring, "too many vectors", Entry { len: 2000, ..vectored });
    one(&mut ring, "fsync", Entry { fd, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fsync of data", Entry { fd, op_flags: 1, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fsync strangely", Entry { fd, op_flags: 2, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fallocate", Entry { fd, off: 100, addr: 28, ..Entry::new(FALLOCATE, 1) });
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    one(&mut ring, "fadvise", Entry { fd, op_flags: 1, ..Entry::new(FADVISE, 1) });
    one(&mut ring, "fadvise strangely", Entry { fd, op_flags: 9, ..Entry::new(FADVISE, 1) });
    let mut memory = Anonymous::map(1 << 14).expect("memory");
    memory.touch();
    let advised = Entry { addr: memory.start() as u64, len: 1 << 14, op_flags: 4, ..Entry::new(MADVISE, 1) };
    one(&mut ring, "madvise", advised);
    show("forgotten", memory.bytes()[0]);
    one(&mut ring, "madvise strangely", Entry { op_flags: 999, ..advised });
    // Memory that has never been touched.
    let mut memory = Anonymous::map(1 << 20).expect("memory");
    let entries: Vec<Entry> = (0..8)
        .map(|name| Entry::transfer(READ, name, fd, &memory.bytes()[name as usize * 4096..][..4096], 0))
        .collect();
    submit(&mut ring, "into fresh memory", &entries, 8);
    show("bytes", String::from_utf8_lossy(&memory.bytes()[7 * 4096..][..10]));
    let large = vec![7_u8; 1 << 20];
    one(&mut ring, "a large write", Entry::transfer(WRITE, 1, fd, &large, 0));
    one(&mut ring, "a large read", Entry::transfer(READ, 1, fd, memory.bytes(), 0));
    show("all of it", memory.bytes().iter().all(|byte| *byte == 7));
}

fn streams() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 8];
    submit(&mut ring, "a read waits", &[Entry::transfer(READ, 1, read_end(&pipe), &buffer, 0)], 0);
    write_to(write_end(&pipe), b"hello");
    submit(&mut ring, "and ends", &[], 1);
    show("bytes", String::from_utf8_lossy(&buffer[..5]));
    one(&mut ring, "a write", Entry::transfer(WRITE, 1, write_end(&pipe), b"abc", -1));
    one(&mut ring, "what is there", Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
    // Five wait; each gets a byte, in whatever order.
    let waiting: Vec<Entry> =
        (1..6).map(|name| Entry::transfer(READ, name, read_end(&pipe), &buffer[..1], -1)).collect();
    submit(&mut ring, "five wait", &waiting, 0);
    write_to(write_end(&pipe), b"vwxyz");
    submit(&mut ring, "five end", &[], 5);
    // A request waits even for what is not to be waited for.
    sys!(SYS_fcntl, read_end(&pipe), libc::F_SETFL, libc::O_NONBLOCK).expect("fcntl");
    submit(&mut ring, "nonblocking", &[Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1)], 0);
    write_to(write_end(&pipe), b"abc");
    submit(&mut ring, "waits all the same", &[], 1);
    let writer = write_end(&pipe);
    submit(
        &mut ring,
        "closed while waiting",
        &[Entry { fd: writer, op_flags: 0, ..Entry::new(POLL_ADD, 1) }],
        0,
    );
    drop(pipe.reader);
    submit(&mut ring, "no reader", &[], 1);
    in_child("written to without a reader", || {
        // SAFETY: sets the default action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        one(&mut ring, "broken", Entry::transfer(WRITE, 1, writer, b"abc", -1));
        0
    });
}

fn fixed() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let mut memory = Anonymous::map(1 << 14).expect("memory");
    let start = memory.start() as usize;
    let vectors = [
        libc::iovec { iov_base: memory.start().cast(), iov_len: 4096 },
        libc::iovec { iov_base: (start + 8192) as *mut _, iov_len: 100 },
    ];
    let transfer = |opcode, buffer, address: usize, len| Entry {
        fd: file.as_raw_fd(),
        addr: address as u64,
        len,
        buf_index: buffer,
        ..Entry::new(opcode, 1)
    };
    one(&mut ring, "no buffers", transfer(READ_FIXED, 0, start, 4));
    // SAFETY: the vectors are live.
    unsafe {
        outcome("unregister none", ring.register(1, std::ptr::null::<u8>(), 0));
        outcome("register no buffers", ring.register(0, vectors.as_ptr(), 0));
        outcome("register bad ones", ring.register(0, BAD as *const u8, 1));
        let bad = libc::iovec { iov_base: BAD as *mut _, iov_len: 4096 };
        outcome("register bad memory", ring.register(0, &raw const bad, 1));
        outcome("register", ring.register(0, vectors.as_ptr(), 2));
        outcome("register again", ring.register(0, vectors.as_ptr(), 2));
    }
    one(&mut ring, "read", transfer(READ_FIXED, 0, start + 10, 4));
    show("bytes", String::from_utf8_lossy(&memory.bytes()[10..14]));
    one(&mut ring, "read to the other", transfer(READ_FIXED, 1, start + 8192, 100));
    one(&mut ring, "read past its end", transfer(READ_FIXED, 1, start + 8192, 101));
    one(&mut ring, "read before its start", transfer(READ_FIXED, 1, start + 8191, 1));
    one(&mut ring, "no such buffer", transfer(READ_FIXED, 2, start, 1));
    one(&mut ring, "write", Entry { off: 5, ..transfer(WRITE_FIXED, 0, start + 10, 2) });
    show("file", String::from_utf8_lossy(&std::fs::read("/tmp/ring").unwrap_or_default()));
    // SAFETY: no argument.
    outcome("unregister", unsafe { ring.register(1, std::ptr::null::<u8>(), 0) });
    one(&mut ring, "no buffers any more", transfer(READ_FIXED, 0, start, 4));
}

fn chains() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let fd = file.as_raw_fd();
    let buffer = [0_u8; 10];
    let nop = |name| Entry::new(NOP, name);
    let fails = |name| Entry::transfer(READ, name, -1, &buffer, 0);
    submit(&mut ring, "linked", &[nop(1).flags(LINK), nop(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "the first fails", &[fails(1).flags(LINK), nop(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "the second fails", &[nop(1).flags(LINK), fails(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "linked hard", &[fails(1).flags(HARDLINK), nop(2).flags(HARDLINK), nop(3)], 3);
    let short = Entry::transfer(READ, 1, fd, &buffer, 5);
    submit(&mut ring, "moves less", &[short.flags(LINK), nop(2)], 2);
    let wrong = Entry::new(200, 2);
    submit(&mut ring, "one is wrong", &[nop(1).flags(LINK), wrong.flags(LINK), nop(3), nop(4)], 3);
    submit(&mut ring, "what is left", &[], 0);
    submit(&mut ring, "the end", &[nop(1).flags(LINK)], 1);
    submit(&mut ring, "alone after it", &[nop(2)], 1);
    // Written, then read.
    let mut other = [0_u8; 4];
    let written = Entry::transfer(WRITE, 1, fd, b"wxyz", 0).flags(LINK);
    let read = Entry::transfer(READ, 2, fd, &other, 0);
    submit(&mut ring, "write, then read", &[written, read], 2);
    show("bytes", String::from_utf8_lossy(&other));
    other = *b"    ";
    let pipe = pipe().expect("a pipe");
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &other, -1).flags(LINK);
    submit(&mut ring, "a chain waits", &[waits, nop(2).flags(LINK), nop(3)], 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and ends", &[], 3);
    show("bytes", String::from_utf8_lossy(&other));
    // Success that is not told.
    submit(&mut ring, "skips", &[nop(1).flags(SKIP_SUCCESS | LINK), nop(2)], 1);
    submit(&mut ring, "skips none that fails", &[fails(1).flags(SKIP_SUCCESS), nop(2)], 2);
    submit(&mut ring, "skips what follows", &[fails(1).flags(SKIP_SUCCESS | LINK), nop(2), nop(3)], 2);
    submit(&mut ring, "no draining any more", &[nop(1).flags(DRAIN)], 1);
    limits();
}

/// Time limits of linked requests.
fn limits() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let time = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let long = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    let nop = |name| Entry::new(NOP, name);
    let limit = |name, time: &libc::timespec| Entry {
        addr: std::ptr::from_ref(time) as u64,
        len: 1,
        ..Entry::new(LINK_TIMEOUT, name)
    };
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1).flags(LINK);
    submit(&mut ring, "in vain", &[waits, limit(2, &time)], 2);
    submit(&mut ring, "in time", &[nop(1).flags(LINK), limit(2, &long)], 2);
    submit(&mut ring, "in vain, and more", &[waits, limit(2, &time).flags(LINK), nop(3)], 3);
    submit(&mut ring, "in time, and more", &[nop(1).flags(LINK), limit(2, &long).flags(LINK), nop(3)], 3);
    submit(&mut ring, "of nothing", &[limit(2, &time)], 1);
    submit(&mut ring, "of a limit", &[nop(1).flags(LINK), limit(2, &long).flags(LINK), limit(3, &long)], 3);
    let strange = Entry { off: 1, ..limit(2, &time) };
    submit(&mut ring, "strange", &[nop(1).flags(LINK), strange], 2);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "read in time", &[waits, limit(2, &long)], 2);
}

fn drains() {
    let mut ring = ring();
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "nothing to wait for", &[nop(1), nop(2).flags(DRAIN), nop(3)], 3);
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1);
    submit(&mut ring, "waits for one", &[waits, nop(2).flags(DRAIN), nop(3)], 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and goes on", &[], 3);
}

fn polled(ring: &mut Ring, what: &str) {
    let all: Vec<String> = std::iter::from_fn(|| ring.pop())
        .map(|completion| {
            let more = if completion.flags & CQE_MORE != 0 { ", more" } else { "" };
            let events = match completion.res {
                negative @ ..0 => word(negative),
                events => event_names(events as i16),
            };
            format!("{}: {events}{more}", completion.user_data)
        })
        .collect();
    show(what, all.join("; "));
}

fn polls() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let poll =
        |name, fd, events: i16, len| Entry { fd, op_flags: events as u32, len, ..Entry::new(POLL_ADD, name) };
    let (reader, writer) = (read_end(&pipe), write_end(&pipe));
    let go = |ring: &mut Ring, what: &str, entry: Entry, least| {
        assert!(ring.push(entry));
        outcome(what, ring.submit_within(least));
        polled(ring, what);
    };
    go(&mut ring, "room", poll(1, writer, libc::POLLOUT, 0), 1);
    go(&mut ring, "nothing to read", poll(2, reader, libc::POLLIN, 0), 0);
    write_to(writer, b"x");
    value("told", ring.submit_within(1));
    polled(&mut ring, "told");
    let file = file("/tmp/ring", b"x");
    go(&mut ring, "a file", poll(1, file.as_raw_fd(), libc::POLLIN | libc::POLLOUT, 0), 1);
    go(&mut ring, "no file", poll(1, -1, libc::POLLIN, 0), 1);
    go(&mut ring, "strange", Entry { off: 1, ..poll(1, reader, libc::POLLIN, 0) }, 1);
    go(&mut ring, "strange length", poll(1, reader, libc::POLLIN, 64), 1);
    // Again and again, by single bytes that are taken in between.
    let mut byte = [0_u8; 1];
    sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    go(&mut ring, "repeated", poll(7, reader, libc::POLLIN, 1), 0);
    for _ in 0..3 {
        write_to(writer, b"x");
        value("told", ring.submit_within(1));
        polled(&mut ring, "told");
        sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    }
    let remove = |name, of| Entry { addr: of, ..Entry::new(POLL_REMOVE, name) };
    submit(&mut ring, "removed", &[remove(8, 7)], 2);
    submit(&mut ring, "removed again", &[remove(8, 7)], 1);
    go(&mut ring, "waits", poll(3, reader, libc::POLLPRI, 0), 0);
    let renamed = Entry { len: 4, off: 4, ..remove(8, 3) };
    submit(&mut ring, "renamed", &[renamed], 1);
    let changed = Entry { len: 2, op_flags: libc::POLLIN as u32, ..remove(8, 4) };
    submit(&mut ring, "changed", &[changed], 1);
    write_to(writer, b"x");
    value("told", ring.submit_within(1));
    polled(&mut ring, "told");
    submit(&mut ring, "changed strangely", &[Entry { len: 8, ..remove(8, 4) }], 1);
    submit(&mut ring, "renamed to nothing", &[Entry { off: 4, ..remove(8, 4) }], 1);
    drop(pipe.writer);
    go(&mut ring, "hung up", poll(5, reader, libc::POLLPRI, 0), 1);
    // The ring itself.
    let other = Ring::new(4).expect("a ring");
    let mut entry = libc::pollfd { fd: other.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    let mut look = |what| {
        value(what, sys!(SYS_poll, &raw mut entry, 1, 0));
        show(what, event_names(entry.revents));
    };
    look("a ring with nothing");
    let mut other = other;
    other.push(Entry::new(NOP, 1));
    outcome("submit", other.submit(0));
    look("a ring with something");
}

fn timeouts() {
    let mut ring = ring();
    let timeout = |name, time: &libc::timespec, count, flags| Entry {
        addr: std::ptr::from_ref(time) as u64,
        len: 1,
        off: count,
        op_flags: flags,
        ..Entry::new(TIMEOUT, name)
    };
    let short = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let long = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    let past = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    one(&mut ring, "short", timeout(1, &short, 0, 0));
    one(&mut ring, "at a time that is past", timeout(1, &past, 0, 1));
    one(&mut ring, "by the wall, past", timeout(1, &past, 0, 9));
    one(&mut ring, "since the start, past", timeout(1, &past, 0, 5));
    one(&mut ring, "two clocks", timeout(1, &past, 0, 12));
    one(&mut ring, "strange flags", timeout(1, &past, 0, 1 << 20));
    one(&mut ring, "strange length", Entry { len: 2, ..timeout(1, &past, 0, 0) });
    one(&mut ring, "bad time", Entry { addr: BAD as u64, ..timeout(1, &past, 0, 0) });
    let negative = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    one(&mut ring, "negative", timeout(1, &negative, 0, 0));
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "ended by others", &[timeout(1, &long, 2, 0), nop(2), nop(3)], 3);
    submit(&mut ring, "ended by one", &[timeout(1, &long, 1, 0), nop(2)], 2);
    let remove = |name, of, flags| Entry { addr: of, op_flags: flags, ..Entry::new(TIMEOUT_REMOVE, name) };
    submit(&mut ring, "begun", &[timeout(1, &long, 0, 0)], 0);
    submit(&mut ring, "removed", &[remove(2, 1, 0)], 2);
    submit(&mut ring, "removed again", &[remove(2, 1, 0)], 1);
    submit(&mut ring, "begun", &[timeout(1, &long, 0, 0)], 0);
    let update = Entry { off: &raw const short as u64, ..remove(2, 1, 2) };
    submit(&mut ring, "changed", &[update], 2);
    submit(&mut ring, "changed, but none is there", &[update], 1);
    submit(&mut ring, "strangely", &[Entry { op_flags: 1 << 20, ..update }], 1);
    submit(&mut ring, "linked", &[timeout(1, &past, 0, 0).flags(LINK), nop(2)], 2);
    submit(&mut ring, "linked, no failure", &[timeout(1, &past, 0, 32).flags(LINK), nop(2)], 2);
}

fn cancelling() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let waits = |name| Entry::transfer(READ, name, read_end(&pipe), &buffer, -1);
    let cancel = |name, of, flags| Entry { addr: of, op_flags: flags, ..Entry::new(ASYNC_CANCEL, name) };
    submit(&mut ring, "nothing there", &[cancel(9, 1, 0)], 1);
    submit(&mut ring, "one", &[waits(1), cancel(9, 1, 0)], 2);
    submit(&mut ring, "the first of a name", &[waits(1), waits(1), waits(2)], 0);
    submit(&mut ring, "goes", &[cancel(9, 1, 0)], 2);
    submit(&mut ring, "all of a name", &[cancel(9, 1, 1)], 2);
    submit(&mut ring, "none of a name", &[cancel(9, 1, 1)], 1);
    submit(&mut ring, "all on a file", &[Entry { fd: read_end(&pipe), ..cancel(9, 0, 3) }], 2);
    submit(&mut ring, "three", &[waits(1), waits(2), waits(3)], 0);
    submit(&mut ring, "any", &[cancel(9, 0, 4)], 4);
    submit(&mut ring, "strange flags", &[cancel(9, 0, 1 << 20)], 1);
    submit(&mut ring, "no such file", &[Entry { fd: -1, ..cancel(9, 0, 2) }], 1);
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "a chain", &[waits(1).flags(LINK), nop(2)], 0);
    submit(&mut ring, "goes", &[cancel(9, 1, 0)], 3);
    write_to(write_end(&pipe), b"left");
    one(&mut ring, "nothing is lost", waits(1));
}

fn names() {
    let mut ring = ring();
    let _ = std::fs::remove_dir_all("/tmp/rings");
    let at = |opcode, text: &std::ffi::CStr| Entry {
        fd: libc::AT_FDCWD,
        addr: text.as_ptr() as u64,
        ..Entry::new(opcode, 1)
    };
    let folder = path("/tmp/rings");
    one(&mut ring, "mkdir", Entry { len: 0o755, ..at(MKDIRAT, &folder) });
    one(&mut ring, "mkdir again", Entry { len: 0o755, ..at(MKDIRAT, &folder) });
    one(&mut ring, "mkdir strangely", Entry { op_flags: 1, ..at(MKDIRAT, &folder) });
    let (name, other, third) = (path("/tmp/rings/a"), path("/tmp/rings/b"), path("/tmp/rings/c"));
    let flags = (libc::O_CREAT | libc::O_RDWR) as u32;
    for entry in [
        Entry { op_flags: flags, len: 0o644, ..at(OPENAT, &name) },
        at(OPENAT, &other),
        Entry { addr: BAD as u64, ..at(OPENAT, &name) },
    ] {
        ring.push(entry);
        outcome("open", ring.submit_within(1));
        let opened = ring.pop().expect("a completion").res;
        show("opened", if opened < 0 { word(opened) } else { "ok".into() });
        if opened >= 0 {
            one(&mut ring, "close", Entry { fd: opened, ..Entry::new(CLOSE, 1) });
            one(&mut ring, "close again", Entry { fd: opened, ..Entry::new(CLOSE, 1) });
        }
    }
    one(&mut ring, "close strangely", Entry { len: 1, ..Entry::new(CLOSE, 1) });
    let own = ring.as_raw_fd();
    one(&mut ring, "close the ring", Entry { fd: own, ..Entry::new(CLOSE, 1) });
    let how = [flags as u64, 0o600, 0];
    let open2 = Entry { off: how.as_ptr() as u64, len: 24, ..at(OPENAT2, &other) };
    ring.push(open2);
    outcome("open2", ring.submit_within(1));
    show("opened", ring.pop().is_some_and(|completion| completion.res >= 0));
    one(&mut ring, "open2 strange size", Entry { len: 8, ..open2 });
    one(&mut ring, "open2 bad how", Entry { off: BAD as u64, ..open2 });
    // SAFETY: the kernel writes it.
    let mut statx: libc::statx = unsafe { std::mem::zeroed() };
    let stat = Entry { len: 0x7ff, off: &raw mut statx as u64, ..at(STATX, &name) };
    one(&mut ring, "statx", stat);
    show("mode", format!("{:o}", statx.stx_mode));
    one(&mut ring, "statx of nothing", Entry { addr: third.as_ptr() as u64, ..stat });
    one(&mut ring, "statx bad buffer", Entry { off: BAD as u64, ..stat });
    let two = |opcode, first: &std::ffi::CStr, second: &std::ffi::CStr, directory: i32| Entry {
        off: second.as_ptr() as u64,
        len: directory as u32,
        ..at(opcode, first)
    };
    one(&mut ring, "link", two(LINKAT, &name, &third, libc::AT_FDCWD));
    one(&mut ring, "link again", two(LINKAT, &name, &third, libc::AT_FDCWD));
    let symbolic = path("/tmp/rings/s");
    one(&mut ring, "symlink", two(SYMLINKAT, &name, &symbolic, 0));
    show(
        "target",
        std::fs::read_link("/tmp/rings/s").map_or("none".into(), |target| target.display().to_string()),
    );
    let moved = path("/tmp/rings/d");
    one(&mut ring, "rename", two(RENAMEAT, &third, &moved, libc::AT_FDCWD));
    one(&mut ring, "rename nothing", two(RENAMEAT, &third, &moved, libc::AT_FDCWD));
    one(&mut ring, "unlink", at(UNLINKAT, &moved));
    one(&mut ring, "unlink nothing", at(UNLINKAT, &moved));
    one(&mut ring, "unlink a folder", at(UNLINKAT, &folder));
    one(&mut ring, "unlink strangely", Entry { op_flags: 1, ..at(UNLINKAT, &folder) });
    one(&mut ring, "rmdir", Entry { op_flags: libc::AT_REMOVEDIR as u32, ..at(UNLINKAT, &folder) });
    let fixed = Entry { flags: FIXED_FILE, ..at(UNLINKAT, &folder) };
    one(&mut ring, "by a registered folder", fixed);
    let mut left: Vec<String> = std::fs::read_dir("/tmp/rings")
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    left.sort();
    show("left", left.join(" "));
    let epoll = sys!(SYS_epoll_create1, 0).expect("an epoll instance") as i32;
    let pipe = pipe().expect("a pipe");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    let control = |operation: i32, event: *const libc::epoll_event| Entry {
        fd: epoll,
        len: operation as u32,
        off: read_end(&pipe) as u64,
        addr: event as u64,
        ..Entry::new(EPOLL_CTL, 1)
    };
    one(&mut ring, "epoll add", control(libc::EPOLL_CTL_ADD, &raw const event));
    one(&mut ring, "epoll add again", control(libc::EPOLL_CTL_ADD, &raw const event));
    one(&mut ring, "epoll bad event", control(libc::EPOLL_CTL_MOD, BAD as *const _));
    write_to(write_end(&pipe), b"x");
    value("epoll wait", sys!(SYS_epoll_wait, epoll, &raw mut event, 1, 0));
    one(&mut ring, "epoll delete", control(libc::EPOLL_CTL_DEL, std::ptr::null()));
}

/// Registered files.
fn files() {
    let mut ring = ring();
    let buffer = [0_u8; 4];
    let file = file("/tmp/ring", b"0123456789");
    let read = |number: i32| Entry::transfer(READ, 1, number, &buffer, 0).flags(FIXED_FILE);
    one(&mut ring, "none registered", read(0));
    let fds = [file.as_raw_fd(), -1, 0];
    let update = |offset: u32, fds: &[i32]| {
        let update = (offset, 0_u32, fds.as_ptr());
        #[repr(C)]
        struct Update(u32, u32, *const i32);
        Update(update.0, update.1, update.2)
    };
    // SAFETY: the arguments are live.
    unsafe {
        outcome("unregister none", ring.register(3, std::ptr::null::<u8>(), 0));
        outcome("update none", ring.register(6, &update(0, &fds), 1));
        outcome("register no files", ring.register(2, fds.as_ptr(), 0));
        outcome("register strange ones", ring.register(2, [777].as_ptr(), 1));
        let own = [ring.as_raw_fd()];
        outcome("register a ring", ring.register(2, own.as_ptr(), 1));
        outcome("register", ring.register(2, fds.as_ptr(), 3));
        outcome("register again", ring.register(2, fds.as_ptr(), 3));
    }
    one(&mut ring, "read", read(0));
    show("bytes", String::from_utf8_lossy(&buffer));
    one(&mut ring, "an empty place", read(1));
    one(&mut ring, "no place", read(3));
    // SAFETY: the arguments are live.
    unsafe {
        let two = [-1, file.as_raw_fd()];
        value("update", ring.register(6, &update(0, &two), 2));
        value("update too many", ring.register(6, &update(2, &two), 2));
        value("update strange ones", ring.register(6, &update(0, &[777]), 1));
        value("update some", ring.register(6, &update(0, &[-1, 777]), 2));
    }
    one(&mut ring, "moved away", read(0));
    one(&mut ring, "moved here", read(1));
    let by_request = |fds: &[i32], offset| Entry {
        addr: fds.as_ptr() as u64,
        len: fds.len() as u32,
        off: offset,
        ..Entry::new(FILES_UPDATE, 1)
    };
    one(&mut ring, "updated by a request", by_request(&[file.as_raw_fd()], 2));
    one(&mut ring, "read", read(2));
    one(&mut ring, "updated strangely", Entry { op_flags: 1, ..by_request(&[-1], 2) });
    // Files that have no descriptor at all.
    let name = path("/tmp/ring");
    let open =
        Entry { fd: libc::AT_FDCWD, addr: name.as_ptr() as u64, file_index: 1, ..Entry::new(OPENAT, 1) };
    one(&mut ring, "opened in a place", open);
    one(&mut ring, "read there", read(0));
    one(&mut ring, "opened in no place", Entry { file_index: 9, ..open });
    one(&mut ring, "closed there", Entry { file_index: 1, ..Entry::new(CLOSE, 1) });
    one(&mut ring, "closed again", Entry { file_index: 1, ..Entry::new(CLOSE, 1) });
    // SAFETY: no argument.
    outcome("unregister", unsafe { ring.register(3, std::ptr::null::<u8>(), 0) });
    one(&mut ring, "none any more", read(2));
}

fn sockets() {
    let mut ring = ring();
    let mut pair = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()).expect("sockets");
    let [a, b] = pair;
    let buffer = [0_u8; 8];
    let receive = Entry::transfer(RECV, 1, b, &buffer, 0);
    submit(&mut ring, "receives", &[receive], 0);
    submit(&mut ring, "sent", &[Entry::transfer(SEND, 0, a, b"hello", 0)], 2);
    show("bytes", String::from_utf8_lossy(&buffer[..5]));
    one(&mut ring, "does not wait", Entry { op_flags: libc::MSG_DONTWAIT as u32, ..receive });
    let mut vectors = [
        libc::iovec { iov_base: b"message".as_ptr() as *mut _, iov_len: 7 },
        libc::iovec { iov_base: buffer.as_ptr() as *mut _, iov_len: 8 },
    ];
    // SAFETY: all zero is a header of nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (vectors.as_mut_ptr(), 1);
    let message = |opcode, fd, header: &libc::msghdr| Entry {
        fd,
        addr: std::ptr::from_ref(header) as u64,
        len: 1,
        ..Entry::new(opcode, 1)
    };
    one(&mut ring, "sendmsg", message(SENDMSG, a, &header));
    header.msg_iov = &raw mut vectors[1];
    one(&mut ring, "recvmsg", message(RECVMSG, b, &header));
    show("bytes", String::from_utf8_lossy(&buffer[..7]));
    one(&mut ring, "bad header", Entry { addr: BAD as u64, ..message(RECVMSG, b, &header) });
    let pipe = pipe().expect("a pipe");
    one(&mut ring, "no socket", Entry::transfer(SEND, 1, write_end(&pipe), b"x", 0));
    one(&mut ring, "no socket to shut", Entry { fd: write_end(&pipe), len: 1, ..Entry::new(SHUTDOWN, 1) });
    one(&mut ring, "shut strangely", Entry { fd: a, len: 7, ..Entry::new(SHUTDOWN, 1) });
    let poll = Entry { fd: b, op_flags: libc::POLLIN as u32, ..Entry::new(POLL_ADD, 2) };
    submit(&mut ring, "polled", &[poll], 0);
    submit(&mut ring, "shut", &[Entry { fd: a, len: 1, ..Entry::new(SHUTDOWN, 1) }], 2);
    one(&mut ring, "nothing more", receive);
    one(&mut ring, "sent in vain", Entry::transfer(SEND, 1, a, b"x", 0));
    // A connection.
    let _ = std::fs::remove_file("/tmp/ring.socket");
    // SAFETY: all zero is an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().zip(b"/tmp/ring.socket") {
        *to = *from as i8;
    }
    let size = size_of::<libc::sockaddr_un>();
    let new = Entry { fd: libc::AF_UNIX, off: libc::SOCK_STREAM as u64, ..Entry::new(SOCKET, 1) };
    let mut make = || {
        ring.push(new);
        ring.submit_within(1).expect("a submission");
        ring.pop().expect("a completion").res
    };
    let (listener, client) = (make(), make());
    show("made", listener >= 0 && client >= 0);
    one(&mut ring, "a strange family", Entry { fd: 999, ..new });
    outcome("bind", sys!(SYS_bind, listener, &raw const address, size));
    let accept = Entry { fd: listener, ..Entry::new(ACCEPT, 7) };
    one(&mut ring, "not listening", accept);
    outcome("listen", sys!(SYS_listen, listener, 5));
    submit(&mut ring, "accepts", &[accept], 0);
    let connect =
        Entry { fd: client, addr: &raw const address as u64, off: size as u64, ..Entry::new(CONNECT, 1) };
    ring.push(connect);
    outcome("connect", ring.submit_within(2));
    let mut both: Vec<Completion> = std::iter::from_fn(|| ring.pop()).collect();
    both.sort_unstable();
    show("connected", both.iter().map(|done| (done.res >= 0).to_string()).collect::<Vec<_>>().join(" "));
    one(&mut ring, "connected already", connect);
    one(&mut ring, "bad address", Entry { addr: BAD as u64, ..connect });
    one(&mut ring, "strange", Entry { len: 1, ..connect });
    // One request accepts many.
    ring.push(Entry { ioprio: 1, ..accept });
    outcome("accepts many", ring.submit_within(0));
    for _ in 0..2 {
        let client = sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).expect("a socket");
        outcome("connect", sys!(SYS_connect, client, &raw const address, size));
        let _ = ring.submit_within(1);
        let done = ring.pop().expect("a completion");
        show("accepted", format!("{} {}", done.res >= 0, done.flags));
    }
    submit(&mut ring, "no more", &[Entry { addr: 7, ..Entry::new(ASYNC_CANCEL, 9) }], 2);
}

fn splices() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let (pipe, other) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let splice = |input: RawFd, from: i64, output: RawFd, to: i64, len| Entry {
        fd: output,
        off: to as u64,
        addr: from as u64,
        file_index: input,
        len,
        ..Entry::new(SPLICE, 1)
    };
    one(&mut ring, "from a file", splice(file.as_raw_fd(), 2, write_end(&pipe), -1, 4));
    one(&mut ring, "at its own offset", splice(file.as_raw_fd(), -1, write_end(&pipe), -1, 2));
    let tee =
        |len| Entry { opcode: TEE, addr: 0, off: 0, ..splice(read_end(&pipe), 0, write_end(&other), 0, len) };
    one(&mut ring, "tee", tee(3));
    one(&mut ring, "to a file", splice(read_end(&pipe), -1, file.as_raw_fd(), 10, 100));
    show("file", String::from_utf8_lossy(&std::fs::read("/tmp/ring").unwrap_or_default()));
    one(&mut ring, "to a pipe", splice(read_end(&other), -1, write_end(&pipe), -1, 100));
    one(&mut ring, "nothing", splice(file.as_raw_fd(), 2, write_end(&pipe), -1, 0));
    one(&mut ring, "no pipe", splice(file.as_raw_fd(), 2, file.as_raw_fd(), 4, 4));
    one(&mut ring, "no file", splice(-1, -1, write_end(&pipe), -1, 4));
    one(&mut ring, "an offset in a pipe", splice(read_end(&pipe), 4, file.as_raw_fd(), 0, 4));
}

fn overflow() {
    let parameters = Parameters { flags: SETUP_CQSIZE, cq_entries: 8, ..Parameters::default() };
    let mut ring = Ring::with(4, parameters).expect("a ring");
    for round in 0..5 {
        for name in 0..4 {
            ring.push(Entry::new(NOP, round * 4 + name));
        }
        value("submit", ring.submit_within(0));
    }
    show("overfull", ring.flags() & SQ_CQ_OVERFLOW);
    show("lost", ring.word(ring.parameters.cq_off[4]).load(std::sync::atomic::Ordering::Relaxed));
    let mut total = 0;
    loop {
        let count = std::iter::from_fn(|| ring.pop()).count();
        total += count;
        if count == 0 {
            break;
        }
        value("more", ring.enter(0, 0, 1));
    }
    show("in all", total);
    show("overfull", ring.flags() & SQ_CQ_OVERFLOW);
}

fn registered() {
    let mut ring = ring();
    let fd = ring.as_raw_fd();
    outcome("strange operation", sys!(SYS_io_uring_register, fd, 1000, 0, 0));
    outcome("not a ring", sys!(SYS_io_uring_register, 0, 0, 0, 0));
    outcome("no file", sys!(SYS_io_uring_register, -1, 0, 0, 0));
    let counter = sys!(SYS_eventfd2, 0, libc::EFD_NONBLOCK).expect("a counter") as i32;
    // SAFETY: the arguments are live.
    unsafe {
        outcome("forget no counter", ring.register(5, std::ptr::null::<u8>(), 0));
        outcome("two counters", ring.register(4, &raw const counter, 2));
        outcome("not a counter", ring.register(4, &raw const fd, 1));
        outcome("a counter", ring.register(4, &raw const counter, 1));
        outcome("another", ring.register(4, &raw const counter, 1));
    }
    submit(&mut ring, "counted", &[Entry::new(NOP, 1)], 1);
    let mut number = 0_u64;
    let mut count = |what| {
        let read = sys!(SYS_read, counter, &raw mut number, 8).map(|_| number > 0);
        value(what, read);
    };
    count("counter");
    ring.word(ring.parameters.cq_off[6]).store(1, std::sync::atomic::Ordering::SeqCst);
    submit(&mut ring, "not counted", &[Entry::new(NOP, 1)], 1);
    count("counter");
    // SAFETY: no argument.
    outcome("forget it", unsafe { ring.register(5, std::ptr::null::<u8>(), 0) });
    // What the other operations say is a matter of the kernel's version.
    let probe = [0_u64; 2 + 49];
    // SAFETY: the probe has room for 49 operations.
    unsafe {
        outcome("probe", ring.register(8, probe.as_ptr(), 49));
        outcome("a probe that is not empty", ring.register(8, probe.as_ptr(), 49));
        outcome("a large probe", ring.register(8, probe.as_ptr(), 257));
    }
    show("last", probe[0] as u8);
    let is_there = |operation: u8| probe[2 + operation as usize] >> 16 & 1;
    let all = [
        NOP,
        READV,
        WRITEV,
        FSYNC,
        READ_FIXED,
        WRITE_FIXED,
        POLL_ADD,
        POLL_REMOVE,
        SENDMSG,
        RECVMSG,
        TIMEOUT,
        TIMEOUT_REMOVE,
        ACCEPT,
        ASYNC_CANCEL,
        LINK_TIMEOUT,
        CONNECT,
        FALLOCATE,
        OPENAT,
        CLOSE,
        FILES_UPDATE,
        STATX,
        READ,
        WRITE,
        FADVISE,
        MADVISE,
        SEND,
        RECV,
        OPENAT2,
        EPOLL_CTL,
        SPLICE,
        TEE,
        SHUTDOWN,
        RENAMEAT,
        UNLINKAT,
        MKDIRAT,
        SYMLINKAT,
        LINKAT,
        SOCKET,
    ];
    show("operations", all.iter().map(|operation| is_there(*operation).to_string()).collect::<String>());
    // SAFETY: no arguments.
    unsafe {
        value("a personality", ring.register(9, std::ptr::null::<u8>(), 0));
        let nop = Entry { personality: 1, ..Entry::new(NOP, 1) };
        submit(&mut ring, "used", &[nop], 1);
        value("forgotten", ring.register(10, std::ptr::null::<u8>(), 1));
        value("again", ring.register(10, std::ptr::null::<u8>(), 1));
        submit(&mut ring, "used", &[nop], 1);
    }
}

/// Memory that says what is not so.
fn hostile() {
    use std::sync::atomic::Ordering::SeqCst;
    let mut ring = ring();
    let offsets = ring.parameters;
    // A number of no entry.
    ring.push(Entry::new(NOP, 1));
    ring.word(offsets.sq_off[6]).store(0xffff_ffff, SeqCst);
    value("no such entry", ring.submit_within(0));
    show("dropped", ring.word(offsets.sq_off[5]).load(SeqCst));
    told(&mut ring, "completions");
    one(&mut ring, "and on", Entry::new(NOP, 2));
    // Masks, counts and heads that are the kernel's.
    for offset in
        [offsets.sq_off[2], offsets.sq_off[3], offsets.cq_off[2], offsets.cq_off[3], offsets.sq_off[0]]
    {
        ring.word(offset).store(0xffff_ffff, SeqCst);
    }
    let head = ring.word(offsets.sq_off[1]).load(SeqCst);
    ring.word(offsets.sq_off[0]).store(head, SeqCst);
    one(&mut ring, "with strange counts", Entry::new(NOP, 3));
    // More entries than there are.
    let tail = ring.word(offsets.sq_off[1]);
    tail.store(tail.load(SeqCst).wrapping_add(1 << 20), SeqCst);
    let taken = ring.enter(u32::MAX, 0, 0);
    show("at most a ring", taken.is_ok_and(|taken| taken <= 16));
    let mut other = Ring::new(4).expect("a ring");
    // Completions that nobody can have seen.
    other.word(offsets.cq_off[0]).store(0x8000_0000, SeqCst);
    other.push(Entry::new(NOP, 1));
    value("seen what is not there", other.submit(0));
}

fn poller() {
    let parameters = Parameters { flags: SETUP_SQPOLL, sq_thread_idle: 1, ..Parameters::default() };
    let mut ring = Ring::with(8, parameters).expect("a ring with a poller");
    for name in 0..20 {
        assert!(ring.push(Entry::new(NOP, name)));
        // A poller that does not sleep sees it.
        while ring.flags() & SQ_NEED_WAKEUP == 0
            && ring.word(ring.parameters.sq_off[0]).load(std::sync::atomic::Ordering::SeqCst)
                != name as u32 + 1
        {
            std::thread::yield_now();
        }
        let flags = if ring.flags() & SQ_NEED_WAKEUP != 0 { SQ_WAKEUP } else { 0 };
        ring.enter(1, 1, flags | 1).expect("a completion");
        let completion = ring.pop().expect("a completion");
        if completion.user_data != name || completion.res != 0 {
            show("strange", format!("{completion:?}"));
        }
    }
    while ring.flags() & SQ_NEED_WAKEUP == 0 {
        std::thread::yield_now();
    }
    show("polled", "all");
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    ring.push(Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
    value("woken", ring.enter(1, 0, SQ_WAKEUP));
    write_to(write_end(&pipe), b"four");
    value("waited", ring.submit_within(1));
    told(&mut ring, "read");
}

/// What is left when those who have begun it are gone.
fn ends() {
    // A child ends with requests in flight.
    let pipe = pipe().expect("a pipe");
    in_child("ends", || {
        let mut ring = ring();
        let buffer = [0_u8; 4];
        let time = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        ring.push(Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
        ring.push(Entry { addr: &raw const time as u64, len: 1, ..Entry::new(TIMEOUT, 2) });
        ring.push(Entry {
            fd: read_end(&pipe),
            op_flags: libc::POLLIN as u32,
            len: 1,
            ..Entry::new(POLL_ADD, 3)
        });
        ring.submit_within(0).map_or(1, |_| 0)
    });
    write_to(write_end(&pipe), b"kept");
    let mut buffer = [0_u8; 8];
    value("left in the pipe", sys!(SYS_read, read_end(&pipe), buffer.as_mut_ptr(), 8));
    // A ring that is closed lets go of its files.
    let ring = ring();
    let (reader, writer) = (pipe.reader, pipe.writer);
    let fds = [writer.as_raw_fd()];
    // SAFETY: the array is live.
    outcome("register", unsafe { ring.register(2, fds.as_ptr(), 1) });
    drop(writer);
    drop(ring);
    value("the end", sys!(SYS_read, reader.as_raw_fd(), buffer.as_mut_ptr(), 8));
}
