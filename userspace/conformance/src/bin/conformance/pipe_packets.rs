//! Pipes of packets (`O_DIRECT`): what one write brings, one read takes.

use crate::check::{BAD, describe, event_names, outcome, path, show, sys, value};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use support::memory::{Anonymous, PAGE};
use support::patience::child_in_call;
use support::pipe::{Pipe, read, write};

/// A pipe made with these flags.
fn pipe(flags: i32) -> Pipe {
    let mut ends = [0; 2];
    sys!(SYS_pipe2, ends.as_mut_ptr(), flags).expect("a pipe");
    // SAFETY: both are fresh and ours.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Pipe { reader, writer }
}

fn packets() -> Pipe {
    pipe(libc::O_DIRECT | libc::O_NONBLOCK)
}

/// Reads into so many bytes, and shows what comes.
fn take(what: &str, pipe: &Pipe, room: usize) {
    let mut found = vec![b'.'; room];
    let read = read(&pipe.reader, &mut found);
    let text = read.as_ref().map_or(String::new(), |&len| shape(&found[..len]));
    value(&format!("{what}, room for {room}"), read);
    show("bytes", text);
}

/// Bytes, short: those that are equal once.
fn shape(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b).map(|run| match run.len() {
        len @ 0..9 => String::from_utf8_lossy(&run[..len]).into_owned(),
        len => format!("({} {len} times)", run[0] as char),
    });
    runs.collect()
}

fn put(what: &str, pipe: &Pipe, bytes: &[u8]) {
    value(what, write(&pipe.writer, bytes));
}

fn inside(pipe: &Pipe) -> i32 {
    let mut bytes = -1;
    let _ = sys!(SYS_ioctl, pipe.reader.as_raw_fd(), libc::FIONREAD, &raw mut bytes);
    bytes
}

/// What the two ends are ready for.
fn events(pipe: &Pipe) -> String {
    let both = [(&pipe.reader, libc::POLLIN), (&pipe.writer, libc::POLLOUT)];
    let mut files = both.map(|(end, events)| libc::pollfd { fd: end.as_raw_fd(), events, revents: 0 });
    let _ = sys!(SYS_poll, files.as_mut_ptr(), 2, 0);
    files.map(|file| event_names(file.revents)).join(" ")
}

fn set_direct(pipe: &Pipe, on: bool) {
    let flags = libc::O_NONBLOCK | if on { libc::O_DIRECT } else { 0 };
    outcome("F_SETFL", sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETFL, flags));
}

pub fn run() {
    flags();
    one_by_one();
    large_ones();
    full();
    among_bytes();
    behind_a_page();
    in_pieces();
    bad_memory();
    spliced();
    waiting();
    fifos();
}

fn flags() {
    let pipe = packets();
    for end in [&pipe.reader, &pipe.writer] {
        let flags = sys!(SYS_fcntl, end.as_raw_fd(), libc::F_GETFL);
        value("flags", flags.map(|flags| format!("{flags:#o}")));
    }
    set_direct(&pipe, false);
    let flags = sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_GETFL);
    value("without", flags.map(|flags| format!("{flags:#o}")));
    let mut found = [b'.'; 20];
    put("abc", &pipe, b"abc");
    put("de", &pipe, b"de");
    value("are bytes", read(&pipe.reader, &mut found));
}

fn one_by_one() {
    let pipe = packets();
    take("nothing there", &pipe, 10);
    for text in ["hello", "", "w", "orld"] {
        put(&format!("write {text:?}"), &pipe, text.as_bytes());
    }
    show("inside", inside(&pipe));
    show("events", events(&pipe));
    take("exact", &pipe, 5);
    take("nothing", &pipe, 0);
    take("more room", &pipe, 50);
    show("inside", inside(&pipe));
    take("less room", &pipe, 2);
    show("inside", inside(&pipe));
    take("the rest is gone", &pipe, 50);
    show("events", events(&pipe));
    put("again", &pipe, b"last");
    let Pipe { reader, writer } = pipe;
    drop(writer);
    let mut found = [0; 10];
    value("after the writer left", read(&reader, &mut found));
    value("the end", read(&reader, &mut found));
}

fn large_ones() {
    let pipe = packets();
    let text: Vec<u8> = (0..10_000).map(|at| b'a' + (at / 1000) as u8).collect();
    put("10000", &pipe, &text);
    show("inside", inside(&pipe));
    for room in [10_000, 10_000, 10_000, 10_000] {
        take("a piece", &pipe, room);
    }
    put("4096", &pipe, &text[..4096]);
    put("4097", &pipe, &text[..4097]);
    show("inside", inside(&pipe));
    for room in [4096, 4095, 10, 10] {
        take("a piece", &pipe, room);
    }
    let all = vec![b'x'; 100_000];
    put("more than fits", &pipe, &all);
    put("and more", &pipe, &all);
    show("inside", inside(&pipe));
    show("events", events(&pipe));
}

