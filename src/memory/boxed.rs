//! Boxed futures for what has to wait: where memory is out, the wait is refused.
//!
//! Ten thousand threads can begin to wait at the same moment, for a frame that nobody has. Their boxes are the one thing
//! that grows then, so they leave half of the kernel's reserve to those who will end the shortage. Who can wait without a
//! box does so before ([`wait_admitted`](super::wait_admitted)).

use super::frame;
use alloc::boxed::Box;
use core::pin::Pin;
use syscalls::Errno;

/// Whether a wait can be paid for. One load as long as there is plenty.
///
/// # Errors
/// ENOMEM when half of the kernel's reserve is gone.
#[inline]
pub fn check_wait() -> Result<(), Errno> {
    if frame::is_nearly_out() { Err(Errno::ENOMEM) } else { Ok(()) }
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
