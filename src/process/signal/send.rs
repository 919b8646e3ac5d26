//! Sending signals.
//!
//! Lock order: the tree, then a process's signals, then a thread's.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use executor::sync::SpinMutexGuard;
use syscalls::Errno;

use super::{Action, Disposition, ProcessSignals, SigInfo, SignalSet, ThreadSignals, info, numbers::*};
use crate::{
    arch,
    process::{
        Process, Thread,
        credentials::{Credentials, capability},
        exit,
        thread::Attention,
        trace::link::notify_continued,
        tree::{self, JobEvent, Node, Tree},
        wait,
    },
};

/// Sends to a process: the signal is taken by any of its threads that does not block it.
pub fn to_process(process: &Process, info: SigInfo) -> Result<(), Errno> {
    to_process_if_taken(process, info).map(drop)
}

/// As [`to_process`]; says whether the signal is pending now, or was ignored.
pub fn to_process_if_taken(process: &Process, info: SigInfo) -> Result<bool, Errno> {
    let mut tree = tree::lock();
    send_to_process(&mut tree, process.pid, info)
}

/// As [`to_process`], of a time that the process has spent on CPUs: one of those who spend it takes the signal, if any can, as
/// profilers expect.
#[cold]
pub fn to_spender(process: &Process, info: SigInfo) -> Result<(), Errno> {
    send(&mut tree::lock(), process.pid, info, spender).map(drop)
}

/// As [`to_process_locked`], to one of many. Who forks meanwhile forks again, so that the child is either signalled, too,
/// or is made after its parent has heard.
pub fn to_one_of_many(tree: &mut Tree, pid: u32, info: SigInfo) -> Result<(), Errno> {
    let sent = to_process_locked(tree, pid, info);
    if let Some(node) = tree.node(pid) {
        // Release pairs with the Acquire in `clone`: who has read this count has been called.
        node.process.group_signals.fetch_add(1, Ordering::Release);
    }
    sent
}

/// As [`to_process`], for callers that hold the tree.
pub fn to_process_locked(tree: &mut Tree, pid: u32, info: SigInfo) -> Result<(), Errno> {
    send_to_process(tree, pid, info).map(drop)
}

fn send_to_process(tree: &mut Tree, pid: u32, info: SigInfo) -> Result<bool, Errno> {
    send(tree, pid, info, first_taker)
}

#[inline(always)]
fn send(
    tree: &mut Tree,
    pid: u32,
    info: SigInfo,
    find_taker: impl FnOnce(&Node, u8) -> Option<Taker<'_>>,
) -> Result<bool, Errno> {
    let Some(node) = tree.node(pid) else { return Err(Errno::ESRCH) };
    if node.zombie.is_some() {
        return Ok(false);
    }
    let continued = SignalSet::JOB_CONTROL.has(info.signal) && prepare(node, info.signal);
    let accepted = post(node, info, find_taker);
    if continued {
        wait::report_job_event(tree, pid, JobEvent::Continued);
    }
    accepted
}

/// A thread that takes a signal, and whether that is because it waits for it.
type Taker<'a> = (&'a Arc<Thread>, bool);

/// The first thread that takes a signal.
#[inline(always)]
fn first_taker(node: &Node, signal: u8) -> Option<Taker<'_>> {
    node.threads.iter().find_map(|thread| Some((thread, takes(thread, signal)?)))
}

/// One of the threads that run and take a signal; if there is none, another that takes it.
fn spender(node: &Node, signal: u8) -> Option<Taker<'_>> {
    let spenders = || {
        let running = node.threads.iter().filter(|thread| thread.is_runnable());
        running.filter_map(|thread| Some((thread, takes(thread, signal)?)))
    };
    // None more often than another: when a timer expires has nothing to do with who they are.
    let chosen = (arch::clock::cycles() >> 8) as usize % spenders().count().max(1);
    spenders().nth(chosen).or_else(|| first_taker(node, signal))
}

