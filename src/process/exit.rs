//! The end of threads and processes.
//!
//! One thread decides the process's exit status and calls all others ([`group`]); each leaves its loop and comes
//! through [`thread`]; the last one turns the process into a zombie for its parent to collect.

use alloc::{sync::Arc, vec::Vec};
use core::{future::Future, sync::atomic::Ordering};

use drivers::tty::{Pid, Tty};
use executor::sync::Events;

use super::{
    Caller, Process, Thread, futex, reaper,
    signal::{SI_USER, SigInfo, any_stopped, numbers::*, send},
    thread::Attention,
    timers,
    times::{ResourceUsage, ticks},
    trace,
    tree::{self, Tree},
    wait::ExitStatus,
};
use crate::{device::loops, file::FileTable, ipc::semaphores, power, user_memory};

/// Set in [`Process::exiting`] beside the status once the process is on its way out.
const EXITING: u32 = 1 << 31;
/// Set there once SIGKILL was sent to it: nobody may keep it any longer.
const HURRIED: u32 = 1 << 30;

/// Makes the whole process exit with `status`; the first such decision stands.
pub fn group(caller: &Caller, status: ExitStatus) {
    let tree = tree::lock();
    if let Some(node) = tree.node(caller.process().pid) {
        begin_group_exit(&node.threads, caller.process(), status);
    }
}

/// Whether no other thread of the caller's process is left.
pub fn is_alone(caller: &Caller) -> bool {
    tree::lock().node(caller.process().pid).is_none_or(|node| node.threads.len() <= 1)
}

/// Makes the calling thread exit; `status` is the process's if it turns out to be its last.
pub fn alone(caller: &Caller, status: ExitStatus) {
    if caller.thread.is_traced() {
        trace::link::note_exit(&caller.thread, status);
    }
    set_last_status(caller.process(), status);
    let _tree = tree::lock();
    caller.thread.raise(Attention::KILL);
}

/// Ends a process that cannot go on for want of memory, which nobody else could be [killed](super::oom) for.
pub fn out_of_memory(caller: &Caller) {
    if !is_exiting(caller.process()) {
        log::error!("out of memory: killed process {} ({})", caller.process().pid, caller.thread);
        group(caller, ExitStatus::killed(SIGKILL));
    }
}

/// As [`group`], for callers that hold the tree: every thread is called and leaves.
pub fn begin_group_exit(threads: &[Arc<Thread>], process: &Process, status: ExitStatus) {
    let is_hurried = status == ExitStatus::killed(SIGKILL);
    if is_hurried {
        // Before anybody is called, and so sees it.
        process.exiting.fetch_or(HURRIED, Ordering::AcqRel);
    }
    // A status that a single thread left by its own exit gives way.
    let decided = process.exiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
        (old & EXITING == 0).then_some(status.0 | EXITING | old & HURRIED)
    });
    if decided.is_ok() {
        for thread in threads {
            thread.raise(Attention::KILL);
        }
        process.resumed.wake_all();
        // One may wait in execve for the others' exits.
        process.thread_exits.wake_all();
    } else if is_hurried {
        threads.iter().for_each(|thread| thread.wake());
    }
}

/// Whether SIGKILL was sent to a process, before or since it is on its way out.
pub fn is_hurried(process: &Process) -> bool {
    process.exiting.load(Ordering::Acquire) & HURRIED != 0
}

/// How a process that is on its way out ends.
pub fn decided(process: &Process) -> Option<ExitStatus> {
    is_exiting(process).then(|| status(process))
}

/// How a process ends if its last thread does now.
pub fn status(process: &Process) -> ExitStatus {
    ExitStatus(process.exiting.load(Ordering::Acquire) & !(EXITING | HURRIED))
}

/// Whether the process is on its way out.
pub fn is_exiting(process: &Process) -> bool {
    process.exiting.load(Ordering::Acquire) & EXITING != 0
}

/// The status a single thread's `exit` leaves, should it turn out to be the last of its process.
pub fn set_last_status(process: &Process, status: ExitStatus) {
    let _ = process.exiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
        (old & EXITING == 0).then_some(status.0 | old & HURRIED)
    });
}

