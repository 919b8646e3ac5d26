//! Who traces whom. All of it under the tree's lock.

use alloc::{boxed::Box, sync::Arc};

use syscalls::Errno;

use super::{Options, Pace, Place, Tracer, Tracing, report};
use crate::{
    memory,
    process::{
        Caller, Thread,
        credentials::capability,
        exit,
        signal::{SI_USER, SigInfo, numbers::*, send},
        thread::Attention,
        tree::{self, JobEvent, Tree},
        wait::ExitStatus,
    },
};

/// Makes a thread a tracee.
fn link(
    tree: &mut Tree,
    thread: &Arc<Thread>,
    tracer: Tracer,
    options: Options,
    is_seized: bool,
) -> Result<(), Errno> {
    memory::check_wait()?;
    let pid = tracer.process.pid;
    let node = tree.node_mut(pid).ok_or(Errno::ESRCH)?;
    node.tracees.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    node.tracees.push(thread.clone());
    {
        let mut tracing = thread.process.tracing.lock();
        let tracing = tracing.entry(thread.key()).or_insert_with(|| Box::new(Tracing::new()));
        tracing.tracer = Some(tracer);
        tracing.options = options;
        tracing.is_seized = is_seized;
        tracing.pace = Pace::Free;
        tracing.in_call = false;
        tracing.debug_status = 0;
    }
    if report::is_first(thread)
        && let Some(own) = tree.node_mut(thread.process.pid)
    {
        own.tracer = pid;
    }
    thread.raise(Attention::TRACED);
    Ok(())
}

/// Makes a tracee an ordinary thread again. If it is stopped it goes on, with this signal or with the one that it has
/// stopped for; unless its process is stopped.
pub(super) fn unlink(tree: &mut Tree, thread: &Arc<Thread>, verdict: Option<u8>) {
    // Before it is let go, or it would run for a while.
    let stopped_by = thread.process.signals.lock().stopped_by();
    if stopped_by.is_some() {
        thread.raise(Attention::STOP);
    }
    let tracer = {
        let mut all = thread.process.tracing.lock();
        let Some(tracing) = all.get_mut(&thread.key()) else { return };
        tracing.options = Options::empty();
        tracing.pace = Pace::Free;
        tracing.breakpoints = None;
        tracing.in_call = false;
        if let Some(stop) = &mut tracing.stop {
            let own = if stop.place == Place::Signal { (stop.status & 0x7f) as u8 } else { 0 };
            stop.verdict = Some(verdict.unwrap_or(own));
            tracing.tracer.take()
        } else {
            // Who is stopped needs its registers back first.
            all.remove(&thread.key()).and_then(|mut tracing| tracing.tracer.take())
        }
    };
    if let Some(tracer) = tracer
        && let Some(node) = tree.node_mut(tracer.process.pid)
    {
        node.tracees.retain(|tracee| !Arc::ptr_eq(tracee, thread));
    }
    thread.settle(Attention::TRACED);
    thread.release(Attention::TRAP);
    if report::is_first(thread)
        && let Some(own) = tree.node_mut(thread.process.pid)
    {
        own.tracer = 0;
        // The parent hears of the stop now, if it was the tracer.
        if let Some(signal) = stopped_by {
            own.job_event = Some(JobEvent::Stopped(signal));
        }
    }
    thread.wake();
}

/// `PTRACE_TRACEME`: the caller's parent traces it. One whose threads have all gone lets no tracee go any more, and does not
/// become a tracer; the call succeeds nevertheless, as on Linux.
pub fn trace_me(caller: &Caller) -> Result<(), Errno> {
    let mut tree = tree::lock();
    let parent = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?.parent;
    let parent = tree.node(parent).ok_or(Errno::EPERM)?;
    if caller.thread.tracer_pid() != 0 {
        return Err(Errno::EPERM);
    }
    if parent.threads.is_empty() {
        return Ok(());
    }
    let process = parent.process.clone();
    let credentials = process.credentials();
    link(&mut tree, &caller.thread, Tracer { process, thread: None, credentials }, Options::empty(), false)
}

/// `PTRACE_ATTACH`, or `PTRACE_SEIZE` with its options.
pub fn attach(caller: &Caller, tid: u32, seize: Option<Options>) -> Result<(), Errno> {
    let thread = {
        let mut tree = tree::lock();
        let Some(thread) = tree.thread(tid) else {
            // A process that has ended is not there to be traced, but is there.
            return Err(if tree.node(tid).is_some() { Errno::EPERM } else { Errno::ESRCH });
        };
        let own = &caller.credentials;
        if Arc::ptr_eq(&thread.process, caller.process())
            || !thread.process.may_be_inspected(own, own.users[0], own.groups[0])
            || thread.tracer_pid() != 0
            || exit::is_exiting(&thread.process)
        {
            return Err(Errno::EPERM);
        }
        let tracer = Tracer {
            process: caller.process().clone(),
            thread: Some(caller.thread.clone()),
            credentials: caller.credentials.clone(),
        };
        link(&mut tree, &thread, tracer, seize.unwrap_or(Options::empty()), seize.is_some())?;
        if thread.process.signals.lock().is_stopped() {
            // Its stop becomes one of its tracer's.
            thread.raise(Attention::TRAP);
        }
        thread
    };
    thread.process.resumed.wake_all();
    if seize.is_none() {
        send::to_thread(&thread, SigInfo::kernel(SIGSTOP))?;
    }
    Ok(())
}