/// Queues the signal for the process, unless it would be ignored, and calls a thread. Says whether it is pending.
#[inline(always)]
fn post(
    node: &Node,
    info: SigInfo,
    find_taker: impl FnOnce(&Node, u8) -> Option<Taker<'_>>,
) -> Result<bool, Errno> {
    let signal = info.signal;
    let process = &node.process;
    let mut shared = process.signals.lock();
    let action = shared.actions.get(signal);
    if process.pid == tree::INIT && is_refused_by_init(action) {
        return Ok(false);
    }
    if signal == SIGKILL {
        drop(shared);
        exit::begin_group_exit(&node.threads, process, wait::ExitStatus::killed(SIGKILL));
        return Ok(true);
    }
    let taker = find_taker(node, signal);
    let ignored = action.disposition(signal) == Disposition::Ignore;
    // A tracer wants to know even of those.
    if ignored && taker.is_some_and(|(thread, awaits)| !awaits && !thread.is_traced()) {
        return Ok(false);
    }
    if !shared.pending.add(info) {
        return Err(Errno::EAGAIN);
    }
    process.tell_of_signal();
    if let Some((thread, _)) = taker {
        thread.raise(Attention::SIGNAL);
    }
    Ok(true)
}

/// Whether a thread takes a signal, and then whether that is because it waits for it.
#[inline]
fn takes(thread: &Thread, signal: u8) -> Option<bool> {
    let own = thread.signals.lock();
    let awaits = own.awaited.has(signal);
    (awaits || !own.blocked.has(signal)).then_some(awaits)
}

/// The first process is not killed by signals that it has no handler for (kill(2), "Notes").
fn is_refused_by_init(action: &Action) -> bool {
    action.handler <= 1
}

/// Sends to one thread.
pub fn to_thread(thread: &Thread, info: SigInfo) -> Result<(), Errno> {
    to_thread_if_taken(thread, info).map(drop)
}

/// Tells a thread that nobody will ever read what it wants to write (SIGPIPE).
pub fn broken_pipe(thread: &Thread) {
    // It runs, so it can be sent to.
    let _ = to_thread(thread, SigInfo::kernel(SIGPIPE));
}

/// As [`to_thread`]; says whether the signal is pending now, or was ignored.
pub fn to_thread_if_taken(thread: &Thread, info: SigInfo) -> Result<bool, Errno> {
    let mut tree = tree::lock();
    let pid = thread.process.pid;
    let Some(node) = tree.node(pid) else { return Err(Errno::ESRCH) };
    let signal = info.signal;
    if signal == SIGKILL || node.zombie.is_some() {
        return send_to_process(&mut tree, pid, info);
    }
    let continued = SignalSet::JOB_CONTROL.has(signal) && prepare(node, signal);
    let is_taken = {
        let shared = thread.process.signals.lock();
        if pid == tree::INIT && is_refused_by_init(shared.actions.get(signal)) {
            return Ok(false);
        }
        let mut own = thread.signals.lock();
        let blocked = own.blocked.has(signal);
        let ignored = shared.actions.get(signal).disposition(signal) == Disposition::Ignore;
        let is_taken = !(ignored && !blocked && !own.awaited.has(signal) && !thread.is_traced());
        if is_taken {
            if !own.pending.add(info) {
                return Err(Errno::EAGAIN);
            }
            thread.process.tell_of_signal();
            if !blocked || own.awaited.has(signal) {
                thread.raise(Attention::SIGNAL);
            }
        }
        is_taken
    };
    if continued {
        wait::report_job_event(&mut tree, pid, JobEvent::Continued);
    }
    Ok(is_taken)
}

/// Calls other threads for what is pending for their process: `thread` may have been called for it, and does not take it.
pub fn redirect(tree: &Tree, thread: &Thread) {
    let process = &thread.process;
    let shared = process.signals.lock();
    if shared.pending.set().is_empty() {
        return;
    }
    if let Some(node) = tree.node(process.pid) {
        for other in node.threads.iter().filter(|other| other.tid() != thread.tid()) {
            let refused = other.signals.lock().refused();
            if !shared.pending.set().minus(refused).is_empty() {
                other.raise(Attention::SIGNAL);
            }
        }
    }
}

