//! The calls that std does not have, or has with more around them.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::ptr::null;
use support::cvt;

/// An error number.
pub type Errno = i32;

fn c(path: &str) -> CString {
    CString::new(path).expect("no NUL in a path")
}

/// Opens what is there, whatever it is, without following it or waiting for it.
pub fn open(path: &str, write: bool) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(!write).write(write).custom_flags(flags).open(path)
}

/// A new file.
pub fn create(path: &str, mode: u32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
}

pub fn mkdir(path: &str, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)
}

pub fn mkfifo(path: &str, mode: u32) -> io::Result<()> {
    // SAFETY: the path ends with NUL.
    cvt(unsafe { libc::mknod(c(path).as_ptr(), libc::S_IFIFO | mode, 0) }).map(drop)
}

/// `flags` are of `RENAME_*`.
pub fn rename(old: &str, new: &str, flags: u32) -> io::Result<()> {
    let (old, new) = (c(old), c(new));
    if flags == 0 {
        // SAFETY: the paths end with NUL.
        return cvt(unsafe { libc::rename(old.as_ptr(), new.as_ptr()) }).map(drop);
    }
    let here = libc::AT_FDCWD;
    // SAFETY: as above.
    cvt(unsafe { libc::syscall(libc::SYS_renameat2, here, old.as_ptr(), here, new.as_ptr(), flags) })
        .map(drop)
}

pub fn truncate(path: &str, size: u64) -> io::Result<()> {
    // SAFETY: the path ends with NUL.
    cvt(unsafe { libc::truncate(c(path).as_ptr(), size as i64) }).map(drop)
}

pub fn fallocate(file: &File, mode: i32, at: u64, len: u64) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::fallocate(file.as_raw_fd(), mode, at as i64, len as i64) }).map(drop)
}

/// Sets the time of the last change, seconds and nanoseconds.
pub fn set_modified(path: &str, time: (i64, i64)) -> io::Result<()> {
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let times = [omit, libc::timespec { tv_sec: time.0, tv_nsec: time.1 }];
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the path ends with NUL, and there are two times.
    cvt(unsafe { libc::utimensat(libc::AT_FDCWD, c(path).as_ptr(), times.as_ptr(), flags) }).map(drop)
}

pub fn sync() {
    // SAFETY: no memory is involved.
    unsafe { libc::sync() };
}

/// `flags` are of `XATTR_*`.
pub fn set_xattr(path: &str, name: &str, value: &[u8], flags: i32) -> io::Result<()> {
    let (path, name) = (c(path), c(name));
    // SAFETY: the strings end with NUL, and the value is as long as said.
    let set =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    cvt(set).map(drop)
}

pub fn remove_xattr(path: &str, name: &str) -> io::Result<()> {
    // SAFETY: the strings end with NUL.
    cvt(unsafe { libc::lremovexattr(c(path).as_ptr(), c(name).as_ptr()) }).map(drop)
}

pub fn xattr(path: &str, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (c(path), c(name));
    let mut value = vec![0_u8; 1 << 16];
    // SAFETY: as above, and the buffer is as long as said.
    let len =
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(cvt(len)? as usize);
    Ok(value)
}

/// The names of the attributes; of none where the file system has no attributes.
pub fn xattr_names(path: &str) -> io::Result<Vec<String>> {
    let path = c(path);
    // SAFETY: the path ends with NUL; nothing is written.
    let len = match cvt(unsafe { libc::llistxattr(path.as_ptr(), null::<i8>().cast_mut(), 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = vec![0_u8; len as usize];
    // SAFETY: the buffer is as long as said.
    let len = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(cvt(len)? as usize);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// How a call ended: 0, or an error's number.
pub fn number_of<T>(result: &io::Result<T>) -> Errno {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

/// `ok`, or the name of an error.
pub fn name_of(number: Errno) -> String {
    match number {
        0 => "ok".into(),
        _ => support::errno::name(number).map_or_else(|| format!("errno {number}"), String::from),
    }
}
