//! Cancelling without a request, and with their end awaited.

use alloc::sync::Arc;

use executor::Instant;
use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::check;
use crate::{
    arch::clock,
    file::uring::Ring,
    process::{Caller, times::TimeSpec},
    syscall::uring::control::Meant,
    user_memory::{self, SysResult},
};

/// `struct io_uring_sync_cancel_reg`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Cancel {
    name: u64,
    fd: i32,
    flags: u32,
    time: TimeSpec,
    reserved: [u64; 4],
}

/// Cancels the requests that are meant; how many, where more than one may be. What has come of all of them has been told when
/// this ends.
///
/// # Errors
/// EINVAL for strange flags, ENOENT if the one that is meant is not there, ETIME if it has not ended in time, EINTR.
pub async fn cancel(caller: &Caller, ring: &Arc<Ring>, argument: usize) -> SysResult {
    let Cancel { name, fd, flags, time, reserved } = user_memory::read(caller, argument).await?;
    check(reserved == [0; 4] && Meant::are_known(flags))?;
    let deadline = match time {
        TimeSpec { seconds: -1, nanoseconds: -1 } => Instant::FAR_FUTURE,
        time => Instant(clock::now_ns().saturating_add(time.to_ns().ok_or(Errno::EINVAL)?)),
    };
    let meant = Meant::new(ring, caller, name, fd, flags)?;
    let count = match ring.cancel(meant.all, meant.which(), None).await {
        Ok(count) => count,
        Err(Errno::EALREADY) => 1,
        Err(errno) => return Err(errno),
    };
    while ring.has_cancelled(&meant.which()).await {
        if caller.thread.is_called() {
            return Err(Errno::EINTR);
        }
        if Instant::now() >= deadline {
            return Err(Errno::ETIME);
        }
        executor::yield_now().await;
    }
    // Those that are listed no more tell what has come of them before the end of their polls.
    executor::rcu::synchronize().await;
    Ok(if meant.all { count } else { 0 })
}