/// A traced thread has made another, which is not running yet: its tracer's, too, from the first instruction on.
pub fn inherit(tree: &mut Tree, parent: &Thread, child: &Arc<Thread>) -> Result<(), Errno> {
    let inherited = parent.traced(|tracing| {
        let tracer = tracing.tracer.as_ref()?;
        let tracer = Tracer {
            process: tracer.process.clone(),
            thread: tracer.thread.clone(),
            credentials: tracer.credentials.clone(),
        };
        Some((tracer, tracing.options, tracing.is_seized))
    });
    let Some((tracer, options, is_seized)) = inherited.flatten() else { return Ok(()) };
    link(tree, child, tracer, options, is_seized)?;
    if is_seized {
        child.raise(Attention::TRAP);
    } else {
        child.signals.lock().pending.add(SigInfo::user(SIGSTOP, SI_USER, 0, 0));
        child.raise(Attention::SIGNAL);
    }
    Ok(())
}

/// `PTRACE_DETACH`, of a tracee that is stopped.
pub(super) fn detach(thread: &Arc<Thread>, signal: u8) {
    let mut tree = tree::lock();
    let pid = thread.process.pid;
    unlink(&mut tree, thread, Some(signal));
    if report::is_first(thread) {
        exit::notify_parent(&mut tree, pid);
    }
}

/// The tracee that stands for a process: its first thread, which may have ended.
pub(super) fn first_tracee(tree: &Tree, pid: u32) -> Option<Arc<Thread>> {
    let tracer = tree.node(pid)?.tracer;
    let of_process = |thread: &&Arc<Thread>| thread.process.pid == pid && report::is_first(thread);
    tree.node(tracer)?.tracees.iter().find(of_process).cloned()
}

/// A thread that has never run is about to go.
pub fn forget(tree: &mut Tree, thread: &Arc<Thread>) {
    if thread.is_traced() {
        unlink(tree, thread, None);
    }
}

/// The record of a process that somebody traces is about to go.
pub fn forget_process(tree: &mut Tree, pid: u32) {
    if let Some(thread) = first_tracee(tree, pid) {
        unlink(tree, &thread, None);
    }
}

/// A thread has called `execve` and taken its process's id, and the place of the first thread, of whose end nobody hears.
pub fn take_first_place(tree: &mut Tree, thread: &Arc<Thread>) {
    let pid = thread.process.pid;
    let tracer = tree.node(pid).map_or(0, |node| node.tracer);
    let is_former = |other: &&Arc<Thread>| {
        other.process.pid == pid && report::is_first(other) && !Arc::ptr_eq(other, thread)
    };
    let former = tree.node(tracer).and_then(|node| node.tracees.iter().find(is_former).cloned());
    if let Some(former) = former {
        unlink(tree, &former, None);
    }
    let tracer = thread.tracer_pid();
    if let Some(node) = tree.node_mut(pid) {
        node.tracer = tracer;
    }
}

/// A thread has left the tree: its tracees are let go, and its tracer hears of it. `is_last` of its process.
#[inline]
pub fn thread_ended(tree: &mut Tree, thread: &Arc<Thread>, is_last: bool) {
    if tree.node(thread.process.pid).is_some_and(|node| !node.tracees.is_empty()) {
        release_tracees(tree, thread, is_last);
    }
    if thread.is_traced() && !report::is_first(thread) {
        let status = exit_status(thread);
        report::thread_ended(tree, thread, status);
    }
}

/// A thread alone has called `exit`.
pub fn note_exit(thread: &Thread, status: ExitStatus) {
    thread.traced(|tracing| tracing.exit_status = Some(status));
}

/// How a thread ends: by its own `exit`, or as its process does.
pub(super) fn exit_status(thread: &Thread) -> ExitStatus {
    let own = thread.traced(|tracing| tracing.exit_status).flatten();
    own.or_else(|| exit::decided(&thread.process)).unwrap_or(ExitStatus::exited(0))
}

/// Lets the tracees of a thread that ends go. Those that nobody in particular of the process traces go with its last.
#[cold]
fn release_tracees(tree: &mut Tree, tracer: &Arc<Thread>, is_last: bool) {
    let is_own = |tracee: &&Arc<Thread>| {
        let asked_by = tracee.traced(|tracing| tracing.tracer.as_ref()?.thread.clone()).flatten();
        asked_by.map_or(is_last, |thread| is_last || Arc::ptr_eq(&thread, tracer))
    };
    while let Some(node) = tree.node(tracer.process.pid)
        && let Some(tracee) = node.tracees.iter().find(is_own).cloned()
    {
        let pid = tracee.process.pid;
        let dies = tracee.traced(|tracing| tracing.options.contains(Options::EXIT_KILL)) == Some(true);
        unlink(tree, &tracee, None);
        if dies {
            let _ = send::to_process_locked(tree, pid, SigInfo::kernel(SIGKILL));
        }
        if report::is_first(&tracee) {
            exit::notify_parent(tree, pid);
        }
    }
}

/// Whether a program that the thread executes brings it no rights: its tracer could not have given it them.
pub fn gains_nothing(thread: &Thread) -> bool {
    let is_lesser = |tracing: &mut Tracing| {
        tracing.tracer.as_ref().is_some_and(|tracer| !tracer.credentials.has(capability::SYS_PTRACE))
    };
    thread.is_traced() && thread.traced(is_lesser) == Some(true)
}

/// SIGCONT was sent to a process: a tracee that was seized tells its tracer of it.
pub fn notify_continued(thread: &Thread) {
    if thread.traced(|tracing| tracing.is_seized) == Some(true) {
        thread.raise(Attention::TRAP);
    }
}
