//! Files in memory.

use crate::check::{aside, in_child, outcome, path, show, sys, value};
use std::fs;
use std::io;
use support::memory::PAGE;

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

/// A file of some pages; the first byte of page N is `a` + N.
fn lettered(name: &str, pages: usize) {
    let content: Vec<u8> = (0..pages).flat_map(|page| [b'a' + page as u8; PAGE]).collect();
    fs::write(name, content).expect("a file");
}

pub fn run() {
    shared();
    private();
    ends();
    modes();
    after_unlink();
    offsets();
    calls_on_mapped_memory();
    executable();
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
    let pipe = support::pipe::pipe().expect("a pipe");
    let writer = std::os::fd::AsRawFd::as_raw_fd(&pipe.writer);
    value("write from a page past the end", sys!(SYS_write, writer, buffer + PAGE, 8));
    value("write across the edge", sys!(SYS_write, writer, buffer, 8));
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
