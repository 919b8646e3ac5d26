//! From file to file without the program: copy_file_range, splice, tee, vmsplice; preadv2 and pwritev2.

use crate::check::{BAD, aside, outcome, path, show, sys, value};
use std::fs;
use std::io;
use support::patience::thread_in_call;

pub fn run() {
    let letters: Vec<u8> = (0..200_000_u32).map(|at| b'a' + (at % 26) as u8).collect();
    fs::write("letters", letters).expect("a file");
    ranges();
    range_refusals();
    into_pipes();
    out_of_pipes();
    between_pipes();
    waits();
    refusals();
    tees();
    from_memory();
    flags();
}

fn open(name: &str, flags: i32) -> i64 {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o666).expect("a file")
}

fn close(file: i64) {
    let _ = sys!(SYS_close, file);
}

fn pipe(flags: i32) -> [i64; 2] {
    let mut ends = [0_i32; 2];
    sys!(SYS_pipe2, ends.as_mut_ptr(), flags).expect("a pipe");
    ends.map(i64::from)
}

fn create(name: &str) -> i64 {
    open(name, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)
}

fn position(file: i64) -> i64 {
    sys!(SYS_lseek, file, 0, libc::SEEK_CUR).unwrap_or(-1)
}

/// A file's length and a sum over its bytes.
fn digest(name: &str) -> String {
    let bytes = fs::read(name).unwrap_or_default();
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    format!("{} {sum:08x}", bytes.len())
}

const NULL: *const i64 = std::ptr::null();

fn copy(from: i64, at: *const i64, to: i64, to_at: *const i64, len: usize) -> io::Result<i64> {
    sys!(SYS_copy_file_range, from, at, to, to_at, len, 0)
}

fn ranges() {
    let (from, to) = (open("letters", libc::O_RDONLY), create("copy"));
    value("from the start", copy(from, NULL, to, NULL, 10));
    show("positions", format!("{} {}", position(from), position(to)));
    value("more than there is", copy(from, NULL, to, NULL, 1 << 30));
    show("positions", format!("{} {}", position(from), position(to)));
    show("content", digest("copy"));
    value("at the end", copy(from, NULL, to, NULL, 10));
    let (mut at, mut to_at) = (26 * 100_i64, 5_i64);
    value("with offsets", copy(from, &raw mut at, to, &raw mut to_at, 70_000));
    show("offsets", format!("{at} {to_at}"));
    show("positions stay", format!("{} {}", position(from), position(to)));
    show("content", digest("copy"));
    let (mut at, mut to_at) = (0_i64, 500_000_i64);
    value("behind the end", copy(to, &raw mut at, to, &raw mut to_at, 100));
    show("content", digest("copy"));
    let (mut at, mut to_at) = (0_i64, 50_i64);
    value("overlapping", copy(to, &raw mut at, to, &raw mut to_at, 100));
    value("nothing", copy(from, NULL, to, NULL, 0));
    [from, to].into_iter().for_each(close);
}

fn range_refusals() {
    let (from, to) = (open("letters", libc::O_RDONLY), create("copy"));
    outcome("flags", sys!(SYS_copy_file_range, from, 0, to, 0, 1, 1));
    outcome("bad offset address", sys!(SYS_copy_file_range, from, BAD, to, 0, 1, 0));
    outcome("no descriptor", sys!(SYS_copy_file_range, 99, 0, to, 0, 1, 0));
    outcome("no descriptor to write", sys!(SYS_copy_file_range, from, 0, 99, 0, 1, 0));
    outcome("to a reader", copy(to, NULL, from, NULL, 1));
    let writing = open("copy", libc::O_WRONLY);
    outcome("from a writer", copy(writing, NULL, to, NULL, 1));
    let appending = open("copy", libc::O_WRONLY | libc::O_APPEND);
    outcome("appending", copy(from, NULL, appending, NULL, 1));
    let folder = open("/tmp", libc::O_RDONLY);
    outcome("from a folder", copy(folder, NULL, to, NULL, 1));
    let ends = pipe(0);
    outcome("from a pipe", copy(ends[0], NULL, to, NULL, 1));
    outcome("to a pipe", copy(from, NULL, ends[1], NULL, 1));
    let null = open("/dev/null", libc::O_RDWR);
    outcome("to a device", copy(from, NULL, null, NULL, 1));
    let elsewhere = open("/etc/passwd", libc::O_RDONLY);
    outcome("to another file system", copy(elsewhere, NULL, to, NULL, 1));
    let far = i64::MAX;
    outcome("beyond the largest offset", copy(from, &raw const far, to, NULL, 2));
    aside("size limit", || {
        let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_FSIZE, &raw const limit);
        // SAFETY: no handler is involved.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        value("up to the limit", copy(from, NULL, to, NULL, 200));
        value("at the limit", copy(from, NULL, to, NULL, 200));
    });
    [from, to, writing, appending, folder, ends[0], ends[1], null, elsewhere].into_iter().for_each(close);
}

