//! Transfers past the page cache (`O_DIRECT`), in the working directory, which is on a disk.

use crate::check::{in_child, outcome, show, sys, value};
use libc::{O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use support::memory::Anonymous;
use support::ring::{Entry, Ring, names};

const PAGE: usize = 4096;

pub fn run() {
    flags();
    alignment();
    reading();
    writing();
    growing();
    vectors();
    beside_the_cache();
    beside_mappings();
    memory();
    copies();
    limits();
    no_room();
    at_once();
    beside_forks();
}

/// Bytes that tell where they are.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + seed * 7) as u8).collect()
}

/// Which bytes these are: equal for equal ones.
fn sum(bytes: &[u8]) -> String {
    let all = bytes.iter().fold(5381_u64, |sum, byte| sum.wrapping_mul(33) ^ u64::from(*byte));
    format!("{} bytes {all:x}", bytes.len())
}

fn open(path: &str, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)
}

/// Memory that begins with a page, with these bytes.
fn aligned(bytes: &[u8]) -> Anonymous {
    let mut memory = Anonymous::map(bytes.len().max(1).next_multiple_of(PAGE)).expect("memory");
    memory.bytes()[..bytes.len()].copy_from_slice(bytes);
    memory
}

/// A new file with these bytes, which are on the disk, open for transfers past the cache.
fn made(path: &str, bytes: &[u8]) -> File {
    fs::write(path, bytes).expect("the file");
    let file = open(path, O_DIRECT).expect("open");
    file.sync_all().expect("synced");
    file
}

/// What a read past the cache gives.
fn read(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut memory = aligned(&vec![0xaa; len]);
    let count = file.read_at(&mut memory.bytes()[..len], at)?;
    Ok(memory.bytes()[..count].to_vec())
}

fn write(file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
    let mut memory = aligned(bytes);
    file.write_at(&memory.bytes()[..bytes.len()], at)
}

fn show_read(what: &str, result: io::Result<Vec<u8>>) {
    value(what, result.map(|bytes| sum(&bytes)));
}

/// All of a file, through the cache.
fn show_contents(what: &str, path: &str) {
    show_read(what, fs::read(path));
}

fn flags() {
    let mode = 0o644;
    let raw =
        |path: &std::ffi::CStr, flags: i32| sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode);
    let close = |result: io::Result<i64>| result.map(|fd| sys!(SYS_close, fd).expect("closed"));
    outcome("a new file", close(raw(c"flags", O_RDWR | O_CREAT | O_DIRECT)));
    outcome("a directory", close(raw(c".", O_RDONLY | O_DIRECTORY | O_DIRECT)));
    outcome("null", close(raw(c"/dev/null", O_RDWR | O_DIRECT)));
    outcome("a file of processes", close(raw(c"/proc/self/maps", O_RDONLY | O_DIRECT)));
    outcome("truncated", close(raw(c"flags", O_RDWR | O_TRUNC | O_DIRECT)));
    let file = open("flags", 0).expect("open");
    let get = |file: &File| {
        sys!(SYS_fcntl, file.as_raw_fd(), libc::F_GETFL).map(|flags| flags & i64::from(O_DIRECT))
    };
    value("without", get(&file));
    outcome("set", sys!(SYS_fcntl, file.as_raw_fd(), libc::F_SETFL, O_DIRECT));
    value("with", get(&file));
    value("misaligned then", file.write_at(b"x", 0));
    outcome("taken", sys!(SYS_fcntl, file.as_raw_fd(), libc::F_SETFL, 0));
    value("as before", file.write_at(b"x", 0));
    let folder = File::open(".").expect("open");
    outcome("set of a directory", sys!(SYS_fcntl, folder.as_raw_fd(), libc::F_SETFL, O_DIRECT));
    let memory = sys!(SYS_memfd_create, c"memory".as_ptr(), 0).expect("memory");
    outcome("set of memory", sys!(SYS_fcntl, memory, libc::F_SETFL, O_DIRECT));
    outcome("closed", sys!(SYS_close, memory));
    for (name, path) in [("flags", c"flags"), ("a directory", c".")] {
        // `struct statx`: the mask, and after 152 bytes the alignments of memory and of offsets.
        let mut answer = [0_u32; 64];
        let asked = sys!(SYS_statx, libc::AT_FDCWD, path.as_ptr(), 0, 0x2000, answer.as_mut_ptr());
        outcome(name, asked);
        show("tells", answer[0] & 0x2000 != 0);
        // What memory must be is the disk's matter.
        show("memory", answer[38] == 0 || answer[38].is_power_of_two() && answer[38] <= 512);
        show("offsets", answer[39]);
    }
}

