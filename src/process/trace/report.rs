//! What a tracer hears of its tracees: SIGCHLD, and what its `wait4` finds.

use alloc::sync::Arc;

use linux_raw_sys::general as linux;

use super::link;
use crate::process::{
    Process, Thread,
    exit::notify_parent,
    signal::{SigInfo, numbers::SIGCHLD, send},
    tree::Tree,
    wait::{Event, ExitStatus, Which},
};

/// The `siginfo` code of a trapped child.
const CLD_TRAPPED: i32 = 4;

/// Tells the tracer that a thread has stopped.
pub(super) fn tell_of_stop(tree: &mut Tree, thread: &Thread, status: u32) {
    let Some(tracer) = tracer_of(thread) else { return };
    let is_quiet = {
        let signals = tracer.signals.lock();
        let action = signals.actions.get(SIGCHLD);
        action.handler == 1 || action.has(linux::SA_NOCLDSTOP)
    };
    if !is_quiet {
        let uid = thread.process.credentials().uid();
        let _ = send::to_process_locked(tree, tracer.pid, info(thread.tid(), uid, status & 0x7f));
    }
    tracer.child_events.advance();
}

/// Tells the tracer that a thread has ended.
fn tell_of_end(tree: &mut Tree, tracer: &Process, thread: &Thread, status: ExitStatus) {
    let uid = thread.process.credentials().uid();
    let _ = send::to_process_locked(tree, tracer.pid, status.info(SIGCHLD, thread.tid(), uid));
    tracer.child_events.advance();
}

fn tracer_of(thread: &Thread) -> Option<Arc<Process>> {
    thread.traced(|tracing| tracing.tracer.as_ref().map(|tracer| tracer.process.clone())).flatten()
}

/// What the wait of a process finds among its tracees.
pub struct Found {
    /// Whose event it is.
    pub thread: Arc<Thread>,
    /// What has happened.
    pub event: Event,
}

/// Looks for an event among the tracees of a process; also says whether there is any that the wait is for.
pub fn find(tree: &Tree, tracer: u32, which: Which, options: u32) -> (bool, Option<Found>) {
    let Some(node) = tree.node(tracer) else { return (false, None) };
    let mut any = false;
    for thread in &node.tracees {
        let Some(own) = tree.node(thread.process.pid) else { continue };
        if !which.includes(thread.tid(), own.group) {
            continue;
        }
        any = true;
        let ended = if is_first(thread) { own.zombie } else { None };
        if let Some(event) = event_of(thread, ended, options) {
            return (true, Some(Found { thread: thread.clone(), event }));
        }
    }
    (any, None)
}

fn event_of(thread: &Thread, ended: Option<ExitStatus>, options: u32) -> Option<Event> {
    thread
        .traced(|tracing| {
            if let Some(status) = ended.or(tracing.ended) {
                return (options & linux::WEXITED != 0).then_some(Event::Ended(status));
            }
            let stop = tracing.stop.as_ref()?;
            // A stop counts until its verdict.
            let is_news = !stop.is_told && !stop.is_listening && stop.verdict.is_none();
            is_news.then_some(Event::Trapped(stop.status))
        })
        .flatten()
}

/// Whether the thread is the first of its process, whose record stands for both.
pub(super) fn is_first(thread: &Thread) -> bool {
    thread.tid() == thread.process.pid
}

/// Takes what was found. The end of a process that is not the tracer's own child is then its parent's to hear of.
pub fn take(tree: &mut Tree, found: &Found) {
    match found.event {
        Event::Ended(_) => {
            link::unlink(tree, &found.thread, None);
            if is_first(&found.thread) {
                notify_parent(tree, found.thread.process.pid);
            }
        }
        _ => drop(found.thread.traced(|tracing| {
            if let Some(stop) = &mut tracing.stop {
                stop.is_told = true;
            }
        })),
    }
}

/// Tells the tracer of a process that has ended, if that is somebody else than its parent. False if it does not want to know
/// of it.
#[cold]
pub fn tell_tracer(tree: &mut Tree, pid: u32) -> bool {
    let ended = tree.node(pid).and_then(|node| node.zombie);
    let (Some(status), Some(thread)) = (ended, link::first_tracee(tree, pid)) else { return false };
    tell_or_forget(tree, &thread, status);
    tree.node(pid).is_some_and(|node| node.tracer != 0)
}

/// Tells the tracer of an end. If it does not want to know of its children's, it ceases to be one.
fn tell_or_forget(tree: &mut Tree, thread: &Arc<Thread>, status: ExitStatus) {
    let Some(tracer) = tracer_of(thread) else { return };
    let reaps = tracer.signals.lock().actions.reaps_children();
    tell_of_end(tree, &tracer, thread, status);
    if reaps {
        link::unlink(tree, thread, None);
    }
}

/// One of several threads has ended, which its tracer waits for.
pub(super) fn thread_ended(tree: &mut Tree, thread: &Arc<Thread>, status: ExitStatus) {
    if thread.traced(|tracing| tracing.ended = Some(status)).is_some() {
        tell_or_forget(tree, thread, status);
    }
}

/// What SIGCHLD and `waitid` tell of a stop.
pub fn info(tid: u32, uid: u32, status: u32) -> SigInfo {
    SigInfo { signal: SIGCHLD, code: CLD_TRAPPED, pid: tid, uid, value: u64::from(status), times: [0; 2] }
}
