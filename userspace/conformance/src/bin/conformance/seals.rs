//! Files in memory without a name, and what seals forbid.

use crate::check::{BAD, outcome, path, show, sys, value};
use std::fs;
use std::io;

pub fn run() {
    making();
    contents();
    adding();
    shrinking();
    growing();
    writing();
    mapping();
    future_writing();
    other_files();
}

fn make(name: &str, flags: u32) -> io::Result<i64> {
    sys!(SYS_memfd_create, path(name).as_ptr(), flags)
}

fn sealable() -> i64 {
    let file = make("sealable", libc::MFD_ALLOW_SEALING).expect("a file in memory");
    let _ = sys!(SYS_write, file, [b'x'; 5000].as_ptr(), 5000);
    file
}

fn close(file: i64) {
    let _ = sys!(SYS_close, file);
}

fn add(file: i64, seals: i32) -> io::Result<i64> {
    sys!(SYS_fcntl, file, libc::F_ADD_SEALS, seals)
}

fn seals(file: i64) -> io::Result<i64> {
    sys!(SYS_fcntl, file, libc::F_GET_SEALS)
}

fn making() {
    outcome("bad address", sys!(SYS_memfd_create, BAD, 0));
    outcome("unknown flag", make("x", 0x40));
    for length in [0, 1, 248, 249, 250, 5000] {
        outcome(&format!("name of {length} bytes"), make(&"n".repeat(length), 0).map(close));
    }
    let (one, two) = (make("same", 0).expect("a file"), make("same", libc::MFD_CLOEXEC).expect("a file"));
    value("flags", sys!(SYS_fcntl, one, libc::F_GETFL));
    value("descriptor flags", sys!(SYS_fcntl, one, libc::F_GETFD));
    value("with MFD_CLOEXEC", sys!(SYS_fcntl, two, libc::F_GETFD));
    value("not to be sealed", seals(one));
    outcome("adding", add(one, libc::F_SEAL_WRITE));
    let link = fs::read_link(format!("/proc/self/fd/{one}"));
    show("link", link.map_or_else(|error| error.to_string(), |link| link.display().to_string()));
    [one, two].into_iter().for_each(close);
}

fn contents() {
    let file = sealable();
    let by_link = format!("/proc/self/fd/{file}");
    let data = fs::metadata(&by_link).expect("it can be looked at");
    use std::os::unix::fs::MetadataExt;
    show("metadata", format!("{:o} {} {} {}", data.mode(), data.nlink(), data.len(), data.blocks()));
    show("opened again", fs::read(&by_link).map_or(0, |bytes| bytes.len()));
    outcome("truncate", sys!(SYS_ftruncate, file, 1 << 20));
    value("a hole", sys!(SYS_lseek, file, 0, libc::SEEK_HOLE));
    close(file);
}

fn adding() {
    let file = sealable();
    value("none", seals(file));
    outcome("unknown", add(file, 0x40));
    outcome("nothing", add(file, 0));
    outcome("shrink", add(file, libc::F_SEAL_SHRINK));
    outcome("again", add(file, libc::F_SEAL_SHRINK));
    value("seals", seals(file));
    let reading = fs::File::open(format!("/proc/self/fd/{file}")).expect("it can be opened");
    use std::os::fd::AsRawFd;
    outcome("by a reader", add(reading.as_raw_fd().into(), libc::F_SEAL_GROW));
    value("asked by a reader", seals(reading.as_raw_fd().into()));
    outcome("seal", add(file, libc::F_SEAL_SEAL));
    outcome("no more", add(file, libc::F_SEAL_GROW));
    outcome("not even none", add(file, 0));
    value("seals", seals(file));
    close(file);
}

