//! Stream sockets: Unix and TCP over loopback.

use crate::Measured;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use support::clock::now;
use support::process::fork;

/// 64 bytes to a child and back over a Unix stream pair, `round_trips` times.
pub fn unix_ping_pong(round_trips: u64) -> Measured {
    let (ours, theirs) = UnixStream::pair()?;
    ping_pong(ours, theirs, round_trips)
}

/// The same over a TCP connection.
pub fn tcp_ping_pong(round_trips: u64) -> Measured {
    let (ours, theirs) = tcp_pair()?;
    ping_pong(ours, theirs, round_trips)
}

fn ping_pong(mut ours: impl Read + Write, mut theirs: impl Read + Write, round_trips: u64) -> Measured {
    let mut echo = || -> io::Result<()> {
        let mut buffer = [0; 64];
        for _ in 0..round_trips {
            theirs.read_exact(&mut buffer)?;
            theirs.write_all(&buffer)?;
        }
        Ok(())
    };
    let child = fork(|| i32::from(echo().is_err()))?;
    let mut buffer = [1; 64];
    let start = now();
    for _ in 0..round_trips {
        ours.write_all(&buffer)?;
        ours.read_exact(&mut buffer)?;
    }
    let elapsed = now() - start;
    child.wait_success()?;
    Ok(elapsed)
}

/// Sends `total` bytes over loopback TCP to a child, in pieces of 64 KiB.
pub fn tcp_stream(total: usize) -> Measured {
    let (mut ours, mut theirs) = tcp_pair()?;
    let mut buffer = vec![0; 64 << 10];
    let child = fork(|| {
        let mut received = 0;
        while received < total {
            match theirs.read(&mut buffer) {
                Ok(count @ 1..) => received += count,
                _ => break,
            }
        }
        i32::from(received != total)
    })?;
    let start = now();
    let mut sent = 0;
    while sent < total {
        sent += ours.write(&buffer)?;
    }
    child.wait_success()?;
    Ok(now() - start)
}

/// connect(2), accept(2) and both closes over loopback, `times` times.
pub fn tcp_connect(times: u64) -> Measured {
    raise_loopback();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let start = now();
    for _ in 0..times {
        let ours = TcpStream::connect(address)?;
        let theirs = listener.accept()?;
        drop((ours, theirs));
    }
    Ok(now() - start)
}

/// Brings the loopback interface up, where a kernel leaves that to its first process. Failing is the caller's to notice:
/// it cannot connect then.
fn raise_loopback() {
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = libc::IFF_UP as u8;
    // SAFETY: the request is as large as the kernel's structure: a name of 16 bytes, then flags.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        libc::ioctl(socket, libc::SIOCSIFFLAGS, request.as_ptr());
        libc::close(socket);
    }
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    raise_loopback();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    ours.set_nodelay(true)?;
    theirs.set_nodelay(true)?;
    Ok((ours, theirs))
}