fn alignment() {
    let file = made("alignment", &pattern(10_000, 1));
    let mut memory = aligned(&[0; 8192]);
    for (at, from, len) in
        [(1, 0, 512), (0, 0, 511), (0, 1, 512), (100, 100, 100), (512, 0, 1000), (4096, 3, 4096)]
    {
        let what = format!("{len} bytes at {at} to {from}");
        value(&format!("read {what}"), file.read_at(&mut memory.bytes()[from..from + len], at));
        value(&format!("write {what}"), file.write_at(&memory.bytes()[from..from + len], at));
    }
    for (at, from, len) in [(512, 512, 512), (1024, 1536, 1024), (3584, 512, 4608)] {
        let what = format!("{len} bytes at {at} to {from}");
        value(&format!("read {what}"), file.read_at(&mut memory.bytes()[from..from + len], at));
        value(&format!("write {what}"), file.write_at(&memory.bytes()[from..from + len], at));
    }
    show_contents("as before", "alignment");
    value("read nothing", file.read_at(&mut [], 3));
    value("write nothing", file.write_at(&[], 3));
    value("misaligned at the end", file.read_at(&mut memory.bytes()[1..100], 10_000));
}

fn reading() {
    let file = made("reading", &pattern(70_000, 2));
    for (at, len) in [(0, 4096), (512, 512), (4096, 65_536), (69_632, 4096), (69_632, 512), (65_536, 1 << 20)]
    {
        show_read(&format!("{len} bytes at {at}"), read(&file, at, len));
    }
    show_read("behind the end", read(&file, 70_144, 512));
    show_read("far behind it", read(&file, 1 << 40, 4096));
    let mut sequential = &file;
    let mut memory = aligned(&[0; 65_536]);
    for _ in 0..3 {
        value("one after the other", sequential.read(&mut memory.bytes()[..32_768]));
        value("now at", sequential.stream_position());
    }
    let sparse = open("sparse", O_DIRECT).expect("open");
    sparse.set_len(1 << 20).expect("a hole");
    show_read("a hole", read(&sparse, 8192, 65_536));
    show_read("odd bytes of it", read(&sparse, 77, 99));
    outcome("allocated", sys!(SYS_fallocate, sparse.as_raw_fd(), 0, 262_144, 65_536));
    show_read("blocks that nobody has written to", read(&sparse, 262_144, 65_536));
    value("written in the middle", write(&sparse, 278_528, &pattern(8192, 3)));
    show_read("around them", read(&sparse, 258_048, 73_728));
    let mut hidden = &file;
    outcome("back", hidden.seek(SeekFrom::Start(0)));
}

fn writing() {
    let file = made("writing", &pattern(50_000, 4));
    for (at, len, seed) in [(0, 512, 5), (1024, 4096, 6), (20_480, 16_384, 7), (49_664, 512, 8)] {
        value(&format!("{len} bytes at {at}"), write(&file, at, &pattern(len, seed)));
    }
    show_contents("contents", "writing");
    show_read("past the cache", read(&file, 0, 1 << 16));
    let synced = open("writing", O_DIRECT | O_DSYNC).expect("open");
    value("stable", write(&synced, 512, &pattern(1024, 9)));
    let synced = open("writing", O_DIRECT | O_SYNC).expect("open");
    value("all stable", write(&synced, 60_416, &pattern(512, 10)));
    show_contents("contents", "writing");
}

fn growing() {
    let file = open("growing", O_DIRECT | O_APPEND).expect("open");
    for number in 0..5 {
        let mut appending = &file;
        let mut memory = aligned(&pattern(1536, number));
        value("appended", appending.write(&memory.bytes()[..1536]));
    }
    show_contents("contents", "growing");
    let file = open("growing", O_DIRECT).expect("open");
    value("behind a gap", write(&file, 100_352, &pattern(512, 11)));
    show_contents("contents", "growing");
    value("into the gap", write(&file, 51_200, &pattern(10_240, 12)));
    show_contents("contents", "growing");
    file.set_len(100).expect("cut");
    value("at its end", write(&file, 512, &pattern(512, 13)));
    show_contents("contents", "growing");
    let odd = open("growing", O_DIRECT | O_APPEND).expect("open");
    odd.set_len(1000).expect("longer");
    let mut appending = &odd;
    let mut memory = aligned(&[1; 512]);
    value("appended to an odd end", appending.write(&memory.bytes()[..512]));
    outcome("allocated behind the end", sys!(SYS_fallocate, file.as_raw_fd(), 1, 4096, 65_536));
    value("written there", write(&file, 8192, &pattern(4096, 14)));
    show_contents("contents", "growing");
}

