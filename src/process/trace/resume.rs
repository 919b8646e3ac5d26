//! What a tracer asks of a tracee, and how that goes on.

use alloc::sync::Arc;

use syscalls::Errno;

use super::{Boundary, Options, Pace, Place, Tracing, link};
use crate::{
    arch::user::UserContext,
    process::{
        Caller, Thread,
        signal::{SavedMask, SigInfo, numbers::*, send},
        thread::Attention,
        tree,
    },
};

/// A thread that the caller traces.
///
/// # Errors
/// ESRCH if it does not trace such a thread.
pub fn tracee(caller: &Caller, tid: u32) -> Result<Arc<Thread>, Errno> {
    let tree = tree::lock();
    let node = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?;
    let thread = node.tracees.iter().find(|thread| thread.tid() == tid).cloned().ok_or(Errno::ESRCH)?;
    drop(tree);
    let is_own = thread.traced(|tracing| {
        let Some(tracer) = &mut tracing.tracer else { return false };
        // Who asks first for a child that has asked to be traced, traces it.
        let asker = tracer.thread.get_or_insert_with(|| caller.thread.clone());
        Arc::ptr_eq(asker, &caller.thread)
    });
    if is_own == Some(true) { Ok(thread) } else { Err(Errno::ESRCH) }
}

impl Thread {
    /// Looks at a tracee that is stopped.
    ///
    /// # Errors
    /// ESRCH if it is not, or only listens.
    pub fn halted<R>(&self, look: impl FnOnce(&mut Tracing) -> R) -> Result<R, Errno> {
        let looked = self.traced(|tracing| {
            let stop = tracing.stop.as_ref()?;
            // Who is killed is on its way out of the stop. Looked at beforehand: a look may let it go on to its end.
            let stays = stop.place == Place::End || !self.is_killed();
            (stays && !stop.is_listening && stop.verdict.is_none()).then(|| look(tracing))
        });
        looked.flatten().ok_or(Errno::ESRCH)
    }
}

impl Tracing {
    /// The registers of a tracee that is stopped.
    pub fn registers(&mut self) -> &mut UserContext {
        &mut self.registers
    }

    /// The mask that a tracee that is stopped in a call like `sigsuspend` has in place of the one that it runs with.
    pub fn saved_mask(&mut self) -> &mut SavedMask {
        &mut self.saved_mask
    }

    /// What the last event told.
    pub fn message(&self) -> u64 {
        self.message
    }

    /// What is known of the signal that it has stopped for.
    ///
    /// # Errors
    /// EINVAL if it has not stopped for one.
    pub fn signal_info(&mut self) -> Result<&mut SigInfo, Errno> {
        self.stop.as_mut().and_then(|stop| stop.info.as_mut()).ok_or(Errno::EINVAL)
    }

    /// The boundary of a call that it is at, if it is at one.
    pub fn call_boundary(&self) -> Option<Boundary> {
        match self.stop.as_ref()?.place {
            Place::Entry => Some(Boundary::Entry),
            Place::Verdict => Some(Boundary::Verdict(self.message as u16)),
            Place::Exit => Some(Boundary::Exit),
            _ => None,
        }
    }
}

/// `PTRACE_CONT` and its kin.
///
/// # Errors
/// ESRCH if the thread is not stopped, EIO for what is no signal.
pub fn resume(thread: &Thread, pace: Pace, signal: usize) -> Result<(), Errno> {
    let signal = checked(signal)?;
    thread.halted(|tracing| {
        tracing.pace = pace;
        if let Some(stop) = &mut tracing.stop {
            stop.verdict = Some(signal);
        }
    })?;
    thread.wake();
    Ok(())
}

fn checked(signal: usize) -> Result<u8, Errno> {
    u8::try_from(signal).ok().filter(|signal| *signal <= SIGMAX).ok_or(Errno::EIO)
}

/// `PTRACE_DETACH`.
///
/// # Errors
/// As [`resume`].
pub fn detach(thread: &Arc<Thread>, signal: usize) -> Result<(), Errno> {
    let signal = checked(signal)?;
    thread.halted(|_| ())?;
    link::detach(thread, signal);
    Ok(())
}

/// `PTRACE_INTERRUPT`: the tracee stops wherever it is.
///
/// # Errors
/// EIO if it was not seized.
pub fn interrupt(thread: &Thread) -> Result<(), Errno> {
    if thread.traced(|tracing| tracing.is_seized) != Some(true) {
        return Err(Errno::EIO);
    }
    thread.raise(Attention::TRAP);
    Ok(())
}

/// `PTRACE_LISTEN`: the tracee stays stopped with its process, and tells what becomes of that.
///
/// # Errors
/// EIO if it is not in a group-stop, or was not seized.
pub fn listen(thread: &Thread) -> Result<(), Errno> {
    let listens = thread.halted(|tracing| match &mut tracing.stop {
        Some(stop) if tracing.is_seized && stop.place == Place::Trap => {
            stop.is_listening = true;
            true
        }
        _ => false,
    })?;
    // It may have been called meanwhile.
    thread.wake();
    if listens { Ok(()) } else { Err(Errno::EIO) }
}

/// `PTRACE_KILL`.
///
/// # Errors
/// ESRCH if it has gone.
pub fn kill(thread: &Thread) -> Result<(), Errno> {
    send::to_thread(thread, SigInfo::kernel(SIGKILL))
}

/// `PTRACE_SETOPTIONS`.
///
/// # Errors
/// EINVAL for an unknown one.
pub fn set_options(thread: &Thread, options: usize) -> Result<(), Errno> {
    let options = known_options(options).ok_or(Errno::EINVAL)?;
    thread.halted(|tracing| tracing.options = options)
}

/// Options, unless some are unknown.
pub fn known_options(options: usize) -> Option<Options> {
    Options::from_bits(u32::try_from(options).ok()?)
}
