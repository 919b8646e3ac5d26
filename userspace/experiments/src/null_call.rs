//! The price of entering and leaving the kernel.

use support::clock::time;

/// Calls getppid(2) `calls` times, past libc's wrapper.
pub fn null_calls(calls: u64) -> u64 {
    time(|| {
        for _ in 0..calls {
            // SAFETY: no arguments, no memory.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }
    })
}
