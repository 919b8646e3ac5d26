//! Files in a memory file system.

use std::ffi::{CStr, CString};
use std::io;
use support::clock::now;
use support::cvt;
use support::memory::PAGE;

/// Nanoseconds of a number of file operations, each done `count` times.
pub struct FileTimes {
    /// How often each was done.
    pub count: u64,
    /// pread(2) of a page that is in memory.
    pub read_page: u64,
    /// pwrite(2) of a page that is in memory.
    pub write_page: u64,
    /// pread(2) of one byte.
    pub read_byte: u64,
    /// open(2) and close(2).
    pub open_close: u64,
    /// stat(2).
    pub stat: u64,
}

/// Operations on one file of 256 pages in `folder`.
pub fn one_file(folder: &str, count: u64) -> io::Result<FileTimes> {
    let path = path(folder, "bench.dat");
    let mut page = [7_u8; PAGE];
    let file = open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)?;
    for _ in 0..256 {
        // SAFETY: the buffer is readable for a page.
        cvt(unsafe { libc::write(file, page.as_ptr().cast(), PAGE) })?;
    }
    let offset = |i: u64| (i % 256) as i64 * PAGE as i64;
    let read_page = repeat(count, |i| {
        // SAFETY: the buffer is writable for a page.
        cvt(unsafe { libc::pread(file, page.as_mut_ptr().cast(), PAGE, offset(i)) })
    })?;
    let write_page = repeat(count, |i| {
        // SAFETY: the buffer is readable for a page.
        cvt(unsafe { libc::pwrite(file, page.as_ptr().cast(), PAGE, offset(i)) })
    })?;
    let read_byte = repeat(count, |i| {
        // SAFETY: the buffer is writable for a byte.
        cvt(unsafe { libc::pread(file, page.as_mut_ptr().cast(), 1, (i % 256) as i64) })
    })?;
    close(file)?;
    let open_close = repeat(count, |_| close(open(&path, libc::O_RDONLY)?))?;
    let stat = repeat(count, |_| {
        let mut metadata = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the path is NUL-terminated; the kernel fills in the structure, which nobody reads.
        cvt(unsafe { libc::stat(path.as_ptr(), metadata.as_mut_ptr()) })
    })?;
    unlink(&path)?;
    Ok(FileTimes { count, read_page, write_page, read_byte, open_close, stat })
}

/// Nanoseconds of the three phases of the parallelism paper's smallfile (its section 4.1).
pub struct SmallfileTimes {
    /// Create, write one byte, close.
    pub create: u64,
    /// Open, read, close.
    pub read: u64,
    /// Unlink.
    pub unlink: u64,
}

/// Creates, reads and unlinks `count` files, spread over `folders` folders below `folder`.
pub fn smallfile(folder: &str, count: u64, folders: u64) -> io::Result<SmallfileTimes> {
    for i in 0..folders {
        let folder = path(folder, &format!("small{i}"));
        // SAFETY: the path is NUL-terminated.
        match cvt(unsafe { libc::mkdir(folder.as_ptr(), 0o777) }) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    // The names are made beforehand: the phases measure system calls and nothing else.
    let paths: Vec<CString> =
        (0..count).map(|i| path(folder, &format!("small{}/f{i}", i % folders))).collect();
    let mut byte = b'x';
    let create = repeat(count, |i| {
        let file = open(&paths[i as usize], libc::O_WRONLY | libc::O_CREAT)?;
        // SAFETY: one readable byte.
        cvt(unsafe { libc::write(file, (&raw const byte).cast(), 1) })?;
        close(file)
    })?;
    let read = repeat(count, |i| {
        let file = open(&paths[i as usize], libc::O_RDONLY)?;
        // SAFETY: one writable byte.
        cvt(unsafe { libc::read(file, (&raw mut byte).cast(), 1) })?;
        close(file)
    })?;
    let unlink = repeat(count, |i| unlink(&paths[i as usize]))?;
    for i in 0..folders {
        std::fs::remove_dir(format!("{folder}/small{i}"))?;
    }
    Ok(SmallfileTimes { create, read, unlink })
}

/// Nanoseconds of reading and of writing a whole file with one call, `times` times each.
pub struct BulkTimes {
    /// pread(2) of the whole file.
    pub read: u64,
    /// pwrite(2) of the whole file.
    pub write: u64,
}

/// One call per transfer of a file of `bytes` bytes in `folder`; both the file and the buffer are present.
pub fn bulk(folder: &str, bytes: usize, times: u64) -> io::Result<BulkTimes> {
    let path = path(folder, "bulk.dat");
    let mut buffer = support::memory::Anonymous::map(bytes)?;
    buffer.touch();
    let file = open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)?;
    let whole = |count: isize| match cvt(count)? as usize {
        count if count == bytes => Ok(()),
        count => Err(io::Error::other(format!("moved {count} of {bytes} bytes"))),
    };
    // SAFETY: the buffer is readable for its length.
    let write = || whole(unsafe { libc::pwrite(file, buffer.start().cast(), bytes, 0) });
    write()?;
    let write = repeat(times, |_| write())?;
    // SAFETY: the buffer is writable for its length.
    let read = repeat(times, |_| whole(unsafe { libc::pread(file, buffer.start().cast(), bytes, 0) }))?;
    close(file)?;
    unlink(&path)?;
    Ok(BulkTimes { read, write })
}

/// Nanoseconds of `count` calls of `operation`, which gets 0, 1, 2, ...
fn repeat<T>(count: u64, mut operation: impl FnMut(u64) -> io::Result<T>) -> io::Result<u64> {
    let start = now();
    for i in 0..count {
        operation(i)?;
    }
    Ok(now() - start)
}

fn path(folder: &str, name: &str) -> CString {
    CString::new(format!("{folder}/{name}")).expect("no NUL in a path")
}

fn open(path: &CStr, flags: i32) -> io::Result<i32> {
    // SAFETY: the path is NUL-terminated.
    cvt(unsafe { libc::open(path.as_ptr(), flags, 0o644) })
}

fn close(file: i32) -> io::Result<()> {
    // SAFETY: the callers own the descriptor.
    cvt(unsafe { libc::close(file) }).map(drop)
}

fn unlink(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    cvt(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}