fn vectors() {
    let file = made("vectors", &pattern(40_000, 15));
    let mut memory = aligned(&pattern(16_384, 16));
    let start = memory.start();
    let vector =
        |from: usize, len: usize| libc::iovec { iov_base: start.wrapping_add(from).cast(), iov_len: len };
    let fd = file.as_raw_fd();
    let whole = [vector(0, 512), vector(4096, 1024), vector(8192, 4096)];
    value("preadv", sys!(SYS_preadv, fd, whole.as_ptr(), 3, 1024));
    show("read", sum(memory.bytes()));
    value("pwritev", sys!(SYS_pwritev, fd, whole.as_ptr(), 3, 20_480));
    show_contents("contents", "vectors");
    let odd = [vector(0, 512), vector(4096, 1000), vector(8192, 24)];
    value("odd parts to read", sys!(SYS_preadv, fd, odd.as_ptr(), 3, 0));
    value("odd parts to write", sys!(SYS_pwritev, fd, odd.as_ptr(), 3, 0));
    let bad = [vector(0, 512), libc::iovec { iov_base: PAGE as *mut _, iov_len: 512 }];
    value("a bad part to read", sys!(SYS_preadv, fd, bad.as_ptr(), 2, 1024));
    // Whether the good part is written all the same is nobody's business: it is written again.
    value("a bad part to write", sys!(SYS_pwritev, fd, bad.as_ptr(), 2, 4096));
    let empty = [vector(0, 0), vector(512, 512), vector(0, 0)];
    value("empty parts", sys!(SYS_readv, fd, empty.as_ptr(), 3));
    value("from there on", sys!(SYS_writev, fd, whole.as_ptr(), 2));
    value("up to", sys!(SYS_lseek, fd, 0, libc::SEEK_CUR));
    value("stable", sys!(SYS_pwritev2, fd, whole.as_ptr(), 2, 4096, 0, libc::RWF_DSYNC));
    file.set_len(40_448).expect("longer");
    value("at the end", sys!(SYS_pwritev2, fd, whole.as_ptr(), 2, 0, 0, libc::RWF_APPEND));
    show_contents("contents", "vectors");
}

fn beside_the_cache() {
    let file = made("cache", &pattern(32_768, 17));
    let cached = open("cache", 0).expect("open");
    value("written through it", cached.write_at(&pattern(300, 18), 5000));
    show_read("read past it", read(&file, 4096, 4096));
    value("written past it", write(&file, 4608, &pattern(512, 19)));
    let mut bytes = vec![0; 32_768];
    value("read through it", cached.read_at(&mut bytes, 0));
    show("read", sum(&bytes));
    for round in 0..20 {
        cached.write_at(&pattern(100, round), 7000 + round as u64 * 3).expect("written");
        write(&file, 6144 + 512 * (round as u64 % 4), &pattern(512, round)).expect("written");
        let mut bytes = vec![0; 8192];
        cached.read_at(&mut bytes, 4096).expect("read");
        let direct = read(&file, 4096, 8192).expect("read");
        if bytes != direct {
            show("they differ in round", round);
        }
    }
    show_contents("contents", "cache");
}

/// A mapping of a file.
fn map(file: &File, len: usize, rights: i32, sharing: i32) -> *mut u8 {
    let map = sys!(SYS_mmap, 0, len, rights, sharing, file.as_raw_fd(), 0).expect("mapped");
    map as *mut u8
}

