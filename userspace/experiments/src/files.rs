//! Files, on whatever file system they are.

use crate::Measured;
use std::ffi::{CStr, CString};
use std::io;
use support::clock::{Count, Stopwatch};
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
    let read_page = repeat(Count::Elapsed, count, |i| {
        // SAFETY: the buffer is writable for a page.
        cvt(unsafe { libc::pread(file, page.as_mut_ptr().cast(), PAGE, offset(i)) })
    })?;
    let write_page = repeat(Count::Elapsed, count, |i| {
        // SAFETY: the buffer is readable for a page.
        cvt(unsafe { libc::pwrite(file, page.as_ptr().cast(), PAGE, offset(i)) })
    })?;
    let read_byte = repeat(Count::Elapsed, count, |i| {
        // SAFETY: the buffer is writable for a byte.
        cvt(unsafe { libc::pread(file, page.as_mut_ptr().cast(), 1, (i % 256) as i64) })
    })?;
    close(file)?;
    let open_close = repeat(Count::Elapsed, count, |_| close(open(&path, libc::O_RDONLY)?))?;
    let stat = repeat(Count::Elapsed, count, |_| {
        let mut metadata = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the path is NUL-terminated; the kernel fills in the structure, which nobody reads.
        cvt(unsafe { libc::stat(path.as_ptr(), metadata.as_mut_ptr()) })
    })?;
    unlink(&path)?;
    Ok(FileTimes { count, read_page, write_page, read_byte, open_close, stat })
}

/// Nanoseconds of the three phases of the parallelism paper's smallfile (its section 4.1).
pub struct SmallfileTimes {
    /// Create, write, close.
    pub create: u64,
    /// Open, read, close.
    pub read: u64,
    /// Unlink.
    pub unlink: u64,
}

/// What smallfile makes.
#[derive(Clone, Copy)]
pub struct Small {
    /// So many files,
    pub files: u64,
    /// spread over so many folders,
    pub folders: u64,
    /// of so many bytes each.
    pub bytes: usize,
    /// And all of it so many times.
    pub rounds: u64,
}

impl Small {
    /// How many files are made in all.
    pub fn count(&self) -> u64 {
        self.files * self.rounds
    }
}

/// Creates, reads and unlinks files below `folder`.
pub fn smallfile(folder: &str, small: Small, time: Count) -> io::Result<SmallfileTimes> {
    let mut sum = SmallfileTimes { create: 0, read: 0, unlink: 0 };
    for _ in 0..small.rounds {
        let SmallfileTimes { create, read, unlink } = smallfile_once(folder, small, time)?;
        sum.create += create;
        sum.read += read;
        sum.unlink += unlink;
    }
    Ok(sum)
}

fn smallfile_once(folder: &str, small: Small, time: Count) -> io::Result<SmallfileTimes> {
    let Small { files, folders, bytes, .. } = small;
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
        (0..files).map(|i| path(folder, &format!("small{}/f{i}", i % folders))).collect();
    let mut contents = vec![b'x'; bytes];
    let create = repeat(time, files, |i| {
        let file = open(&paths[i as usize], libc::O_WRONLY | libc::O_CREAT)?;
        // SAFETY: so many readable bytes.
        cvt(unsafe { libc::write(file, contents.as_ptr().cast(), bytes) })?;
        close(file)
    })?;
    let read = repeat(time, files, |i| {
        let file = open(&paths[i as usize], libc::O_RDONLY)?;
        // SAFETY: so many writable bytes.
        cvt(unsafe { libc::read(file, contents.as_mut_ptr().cast(), bytes) })?;
        close(file)
    })?;
    let unlink = repeat(time, files, |i| unlink(&paths[i as usize]))?;
    for i in 0..folders {
        std::fs::remove_dir(format!("{folder}/small{i}"))?;
    }
    Ok(SmallfileTimes { create, read, unlink })
}

/// Time in which `count` pages are appended to a new file in `folder`.
pub fn appends(folder: &str, count: u64) -> Measured {
    let path = path(folder, "appended");
    let page = [7_u8; PAGE];
    let file = open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
    let time = repeat(Count::Busy, count, |_| {
        // SAFETY: the buffer is readable for a page.
        cvt(unsafe { libc::write(file, page.as_ptr().cast(), PAGE) })
    })?;
    close(file)?;
    unlink(&path)?;
    Ok(time)
}

/// Nanoseconds of a number of operations on a directory of 200 entries, each done `count` times.
pub struct NameTimes {
    /// How often each was done.
    pub count: u64,
    /// rename(2), to a name that is not there.
    pub rename: u64,
    /// mkdir(2).
    pub mkdir: u64,
    /// rmdir(2).
    pub rmdir: u64,
    /// chmod(2) of one file.
    pub chmod: u64,
}

/// Operations on the names in a new directory in `folder`. Time in which the CPU is busy.
pub fn names(folder: &str, count: u64) -> io::Result<NameTimes> {
    let own = format!("{folder}/names");
    std::fs::create_dir(&own)?;
    for number in 0..200 {
        std::fs::write(format!("{own}/file-{number}"), "")?;
    }
    let time = Count::Busy;
    let (one, other) = (path(&own, "file-100"), path(&own, "another-name"));
    let rename = repeat(time, count, |i| {
        let (from, to) = if i % 2 == 0 { (&one, &other) } else { (&other, &one) };
        // SAFETY: the paths are NUL-terminated.
        cvt(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) })
    })?;
    let last = if count.is_multiple_of(2) { &one } else { &other };
    let chmod = repeat(time, count, |i| {
        // SAFETY: the path is NUL-terminated.
        cvt(unsafe { libc::chmod(last.as_ptr(), if i % 2 == 0 { 0o600 } else { 0o644 }) })
    })?;
    let paths: Vec<CString> = (0..count).map(|i| path(&own, &format!("folder-{i}"))).collect();
    let mkdir = repeat(time, count, |i| {
        // SAFETY: the path is NUL-terminated.
        cvt(unsafe { libc::mkdir(paths[i as usize].as_ptr(), 0o755) })
    })?;
    let rmdir = repeat(time, count, |i| {
        // SAFETY: the path is NUL-terminated.
        cvt(unsafe { libc::rmdir(paths[i as usize].as_ptr()) })
    })?;
    std::fs::remove_dir_all(&own)?;
    Ok(NameTimes { count, rename, mkdir, rmdir, chmod })
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
    let write = repeat(Count::Elapsed, times, |_| write())?;
    let read = repeat(Count::Elapsed, times, |_| {
        // SAFETY: the buffer is writable for its length.
        whole(unsafe { libc::pread(file, buffer.start().cast(), bytes, 0) })
    })?;
    close(file)?;
    unlink(&path)?;
    Ok(BulkTimes { read, write })
}

/// Nanoseconds of `times` calls of `operation`, which gets 0, 1, 2, ...
fn repeat<T>(count: Count, times: u64, mut operation: impl FnMut(u64) -> io::Result<T>) -> io::Result<u64> {
    let watch = Stopwatch::start(count)?;
    for i in 0..times {
        operation(i)?;
    }
    watch.read()
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
