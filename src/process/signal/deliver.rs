//! Delivery: what a thread does about its signals on the way back to user mode.

use core::ops::ControlFlow;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{Action, Disposition, SigInfo, SignalSet, frame, numbers::*};
use crate::{
    arch::user::UserContext,
    process::{
        Caller, affinity, exit, rseq,
        thread::Attention,
        tree::{self, JobEvent},
        wait::{self, ExitStatus},
    },
    syscall::{attempt::Pause, user::fault_in},
};

/// How a system call that a signal cut short is to go on (the kernel-internal error numbers of Linux).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// Not cut short.
    No,
    /// ERESTARTSYS: again if the handler has `SA_RESTART` or there is none, else EINTR.
    IfAllowed,
    /// ERESTARTNOINTR: always again.
    Always,
    /// ERESTARTNOHAND: again only if no handler runs.
    IfNoHandler,
    /// ERESTART_RESTARTBLOCK: through `restart_syscall` if no handler runs, so that a relative time-out goes on.
    ThroughBlock,
}

impl Restart {
    fn of(context: &UserContext) -> Self {
        if context.orig_rax == u64::MAX {
            return Self::No;
        }
        let errno = |e: Errno| (-i64::from(e.into_raw())) as u64;
        match context.rax {
            rax if rax == errno(Errno::ERESTARTSYS) => Self::IfAllowed,
            rax if rax == errno(Errno::ERESTARTNOINTR) => Self::Always,
            rax if rax == errno(Errno::ERESTARTNOHAND) => Self::IfNoHandler,
            rax if rax == errno(Errno::ERESTART_RESTARTBLOCK) => Self::ThroughBlock,
            _ => Self::No,
        }
    }
}

/// Makes the thread execute its `syscall` instruction (two bytes) again.
fn repeat_call(context: &mut UserContext, number: u64) {
    context.rax = number;
    context.set_rip(context.rip().wrapping_sub(2));
}

/// Attends to everything that called the thread. `Break` when it must exit.
pub async fn attend(caller: &mut Caller, context: &mut UserContext) -> ControlFlow<()> {
    loop {
        let attention = caller.thread.attention();
        if attention.contains(Attention::KILL) {
            return ControlFlow::Break(());
        }
        if attention.contains(Attention::STOP) {
            halt(caller).await;
            caller.thread.note_interruption();
            continue;
        }
        if attention.contains(Attention::PLACE) {
            caller.thread.settle(Attention::PLACE);
            affinity::follow(&caller.thread).await;
            caller.thread.note_interruption();
            continue;
        }
        if attention.contains(Attention::SEQUENCE) {
            caller.thread.settle(Attention::SEQUENCE);
            rseq::resume(caller, context).await;
            continue;
        }
        if !attention.contains(Attention::SIGNAL) {
            break;
        }
        let Some((info, action)) = next(caller) else { break };
        match action.disposition(info.signal) {
            Disposition::Ignore | Disposition::Continue => {}
            Disposition::Stop => stop(caller, info.signal),
            Disposition::Terminate { core } => {
                exit::group(caller, ExitStatus::killed(info.signal, core));
                return ControlFlow::Break(());
            }
            Disposition::Handle => {
                handle(caller, context, info, action).await;
                // One frame at a time: a second signal is delivered on top of the first one's handler.
            }
        }
    }
    restart_unhandled(context);
    if let Some(mask) = caller.saved_mask.take() {
        set_mask(caller, mask);
    }
    ControlFlow::Continue(())
}

/// Takes the next deliverable signal with its action, or settles the attention flag if there is none.
fn next(caller: &Caller) -> Option<(SigInfo, Action)> {
    let thread = &caller.thread;
    let mut shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let blocked = own.blocked;
    loop {
        let Some(info) = own.pending.take(blocked).or_else(|| shared.pending.take(blocked)) else {
            thread.settle(Attention::SIGNAL);
            return None;
        };
        let action = *shared.actions.get(info.signal);
        if action.has(linux::SA_RESETHAND) && action.handler > 1 {
            alloc::sync::Arc::make_mut(&mut shared.actions).set(info.signal, Action::default());
        }
        if action.disposition(info.signal) == Disposition::Ignore {
            continue;
        }
        return Some((info, action));
    }
}

