//! Waiting until one of several files is ready: the heart of poll and select.
//!
//! All that a waiting thread keeps is a [`Watcher`] for each file, side by side in one
//! allocation, and a timer that is a part of its future.

use alloc::{boxed::Box, vec::Vec};
use core::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use executor::{
    Sleep, sleep_until,
    sync::{Events, Watchers},
    time::Instant,
};
use pin_project::pin_project;
use syscalls::Errno;

use super::File;
use crate::process::Thread;

/// A file that is ready.
pub struct Ready {
    /// The caller's name for it, below 2¹⁵.
    pub name: u16,
    /// What was asked about.
    pub asked: Events,
    /// What is there of that.
    pub found: Events,
}

impl Ready {
    /// Looks at a file: None if nothing is there of what is asked about.
    pub fn look(file: &File, asked: Events, name: u16) -> Option<Self> {
        let found = file.events() & (asked | Events::ALWAYS);
        (!found.is_empty()).then_some(Self { name, asked, found })
    }
}

/// Looks at all that is watched: what is ready, in the watchers' order. ENOMEM without memory to tell of any.
pub fn look(watchers: &Watchers<File>) -> Result<Vec<Ready>, Errno> {
    let mut ready = Vec::new();
    for watcher in watchers.iter() {
        if let Some(found) = Ready::look(watcher.source(), watcher.events(), watcher.name()) {
            match ready.try_reserve(1) {
                Ok(()) => ready.push(found),
                Err(_) if ready.is_empty() => return Err(Errno::ENOMEM),
                // Whom there is no room for is told the next time.
                Err(_) => break,
            }
        }
    }
    Ok(ready)
}

/// Waits until one of the files is ready: those that are, as [`look`] has it.
pub async fn any_of(watchers: &Watchers<File>) -> Result<Vec<Ready>, Errno> {
    let look = |context: &mut Context<'_>| {
        // Armed before they are looked at, so that nothing is missed in between.
        watchers.arm(context.waker());
        match look(watchers) {
            Ok(ready) if ready.is_empty() => Poll::Pending,
            looked => Poll::Ready(looked),
        }
    };
    poll_fn(look).await
}

/// What to wait for.
pub struct Wait {
    /// The files and their events.
    pub watchers: Watchers<File>,
    /// When the wait ends; [`Instant::FAR_FUTURE`] for never.
    pub deadline: Instant,
}

/// What came of it.
pub struct Waited {
    /// The files that are ready, in the watchers' order: none if the time is up. ERESTARTSYS for a signal; ENOMEM.
    pub ready: Result<Vec<Ready>, Errno>,
    /// When the wait was to end.
    pub deadline: Instant,
}

/// Waits until a file is ready, the time is up, or the thread is called.
#[allow(clippy::boxed_local, reason = "or the caller would keep the empty box for as long as it waits")]
pub fn any_ready(thread: &Thread, wait: Box<Wait>) -> AnyReady<'_> {
    let Wait { watchers, deadline } = *wait;
    AnyReady { thread, watchers, sleep: sleep_until(deadline) }
}

/// The future of [`any_ready`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct AnyReady<'a> {
    thread: &'a Thread,
    watchers: Watchers<File>,
    /// Not even started if it is for ever.
    #[pin]
    sleep: Sleep,
}

impl Future for AnyReady<'_> {
    type Output = Waited;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited> {
        let this = self.project();
        let deadline = this.sleep.deadline();
        // Armed before they are looked at, so that nothing is missed in between.
        this.watchers.arm(context.waker());
        let ready = look(this.watchers);
        let is_over = || deadline != Instant::FAR_FUTURE && this.sleep.poll(context).is_ready();
        let ready = if !matches!(&ready, Ok(ready) if ready.is_empty()) || is_over() {
            ready
        } else if this.thread.is_called() {
            Err(Errno::ERESTARTSYS)
        } else {
            return Poll::Pending;
        };
        Poll::Ready(Waited { ready, deadline })
    }
}
