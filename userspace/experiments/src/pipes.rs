//! Two processes and the pipes between them.

use crate::Measured;
use std::io;
use support::clock::now;
use support::pipe::{pipe, read, write};
use support::process::fork;

/// Sends `message` bytes to a child and back, `round_trips` times.
pub fn ping_pong(round_trips: u64, message: usize) -> Measured {
    let (there, back) = (pipe()?, pipe()?);
    let mut buffer = vec![b'x'; message];
    let echo = |buffer: &mut [u8]| -> io::Result<()> {
        for _ in 0..round_trips {
            whole(read(&there.reader, buffer)?, message)?;
            whole(write(&back.writer, buffer)?, message)?;
        }
        Ok(())
    };
    let child = fork(|| i32::from(echo(&mut vec![0; message]).is_err()))?;
    let start = now();
    for _ in 0..round_trips {
        whole(write(&there.writer, &buffer)?, message)?;
        whole(read(&back.reader, &mut buffer)?, message)?;
    }
    let elapsed = now() - start;
    child.wait_success()?;
    Ok(elapsed)
}

fn whole(count: usize, expected: usize) -> io::Result<()> {
    if count == expected { Ok(()) } else { Err(io::Error::other("short message")) }
}

/// Writes `total` bytes in pieces of 64 KiB to a child that reads them.
pub fn stream(total: usize) -> Measured {
    let pipe = pipe()?;
    let mut buffer = vec![0; 64 << 10];
    let (reader, writer) = (pipe.reader, pipe.writer);
    let child = fork(|| {
        // SAFETY: the child's own copy of the writing end, which nothing uses again; without closing it the
        // child would never see the end of the stream.
        unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&writer)) };
        let mut received = 0;
        while let Ok(count @ 1..) = read(&reader, &mut buffer) {
            received += count;
        }
        i32::from(received != total)
    })?;
    drop(reader);
    let start = now();
    let mut sent = 0;
    while sent < total {
        sent += write(&writer, &buffer)?;
    }
    drop(writer);
    child.wait_success()?;
    Ok(now() - start)
}
