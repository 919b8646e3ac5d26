//! Making processes.

use crate::Measured;
use std::ffi::CStr;
use std::io;
use support::clock::{now, sleep_ms};
use support::memory::Anonymous;
use support::process::{fork, vfork_and_exit};

/// Where the time of a series of forks went.
pub struct ForkTimes {
    /// Nanoseconds from each fork to the end of the wait for its child.
    pub total: u64,
    /// Nanoseconds the parent spent inside fork(2) itself.
    pub in_fork: u64,
}

/// Fills `bytes` of memory, then forks `times` times; the child exits at once and is waited for. `pause` milliseconds
/// before each fork, which do not count, let the kernel put away what the last child left.
pub fn forks(bytes: usize, times: u64, pause: u64) -> io::Result<ForkTimes> {
    let mut memory = Anonymous::map(bytes)?;
    memory.touch();
    forks_as_is(times, pause)
}

/// The same with whatever memory the process has.
pub fn forks_as_is(times: u64, pause: u64) -> io::Result<ForkTimes> {
    let (mut total, mut in_fork) = (0, 0);
    for _ in 0..times {
        if pause > 0 {
            sleep_ms(pause);
        }
        let before = now();
        let child = fork(|| 0)?;
        in_fork += now() - before;
        child.wait_success()?;
        total += now() - before;
    }
    Ok(ForkTimes { total, in_fork })
}

/// vfork(2), exit in the child, wait: `times` times.
pub fn vforks(times: u64) -> Measured {
    let start = now();
    for _ in 0..times {
        vfork_and_exit()?.wait_success()?;
    }
    Ok(now() - start)
}

/// fork(2), exec of the static program at `path`, exit, wait: `times` times.
pub fn execs(path: &CStr, times: u64) -> Measured {
    let arguments = [path.as_ptr(), std::ptr::null()];
    let start = now();
    for _ in 0..times {
        let child = fork(|| {
            // SAFETY: the path and the argument list are NUL-terminated and outlive the call.
            unsafe { libc::execv(path.as_ptr(), arguments.as_ptr()) };
            1
        })?;
        child.wait_success()?;
    }
    Ok(now() - start)
}