fn beside_mappings() {
    let file = made("mapped", &pattern(16_384, 20));
    let shared = map(&file, 16_384, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let private = map(&file, 16_384, libc::PROT_READ, libc::MAP_PRIVATE);
    // SAFETY: both mappings are 16384 bytes long, and stay.
    let (look, copy) =
        unsafe { (std::slice::from_raw_parts(shared, 16_384), std::slice::from_raw_parts(private, 16_384)) };
    show("shared", sum(look));
    show("private", sum(copy));
    value("written past the cache", write(&file, 4096, &pattern(4096, 21)));
    show("shared", sum(look));
    show("private", sum(copy));
    // SAFETY: within the mapping.
    unsafe { shared.add(9000).write_bytes(7, 100) };
    show_read("stored by a program", read(&file, 8192, 4096));
    // SAFETY: as above.
    unsafe { shared.add(100).write_bytes(8, 100) };
    value("to another part of the page", write(&file, 1024, &pattern(512, 22)));
    show("shared", sum(look));
    show_read("past the cache", read(&file, 0, 16_384));
    // The file's own pages are the memory.
    let own = sys!(SYS_pwrite64, file.as_raw_fd(), shared, 4096, 12_288);
    value("from its first page to its last", own);
    show("shared", sum(look));
    value("and back", sys!(SYS_pread64, file.as_raw_fd(), shared.wrapping_add(4096), 4096, 12_288));
    show("shared", sum(look));
    outcome("stored", sys!(SYS_msync, shared, 16_384, libc::MS_SYNC));
    show_read("past the cache", read(&file, 0, 16_384));
}

fn memory() {
    let file = made("memory", &pattern(16_384, 23));
    let fd = file.as_raw_fd();
    value("nowhere to read to", sys!(SYS_pread64, fd, 0, 4096, 0));
    value("nowhere to write from", sys!(SYS_pwrite64, fd, 0, 4096, 0));
    let mut untouched = Anonymous::map(8192).expect("memory");
    value("from memory that nobody has touched", sys!(SYS_pwrite64, fd, untouched.start(), 4096, 4096));
    value("to such memory", sys!(SYS_pread64, fd, untouched.start().wrapping_add(4096), 4096, 0));
    show("it has", sum(untouched.bytes()));
    let other = made("other", &pattern(8192, 24));
    let visible = map(&other, 8192, libc::PROT_READ, libc::MAP_PRIVATE);
    value("from what can only be read", sys!(SYS_pwrite64, fd, visible, 4096, 8192));
    value("to that", sys!(SYS_pread64, fd, visible, 4096, 8192));
    let own = map(&other, 8192, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    value("to a private copy", sys!(SYS_pread64, fd, own, 4096, 0));
    show_contents("of this", "other");
    // SAFETY: the mapping has so many bytes.
    show("the copy", sum(unsafe { std::slice::from_raw_parts(own, 8192) }));
    let half = aligned(&[1; 8192]);
    outcome("half of it goes", sys!(SYS_munmap, half.start().wrapping_add(4096), 4096));
    value("to half of it", sys!(SYS_pread64, fd, half.start(), 8192, 0));
    value("from half of it", sys!(SYS_pwrite64, fd, half.start(), 8192, 0));
    show_contents("contents", "memory");
}

/// What a child has in common with its parent until either writes.
fn copies() {
    let file = made("copies", &pattern(8192, 25));
    let mut memory = aligned(&pattern(8192, 26));
    let start = memory.start();
    in_child("to a child's memory", || {
        let read = sys!(SYS_pread64, file.as_raw_fd(), start, 4096, 0);
        // SAFETY: the memory is the child's now.
        let bytes = unsafe { std::slice::from_raw_parts(start, 8192) };
        i32::from(read.ok() != Some(4096) || bytes[..4096] != pattern(8192, 25)[..4096])
    });
    show("the parent's", sum(memory.bytes()));
    in_child("from it", || {
        i32::from(sys!(SYS_pwrite64, file.as_raw_fd(), start, 8192, 0).ok() != Some(8192))
    });
    show_contents("contents", "copies");
    let mut pipe = [0_i32; 2];
    outcome("a pipe", sys!(SYS_pipe2, pipe.as_mut_ptr(), 0));
    value("sent", sys!(SYS_sendfile, pipe[1], file.as_raw_fd(), 0, 4096));
    // SAFETY: both are open, and nobody else's.
    let (mut from, _to) = unsafe { (File::from_raw_fd(pipe[0]), File::from_raw_fd(pipe[1])) };
    let mut bytes = [0; 4096];
    outcome("received", from.read_exact(&mut bytes));
    show("it was", sum(&bytes));
}

fn limits() {
    let file = made("limits", &pattern(4096, 27));
    in_child("at the limit of a file's size", || {
        let limit = [8192_u64; 2];
        let ignored = sys!(SYS_setrlimit, libc::RLIMIT_FSIZE, limit.as_ptr());
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        outcome("a limit", ignored);
        value("up to it", write(&file, 4096, &pattern(8192, 28)));
        value("behind it", write(&file, 8192, &pattern(512, 29)));
        0
    });
    show_contents("contents", "limits");
    let only_read = OpenOptions::new().read(true).custom_flags(O_DIRECT).open("limits").expect("open");
    value("not open for writing", write(&only_read, 0, &[1; 512]));
    value("at the largest offset", write(&file, i64::MAX as u64 & !4095, &[1; 512]));
}

fn no_room() {
    let file = made("full", &pattern(4096, 30));
    let large = vec![7; 64 << 20];
    value("more than there is room for", write(&file, 4096, &large));
    show("size", file.metadata().map_or(0, |data| data.len()));
    file.set_len(128 << 20).expect("a hole");
    value("in a hole", write(&file, 8192, &large));
    show_read("the hole", read(&file, 8192, 8192));
    drop(file);
    outcome("gone", fs::remove_file("full"));
}

/// Many at a time, by a ring.
fn at_once() {
    const COUNT: usize = 16;
    let file = made("ring", &pattern(COUNT * PAGE * 2, 31));
    let mut ring = Ring::new(2 * COUNT as u32).expect("a ring");
    let mut from = aligned(&pattern(COUNT * PAGE, 32));
    let mut to = aligned(&[0; COUNT * PAGE]);
    for number in 0..COUNT {
        let part = number * PAGE..(number + 1) * PAGE;
        let (fd, at) = (file.as_raw_fd(), (number * PAGE) as i64);
        let writing = Entry::transfer(names::WRITE, number as u64, fd, &from.bytes()[part.clone()], at);
        let reading = Entry::transfer(
            names::READ,
            (COUNT + number) as u64,
            fd,
            &to.bytes()[part],
            at + (COUNT * PAGE) as i64,
        );
        assert!(ring.push(writing) && ring.push(reading));
    }
    value("submitted", ring.submit(2 * COUNT as u32));
    let mut whole = 0;
    while let Some(completion) = ring.pop() {
        whole += usize::from(completion.res == PAGE as i32);
    }
    show("done", whole);
    show("read", sum(to.bytes()));
    show_contents("contents", "ring");
    let mut growing = open("ring-growing", O_DIRECT).expect("open");
    for number in 0..COUNT {
        let (fd, at) = (growing.as_raw_fd(), (number * 2 * PAGE) as i64);
        let part = number * PAGE..(number + 1) * PAGE;
        assert!(ring.push(Entry::transfer(names::WRITE, number as u64, fd, &from.bytes()[part], at)));
    }
    value("submitted", ring.submit(COUNT as u32));
    while ring.pop().is_some() {}
    outcome("synced", growing.flush().and_then(|()| growing.sync_all()));
    show_contents("a new one", "ring-growing");
}

/// Transfers go on in memory that children do not get, while the program forks, and writes to other parts of the same pages.
fn beside_forks() {
    const COUNT: usize = 256;
    const HALF: usize = PAGE / 2;
    let file = made("forks", &pattern(COUNT * PAGE, 33));
    let mut ring = Ring::new(COUNT as u32).expect("a ring");
    let mut memory = aligned(&vec![1; COUNT * PAGE]);
    let start = memory.start();
    outcome("not for children", sys!(SYS_madvise, start, COUNT * PAGE, libc::MADV_DONTFORK));
    for number in 0..COUNT {
        let part = number * PAGE..number * PAGE + HALF;
        let at = part.start as i64;
        assert!(ring.push(Entry::transfer(
            names::READ,
            number as u64,
            file.as_raw_fd(),
            &memory.bytes()[part],
            at
        )));
    }
    value("submitted", ring.submit(0));
    for round in 0..4 {
        in_child("a child", || 0);
        for number in 0..COUNT {
            // SAFETY: within the memory, and no transfer is to there.
            unsafe { start.add(number * PAGE + HALF).write_bytes(round, HALF) };
        }
    }
    let (mut done, mut whole) = (0, 0);
    while done < COUNT {
        match ring.pop() {
            Some(completion) => {
                done += 1;
                whole += usize::from(completion.res == HALF as i32);
            }
            None => drop(ring.submit(1)),
        }
    }
    show("done", whole);
    show("read, and written", sum(memory.bytes()));
}
