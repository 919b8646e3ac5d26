//! `RLIMIT_CPU`: a process that has used too much CPU time is told each second by SIGXCPU, and killed at the hard limit.

use alloc::sync::{Arc, Weak};

use linux_raw_sys::general::RLIMIT_CPU;
use syscalls::Errno;

use super::{All, clock::Clock};
use crate::process::{
    Process,
    limits::UNLIMITED,
    signal::{
        SigInfo,
        numbers::{SIGKILL, SIGXCPU},
        send,
    },
    tree,
};

const SECOND: u64 = 1_000_000_000;

/// Has a process watched, if its time is limited. To be called when the limit has changed, and for a process that has
/// inherited one. ENOMEM, and then it is watched as before.
pub fn watch(process: &Arc<Process>) -> Result<(), Errno> {
    let is_limited = process.limits.soft(RLIMIT_CPU) != UNLIMITED;
    let Some(all) = (if is_limited { Some(process.timers.made()) } else { process.timers.get() }) else {
        return Ok(());
    };
    let mut watcher = all.limit.lock();
    let task = is_limited.then(|| executor::try_spawn(enforce(Arc::downgrade(process))));
    let task = task.transpose().map_err(|_| Errno::ENOMEM)?;
    if let Some(old) = core::mem::replace(&mut *watcher, task) {
        old.cancel();
    }
    drop(watcher);
    // Others may limit it while it ends. Either it has threads still, and its end is yet to find the watcher; or this does.
    if tree::lock().node(process.pid).is_none_or(|node| node.threads.is_empty()) {
        end(&all);
    }
    Ok(())
}

/// Lets a process that ends alone.
pub(super) fn end(all: &All) {
    if let Some(task) = all.limit.lock().take() {
        task.cancel();
    }
}

async fn enforce(target: Weak<Process>) {
    let clock = Clock::Process(target.clone());
    loop {
        let Some(process) = target.upgrade() else { return };
        let Ok(limit) = process.limits.get(RLIMIT_CPU) else { return };
        drop(process);
        if !clock.reached(limit.soft.min(limit.hard).saturating_mul(SECOND)).await {
            return;
        }
        let (Some(process), Some(now)) = (target.upgrade(), clock.now()) else { return };
        let is_over = now / SECOND >= limit.hard;
        let _ = send::to_process(&process, SigInfo::kernel(if is_over { SIGKILL } else { SIGXCPU }));
        if is_over {
            return;
        }
        // As on Linux, where the limit is where the next signal is due.
        process.limits.raise_soft(RLIMIT_CPU, limit.soft);
    }
}