/// How many packets of so many bytes fit.
fn fill(pipe: &Pipe, len: usize) -> usize {
    let packet = vec![b'p'; len];
    (0..).take_while(|_| write(&pipe.writer, &packet).is_ok()).count()
}

fn full() {
    for (size, len) in [(None, 1), (None, 4096), (Some(4096), 1), (Some(8192), 100), (Some(1 << 17), 7)] {
        let pipe = packets();
        if let Some(size) = size {
            value("size", sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETPIPE_SZ, size));
        }
        show(&format!("packets of {len}"), fill(&pipe, len));
        show("inside", inside(&pipe));
        show("events", events(&pipe));
        outcome("one more", write(&pipe.writer, b"x"));
        take("one", &pipe, 2);
        show("events", events(&pipe));
        put("there is room for one", &pipe, b"y");
        outcome("and for no other", write(&pipe.writer, b"z"));
        let shrunk = sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096);
        outcome("smaller", shrunk);
        value("larger", sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 18));
        put("there is room now", &pipe, b"new");
        take("the first", &pipe, 1);
    }
}

/// Bytes, among which packets are.
/// Packets behind bytes that fill their page.
fn behind_a_page() {
    let pipe = packets();
    let page = vec![b'F'; 4096];
    set_direct(&pipe, false);
    put("a page of bytes", &pipe, &page);
    set_direct(&pipe, true);
    put("a packet", &pipe, b"VWX");
    put("a packet of a page", &pipe, &page);
    put("a packet", &pipe, b"YZ");
    show("inside", inside(&pipe));
    take("some bytes", &pipe, 100);
    take("the others, and some of the packet", &pipe, 3998);
    take("the packet", &pipe, 5000);
    take("the last", &pipe, 5000);
}

fn among_bytes() {
    let pipe = packets();
    set_direct(&pipe, false);
    put("bytes", &pipe, b"abc");
    put("bytes", &pipe, b"def");
    set_direct(&pipe, true);
    put("what could be a packet", &pipe, b"MORE");
    let page = vec![b'F'; 4096];
    put("a packet", &pipe, &page[..4090]);
    put("a packet", &pipe, b"ANOTHER");
    set_direct(&pipe, false);
    put("bytes", &pipe, b"ghi");
    put("bytes", &pipe, b"jkl");
    show("inside", inside(&pipe));
    take("a few", &pipe, 2);
    take("bytes, and some of the packet", &pipe, 15);
    take("the next", &pipe, 50);
    take("the bytes behind it", &pipe, 50);
    show("inside", inside(&pipe));
    put("bytes", &pipe, b"mno");
    take("all", &pipe, 3);
    set_direct(&pipe, true);
    put("after bytes that have gone", &pipe, b"PQR");
    set_direct(&pipe, false);
    put("bytes", &pipe, b"stu");
    take("the packet", &pipe, 50);
    take("the bytes", &pipe, 50);
    // The smallest pipe, of which bytes have used a part.
    value("size", sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETPIPE_SZ, 1));
    put("bytes", &pipe, b"vw");
    take("one", &pipe, 1);
    set_direct(&pipe, true);
    outcome("no room", write(&pipe.writer, &page));
    take("the other", &pipe, 1);
    show("events", events(&pipe));
    put("room", &pipe, b"XY");
    outcome("no room", write(&pipe.writer, b"Z"));
    take("the packet", &pipe, 50);
    for len in [5000, 4098] {
        let pipe = packets();
        set_direct(&pipe, false);
        put("bytes", &pipe, b"bytes");
        set_direct(&pipe, true);
        put("more than a page", &pipe, &[b'G'; 5000][..len]);
        for _ in 0..3 {
            take("what comes", &pipe, 6000);
        }
    }
}

