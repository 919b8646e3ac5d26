//! fork, vfork and clone: one path that copies or shares each part of the caller (clone(2)).

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Caller, Process, Thread,
    credentials::capability,
    exit,
    limits::UNLIMITED,
    run,
    siblings::Links,
    signal::{
        Actions, SavedMask, ThreadSignals,
        frame::AlternateStack,
        numbers::{SIGCHLD, SIGMAX},
    },
    thread::Attention,
    timers,
    trace::{self, points::Birth},
    tree::{self, Node, Tree},
};
use crate::{
    arch::{layout::USER_END, user::UserContext},
    file::{Reservation, events},
    memory, strace, user_memory,
};

/// Namespaces of one's own, which there are not.
pub const NAMESPACES: u32 = linux::CLONE_NEWNS
    | linux::CLONE_NEWCGROUP
    | linux::CLONE_NEWUTS
    | linux::CLONE_NEWIPC
    | linux::CLONE_NEWUSER
    | linux::CLONE_NEWPID
    | linux::CLONE_NEWNET;

/// What `clone` and `clone3` ask for.
#[derive(Clone, Copy, Default)]
pub struct CloneRequest {
    /// `CLONE_*` without the exit signal.
    pub flags: u64,
    /// Sent to the parent when the child ends; 0 for none.
    pub exit_signal: u8,
    /// The child's stack pointer; 0 for the caller's.
    pub stack: usize,
    /// The child's FS base with `CLONE_SETTLS`.
    pub tls: usize,
    /// Where `CLONE_PARENT_SETTID` stores the child's id.
    pub parent_tid: usize,
    /// Where `CLONE_PIDFD` stores a descriptor of the child.
    pub pidfd: usize,
    /// Where `CLONE_CHILD_SETTID` stores it and `CLONE_CHILD_CLEARTID` clears it.
    pub child_tid: usize,
}

impl CloneRequest {
    /// `fork()`.
    pub fn fork() -> Self {
        Self { exit_signal: SIGCHLD, ..Self::default() }
    }

    /// `vfork()`.
    pub fn vfork() -> Self {
        Self { flags: u64::from(linux::CLONE_VM | linux::CLONE_VFORK), ..Self::fork() }
    }

