//! Requests about time and about other requests: `IORING_OP_TIMEOUT`, `IORING_OP_TIMEOUT_REMOVE`, `IORING_OP_ASYNC_CANCEL`.

use alloc::sync::Arc;
use core::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

use executor::{Instant, Sleep, sleep_until};
use linux_raw_sys::io_uring::*;
use pin_project::pin_project;
use syscalls::Errno;

use super::operations;
use crate::{
    file::{
        File,
        uring::{Counted, Entry, Request, Ring, Which},
    },
    process::Caller,
    user_memory::SysResult,
};

/// The end of a request's time, which may be changed while it waits.
#[pin_project]
pub struct Timer {
    request: Arc<Request>,
    #[pin]
    sleep: Sleep,
}

impl Timer {
    /// That of a time-out.
    pub fn new(request: Arc<Request>) -> Self {
        let sleep = sleep_until(Instant(request.deadline.load(Relaxed)));
        Self { request, sleep }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let deadline = Instant(this.request.deadline.load(Relaxed));
        if this.sleep.deadline() != deadline {
            this.sleep.as_mut().reset(deadline);
        }
        this.sleep.poll(context)
    }
}

/// Waits for an end of time: then ETIME, or 0 as soon as there have been `count` more completions, unless that is 0.
pub async fn timeout(ring: Arc<Ring>, request: Arc<Request>, count: u32) -> SysResult {
    let counted = (count > 0).then(|| ring.wake_after(count, request.clone()));
    let mut timer = pin!(Timer::new(request));
    poll_fn(|context| {
        if counted.as_ref().is_some_and(Counted::is_due) {
            return Poll::Ready(Ok(0));
        }
        timer.as_mut().poll(context).map(|()| Err(Errno::ETIME))
    })
    .await
}

/// Cancels a time-out, or has it end at another time; ENOENT if there is none of that name.
pub fn remove_timeout(ring: &Ring, entry: &Entry, deadline: Option<u64>) -> SysResult {
    let kind = match entry.op_flags & IORING_LINK_TIMEOUT_UPDATE {
        0 => operations::TIMEOUT,
        _ => operations::LINK_TIMEOUT,
    };
    let found = ring.find(entry.address, kind as u8).ok_or(Errno::ENOENT)?;
    match deadline {
        None => found.cancel()?,
        Some(deadline) => {
            found.deadline.store(deadline, Relaxed);
            found.wake();
        }
    }
    Ok(0)
}

/// Which requests are to be cancelled, as the flags say (`IORING_ASYNC_CANCEL_*`).
pub struct Meant {
    name: u64,
    any: bool,
    file: Option<Arc<File>>,
    /// Whether all that there are of those, not just the first.
    pub all: bool,
}

impl Meant {
    /// Whether there are such flags, and they do not contradict each other.
    pub fn are_known(flags: u32) -> bool {
        let known = IORING_ASYNC_CANCEL_ALL
            | IORING_ASYNC_CANCEL_FD
            | IORING_ASYNC_CANCEL_ANY
            | IORING_ASYNC_CANCEL_FD_FIXED;
        flags & !known == 0 && (flags & IORING_ASYNC_CANCEL_FD == 0 || flags & IORING_ASYNC_CANCEL_ANY == 0)
    }

    /// Those of a name, on a file, or any; EBADF.
    pub fn new(ring: &Ring, caller: &Caller, name: u64, fd: i32, flags: u32) -> Result<Self, Errno> {
        let file = match flags & (IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED) {
            0 => None,
            IORING_ASYNC_CANCEL_FD => Some(caller.files.get(fd)?),
            _ => Some(ring.registered_file(fd)?),
        };
        let any = flags & IORING_ASYNC_CANCEL_ANY != 0;
        Ok(Self { name, any, file, all: any || flags & IORING_ASYNC_CANCEL_ALL != 0 })
    }

    /// The same for those who look for them.
    pub fn which(&self) -> Which<'_> {
        match &self.file {
            Some(file) => Which::On(file),
            None if self.any => Which::Any,
            None => Which::Named(self.name),
        }
    }
}

/// Cancels other requests: those of a name, on a file, or all; how many, where more than one may be meant.
pub async fn cancel(ring: &Arc<Ring>, caller: &Caller, entry: &Entry, own: &Request) -> SysResult {
    let meant = Meant::new(ring, caller, entry.address, entry.fd, entry.op_flags)?;
    let count = ring.cancel(meant.all, meant.which(), Some(own)).await?;
    Ok(if meant.all { count } else { 0 })
}