/// Takes a thread that has left its loop apart.
///
/// A block that captures, so that what it takes apart is not moved once more.
#[allow(clippy::manual_async_fn, reason = "it would be larger")]
pub fn thread(mut caller: Caller) -> impl Future<Output = ()> + Send {
    async move {
        let thread = caller.thread.clone();
        let process = thread.process.clone();
        clear_tid(&mut caller).await;
        // While the thread still counts: the last one is then alone with what they shared, and so is one that executes.
        let Caller { space, files, fs, .. } = caller;
        close(files).await;
        drop(fs);
        thread.leave_space();
        drop(space);
        let last = {
            let mut tree = tree::lock();
            // With the tree locked, each thread counts once.
            process.time_of_dead.add(thread.cpu_time.parts());
            process.switches.add_turns(thread.turns().into());
            let left = tree.remove_thread(&thread);
            if left > 0 {
                send::redirect(&tree, &thread);
            }
            trace::link::thread_ended(&mut tree, &thread, left == 0);
            left == 0
        };
        if !last {
            process.thread_exits.wake_all();
            return;
        }
        // Before the parent hears of the end, everything the process held is given back: a parent that waits and then
        // measures or unmounts finds it gone.
        let (files, space) = (process.files.lock().take(), process.space.lock().take());
        if let Some(space) = &space {
            process.note_peak(space);
        }
        if let Some(files) = files {
            close(files).await;
        }
        process.fs.lock().take();
        if process.undoes_semaphores.load(Ordering::Relaxed) {
            semaphores::take_back(process.pid);
        }
        process.release_borrowed_space();
        drop(space);
        if loops::are_bound() {
            loops::settled().await;
        }
        finish(&process).await;
        process.thread_exits.wake_all();
    }
}

/// Gives up a descriptor table; closes what is open if nobody else has it.
async fn close(mut files: Arc<FileTable>) {
    if let Some(files) = Arc::get_mut(&mut files) {
        files.close_all().await;
    }
}

/// `CLONE_CHILD_CLEARTID`: `pthread_join` waits for this word.
async fn clear_tid(caller: &mut Caller) {
    let address = caller.thread.clear_tid.swap(0, Ordering::Relaxed);
    if address != 0 && !space_is_unshared(caller) && user_memory::write(caller, address, 0u32).await.is_ok() {
        let _ = futex::wake_address(caller, address, 1).await;
    }
}

/// Nobody else can see the memory of a process with one thread, so nothing needs to be written there. A `vfork`
/// child's memory is its parent's.
fn space_is_unshared(caller: &Caller) -> bool {
    // The records of the process and of the thread, and the caller hold one reference each.
    Arc::strong_count(&caller.space) <= 3 && !caller.process().borrows_space.load(Ordering::Relaxed)
}

/// The last thread is gone: hand the children on, become a zombie, tell the parent.
async fn finish(process: &Arc<Process>) {
    let status = status(process);
    timers::end(process);
    if process.pid == tree::INIT {
        power::init_exited(status).await;
    }
    let mut tree = tree::lock();
    let orphans = hand_on_children(&mut tree, process.pid);
    let terminal = terminal_of_leader(&mut tree, process.pid);
    let hung_up = group_of_lost_terminal(&mut tree, process.pid);
    let newly_orphaned = newly_orphaned_groups(&mut tree, process.pid, orphans, status);
    process.end.set(Events::IN | Events::RDNORM);
    notify_parent(&mut tree, process.pid);
    let mut next = orphans;
    while let Some(child) = tree.node(next) {
        let (orphan, ended) = (next, child.zombie.is_some());
        next = child.links.younger();
        if ended {
            notify_parent(&mut tree, orphan);
        }
    }
    for group in newly_orphaned.into_iter().chain(hung_up) {
        hang_up_group(&mut tree, group);
    }
    drop(tree);
    // Hangs up the foreground group; takes locks of its own.
    if let Some(terminal) = terminal {
        terminal.leave_session(process.pid as Pid, true);
    }
}

/// Tells a group that nobody controls it any more.
pub fn hang_up_group(tree: &mut Tree, group: u32) {
    send::to_group_locked(tree, group, SigInfo::kernel(SIGHUP));
    send::to_group_locked(tree, group, SigInfo::kernel(SIGCONT));
}

/// Gives a process's children to whoever takes orphans, and tells those who want to know (`PR_SET_PDEATHSIG`); says who the
/// first of them is, 0 if there is none.
fn hand_on_children(tree: &mut Tree, pid: u32) -> u32 {
    let reaper = reaper::of(tree, pid);
    let first = tree.hand_on_children(pid, reaper);
    let mut next = first;
    while let Some(child) = tree.node_mut(next) {
        child.parent = reaper;
        // Whatever the parent wanted to hear, the reaper waits for children as usual.
        child.exit_signal = SIGCHLD;
        for thread in &child.threads {
            thread.answers.parent.store(reaper, Ordering::Relaxed);
        }
        let (orphan, signal) = (next, child.process.death_signal.load(Ordering::Relaxed));
        next = child.links.younger();
        if signal != 0 {
            let uid = tree.node(pid).map_or(0, |node| node.process.credentials().uid());
            let _ = send::to_process_locked(tree, orphan, SigInfo::user(signal, SI_USER, pid, uid));
        }
    }
    first
}