    /// As what it counts for who traces the caller; none if the child is not to be traced.
    pub fn birth(&self) -> Option<Birth> {
        if self.has(linux::CLONE_UNTRACED) {
            None
        } else if self.has(linux::CLONE_VFORK) {
            Some(Birth::Vfork)
        } else if self.exit_signal == SIGCHLD {
            Some(Birth::Fork)
        } else {
            Some(Birth::Clone)
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    fn clears_handlers(&self) -> bool {
        self.flags & linux::CLONE_CLEAR_SIGHAND != 0
    }

    fn check(&self) -> Result<(), Errno> {
        let inconsistent = self.has(linux::CLONE_THREAD) && !self.has(linux::CLONE_SIGHAND)
            || self.has(linux::CLONE_SIGHAND) && (!self.has(linux::CLONE_VM) || self.clears_handlers())
            || self.has(linux::CLONE_FS) && self.has(linux::CLONE_NEWNS)
            || self.has(NAMESPACES)
            || self.has(linux::CLONE_PIDFD) && self.has(linux::CLONE_DETACHED | linux::CLONE_THREAD)
            || self.exit_signal > SIGMAX;
        if inconsistent { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

/// Makes a child of the caller, a process or a thread, and starts it. Returns its id.
pub async fn clone(
    caller: &mut Caller,
    registers: &mut UserContext,
    request: CloneRequest,
) -> Result<usize, Errno> {
    request.check()?;
    // Nobody waits for the siblings of the first process.
    if request.has(linux::CLONE_PARENT) && caller.process().pid == tree::INIT {
        return Err(Errno::EINVAL);
    }
    // Acquire pairs with the Release in `send::to_one_of_many`: a signal that is counted here is attended to first.
    let group_signals = caller.process().group_signals.load(Ordering::Acquire);
    if caller.thread.is_called() {
        return Err(Errno::ERESTARTNOINTR);
    }
    if request.has(linux::CLONE_SETTLS) && request.tls >= USER_END {
        return Err(Errno::EPERM);
    }
    let policy = caller.thread.policy.get();
    if policy.is_deadline() && !policy.resets_on_fork {
        return Err(Errno::EAGAIN);
    }
    memory::claim().await?;
    let space = if request.has(linux::CLONE_VM) {
        caller.space.clone()
    } else {
        caller.space.fork(memory::fork_form()).await?
    };
    let files =
        if request.has(linux::CLONE_FILES) { caller.files.clone() } else { caller.files.duplicate().await? };
    let fs = if request.has(linux::CLONE_FS) { caller.fs.clone() } else { caller.fs.duplicate() };

    let event = trace::points::birth(&caller.thread, &request);
    let keeps_alternate_stack = !request.has(linux::CLONE_VM) || request.has(linux::CLONE_VFORK);
    let blocked = caller.thread.signals.lock().blocked;
    let name = *caller.thread.name.lock();

    let thread = {
        let mut tree = tree::lock();
        // Under the tree's lock, like the decision to exit and `execve`'s to end the other threads: a new thread is either
        // called with them, or not made. And signals for a whole group reach a new process, or its maker before it.
        if exit::is_exiting(caller.process()) || caller.thread.is_killed() {
            return Err(Errno::ERESTARTNOINTR);
        }
        if caller.process().group_signals.load(Ordering::Relaxed) != group_signals {
            caller.thread.raise(Attention::SIGNAL);
            return Err(Errno::ERESTARTNOINTR);
        }
        check_count(caller, &tree)?;
        let tid = tree.unused_id()?;
        if request.has(linux::CLONE_THREAD) {
            let process = caller.process().clone();
            let signals = ThreadSignals::with_mask(blocked);
            let parent = tree.node(process.pid).ok_or(Errno::ESRCH)?.parent;
            let thread = Thread::new(tid, parent, process, &caller.credentials, &space, signals, name);
            let thread = Arc::new(thread);
            thread.inherit_confinement(&caller.thread);
            tree.insert_thread(thread.clone())?;
            thread
        } else {
            let process = Arc::new(child_process(caller, tid, &request));
            *process.space.lock() = Some(space.clone());
            *process.files.lock() = Some(files.clone());
            *process.fs.lock() = Some(fs.clone());
            process.borrows_space.store(request.has(linux::CLONE_VFORK), Ordering::Relaxed);
            let signals = ThreadSignals::with_mask(blocked);
            let own = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?;
            // A sibling tells the parent of its end as its maker does: the parent has not asked for another signal.
            let (parent, exit_signal) = if request.has(linux::CLONE_PARENT) {
                (own.parent, own.exit_signal)
            } else {
                (caller.process().pid, request.exit_signal)
            };
            let (group, session) = (own.group, own.session);
            let may_have_reaper = own.may_have_reaper || own.process.is_subreaper.load(Ordering::Relaxed);
            let thread =
                Thread::new(tid, parent, process.clone(), &caller.credentials, &space, signals, name);
            let thread = Arc::new(thread);
            thread.inherit_confinement(&caller.thread);
            tree.insert(Node {
                process,
                parent,
                links: Links::default(),
                may_have_reaper,
                group,
                session,
                threads: alloc::vec![thread.clone()],
                zombie: None,
                job_event: None,
                exit_signal,
                has_execed: false,
                tracer: 0,
                tracees: Vec::new(),
            });
            thread
        }
    };
    if event.is_some() || request.has(linux::CLONE_PTRACE) {
        inherit_tracer(&caller.thread, &thread)?;
    }
    if caller.thread.is_logged() {
        strace::inherit(&caller.thread, &thread);
    }
    if !request.has(linux::CLONE_VM) {
        thread.sequence.inherit(&caller.thread.sequence);
    }
    thread.inherit_cpus(&caller.thread);
    if !request.has(linux::CLONE_THREAD) && thread.process.limits.soft(linux::RLIMIT_CPU) != UNLIMITED {
        timers::limit::watch(&thread.process)?;
    }
    thread.inherit_policy(&caller.thread);
    thread.set_memory_policy(caller.thread.memory_policy());
    let tid = thread.tid();
    if request.has(linux::CLONE_PARENT_SETTID) {
        let _ = user_memory::write(caller, request.parent_tid, tid).await;
    }
    if request.has(linux::CLONE_CHILD_SETTID) {
        if request.has(linux::CLONE_VM) {
            let _ = user_memory::write(caller, request.child_tid, tid).await;
        } else {
            let _ = space.write_bytes(request.child_tid, &tid.to_ne_bytes()).await;
        }
    }
    if request.has(linux::CLONE_CHILD_CLEARTID) {
        thread.clear_tid.store(request.child_tid, Ordering::Relaxed);
    }
    let child = Caller {
        thread: thread.clone(),
        space,
        files,
        fs,
        credentials: caller.credentials.clone(),
        alternate_stack: if keeps_alternate_stack {
            caller.alternate_stack
        } else {
            AlternateStack::DISABLED
        },
        saved_mask: SavedMask::default(),
        restart: None,
    };
    let descriptor = match request.has(linux::CLONE_PIDFD) {
        true => reserve_descriptor(caller, request.pidfd).await.map(Some),
        false => Ok(None),
    };
    let started = descriptor.and_then(|descriptor| {
        // Only now, as a copy that waited with this call would be copied once more.
        let registers = registers_of_child(registers, &request).ok_or(Errno::ENOMEM)?;
        run::start(child, registers)?;
        if let Some(descriptor) = descriptor {
            descriptor.fill(events::process::new(thread.process.clone(), 0), true);
        }
        Ok(())
    });
    if let Err(errno) = started {
        abandon(&thread);
        return Err(errno);
    }
    if let Some(event) = event {
        Box::pin(trace::points::born(caller, registers, event, tid)).await;
    }
    if request.has(linux::CLONE_VFORK) {
        wait_for_release(caller, &thread.process).await;
        if caller.thread.is_traced() {
            Box::pin(trace::points::vfork_done(caller, registers, tid)).await;
        }
    }
    Ok(tid as usize)
}

/// Has a child that does not run yet traced like its maker.
#[cold]
fn inherit_tracer(parent: &Thread, child: &Arc<Thread>) -> Result<(), Errno> {
    let inherited = trace::link::inherit(&mut tree::lock(), parent, child);
    inherited.inspect_err(|_| abandon(child))
}

/// Takes a child that cannot begin out of the tree.
#[cold]
fn abandon(child: &Arc<Thread>) {
    if child.is_logged() {
        strace::forget(child);
    }
    let mut tree = tree::lock();
    trace::link::forget(&mut tree, child);
    if tree.remove_thread(child) == 0 {
        tree.remove(child.process.pid);
    }
}

/// Sets a descriptor aside for a child that is about to begin, and stores its number at a user address.
async fn reserve_descriptor(caller: &Caller, address: usize) -> Result<Reservation<'_>, Errno> {
    let descriptor = caller.files.reserve(caller.process().limits.soft(linux::RLIMIT_NOFILE))?;
    user_memory::write(caller, address, descriptor.number() as i32).await?;
    Ok(descriptor)
}

/// What a child begins with: the result 0, and its own stack and thread-local storage if it is given some. None if there is
/// no memory.
#[inline(always)]
fn registers_of_child(parent: &mut UserContext, request: &CloneRequest) -> Option<UserContext> {
    let mut context = parent.duplicate()?;
    context.rax = 0;
    context.orig_rax = u64::MAX;
    if request.stack != 0 {
        context.rsp = request.stack as u64;
    }
    if request.has(linux::CLONE_SETTLS) {
        context.set_fs_base(request.tls as u64);
    }
    Some(context)
}

/// EAGAIN when the user has as many threads as `RLIMIT_NPROC` lets it; root is exempt, as on Linux.
fn check_count(caller: &Caller, tree: &Tree) -> Result<(), Errno> {
    let limit = caller.process().limits.soft(linux::RLIMIT_NPROC);
    let (_, all, _) = tree.counts();
    // Usually all users together have fewer, and nobody needs to be counted.
    if (all as u64) < limit || caller.credentials.has(capability::SYS_RESOURCE) {
        return Ok(());
    }
    let uid = caller.credentials.uid();
    let of_user = tree.nodes().filter(|node| node.process.credentials().uid() == uid);
    // A process without threads is a zombie; it counts until it is waited for.
    let own: usize = of_user.map(|node| node.threads.len().max(1)).sum();
    if own as u64 >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// A `vfork` parent sleeps until the child gives its memory back; only death wakes it earlier.
async fn wait_for_release(caller: &Caller, child: &Process) {
    child
        .released
        .wait_until(|| {
            let given_back = !child.borrows_space.load(Ordering::Acquire);
            (given_back || caller.thread.attention().contains(Attention::KILL)).then_some(())
        })
        .await;
}

/// A child's shared part. Signal actions are copied on the next change of either side.
///
/// `CLONE_SIGHAND` without `CLONE_THREAD` would keep them shared; it went out of use with LinuxThreads.
fn child_process(caller: &Caller, pid: u32, request: &CloneRequest) -> Process {
    let parent = caller.process();
    let mut actions: Arc<Actions> = parent.signals.lock().actions.clone();
    if request.clears_handlers() && actions.any_handled() {
        actions = Arc::new(actions.after_exec());
    }
    let child = Process::new(
        pid,
        caller.credentials.clone(),
        parent.limits.duplicate(),
        actions,
        parent.image.lock().clone(),
    );
    child.personality.store(parent.personality.load(Ordering::Relaxed), Ordering::Relaxed);
    child.gains_nothing.store(parent.gains_nothing.load(Ordering::Relaxed), Ordering::Relaxed);
    child.oom.inherit(&parent.oom);
    let refuses = parent.refuses_huge_pages.load(Ordering::Relaxed);
    child.refuses_huge_pages.store(refuses, Ordering::Relaxed);
    child.is_dumpable.store(parent.is_dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
    child
}
