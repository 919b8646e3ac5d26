//! Where a tracee stops.

use linux_raw_sys::ptrace as linux;

use super::{
    Options, Place, link,
    stop::{stop, stop_as},
};
use crate::{
    arch::user::UserContext,
    process::{
        Caller, Thread,
        fork::CloneRequest,
        signal::{SI_USER, SigInfo, numbers::*, send},
        thread::Attention,
    },
};

/// A point on a tracee's way to user mode at which it stops.
pub enum Point {
    /// It has taken this signal, and is going to deliver it.
    Signal(SigInfo),
    /// It has left a call.
    CallExit,
    /// Its process is stopped, or its tracer has asked.
    Trap,
}

/// Stops at a point. What signal is to be delivered then.
pub async fn reach(caller: &mut Caller, context: &mut UserContext, point: Point) -> Option<SigInfo> {
    match point {
        Point::Signal(info) => at_signal(caller, context, info).await,
        Point::CallExit => {
            at_call(caller, context, Place::Exit).await;
            None
        }
        Point::Trap => {
            trap(caller, context).await;
            None
        }
    }
}

/// The tracer decides which signal is delivered: this one, another, or none.
async fn at_signal(caller: &mut Caller, context: &mut UserContext, info: SigInfo) -> Option<SigInfo> {
    let reached = stop(caller, context, Place::Signal, u32::from(info.signal), Some(info)).await;
    let Some((signal, known)) = reached else {
        // Nobody traces it any more, or it is killed.
        return Some(info).filter(|_| !caller.thread.is_killed());
    };
    if signal == 0 {
        return None;
    }
    let info = match known {
        Some(known) if known.signal == signal => known,
        _ => from_tracer(caller, signal),
    };
    let mut own = caller.thread.signals.lock();
    if own.blocked.has(signal) {
        own.pending.add(info);
        return None;
    }
    Some(info)
}

/// A signal that the tracer has made up.
fn from_tracer(caller: &Caller, signal: u8) -> SigInfo {
    let tracer = caller.thread.traced(|tracing| {
        tracing.tracer.as_ref().map(|tracer| (tracer.process.pid, tracer.process.credentials().uid()))
    });
    let (pid, uid) = tracer.flatten().unwrap_or_default();
    SigInfo::user(signal, SI_USER, pid, uid)
}

/// What is told of a stop that is none for a signal.
fn trap_info(thread: &Thread, uid: u32, signal: u8, status: u32) -> SigInfo {
    SigInfo::trap(signal, status as i32, thread.tid(), uid)
}

/// Stops before or behind a call. The signal that the tracer gives it then is sent to it.
pub(super) async fn at_call(caller: &mut Caller, context: &mut UserContext, place: Place) {
    const SYSGOOD: u32 = 0x80;
    let message = match place {
        Place::Entry => linux::PTRACE_EVENTMSG_SYSCALL_ENTRY,
        _ => linux::PTRACE_EVENTMSG_SYSCALL_EXIT,
    };
    let marked = caller.thread.traced(|tracing| {
        tracing.message = u64::from(message);
        tracing.has(Options::SYSGOOD)
    });
    let status = u32::from(SIGTRAP) | if marked == Some(true) { SYSGOOD } else { 0 };
    let info = trap_info(&caller.thread, caller.credentials.uid(), SIGTRAP, status);
    if let Some((signal, _)) = stop(caller, context, place, status, Some(info)).await
        && signal != 0
    {
        let _ = send::to_thread(&caller.thread, from_tracer(caller, signal));
    }
}

/// Stops with the process, or because the tracer wants it.
async fn trap(caller: &mut Caller, context: &mut UserContext) {
    let uid = caller.credentials.uid();
    // A SIGCONT either comes before this look, or finds the thread stopped and calls it.
    let look = |thread: &Thread| {
        let stopped_by = thread.process.signals.lock().stopped_by();
        // The stop of the process is over for this thread as soon as the tracer lets it go on.
        thread.settle(Attention::STOP);
        let signal = stopped_by.unwrap_or(SIGTRAP);
        if thread.traced(|tracing| tracing.is_seized) != Some(true) {
            return (u32::from(signal), None);
        }
        let status = u32::from(signal) | linux::PTRACE_EVENT_STOP << 8;
        (status, Some(trap_info(thread, uid, signal, status)))
    };
    stop_as(caller, context, Place::Trap, look).await;
}