/// Gives back a thread's signal locks, under which it may have come to take less than all but what it `refused`: others are
/// called for what it leaves to them.
#[inline]
pub fn hand_on(
    thread: &Thread,
    shared: SpinMutexGuard<'_, ProcessSignals>,
    own: SpinMutexGuard<'_, ThreadSignals>,
    refused: SignalSet,
) {
    let leaves_some = own.leaves_some(&shared, refused);
    drop((own, shared));
    if leaves_some {
        call_others(thread);
    }
}

#[cold]
#[inline(never)]
fn call_others(thread: &Thread) {
    redirect(&tree::lock(), thread);
}

/// Raises a signal that the thread's own instruction caused. If it is blocked or ignored the process dies of it, as
/// it could make no progress.
pub fn force(thread: &Thread, info: SigInfo) {
    force_as(thread, info, false);
}

/// As [`force`], but the process dies of it whatever it does about the signal.
pub fn force_fatal(thread: &Thread, info: SigInfo) {
    force_as(thread, info, true);
}

fn force_as(thread: &Thread, info: SigInfo, fatal: bool) {
    let signal = info.signal;
    {
        let mut shared = thread.process.signals.lock();
        let mut own = thread.signals.lock();
        if fatal || own.blocked.has(signal) || shared.actions.get(signal).handler == 1 {
            own.blocked.remove(signal);
            Arc::make_mut(&mut shared.actions).set(signal, Action::default());
        }
        own.pending.add(info);
        thread.process.tell_of_signal();
    }
    thread.raise(Attention::SIGNAL);
}

/// What sending a signal of job control does at once, whatever becomes of the signal itself: stop and continue signals
/// cancel each other's pending instances, and SIGCONT lets a stopped process run. Says whether it was continued.
#[cold]
fn prepare(node: &Node, signal: u8) -> bool {
    let process = &node.process;
    let cancelled = if signal == SIGCONT { SignalSet::STOPPING } else { SignalSet::of(&[SIGCONT]) };
    let mut shared = process.signals.lock();
    shared.pending.discard(cancelled);
    for thread in &node.threads {
        thread.signals.lock().pending.discard(cancelled);
        if signal == SIGCONT {
            thread.note_may_stop(false);
        }
    }
    let was_stopped = signal == SIGCONT && shared.set_stopped(None);
    if was_stopped {
        for thread in &node.threads {
            thread.release(Attention::STOP);
        }
    }
    drop(shared);
    if signal == SIGCONT {
        node.threads.iter().filter(|thread| thread.is_traced()).for_each(|thread| notify_continued(thread));
    }
    if was_stopped {
        process.resumed.wake_all();
    }
    was_stopped
}

/// Sends to every process of a group; ESRCH when there is none.
pub fn to_group(group: u32, info: SigInfo) -> Result<(), Errno> {
    let mut tree = tree::lock();
    if !tree.group_exists(group) {
        return Err(Errno::ESRCH);
    }
    to_group_locked(&mut tree, group, info);
    Ok(())
}

/// As [`to_group`], for callers that hold the tree. Needs no memory, as a process that ends must not.
pub fn to_group_locked(tree: &mut Tree, group: u32, info: SigInfo) {
    let mut from = 0;
    while let Some(member) = next_member(tree, group, from) {
        let _ = to_one_of_many(tree, member, info);
        from = member + 1;
    }
}

/// The member of a group with the lowest id that is at least `from`.
pub fn next_member(tree: &Tree, group: u32, from: u32) -> Option<u32> {
    if !tree.group_exists(group) {
        return None;
    }
    tree.nodes_from(from).find(|node| node.group == group).map(|node| node.process.pid)
}

/// Whether `sender` may signal `target` (kill(2)): its real or effective user is the target's real or saved one, it is
/// privileged, or the signal is SIGCONT within one session.
pub fn may_signal(sender: &Credentials, target: &Credentials, same_session: bool, signal: u8) -> bool {
    sender.has(capability::KILL)
        || sender.users[..2].iter().any(|id| *id == target.users[0] || *id == target.users[2])
        || (signal == SIGCONT && same_session)
}

/// A signal from the terminal or the kernel to a whole group, without a sender.
pub fn from_kernel_to_group(group: u32, signal: u8) {
    let _ = to_group(group, SigInfo { signal, code: info::SI_KERNEL, ..SigInfo::default() });
}