fn splice(from: i64, at: *const i64, to: i64, to_at: *const i64, len: usize, flags: u32) -> io::Result<i64> {
    sys!(SYS_splice, from, at, to, to_at, len, flags)
}

/// Reads what is in a pipe.
fn read(end: i64, len: usize) -> String {
    let mut bytes = vec![0_u8; len];
    match sys!(SYS_read, end, bytes.as_mut_ptr(), len) {
        Ok(count) => String::from_utf8_lossy(&bytes[..count as usize]).into_owned(),
        Err(error) => support::errno::error_name(&error),
    }
}

fn into_pipes() {
    let (from, ends) = (open("letters", libc::O_RDONLY), pipe(libc::O_NONBLOCK));
    value("ten bytes", splice(from, NULL, ends[1], NULL, 10, 0));
    show("position", position(from));
    show("in the pipe", read(ends[0], 100));
    let mut at = 27_i64;
    value("from an offset", splice(from, &raw mut at, ends[1], NULL, 5, 0));
    show("offset and position", format!("{at} {}", position(from)));
    show("in the pipe", read(ends[0], 100));
    // How much that is depends on what else shares a page of the pipe.
    let filled = splice(from, NULL, ends[1], NULL, 1 << 20, libc::SPLICE_F_NONBLOCK);
    value("as much as fits", filled.map(|count| count > 60_000));
    value("no more", splice(from, NULL, ends[1], NULL, 1, libc::SPLICE_F_NONBLOCK));
    close(ends[0]);
    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    value("without a reader", splice(from, NULL, ends[1], NULL, 10, 0));
    let mut end = 1_i64 << 40;
    let fresh = pipe(0);
    value("behind the end", splice(from, &raw mut end, fresh[1], NULL, 10, 0));
    [from, ends[1], fresh[0], fresh[1]].into_iter().for_each(close);
}

fn out_of_pipes() {
    let (to, ends) = (create("spliced"), pipe(0));
    let _ = sys!(SYS_write, ends[1], b"one two three".as_ptr(), 13);
    value("four bytes", splice(ends[0], NULL, to, NULL, 4, 0));
    let mut at = 100_i64;
    value("at an offset", splice(ends[0], NULL, to, &raw mut at, 4, 0));
    show("offset and position", format!("{at} {}", position(to)));
    value("the rest", splice(ends[0], NULL, to, NULL, 1000, 0));
    value("empty", splice(ends[0], NULL, to, NULL, 1000, libc::SPLICE_F_NONBLOCK));
    show("content", digest("spliced"));
    let null = open("/dev/null", libc::O_WRONLY);
    let _ = sys!(SYS_write, ends[1], b"gone".as_ptr(), 4);
    value("to a device", splice(ends[0], NULL, null, NULL, 1000, 0));
    let appending = open("spliced", libc::O_WRONLY | libc::O_APPEND);
    let _ = sys!(SYS_write, ends[1], b"kept".as_ptr(), 4);
    outcome("appending", splice(ends[0], NULL, appending, NULL, 1000, 0));
    aside("size limit", || {
        let limit = libc::rlimit { rlim_cur: 2, rlim_max: 2 };
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_FSIZE, &raw const limit);
        // SAFETY: no handler is involved.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        outcome("at the limit", splice(ends[0], NULL, to, NULL, 1000, 0));
    });
    show("still in the pipe", read(ends[0], 100));
    close(ends[1]);
    value("no writer", splice(ends[0], NULL, to, NULL, 1000, 0));
    [to, ends[0], null, appending].into_iter().for_each(close);
}

