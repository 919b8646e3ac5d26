//! Waiting until one of several files is ready: the heart of poll and select.

use alloc::{sync::Arc, vec::Vec};
use core::{future::poll_fn, task::Poll};

use executor::{
    sync::{Events, Watcher},
    time,
};
use syscalls::Errno;

use super::File;
use crate::{
    arch::clock,
    process::{Caller, interruptible},
};

/// A file and the events that count.
pub struct Interest {
    /// The file.
    pub file: Arc<File>,
    /// What is waited for, besides errors and hang-ups.
    pub events: Events,
    /// The caller's name for it.
    pub tag: usize,
}

/// Those that are ready at this moment, by their tags.
pub fn ready_now(interests: &[Interest]) -> Vec<(usize, Events)> {
    let mut ready = Vec::new();
    for interest in interests {
        let events = interest.file.events() & (interest.events | Events::ALWAYS);
        if !events.is_empty() {
            ready.push((interest.tag, events));
        }
    }
    ready
}

/// Waits until one is ready or `deadline` has passed; returns those that are. ERESTARTSYS for a signal.
pub async fn wait_any(
    caller: &Caller,
    interests: &[Interest],
    deadline: Option<u64>,
) -> Result<Vec<(usize, Events)>, Errno> {
    let found = ready_now(interests);
    if !found.is_empty() || deadline.is_some_and(|deadline| deadline <= clock::now_ns()) {
        return Ok(found);
    }
    let mut watchers: Vec<Watcher<File>> = Vec::new();
    let any = poll_fn(|context| {
        if watchers.is_empty() {
            let watched = interests.iter().filter(|interest| interest.file.watched().is_some());
            watchers.extend(watched.map(|i| Watcher::new(i.file.clone(), i.events, context.waker())));
        } else {
            watchers.iter().for_each(|watcher| watcher.arm(context.waker()));
        }
        // Looked at after the watchers are armed, so that nothing is missed in between.
        let found = ready_now(interests);
        if found.is_empty() { Poll::Pending } else { Poll::Ready(found) }
    });
    match deadline {
        None => interruptible(&caller.thread, any).await,
        Some(deadline) => {
            let waited = interruptible(&caller.thread, time::timeout(any, deadline)).await?;
            Ok(waited.unwrap_or_default())
        }
    }
}