fn piece(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

fn in_pieces() {
    let pipe = packets();
    let (reader, writer) = (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd());
    let (mut one, mut two, mut three) = (*b"one", *b"two!", *b"three");
    let pieces = [piece(&mut one), piece(&mut two), piece(&mut three)];
    value("writev", sys!(SYS_writev, writer, pieces.as_ptr(), 3));
    value("writev", sys!(SYS_writev, writer, pieces.as_ptr(), 2));
    show("inside", inside(&pipe));
    let (mut first, mut second) = ([b'.'; 5], [b'.'; 5]);
    for _ in 0..3 {
        let pieces = [piece(&mut first), piece(&mut second)];
        value("readv", sys!(SYS_readv, reader, pieces.as_ptr(), 2));
        show("bytes", format!("{} {}", String::from_utf8_lossy(&first), String::from_utf8_lossy(&second)));
    }
    let (mut half, mut other) = (vec![b'h'; 3000], vec![b'o'; 3000]);
    let pieces = [piece(&mut half), piece(&mut other)];
    value("more than a page", sys!(SYS_writev, writer, pieces.as_ptr(), 2));
    take("a page", &pipe, 5000);
    take("the rest", &pipe, 5000);
}

fn bad_memory() {
    let pipe = packets();
    let (reader, writer) = (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd());
    let pages = Anonymous::map(2 * PAGE).expect("two pages");
    let end = pages.start() as usize + PAGE;
    outcome("no second page", sys!(SYS_munmap, end, PAGE));
    let other = packets();
    outcome("a packet from nowhere", sys!(SYS_write, other.writer.as_raw_fd(), BAD, 10));
    outcome("half of one", sys!(SYS_write, other.writer.as_raw_fd(), end - 5, 10));
    put("a whole one", &pipe, b"0123456789");
    outcome("to nowhere", sys!(SYS_read, reader, BAD, 10));
    outcome("half of it", sys!(SYS_read, reader, end - 5, 10));
    show("inside", inside(&pipe));
    value("to where there is room", sys!(SYS_read, reader, end - 5, 5));
    show("inside", inside(&pipe));
    // A page that has never been touched.
    let fresh = Anonymous::map(2 * PAGE).expect("two pages");
    put("another", &pipe, b"abcdefghij");
    value("over two fresh pages", sys!(SYS_read, reader, fresh.start() as usize + PAGE - 5, 10));
    value("from there", sys!(SYS_write, writer, fresh.start() as usize + PAGE - 5, 10));
    take("it", &pipe, 20);
}

fn spliced() {
    let (from, to) = (packets(), pipe(libc::O_NONBLOCK));
    let (reader, writer) = (from.reader.as_raw_fd(), to.writer.as_raw_fd());
    for text in ["first", "second", "third", "fourth"] {
        put(text, &from, text.as_bytes());
    }
    value("tee", sys!(SYS_tee, reader, writer, 5, 0));
    show("inside", format!("{} {}", inside(&from), inside(&to)));
    value("splice", sys!(SYS_splice, reader, 0, writer, 0, 11, 0));
    show("inside", format!("{} {}", inside(&from), inside(&to)));
    for _ in 0..4 {
        take("one of them", &to, 50);
    }
    value("a part of one", sys!(SYS_splice, reader, 0, writer, 0, 2, 0));
    take("the part", &to, 50);
    take("the rest", &from, 50);
    let name = path("/tmp/spliced");
    let file = sys!(SYS_open, name.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600);
    let file = file.expect("a file");
    value("to a file", sys!(SYS_splice, reader, 0, file, 0, 50, 0));
    put("more", &from, b"more");
    put("and more", &from, b"and more");
    value("to a file", sys!(SYS_splice, reader, 0, file, 0, 50, 0));
    let mut offset = 0_i64;
    value("from the file", sys!(SYS_splice, file, &raw mut offset, from.writer.as_raw_fd(), 0, 7, 0));
    value("from the file", sys!(SYS_splice, file, &raw mut offset, from.writer.as_raw_fd(), 0, 7, 0));
    take("is bytes", &from, 50);
    let _ = sys!(SYS_close, file);
}

fn waiting() {
    let pipe = pipe(libc::O_DIRECT);
    let mut found = [0; 5000];
    let reader = child_in_call(libc::SYS_read, || {
        let mut found = [0; 10];
        i32::from(!matches!(read(&pipe.reader, &mut found), Ok(5)))
    });
    put("somebody waits for a packet", &pipe, b"12345");
    value("and has read it", reader.wait().map(describe));
    value("size", sys!(SYS_fcntl, pipe.writer.as_raw_fd(), libc::F_SETPIPE_SZ, 8192));
    let writer = child_in_call(libc::SYS_write, || {
        let lengths = [1, 2, 5000, 3];
        let fits = |&len: &usize| matches!(write(&pipe.writer, &vec![b'w'; len]), Ok(count) if count == len);
        i32::from(!lengths.iter().all(fits))
    });
    for _ in 0..5 {
        value("somebody waits for room", read(&pipe.reader, &mut found));
    }
    value("and has written all", writer.wait().map(describe));
}

fn fifos() {
    let name = path("/tmp/packets");
    outcome("mkfifo", sys!(SYS_mknod, name.as_ptr(), libc::S_IFIFO | 0o600, 0));
    let flags = libc::O_RDWR | libc::O_NONBLOCK;
    outcome("open for packets", sys!(SYS_open, name.as_ptr(), flags | libc::O_DIRECT));
    let both = sys!(SYS_open, name.as_ptr(), flags).expect("a fifo");
    outcome("F_SETFL", sys!(SYS_fcntl, both, libc::F_SETFL, libc::O_NONBLOCK | libc::O_DIRECT));
    value("write", sys!(SYS_write, both, b"abc".as_ptr(), 3));
    value("write", sys!(SYS_write, both, b"de".as_ptr(), 2));
    let mut found = [0_u8; 10];
    value("read", sys!(SYS_read, both, found.as_mut_ptr(), 10));
    value("read", sys!(SYS_read, both, found.as_mut_ptr(), 10));
    let _ = sys!(SYS_close, both);
    let _ = sys!(SYS_unlink, name.as_ptr());
}