/// Stops for an event, of which the tracer learns more by the message. It happens in a call, whose end may be met by a tracer
/// that has not met its beginning.
async fn at_event(caller: &mut Caller, context: &mut UserContext, place: Place, event: u32, message: u64) {
    caller.thread.traced(|tracing| {
        tracing.message = message;
        tracing.in_call = true;
    });
    let status = u32::from(SIGTRAP) | event << 8;
    let info = trap_info(&caller.thread, caller.credentials.uid(), SIGTRAP, status);
    stop(caller, context, place, status, Some(info)).await;
}

/// The event that the making of a child is, if the tracer wants to see it.
pub fn birth(thread: &Thread, request: &CloneRequest) -> Option<u32> {
    if !thread.is_traced() {
        return None;
    }
    let (option, event) = match request.birth()? {
        Birth::Vfork => (Options::VFORK, linux::PTRACE_EVENT_VFORK),
        Birth::Fork => (Options::FORK, linux::PTRACE_EVENT_FORK),
        Birth::Clone => (Options::CLONE, linux::PTRACE_EVENT_CLONE),
    };
    (thread.traced(|tracing| tracing.has(option)) == Some(true)).then_some(event)
}

/// As what the making of a child counts.
pub enum Birth {
    /// The parent waits until the child gives its memory back.
    Vfork,
    /// Its end is told by SIGCHLD.
    Fork,
    /// Anything else.
    Clone,
}

/// Stops behind the making of a child.
pub async fn born(caller: &mut Caller, context: &mut UserContext, event: u32, child: u32) {
    at_event(caller, context, Place::Event, event, u64::from(child)).await;
}

/// Stops as the child of a `vfork` has given the memory back.
pub async fn vfork_done(caller: &mut Caller, context: &mut UserContext, child: u32) {
    if caller.thread.traced(|tracing| tracing.has(Options::VFORK_DONE)) == Some(true) {
        at_event(caller, context, Place::Event, linux::PTRACE_EVENT_VFORK_DONE, u64::from(child)).await;
    }
}

/// Stops as a new program is about to begin; `former` is the id that the thread had before. A tracer that knows of no such
/// event gets a SIGTRAP instead.
pub async fn executed(caller: &mut Caller, context: &mut UserContext, former: u32) {
    let wanted = caller.thread.traced(|tracing| {
        tracing.breakpoints = None;
        (tracing.has(Options::EXEC), tracing.is_seized)
    });
    match wanted {
        Some((true, _)) => {
            at_event(caller, context, Place::Event, linux::PTRACE_EVENT_EXEC, u64::from(former)).await;
        }
        Some((false, false)) => {
            let _ = send::to_thread(&caller.thread, SigInfo::user(SIGTRAP, SI_USER, 0, 0));
        }
        _ => {}
    }
}

/// Stops at a call of which a program of the thread says that its tracer is to see it, with this word about it. False if the
/// tracer does not want to.
pub async fn judged(caller: &mut Caller, context: &mut UserContext, word: u16) -> bool {
    if caller.thread.traced(|tracing| tracing.has(Options::SECCOMP)) != Some(true) {
        return false;
    }
    at_event(caller, context, Place::Verdict, linux::PTRACE_EVENT_SECCOMP, word.into()).await;
    true
}

/// Stops before the thread ends.
pub async fn ends(caller: &mut Caller, context: &mut UserContext) {
    if caller.thread.traced(|tracing| tracing.has(Options::EXIT)) == Some(true) {
        let status = link::exit_status(&caller.thread);
        at_event(caller, context, Place::End, linux::PTRACE_EVENT_EXIT, u64::from(status.0)).await;
    }
}
