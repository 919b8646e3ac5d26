//! Boxed futures for what has to wait: where memory is out, the wait is refused.
//!
//! Ten thousand threads can begin to wait at the same moment, for a frame that nobody has. Their boxes are the one thing
//! that grows then, so they leave half of the kernel's reserve to those who will end the shortage. Who can wait without a
//! box does so before ([`wait_admitted`](super::wait_admitted)).

use super::frame;
use alloc::boxed::Box;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use syscalls::Errno;

/// Whether a wait can be paid for. One load as long as there is plenty.
///
/// # Errors
/// ENOMEM when half of the kernel's reserve is gone.
#[inline]
pub fn check_wait() -> Result<(), Errno> {
    if frame::is_nearly_out() { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// How many may wait with some of the second half of the kernel's reserve.
const LATE_MAX: usize = 64;
/// How many do. Relaxed: a plain number.
static LATE: AtomicUsize = AtomicUsize::new(0);

/// Leave to wait in a box, until it is dropped.
pub struct WaitPermit {
    is_late: bool,
}

/// Leave to wait in a box for those who do not stand in line: few get it where half of the kernel's reserve is gone. For what
/// has an end soon: they all may be waiting for the same.
///
/// # Errors
/// ENOMEM when half of the kernel's reserve is gone, and some wait already.
#[inline]
pub fn wait_permit() -> Result<WaitPermit, Errno> {
    if !frame::is_nearly_out() {
        return Ok(WaitPermit { is_late: false });
    }
    let taken = LATE.fetch_update(Relaxed, Relaxed, |late| (late < LATE_MAX).then_some(late + 1));
    taken.map(|_| WaitPermit { is_late: true }).map_err(|_| Errno::ENOMEM)
}

impl Drop for WaitPermit {
    fn drop(&mut self) {
        if self.is_late {
            LATE.fetch_sub(1, Relaxed);
        }
    }
}

/// A future in a box of its own.
///
/// # Errors
/// As [`check_wait`].
#[inline]
pub fn pinned<F>(future: F) -> Result<Pin<Box<F>>, Errno> {
    check_wait()?;
    Ok(Box::pin(future))
}
