//! Signals.

use crate::Measured;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use support::clock::now;
use support::cvt;

/// Signals handled. The handler runs on the thread that reads it: no ordering needed.
static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Sends SIGUSR1 to ourselves, whose handler counts, `times` times.
pub fn to_self(times: u64) -> Measured {
    let handler: extern "C" fn(i32) = count;
    // SAFETY: an all-zero sigaction is valid; the handler touches one atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        cvt(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()))?;
    }
    let before = HANDLED.load(Ordering::Relaxed);
    let start = now();
    for _ in 0..times {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
    }
    let elapsed = now() - start;
    match HANDLED.load(Ordering::Relaxed) - before {
        handled if handled == times => Ok(elapsed),
        handled => Err(io::Error::other(format!("{handled} of {times} signals handled"))),
    }
}
