//! Files in memory.

use crate::check::{aside, in_child, outcome, path, show, sys, value};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use support::memory::PAGE;
use support::pipe::{Pipe, pipe};

const READ: i32 = libc::PROT_READ;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn open(name: &str, flags: i32) -> i64 {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o644).expect("a file")
}

fn map(file: i64, pages: usize, protection: i32, flags: i32, offset: usize) -> io::Result<usize> {
    sys!(SYS_mmap, 0, pages * PAGE, protection, flags, file, offset).map(|at| at as usize)
}

fn read(at: usize) -> u8 {
    // SAFETY: the tests read mappings of their own, or in a child that a fault may end.
    unsafe { (at as *const u8).read_volatile() }
}

fn write(at: usize, byte: u8) {
    // SAFETY: as for `read`.
    unsafe { (at as *mut u8).write_volatile(byte) };
}

fn tell(pipe: &Pipe) {
    let _ = sys!(SYS_write, pipe.writer.as_raw_fd(), b"x".as_ptr(), 1);
}

fn wait_for(pipe: &Pipe) {
    let _ = sys!(SYS_read, pipe.reader.as_raw_fd(), [0_u8].as_mut_ptr(), 1);
}

/// A file of some pages; the first byte of page N is `a` + N.
fn lettered(name: &str, pages: usize) {
    let content: Vec<u8> = (0..pages).flat_map(|page| [b'a' + page as u8; PAGE]).collect();
    fs::write(name, content).expect("a file");
}

pub fn run() {
    shared();
    private();
    ends();
    ends_of_private();
    holes();
    populated();
    futexes();
    modes();
    after_unlink();
    offsets();
    reordered();
    calls_on_mapped_memory();
    executable();
    removed();
    no_length();
}

fn shared() {
    lettered("shared", 4);
    let file = open("shared", libc::O_RDWR);
    let at = map(file, 4, RW, libc::MAP_SHARED, 0).expect("a mapping");
    show("content", read(at + 2 * PAGE) as char);
    write(at + 2 * PAGE, b'X');
    let mut byte = [0_u8];
    value("pread", sys!(SYS_pread64, file, byte.as_mut_ptr(), 1, 2 * PAGE));
    show("sees the write", byte[0] as char);
    value("pwrite", sys!(SYS_pwrite64, file, b"Y".as_ptr(), 1, 3 * PAGE));
    show("the mapping sees it", read(at + 3 * PAGE) as char);
    aside("child writes", || write(at, b'Z'));
    show("we see it", read(at) as char);
    outcome("msync", sys!(SYS_msync, at, 4 * PAGE, libc::MS_SYNC));
    let again = map(file, 1, READ, libc::MAP_SHARED, 0).expect("a mapping");
    show("a second mapping", read(again) as char);
    outcome("close", sys!(SYS_close, file));
    write(at, b'W');
    show("after close", read(again) as char);
    show("file", fs::read("shared").expect("the file")[0] as char);
}

fn private() {
    lettered("private", 3);
    let file = open("private", libc::O_RDONLY);
    let at = map(file, 3, RW, libc::MAP_PRIVATE, 0).expect("a mapping of a read-only file");
    write(at + 5, b'!');
    show("ours", read(at + 5) as char);
    show("file", fs::read("private").expect("the file")[5] as char);
    let change = open("private", libc::O_WRONLY);
    let _ = sys!(SYS_pwrite64, change, b"?".as_ptr(), 1, PAGE);
    show("an untouched page follows the file", read(at + PAGE) as char);
    let _ = sys!(SYS_pwrite64, change, b"?".as_ptr(), 1, 0);
    show("a written page does not", read(at) as char);
    outcome("DONTNEED", sys!(SYS_madvise, at, PAGE, libc::MADV_DONTNEED));
    show("brings back the file", format!("{}{}", read(at) as char, read(at + 5) as char));
    aside("child writes", || write(at + 2 * PAGE, b'c'));
    show("ours", read(at + 2 * PAGE) as char);
}