/// Sets the frame for the handler up, after deciding what becomes of an interrupted system call.
async fn handle(caller: &mut Caller, context: &mut UserContext, info: SigInfo, action: Action) {
    let restart = Restart::of(context);
    let number = context.orig_rax;
    match restart {
        Restart::No => {}
        Restart::Always => repeat_call(context, number),
        Restart::IfAllowed if action.has(linux::SA_RESTART) => repeat_call(context, number),
        _ => context.rax = (-i64::from(Errno::EINTR.into_raw())) as u64,
    }
    context.orig_rax = u64::MAX;
    let mask = caller.saved_mask.take().unwrap_or_else(|| caller.thread.signals.lock().blocked);
    let sequence = rseq::interrupt(caller, context).await;
    loop {
        let pushed = match sequence {
            Ok(()) => frame::push(caller, context, info, &action, mask),
            Err(errno) => Err(Pause::Failed(errno)),
        };
        let pushed = match pushed {
            Ok(()) => break,
            Err(Pause::Fault(address, access)) => fault_in(caller, address, access).await,
            Err(_) => Err(Errno::EFAULT),
        };
        if pushed.is_err() {
            // No room for the frame: the process dies of SIGSEGV, as its handler cannot be told.
            exit::group(caller, ExitStatus::killed(SIGSEGV, true));
            caller.thread.raise(Attention::KILL);
            return;
        }
    }
    let mut blocked = caller.thread.signals.lock().blocked.plus(action.mask);
    if !action.has(linux::SA_NODEFER) {
        blocked.add(info.signal);
    }
    set_mask(caller, blocked);
}

/// A call that was cut short and met no handler starts again.
fn restart_unhandled(context: &mut UserContext) {
    let number = context.orig_rax;
    match Restart::of(context) {
        Restart::No => return,
        Restart::ThroughBlock => {
            repeat_call(context, u64::from(linux::__NR_restart_syscall));
        }
        _ => repeat_call(context, number),
    }
    context.orig_rax = u64::MAX;
}

/// Replaces the mask of blocked signals and looks whether a pending one has become deliverable.
pub fn set_mask(caller: &Caller, mask: SignalSet) {
    let thread = &caller.thread;
    let shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    own.blocked = mask.minus(SignalSet::UNBLOCKABLE);
    let pending = own.pending.set().plus(shared.pending.set());
    if !pending.minus(own.blocked).is_empty() {
        thread.raise(Attention::SIGNAL);
    }
}

/// Stops the process: every thread is called, and halts on its way to user mode.
fn stop(caller: &Caller, signal: u8) {
    let process = &caller.thread.process;
    let mut tree = tree::lock();
    let Some(node) = tree.node(process.pid) else { return };
    // A terminal's stop signal does nothing in an orphaned group: nobody could continue it (POSIX 2.4.3).
    if signal != SIGSTOP && tree.is_orphaned(node.group) {
        return;
    }
    {
        let mut shared = process.signals.lock();
        if !shared.set_stopped(true) {
            return;
        }
        shared.halted_threads = 0;
    }
    for thread in &node.threads {
        thread.raise(Attention::STOP);
    }
    wait::report_job_event(&mut tree, process.pid, JobEvent::Stopped(signal));
}

/// Waits until the process continues or is killed.
async fn halt(caller: &Caller) {
    let thread = &caller.thread;
    thread
        .process
        .resumed
        .wait_until(|| {
            let attention = thread.attention();
            (attention.contains(Attention::KILL) || !attention.contains(Attention::STOP)).then_some(())
        })
        .await;
}
