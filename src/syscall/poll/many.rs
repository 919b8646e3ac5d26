//! A call about so many files that to look at all of them takes a while: it is done by parts, between which others have
//! their turn.
//!
//! ```text
//!   look at a part ─► a part ─► ... ──some ready──────────────────────────────┐
//!                               └─none─► a task for each part waits           │
//!                                           the first to find something ends  │
//!                                           the wait, as time and signals do ─┴─► look again ─► answer, part by part
//! ```
//!
//! A task that is woken looks at its own part alone.

use alloc::{sync::Arc, vec::Vec};
use core::{future::pending, ops::Range};

use executor::{JoinSet, sync::Watchers, time::Instant, timeout};
use syscalls::Errno;

use super::{Call, Files, conclude, files::Sight, with_pages};
use crate::{
    arch::clock,
    file::{
        File,
        poll::{Ready, any_of, look},
    },
    process::{Caller, Thread, thread::interruptible},
    syscall::signal,
    user_memory::SysResult,
};

/// How many places a part has: a multiple of 64.
const PART: usize = 128;

/// Some of the files.
struct Part {
    places: Range<usize>,
    /// Of all, if none of any part was ready at first.
    watchers: Arc<Watchers<File>>,
    ready: Vec<Ready>,
}

/// Carries out a call, up to `deadline` if it has been begun before.
pub async fn call(caller: &mut Caller, call: Call, deadline: Option<Instant>) -> SysResult {
    let deadline = match deadline {
        Some(deadline) => deadline,
        None => with_pages(caller, || call.span.deadline()).await?,
    };
    let mask = with_pages(caller, || call.mask.read()).await?;
    call.files.check(caller)?;
    let mut parts = Vec::new();
    let is_waiting = deadline.0 > clock::now_ns();
    let result = match look_at_all(caller, call.files, is_waiting, &mut parts).await {
        Err(errno) => Err(errno),
        Ok(is_any) => {
            if let Some(mask) = mask {
                signal::replace_mask_for_call(caller, mask);
            }
            let waited = match is_any {
                false if caller.thread.is_called() => Err(Errno::ERESTARTSYS),
                false if is_waiting => wait(&caller.thread, &mut parts, deadline).await,
                _ => Ok(()),
            };
            let result = match waited {
                Ok(()) => answer(caller, call.files, &parts).await,
                Err(errno) => Err(errno),
            };
            conclude(caller, &call, result, deadline).await
        }
    };
    // Each part's watchers have many lists to leave.
    while let Some(part) = parts.pop() {
        drop(part);
        executor::make_way().await;
    }
    result
}

/// Looks at all files; whether any is ready.
async fn look_at_all(
    caller: &Caller,
    files: Files,
    is_waiting: bool,
    parts: &mut Vec<Part>,
) -> Result<bool, Errno> {
    let places = files.places();
    parts.try_reserve_exact(places.len().div_ceil(PART)).map_err(|_| Errno::ENOMEM)?;
    let mut is_any = false;
    for start in places.clone().step_by(PART) {
        let places = start..places.end.min(start + PART);
        let look = || files.look(caller, places.clone(), is_waiting && !is_any);
        let Sight { watchers, ready, .. } = with_pages(caller, look).await?;
        is_any |= !ready.is_empty();
        parts.push(Part { places, watchers: Arc::new(Watchers::new(watchers)), ready });
        executor::make_way().await;
    }
    Ok(is_any)
}

/// Waits until a file is ready, the time is up, or the thread is called. ERESTARTSYS, and ENOMEM.
async fn wait(thread: &Thread, parts: &mut [Part], deadline: Instant) -> Result<(), Errno> {
    let mut tasks = JoinSet::new();
    for (number, part) in parts.iter().enumerate() {
        if part.watchers.iter().next().is_some() {
            let watchers = part.watchers.clone();
            let task = async move { (number, any_of(&watchers).await) };
            tasks.try_spawn(task).map_err(|_| Errno::ENOMEM)?;
        }
        executor::make_way().await;
    }
    let first = async {
        match tasks.join_next().await {
            Some(first) => first,
            None => pending().await,
        }
    };
    let woken = interruptible(thread, timeout(first, deadline)).await;
    drop(tasks);
    let mut is_any = false;
    for part in &mut *parts {
        part.ready = look(&part.watchers)?;
        is_any |= !part.ready.is_empty();
        executor::make_way().await;
    }
    match woken {
        // Somebody may have been faster, but it was ready.
        Ok(Ok((number, ready))) if !is_any => parts[number].ready = ready?,
        Err(errno) if !is_any => return Err(errno),
        _ => {}
    }
    Ok(())
}

/// Writes which files are ready; returns how many answers that are.
async fn answer(caller: &Caller, files: Files, parts: &[Part]) -> SysResult {
    let mut answered = 0;
    for Part { places, ready, .. } in parts {
        answered += with_pages(caller, || files.answer(places.clone(), ready)).await?;
        executor::make_way().await;
    }
    Ok(answered)
}
