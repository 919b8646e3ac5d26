//! Pipes of plain descriptors, which survive fork and whose ends are closed when dropped.

use crate::cvt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The two ends of a pipe.
pub struct Pipe {
    /// What is written comes out here.
    pub reader: OwnedFd,
    /// Where to write.
    pub writer: OwnedFd,
}

/// Makes a pipe whose ends are inherited by exec'ed programs, as pipe(2) does.
pub fn pipe() -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: the kernel fills in two descriptors.
    cvt(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    // SAFETY: both descriptors are fresh and ours.
    unsafe { Ok(Pipe { reader: OwnedFd::from_raw_fd(ends[0]), writer: OwnedFd::from_raw_fd(ends[1]) }) }
}

/// One read(2).
pub fn read(file: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is writable for its length.
    let count = unsafe { libc::read(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    cvt(count).map(|count| count as usize)
}

/// One write(2).
pub fn write(file: &impl AsRawFd, buffer: &[u8]) -> io::Result<usize> {
    // SAFETY: the buffer is readable for its length.
    let count = unsafe { libc::write(file.as_raw_fd(), buffer.as_ptr().cast(), buffer.len()) };
    cvt(count).map(|count| count as usize)
}
