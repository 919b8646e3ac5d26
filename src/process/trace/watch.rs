//! The way through user mode of a thread that is traced, logged or confined.

use super::{Pace, Place, points, points::Point};
use crate::{
    arch::{
        breakpoints,
        layout::USER_END,
        user::{Trap, UserContext},
    },
    process::{
        Caller, Thread, exit, run, seccomp,
        signal::{SigInfo, numbers::SIGTRAP},
        thread::Attention,
    },
    strace, syscall,
};

/// `siginfo` codes of SIGTRAP.
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;

/// Where a traced thread is to stop on its way to user mode, before anything else.
pub fn due(thread: &Thread, context: &UserContext, attention: Attention) -> Option<Point> {
    let left = thread.traced(|tracing| (core::mem::take(&mut tracing.in_call), tracing.pace));
    let (in_call, pace) = left?;
    match pace {
        Pace::ToCall if in_call => return Some(Point::CallExit),
        // The instruction that was stepped was the call.
        Pace::Step if in_call => {
            let info = SigInfo::fault(SIGTRAP, TRAP_BRKPT, context.rip() as usize);
            // As if it had been taken: the tracer may let in another.
            let _signals = thread.process.signals.lock();
            thread.note_may_stop(true);
            return Some(Point::Signal(info));
        }
        _ => {}
    }
    attention.intersects(Attention::TRAP | Attention::STOP).then_some(Point::Trap)
}

/// Goes once through user mode under the tracer's eyes, for the log, or with calls that are judged, and serves what ended
/// that. A call is only begun: it is what the thread meets next where it would enter user mode.
pub async fn pass(caller: &mut Caller, context: &mut UserContext) {
    match executor::outside(|| enter(&caller.thread, context)) {
        Trap::Syscall => {
            if caller.thread.is_logged() {
                context.suspend();
                strace::begins(caller, context).await;
                caller.thread.note_interruption();
            }
            if call_begins(caller, context).await && seccomp::admits(caller, context).await {
                context.begin_call();
            }
        }
        Trap::PageFault { address, access } => {
            caller.process().count_fault();
            context.suspend();
            let served = caller.space.fault(address, access).await;
            caller.thread.note_interruption();
            if let Err(error) = served {
                run::fault_signal(caller, address, error);
            }
        }
        Trap::Exception { vector, error: _ } => run::exception(caller, context, vector),
        Trap::OutOfMemory => exit::out_of_memory(caller),
        // Watched: whoever has asked for it has ceased to watch.
        Trap::Interrupt | Trap::Watched => {}
    }
}

/// Enters user mode as the tracer wants it.
fn enter(thread: &Thread, context: &mut UserContext) -> Trap {
    let wanted = thread.traced(|tracing| {
        let breakpoints = tracing.breakpoints.as_deref().filter(|breakpoints| breakpoints.are_any());
        (tracing.pace == Pace::Step, breakpoints.copied())
    });
    let (steps, breakpoints) = wanted.unwrap_or_default();
    context.enter_watched(steps, breakpoints.as_ref())
}

/// A watched thread has begun a call. False if that is not to be served: its tracer says so, or it is killed.
async fn call_begins(caller: &mut Caller, context: &mut UserContext) -> bool {
    let pace = caller.thread.traced(|tracing| {
        tracing.in_call = true;
        tracing.pace
    });
    if pace.is_none() {
        return true;
    }
    // As Linux shows it until there is a result.
    context.rax = syscall::unserved();
    if pace != Some(Pace::ToCall) {
        return true;
    }
    points::at_call(caller, context, Place::Entry).await;
    context.orig_rax != u64::MAX && !caller.thread.is_killed()
}

/// The signal for a #DB.
#[cold]
pub fn debug_exception(thread: &Thread, context: &mut UserContext) -> SigInfo {
    let status = breakpoints::take_status();
    let is_before = thread.traced(|tracing| {
        tracing.debug_status |= status;
        tracing.breakpoints.as_ref().is_some_and(|breakpoints| breakpoints.are_before(status))
    });
    if is_before == Some(true) {
        context.pass_breakpoint();
    }
    let code = if status & breakpoints::STEPPED != 0 {
        TRAP_TRACE
    } else if status & breakpoints::MET != 0 {
        TRAP_HWBKPT
    } else {
        TRAP_BRKPT
    };
    SigInfo::fault(SIGTRAP, code, context.rip() as usize)
}

/// One of the debug registers, as the tracer reads it.
pub(super) fn debug_register(tracing: &super::Tracing, register: usize) -> u64 {
    match register {
        6 => tracing.debug_status,
        _ => tracing.breakpoints.as_ref().map_or(0, |breakpoints| breakpoints.get(register)),
    }
}

/// Sets one of the debug registers; false if it cannot be.
pub(super) fn set_debug_register(tracing: &mut super::Tracing, register: usize, value: u64) -> bool {
    if register == 6 {
        tracing.debug_status = value;
        return true;
    }
    tracing.breakpoints.get_or_insert_default().set(register, value, USER_END as u64)
}