/// The end of the file lies within a mapping.
fn ends() {
    fs::write("ends", vec![b'e'; PAGE + 100]).expect("a file");
    let file = open("ends", libc::O_RDWR);
    let at = map(file, 4, RW, libc::MAP_SHARED, 0).expect("a mapping");
    show("past the end in the last page", read(at + PAGE + 100));
    in_child("a page past the end", || i32::from(read(at + 2 * PAGE)));
    in_child("write past the end", || {
        write(at + 2 * PAGE, 1);
        0
    });
    write(at + PAGE + 100, b'!');
    show("such a write does not grow the file", fs::metadata("ends").map_or(0, |data| data.len()));
    outcome("grow", sys!(SYS_ftruncate, file, 3 * PAGE));
    show("the page is there now", read(at + 2 * PAGE));
    write(at + 2 * PAGE, b'g');
    outcome("shrink", sys!(SYS_ftruncate, file, 10));
    show("rest of the page is zero", read(at + 10));
    in_child("a page that was cut off", || i32::from(read(at + PAGE)));
    outcome("grow again", sys!(SYS_ftruncate, file, 3 * PAGE));
    show("old content is gone", format!("{} {}", read(at + PAGE), read(at + 2 * PAGE)));
    let beyond = map(file, 1, READ, libc::MAP_SHARED, 64 * PAGE);
    outcome("map past the end", beyond.as_ref().map(|_| ()).map_err(|error| io::Error::from(error.kind())));
    if let Ok(beyond) = beyond {
        in_child("read there", || i32::from(read(beyond)));
    }
    let buffer = at + PAGE - 4;
    outcome("shrink", sys!(SYS_ftruncate, file, 10));
    let pipe = pipe().expect("a pipe");
    let writer = pipe.writer.as_raw_fd();
    value("write from a page past the end", sys!(SYS_write, writer, buffer + PAGE, 8));
    value("write across the edge", sys!(SYS_write, writer, buffer, 8));
}

