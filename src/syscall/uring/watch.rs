//! Waiting for events of a file: `IORING_OP_POLL_ADD`, once or again and again, and its changes.

use alloc::{sync::Arc, vec::Vec};
use core::{
    future::poll_fn,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
    task::{Context, Poll},
};

use executor::sync::{Events, Watcher, Watchers};
use linux_raw_sys::io_uring::*;
use syscalls::Errno;

use super::operations;
use crate::{
    file::{
        File,
        uring::{Entry, Request, Ring},
    },
    user_memory::SysResult,
};

/// The events that are asked for, with those that are always told, which here are more than poll(2)'s, as on Linux.
pub fn events(asked: u32) -> u32 {
    (Events::from_bits_truncate(asked) | Events::ALWAYS | Events::RDHUP).bits()
}

/// Waits until one of the events is there that the request asks for; with `repeats` tells of each, until it is cancelled.
pub async fn poll(ring: Arc<Ring>, file: Arc<File>, request: Arc<Request>, repeats: bool) -> SysResult {
    let asked = || Events::from_bits_truncate(request.events.load(Relaxed));
    if file.watched().is_none() {
        // Nobody ever waits here, so there is nothing to be told of again.
        return Ok((file.events() & asked()).bits() as usize);
    }
    let mut watchers = Vec::new();
    watchers.try_reserve_exact(1).map_err(|_| Errno::ENOMEM)?;
    watchers.push(Watcher::new(file.clone(), asked(), 0));
    let watchers = Watchers::new(watchers);
    let tells_events = file.stream().is_none_or(|stream| stream.tells_events());
    let mut is_first = true;
    loop {
        let look = |context: &mut Context<'_>| {
            // Acquire: pairs with the change, so that what is asked for now is seen. Whatever is there then is told, as at first.
            let is_changed = request.is_changed.swap(false, Acquire);
            let asked = asked();
            let mut fired = Events::empty();
            watchers.arm(context.waker());
            for watcher in watchers.iter() {
                watcher.set_events(asked);
                fired |= watcher.take_fired();
            }
            if fired.is_empty() && !is_first && !is_changed {
                return Poll::Pending;
            }
            // After the watcher is armed, so that nothing is missed in between.
            let mut found = file.events() & asked;
            if found.is_empty() && tells_events {
                // What is over by now has happened all the same.
                found = fired & asked;
            }
            if found.is_empty() { Poll::Pending } else { Poll::Ready(found) }
        };
        let found = poll_fn(look).await;
        if !repeats {
            return Ok(found.bits() as usize);
        }
        ring.complete(request.name(), found.bits() as i32, IORING_CQE_F_MORE);
        is_first = false;
        executor::make_way().await;
    }
}

/// `IORING_OP_POLL_REMOVE`: cancels a poll, or changes what it is for, or its name.
pub fn update(ring: &Ring, entry: &Entry) -> SysResult {
    let found = ring.find(entry.address, operations::POLL_ADD as u8).ok_or(Errno::ENOENT)?;
    let changes = entry.len & (IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA);
    if changes == 0 {
        return found.cancel().map(|()| 0);
    }
    if changes & IORING_POLL_UPDATE_EVENTS != 0 {
        found.events.store(events(entry.op_flags), Relaxed);
    }
    if changes & IORING_POLL_UPDATE_USER_DATA != 0 {
        ring.rename(&found, entry.offset);
    }
    found.is_changed.store(true, Release);
    found.wake();
    Ok(0)
}