/// The controlling terminal that a session leader gives up when it exits.
fn terminal_of_leader(tree: &mut Tree, pid: u32) -> Option<Arc<Tty>> {
    if tree.node(pid)?.session != pid {
        return None;
    }
    tree.session(pid)?.terminal.clone()
}

/// The group that was in the foreground when a hangup took the terminal away from the leader that exits, if it is still there.
fn group_of_lost_terminal(tree: &mut Tree, pid: u32) -> Option<u32> {
    if tree.node(pid)?.session != pid {
        return None;
    }
    let group = tree.session(pid)?.former_foreground.take()?;
    (tree.group_session(group) == Some(pid)).then_some(group)
}

/// Marks the process a zombie and returns the groups with stopped members that its end has orphaned: they are its
/// own, which it tied to its parent's group, and those of its children, `orphans` the first, tied to its own group by it.
fn newly_orphaned_groups(tree: &mut Tree, pid: u32, orphans: u32, status: ExitStatus) -> Vec<u32> {
    let Some(node) = tree.node_mut(pid) else { return Vec::new() };
    node.zombie = Some(status);
    node.process.signals.lock().set_stopped(None);
    if !any_stopped() {
        return Vec::new();
    }
    let (own_group, session, parent) = (node.group, node.session, node.parent);
    let foreign = |node: &&tree::Node| node.session == session && node.group != own_group;
    // Most processes have tied nothing, and nobody is looked for.
    let mut groups = Vec::new();
    let tied = tree.siblings_since(orphans).filter(foreign).map(|node| node.group);
    for group in tied.chain(tree.node(parent).filter(foreign).map(|_| own_group)) {
        if let Err(place) = groups.binary_search(&group) {
            // Thousands of groups, and no memory for their numbers: the rest stays as it is.
            if groups.try_reserve(1).is_err() {
                break;
            }
            groups.insert(place, group);
        }
    }
    groups.retain(|group| {
        let stopped = tree
            .nodes()
            .any(|n| n.group == *group && n.zombie.is_none() && n.process.signals.lock().is_stopped());
        stopped && tree.is_orphaned(*group)
    });
    groups
}

/// Tells the parent of a zombie, if it is one; if the parent does not care, the zombie goes at once. If somebody else traces
/// it, that one is told, and the parent once it has taken note.
pub(super) fn notify_parent(tree: &mut Tree, pid: u32) {
    let Some(mut node) = tree.node(pid) else { return };
    if node.tracer != 0 && node.tracer != node.parent {
        if trace::report::tell_tracer(tree, pid) {
            return;
        }
        let Some(left) = tree.node(pid) else { return };
        node = left;
    }
    let (Some(status), parent, exit_signal) = (node.zombie, node.parent, node.exit_signal) else { return };
    let uid = node.process.credentials().uid();
    let Some(parent_node) = tree.node(parent) else { return };
    let parent_process = parent_node.process.clone();
    let reaped = exit_signal == SIGCHLD && parent_process.signals.lock().actions.reaps_children();
    if exit_signal != 0 {
        let usage = ResourceUsage::of_dead(&node.process);
        let mut info = status.info(exit_signal, pid, uid);
        info.times = [ticks(usage.user()), ticks(usage.system())];
        let _ = send::to_process_locked(tree, parent, info);
    }
    if reaped {
        if tree.node(pid).is_some_and(|node| node.tracer != 0) {
            trace::link::forget_process(tree, pid);
        }
        tree.remove(pid);
    }
    parent_process.child_events.advance();
}

/// Makes all other threads of the caller's process exit and waits for them, as `execve` must.
pub async fn others(caller: &Caller) -> Result<(), syscalls::Errno> {
    let process = caller.process().clone();
    {
        let tree = tree::lock();
        let Some(node) = tree.node(process.pid) else { return Err(syscalls::Errno::ESRCH) };
        // Of several threads that call execve, the first calls the others off: their wait would be for each other.
        if is_exiting(&process) || caller.thread.is_killed() {
            return Err(syscalls::Errno::EINTR);
        }
        for other in node.threads.iter().filter(|other| other.tid() != caller.thread.tid()) {
            other.raise(Attention::KILL);
        }
    }
    let alone = || {
        let tree = tree::lock();
        let count = tree.node(process.pid).map_or(1, |node| node.threads.len());
        (count <= 1 || is_exiting(&process)).then_some(())
    };
    process.thread_exits.wait_until(alone).await;
    if is_exiting(&process) { Err(syscalls::Errno::EINTR) } else { Ok(()) }
}