fn between_pipes() {
    let (one, two) = (pipe(0), pipe(0));
    let _ = sys!(SYS_write, one[1], b"from pipe to pipe".as_ptr(), 17);
    value("some", splice(one[0], NULL, two[1], NULL, 5, 0));
    value("the rest", splice(one[0], NULL, two[1], NULL, 100, 0));
    show("arrived", read(two[0], 100));
    let full = [b'f'; 65536];
    let _ = sys!(SYS_write, two[1], full.as_ptr(), 65536);
    let _ = sys!(SYS_write, one[1], b"more".as_ptr(), 4);
    value("full", splice(one[0], NULL, two[1], NULL, 100, libc::SPLICE_F_NONBLOCK));
    show("still there", read(one[0], 100));
    outcome("to itself", splice(one[0], NULL, one[1], NULL, 100, 0));
    [one[0], one[1], two[0], two[1]].into_iter().for_each(close);
}

fn waits() {
    let (one, two) = (pipe(0), pipe(0));
    let waiter = thread_in_call(libc::SYS_splice, move || splice(one[0], NULL, two[1], NULL, 100, 0));
    let _ = sys!(SYS_write, one[1], b"late".as_ptr(), 4);
    value("waited for bytes", waiter.join().expect("no panic"));
    show("arrived", read(two[0], 100));
    let full = [b'f'; 65536];
    let _ = sys!(SYS_write, two[1], full.as_ptr(), 65536);
    let _ = sys!(SYS_write, one[1], b"more".as_ptr(), 4);
    let waiter = thread_in_call(libc::SYS_splice, move || splice(one[0], NULL, two[1], NULL, 100, 0));
    show("make room", read(two[0], 65536).len());
    value("waited for room", waiter.join().expect("no panic"));
    show("arrived", read(two[0], 100));
    [one[0], one[1], two[0], two[1]].into_iter().for_each(close);
}

fn refusals() {
    let (file, ends) = (open("letters", libc::O_RDWR), pipe(0));
    let at = 0_i64;
    outcome("no pipe", splice(file, NULL, file, NULL, 1, 0));
    outcome("offset of a pipe", splice(ends[0], &raw const at, file, NULL, 1, 0));
    outcome("offset of the other", splice(file, NULL, ends[1], &raw const at, 1, 0));
    outcome("from the writing end", splice(ends[1], NULL, file, NULL, 1, 0));
    outcome("to the reading end", splice(file, NULL, ends[0], NULL, 1, 0));
    outcome("unknown flags", splice(file, NULL, ends[1], NULL, 1, 0x10));
    outcome("no descriptor", splice(99, NULL, ends[1], NULL, 1, 0));
    outcome("nothing, with all wrong", splice(99, NULL, 98, NULL, 0, 0x10));
    let folder = open("/tmp", libc::O_RDONLY);
    outcome("a folder", splice(folder, NULL, ends[1], NULL, 1, 0));
    outcome("bad offset address", sys!(SYS_splice, file, BAD, ends[1], 0, 1, 0));
    [file, ends[0], ends[1], folder].into_iter().for_each(close);
}

fn tees() {
    let (one, two) = (pipe(0), pipe(0));
    let tee = |len: usize, flags: u32| sys!(SYS_tee, one[0], two[1], len, flags);
    value("empty", tee(10, libc::SPLICE_F_NONBLOCK));
    let _ = sys!(SYS_write, one[1], b"twice".as_ptr(), 5);
    value("some", tee(3, 0));
    value("all", tee(100, 0));
    show("the copy", read(two[0], 100));
    show("the original", read(one[0], 100));
    value("nothing", tee(0, 0));
    outcome("unknown flags", tee(1, 0x10));
    outcome("to itself", sys!(SYS_tee, one[0], one[1], 1, 0));
    outcome("wrong ends", sys!(SYS_tee, one[1], two[1], 1, 0));
    let file = open("letters", libc::O_RDWR);
    outcome("a file", sys!(SYS_tee, file, two[1], 1, 0));
    close(one[1]);
    value("no writer", tee(10, 0));
    [one[0], two[0], two[1], file].into_iter().for_each(close);
}