/// Tries everything that seals can forbid.
fn attempt(file: i64) {
    outcome("write within", sys!(SYS_pwrite64, file, b"abc".as_ptr(), 3, 10));
    value("write over the end", sys!(SYS_pwrite64, file, [b'y'; 200].as_ptr(), 200, 4900));
    value("a page, and over the end", sys!(SYS_pwrite64, file, [b'y'; 6000].as_ptr(), 6000, 0));
    outcome("write behind the end", sys!(SYS_pwrite64, file, b"abc".as_ptr(), 3, 20_000));
    outcome("write nothing", sys!(SYS_pwrite64, file, b"abc".as_ptr(), 0, 20_000));
    outcome("longer", sys!(SYS_ftruncate, file, 30_000));
    outcome(
        "the same",
        fs::metadata(format!("/proc/self/fd/{file}")).and_then(|data| sys!(SYS_ftruncate, file, data.len())),
    );
    outcome("shorter", sys!(SYS_ftruncate, file, 4990));
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    outcome("allocate within", sys!(SYS_fallocate, file, 0, 0, 100));
    outcome("allocate beyond", sys!(SYS_fallocate, file, 0, 0, 40_000));
    outcome("allocate beyond, keeping the size", sys!(SYS_fallocate, file, keep, 0, 50_000));
    outcome("punch", sys!(SYS_fallocate, file, keep | libc::FALLOC_FL_PUNCH_HOLE, 0, 4096));
    outcome(
        "truncate by the link",
        fs::OpenOptions::new().write(true).truncate(true).open(format!("/proc/self/fd/{file}")),
    );
    value("size", sys!(SYS_lseek, file, 0, libc::SEEK_END));
}

fn shrinking() {
    let file = sealable();
    outcome("shrink", add(file, libc::F_SEAL_SHRINK));
    attempt(file);
    close(file);
}

fn growing() {
    let file = sealable();
    outcome("grow", add(file, libc::F_SEAL_GROW));
    attempt(file);
    close(file);
    let file = sealable();
    outcome("grow and shrink", add(file, libc::F_SEAL_GROW | libc::F_SEAL_SHRINK));
    attempt(file);
    close(file);
}

fn writing() {
    let file = sealable();
    outcome("write", add(file, libc::F_SEAL_WRITE));
    attempt(file);
    close(file);
}

fn map(file: i64, protection: i32, flags: i32) -> io::Result<usize> {
    sys!(SYS_mmap, 0, 4096, protection, flags, file, 0).map(|at| at as usize)
}

fn unmap(at: usize) {
    let _ = sys!(SYS_munmap, at, 4096);
}

const READ: i32 = libc::PROT_READ;
const WRITE: i32 = libc::PROT_WRITE;

fn mapping() {
    let file = sealable();
    let shown = map(file, READ | WRITE, libc::MAP_SHARED).expect("a mapping");
    outcome("write, while it is mapped", add(file, libc::F_SEAL_WRITE));
    outcome("shrink", add(file, libc::F_SEAL_SHRINK));
    unmap(shown);
    let private = map(file, READ | WRITE, libc::MAP_PRIVATE).expect("a mapping");
    outcome("write, with a private mapping", add(file, libc::F_SEAL_WRITE));
    // SAFETY: the page is mapped and private.
    unsafe { (private as *mut u8).write_volatile(b'p') };
    unmap(private);
    outcome("shared", map(file, READ | WRITE, libc::MAP_SHARED).map(unmap));
    outcome("private", map(file, READ | WRITE, libc::MAP_PRIVATE).map(unmap));
    close(file);
}

fn future_writing() {
    let file = sealable();
    let shown = map(file, READ | WRITE, libc::MAP_SHARED).expect("a mapping");
    outcome("future write", add(file, libc::F_SEAL_FUTURE_WRITE));
    // SAFETY: the page is mapped, and nobody else knows it.
    unsafe { (shown as *mut u8).write_volatile(b'm') };
    let mut byte = [0_u8];
    let _ = sys!(SYS_pread64, file, byte.as_mut_ptr(), 1, 0);
    show("the old mapping writes", byte[0] as char);
    outcome("shared", map(file, READ | WRITE, libc::MAP_SHARED).map(unmap));
    let reading = map(file, READ, libc::MAP_SHARED);
    outcome(
        "shared to read",
        reading.as_ref().map_err(|error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
    );
    if let Ok(at) = reading {
        outcome("may not become writable", sys!(SYS_mprotect, at, 4096, READ | WRITE));
        unmap(at);
    }
    outcome("write, while it is mapped", add(file, libc::F_SEAL_WRITE));
    unmap(shown);
    outcome("write", add(file, libc::F_SEAL_WRITE));
    attempt(file);
    close(file);
}

fn other_files() {
    let _ = fs::write("/tmp/agent/file", "x");
    let file = sys!(SYS_open, c"/tmp/agent/file".as_ptr(), libc::O_RDWR).expect("a file");
    value("on a tmpfs", seals(file));
    outcome("adding", add(file, libc::F_SEAL_WRITE));
    close(file);
    let null = sys!(SYS_open, c"/dev/null".as_ptr(), libc::O_RDWR).expect("a device");
    value("a device", seals(null));
    outcome("adding", add(null, libc::F_SEAL_WRITE));
    close(null);
}
