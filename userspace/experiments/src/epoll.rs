//! Waiting for many files at once.

use crate::Measured;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use support::clock::now;
use support::cvt;
use support::pipe::{Pipe, pipe, read, write};

/// With `pipes` pipes in one epoll set: write to one, epoll_wait(2), read what is ready; `times` times.
pub fn cycle(pipes: usize, times: u64) -> Measured {
    // SAFETY: a fresh descriptor, owned from here on.
    let set = unsafe { OwnedFd::from_raw_fd(cvt(libc::epoll_create1(0))?) };
    let pipes = (0..pipes).map(|_| pipe()).collect::<Result<Vec<Pipe>, _>>()?;
    for (index, pipe) in pipes.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        let file = pipe.reader.as_raw_fd();
        // SAFETY: the event is read during the call.
        cvt(unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, file, &raw mut event) })?;
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
    let start = now();
    for i in 0..times as usize {
        write(&pipes[i % pipes.len()].writer, &[1])?;
        // SAFETY: room for eight events.
        cvt(unsafe { libc::epoll_wait(set.as_raw_fd(), events.as_mut_ptr(), 8, -1) })?;
        read(&pipes[events[0].u64 as usize].reader, &mut [0])?;
    }
    Ok(now() - start)
}