fn from_memory() {
    let ends = pipe(0);
    let pieces = [
        libc::iovec { iov_base: b"one ".as_ptr() as *mut _, iov_len: 4 },
        libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
        libc::iovec { iov_base: b"two".as_ptr() as *mut _, iov_len: 3 },
    ];
    let vmsplice =
        |end: i64, count: usize, flags: u32| sys!(SYS_vmsplice, end, pieces.as_ptr(), count, flags);
    value("pieces", vmsplice(ends[1], 3, 0));
    show("in the pipe", read(ends[0], 100));
    value("none", vmsplice(ends[1], 0, 0));
    outcome("unknown flags", vmsplice(ends[1], 3, 0x10));
    outcome("too many", vmsplice(ends[1], 2000, 0));
    let file = open("letters", libc::O_RDWR);
    outcome("a file", vmsplice(file, 3, 0));
    let large = vec![b'l'; 100_000];
    let one = libc::iovec { iov_base: large.as_ptr() as *mut _, iov_len: large.len() };
    let filled = sys!(SYS_vmsplice, ends[1], &raw const one, 1, libc::SPLICE_F_NONBLOCK);
    value("as much as fits", filled.map(|count| count > 60_000));
    value("full", sys!(SYS_vmsplice, ends[1], &raw const one, 1, libc::SPLICE_F_NONBLOCK));
    let mut into = [0_u8; 10];
    let target = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: 10 };
    value("out of the pipe", sys!(SYS_vmsplice, ends[0], &raw const target, 1, 0));
    show("read", String::from_utf8_lossy(&into));
    [ends[0], ends[1], file].into_iter().for_each(close);
}

fn flags() {
    let file = create("flagged");
    let piece = libc::iovec { iov_base: b"abc".as_ptr() as *mut _, iov_len: 3 };
    let write = |at: i64, flags: i32| sys!(SYS_pwritev2, file, &raw const piece, 1, at, 0, flags);
    let read = |at: i64, flags: i32| {
        let mut into = [0_u8; 3];
        let target = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: 3 };
        sys!(SYS_preadv2, file, &raw const target, 1, at, 0, flags)
    };
    value("at an offset", write(10, 0));
    value("at the position", write(-1, 0));
    show("position", position(file));
    value("at the end", write(0, libc::RWF_APPEND));
    show("position stays", position(file));
    value("at the end, from the position", write(-1, libc::RWF_APPEND));
    show("position", position(file));
    value("to stable storage", write(0, libc::RWF_DSYNC));
    value("all of it", write(0, libc::RWF_SYNC | libc::RWF_HIPRI));
    value("without waiting", write(0, libc::RWF_NOWAIT));
    value("unknown", write(0, 0x100));
    value("negative offset", write(-2, 0));
    value("read", read(10, 0));
    value("read at the position", read(-1, 0));
    value("read, polling", read(0, libc::RWF_HIPRI));
    value("read without waiting", read(0, libc::RWF_NOWAIT));
    value("read with an unknown flag", read(0, 0x100));
    value("read at a negative offset", read(-2, 0));
    show("content", digest("flagged"));
    let ends = pipe(0);
    let mut into = [0_u8; 3];
    let target = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: 3 };
    value("a pipe at the position", sys!(SYS_pwritev2, ends[1], &raw const piece, 1, -1, -1, 0));
    value("an empty pipe", sys!(SYS_preadv2, ends[0], &raw const target, 1, -1, -1, libc::RWF_NOWAIT));
    value("a pipe", sys!(SYS_pwritev2, ends[1], &raw const piece, 1, -1, -1, libc::RWF_NOWAIT));
    value(
        "a pipe that has bytes",
        sys!(SYS_preadv2, ends[0], &raw const target, 1, -1, -1, libc::RWF_NOWAIT),
    );
    value("an offset", sys!(SYS_preadv2, ends[0], &raw const target, 1, 0, 0, 0));
    [file, ends[0], ends[1]].into_iter().for_each(close);
}