/// As [`ends`], where programs have copies of their own of what goes, also such as share page tables.
fn ends_of_private() {
    lettered("ends", 6);
    let file = open("ends", libc::O_RDWR);
    let at = map(file, 6, RW, libc::MAP_PRIVATE, 0).expect("a mapping");
    let other = map(file, 6, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    let _ = read(at + PAGE) + read(other + 3 * PAGE);
    write(at, b'0');
    write(at + 2 * PAGE, b'2');
    write(at + PAGE + 200, b'1');
    // A child that sees the same pages; both sides lose them.
    let (ours, theirs) = (support::pipe::pipe().expect("a pipe"), support::pipe::pipe().expect("a pipe"));
    let child = support::process::fork(|| {
        write(at + 4 * PAGE, b'4');
        tell(&theirs);
        wait_for(&ours);
        show("child's copy that stays", format!("{}{}", read(at) as char, read(at + PAGE + 200)));
        in_child("child's copy that goes", || i32::from(read(at + 4 * PAGE)));
        in_child("page of the parent's copy", || i32::from(read(at + 2 * PAGE)));
        0
    });
    wait_for(&theirs);
    outcome("shrink", sys!(SYS_ftruncate, file, PAGE + 100));
    show("copies that stay", format!("{}{}", read(at) as char, read(at + PAGE + 200)));
    in_child("a copy that goes", || i32::from(read(at + 2 * PAGE)));
    in_child("write to one that goes", || {
        write(at + 2 * PAGE, 1);
        0
    });
    in_child("a page that nobody copied", || i32::from(read(other + 3 * PAGE)));
    tell(&ours);
    value("child", child.and_then(support::process::Child::wait).map(crate::check::describe));
    outcome("grow", sys!(SYS_ftruncate, file, 6 * PAGE));
    show("new pages", (2..6).map(|page| read(at + page * PAGE).to_string()).collect::<String>());
    outcome("by opening", fs::write("ends", "short"));
    in_child("beyond", || i32::from(read(at + PAGE)));
    show("before", read(other) as char);
    let at = map(file, 1, RW, libc::MAP_PRIVATE, 0).expect("a mapping");
    outcome("an unmapped one", sys!(SYS_munmap, at, PAGE));
    outcome("has no part", sys!(SYS_ftruncate, file, 0));
}

/// Holes that are made in a mapped file.
fn holes() {
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let file = sys!(SYS_memfd_create, c"holes".as_ptr(), 0).or_else(|_| {
        let name = path("/dev/shm/holes");
        sys!(SYS_open, name.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600)
    });
    let Ok(file) = file else { return show("holes", "no file in memory") };
    let content: Vec<u8> = (0..6).flat_map(|page| [b'a' + page; PAGE]).collect();
    value("write", sys!(SYS_pwrite64, file, content.as_ptr(), content.len(), 0));
    let shared = map(file, 6, RW, libc::MAP_SHARED, 0).expect("a mapping");
    let private = map(file, 6, RW, libc::MAP_PRIVATE, 0).expect("a mapping");
    (0..6).for_each(|page| drop(Box::new(read(shared + page * PAGE) + read(private + page * PAGE))));
    write(private + 2 * PAGE, b'!');
    outcome("punch", sys!(SYS_fallocate, file, PUNCH, PAGE + 100, 3 * PAGE));
    let bytes =
        |at: usize| (0..6).map(|page| read(at + page * PAGE).to_string()).collect::<Vec<_>>().join(" ");
    show("shared", bytes(shared));
    show("private", bytes(private));
    show("edges", format!("{} {}", read(shared + PAGE + 99), read(shared + 4 * PAGE + 100)));
    write(shared + 3 * PAGE, b'n');
    show("private sees a new page", read(private + 3 * PAGE) as char);
}

/// `MAP_POPULATE` brings in what is there.
fn populated() {
    lettered("populated", 4);
    let file = open("populated", libc::O_RDWR);
    for (kind, flags) in [("private", libc::MAP_PRIVATE), ("shared", libc::MAP_SHARED)] {
        let at = map(file, 6, RW, flags | libc::MAP_POPULATE, 0).expect("a mapping");
        show(kind, read(at + 3 * PAGE) as char);
        let mut resident = [9_u8; 4];
        outcome("mincore", sys!(SYS_mincore, at, 4 * PAGE, resident.as_mut_ptr()));
        show("resident", format!("{resident:?}"));
        in_child("past the end", || i32::from(read(at + 4 * PAGE)));
    }
    let at = map(file, 4, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    let mut resident = [9_u8; 4];
    outcome("mincore untouched", sys!(SYS_mincore, at, 4 * PAGE, resident.as_mut_ptr()));
    show("in the cache", format!("{resident:?}"));
    outcome("msync in the middle of a page", sys!(SYS_msync, at + 1, PAGE, libc::MS_SYNC));
    outcome("msync both ways", sys!(SYS_msync, at, PAGE, libc::MS_SYNC | libc::MS_ASYNC));
    outcome("msync of an unknown kind", sys!(SYS_msync, at, PAGE, 64));
    outcome("msync async", sys!(SYS_msync, at, PAGE, libc::MS_ASYNC | libc::MS_INVALIDATE));
    let _ = sys!(SYS_munmap, at + PAGE, PAGE);
    outcome("msync across a hole", sys!(SYS_msync, at, 4 * PAGE, libc::MS_SYNC));
    outcome("msync of nothing", sys!(SYS_msync, at, 0, libc::MS_SYNC));
}

/// Programs that map a file independently meet at a word in it.
fn futexes() {
    lettered("futexes", 1);
    let file = open("futexes", libc::O_RDWR);
    let ours = map(file, 1, RW, libc::MAP_SHARED, 0).expect("a mapping");
    write(ours, 0);
    let ready = pipe().expect("a pipe");
    let child = support::process::fork(|| {
        let file = open("futexes", libc::O_RDWR);
        let theirs = map(file, 1, RW, libc::MAP_SHARED, 0).expect("a mapping");
        // SAFETY: the mapping of this process.
        let word = unsafe { (theirs as *const u32).read_volatile() };
        tell(&ready);
        let limit = libc::timespec { tv_sec: 20, tv_nsec: 0 };
        i32::from(sys!(SYS_futex, theirs, libc::FUTEX_WAIT, word, &raw const limit).is_err())
    });
    wait_for(&ready);
    while sys!(SYS_futex, ours, libc::FUTEX_WAKE, 1).is_ok_and(|woken| woken == 0) {
        std::thread::yield_now();
    }
    value("woken", child.and_then(support::process::Child::wait).map(crate::check::describe));
}

fn modes() {
    lettered("modes", 1);
    let read_only = open("modes", libc::O_RDONLY);
    let write_only = open("modes", libc::O_WRONLY);
    outcome("shared writable of read-only", map(read_only, 1, RW, libc::MAP_SHARED, 0));
    outcome("private writable of read-only", map(read_only, 1, RW, libc::MAP_PRIVATE, 0));
    outcome("read of write-only", map(write_only, 1, READ, libc::MAP_SHARED, 0));
    outcome("private of write-only", map(write_only, 1, READ, libc::MAP_PRIVATE, 0));
    let at = map(read_only, 1, READ, libc::MAP_SHARED, 0).expect("a mapping");
    outcome("make it writable", sys!(SYS_mprotect, at, PAGE, RW));
    let at = map(read_only, 1, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    outcome("make a private one writable", sys!(SYS_mprotect, at, PAGE, RW));
    let zero = open("/dev/zero", libc::O_RDWR);
    value("/dev/zero", map(zero, 1, RW, libc::MAP_PRIVATE, 0).map(read));
    let null = open("/dev/null", libc::O_RDWR);
    outcome("/dev/null", map(null, 1, RW, libc::MAP_PRIVATE, 0));
    let proc = open("/proc/self/stat", libc::O_RDONLY);
    outcome("/proc/self/stat", map(proc, 1, READ, libc::MAP_PRIVATE, 0));
}

fn after_unlink() {
    lettered("gone", 2);
    let file = open("gone", libc::O_RDWR);
    let at = map(file, 2, RW, libc::MAP_SHARED, 0).expect("a mapping");
    outcome("unlink", fs::remove_file("gone"));
    outcome("close", sys!(SYS_close, file));
    show("content", read(at + PAGE) as char);
    write(at, 1);
    show("written", read(at));
}

fn offsets() {
    lettered("offsets", 8);
    let file = open("offsets", libc::O_RDONLY);
    value("from page 5", map(file, 1, READ, libc::MAP_PRIVATE, 5 * PAGE).map(|at| read(at) as char));
    outcome("unaligned offset", map(file, 1, READ, libc::MAP_PRIVATE, 100));
    let at = map(file, 8, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    outcome("unmap the middle", sys!(SYS_munmap, at + 2 * PAGE, 3 * PAGE));
    show("the parts keep their pages", format!("{}{}", read(at + PAGE) as char, read(at + 5 * PAGE) as char));
    let moved = sys!(SYS_mremap, at + 5 * PAGE, 3 * PAGE, 20 * PAGE, libc::MREMAP_MAYMOVE);
    value("moved", moved.map(|at| read(at as usize + 2 * PAGE) as char));
}

/// The pages of a mapping in another order (remap_file_pages).
fn reordered() {
    lettered("reordered", 4);
    let file = open("reordered", libc::O_RDWR);
    let at = map(file, 4, RW, libc::MAP_SHARED, 0).expect("a mapping");
    let remap = |what: &str, from: usize, pages: usize, protection: i32, page: usize| {
        outcome(what, sys!(SYS_remap_file_pages, from, pages * PAGE, protection, page, 0));
    };
    let letters = || (0..4).map(|page| read(at + page * PAGE) as char).collect::<String>();
    remap("the first shows the last", at, 1, 0, 3);
    remap("the last shows the first", at + 3 * PAGE, 1, 0, 0);
    show("order", letters());
    write(at, b'X');
    let mut byte = [0_u8];
    value("pread", sys!(SYS_pread64, file, byte.as_mut_ptr(), 1, 3 * PAGE));
    show("written by the mapping", byte[0] as char);
    remap("over three mappings", at, 4, 0, 0);
    show("order", letters());
    remap("two in the middle", at + PAGE, 2, 0, 2);
    show("order", letters());
    remap("with rights", at, 1, READ, 3);
    remap("nothing", at, 0, 0, 3);
    remap("more than is mapped", at, 5, 0, 0);
    remap("far behind the end", at, 1, 0, usize::MAX);
    outcome("not from a page on", sys!(SYS_remap_file_pages, at + 5, PAGE, 0, 1, 0));
    show("order", letters());
    let private = map(file, 2, RW, libc::MAP_PRIVATE, 0).expect("a mapping");
    remap("a private mapping", private, 1, 0, 1);
    let anonymous = map(-1, 2, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, 0).expect("memory");
    write(anonymous, b'1');
    write(anonymous + PAGE, b'2');
    remap("shared memory", anonymous, 1, 0, 1);
    show("shows", read(anonymous) as char);
    let readable = map(open("reordered", libc::O_RDONLY), 2, READ, libc::MAP_SHARED, 0).expect("a mapping");
    remap("of a file that is only read", readable, 1, 0, 1);
    show("shows", read(readable) as char);
    outcome("made writable", sys!(SYS_mprotect, readable, PAGE, RW));
}

/// System calls whose buffer is a mapped file, even the file itself.
fn calls_on_mapped_memory() {
    lettered("buffer", 4);
    let file = open("buffer", libc::O_RDWR);
    let at = map(file, 4, RW, libc::MAP_SHARED, 0).expect("a mapping");
    value("write a file's page into itself", sys!(SYS_pwrite64, file, at + PAGE, PAGE, 3 * PAGE));
    show("content", read(at + 3 * PAGE) as char);
    value("read a file into its own page", sys!(SYS_pread64, file, at, PAGE, 2 * PAGE));
    show("content", read(at) as char);
    let fresh = map(file, 4, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    let copy = open("copy", libc::O_RDWR | libc::O_CREAT);
    value("write from pages never touched", sys!(SYS_write, copy, fresh, 4 * PAGE));
    value("open a path in a mapped file", {
        fs::write("path", "buffer\0").expect("a file");
        let file = open("path", libc::O_RDONLY);
        let name = map(file, 1, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
        sys!(SYS_open, name, libc::O_RDONLY).map(|_| "ok")
    });
}

fn executable() {
    fs::write("code", [0xb8, 7, 0, 0, 0, 0xc3]).expect("a file");
    let file = open("code", libc::O_RDONLY);
    let at = map(file, 1, READ | libc::PROT_EXEC, libc::MAP_PRIVATE, 0).expect("a mapping");
    // SAFETY: the page holds `mov eax, 7; ret`.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(at) };
    show("run from a file", function());
}

/// `MADV_REMOVE`: what is in pages goes, out of the file and for all who have mapped it.
/// The length is looked at before what the file says of being mapped.
fn no_length() {
    let pipe = pipe().expect("a pipe");
    for (what, file) in
        [("pipe", i64::from(pipe.reader.as_raw_fd())), ("directory", open("/tmp", libc::O_RDONLY))]
    {
        for pages in [0, 1] {
            let mapped = map(file, pages, libc::PROT_READ, libc::MAP_PRIVATE, 0);
            outcome(&format!("{pages} pages of a {what}"), mapped);
        }
    }
}

fn removed() {
    let file =
        sys!(SYS_memfd_create, c"removed".as_ptr(), libc::MFD_ALLOW_SEALING).expect("a file in memory");
    let content: Vec<u8> = (0..6).flat_map(|page| [b'a' + page; PAGE]).collect();
    let _ = sys!(SYS_write, file, content.as_ptr(), content.len());
    let at = map(file, 6, RW, libc::MAP_SHARED, 0).expect("a mapping");
    let other = map(file, 6, READ, libc::MAP_SHARED, 0).expect("a mapping");
    let private = map(file, 6, RW, libc::MAP_PRIVATE, 0).expect("a mapping");
    let pages =
        |at: usize| (0..6).map(|page| read(at + page * PAGE).to_string()).collect::<Vec<_>>().join(" ");
    write(private + PAGE, b'!');
    show("at first", format!("{}, {}, {}", pages(at), pages(other), pages(private)));
    let remove = |what: &str, at: usize, pages: usize| {
        outcome(what, sys!(SYS_madvise, at, pages * PAGE, libc::MADV_REMOVE));
    };
    remove("REMOVE", at + PAGE, 2);
    show("then", format!("{}, {}, {}", pages(at), pages(other), pages(private)));
    let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
    outcome("fstat", sys!(SYS_fstat, file, status.as_mut_ptr()));
    // SAFETY: all zero is a value, too.
    let status = unsafe { status.assume_init() };
    show("size and blocks", format!("{} {}", status.st_size, status.st_blocks));
    write(at + PAGE, b'n');
    show("written anew", format!("{} {}", read(other + PAGE), read(private + PAGE)));
    remove("of what is only shown", other, 1);
    remove("of what is private", private, 1);
    let only = sys!(SYS_open, path(&format!("/proc/self/fd/{file}")).as_ptr(), libc::O_RDONLY);
    let only = map(only.expect("the file again"), 6, READ, libc::MAP_SHARED, 0).expect("a mapping");
    remove("of what can only be shown", only + PAGE, 1);
    outcome("mlock", sys!(SYS_mlock, at, PAGE));
    remove("of what is locked", at, 2);
    remove("behind it", at + PAGE, 1);
    let behind = map(file, 3, RW, libc::MAP_SHARED, 5 * PAGE).expect("a mapping");
    remove("behind the file's end", behind, 3);
    show("the last page", read(behind));
    outcome("unmap one", sys!(SYS_munmap, behind + PAGE, PAGE));
    write(behind, b'z');
    remove("over a hole", behind, 3);
    show("the page before it", read(behind));
    let anonymous = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let shared = sys!(SYS_mmap, 0, 2 * PAGE, RW, anonymous, -1, 0).expect("memory") as usize;
    write(shared, 1);
    write(shared + PAGE, 2);
    aside("a child removes a page", || remove("of shared memory", shared, 1));
    show("for its parent, too", format!("{} {}", read(shared), read(shared + PAGE)));
    let _ = sys!(SYS_munmap, at, 6 * PAGE);
    let _ = sys!(SYS_munmap, behind, 3 * PAGE);
    outcome("seal", sys!(SYS_fcntl, file, libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE));
}
