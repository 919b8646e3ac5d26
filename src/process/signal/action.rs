//! What a process does about each signal (sigaction(2)).

use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{SignalSet, numbers::*};

/// One signal's action, laid out as `rt_sigaction` passes it on x86_64.
#[derive(Clone, Copy, Default, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Action {
    /// Address of the handler, or 0 for the default, 1 for "ignore".
    pub handler: usize,
    /// `SA_*` flags.
    pub flags: u64,
    /// Where the handler returns to; the C library sets it.
    pub restorer: usize,
    /// Blocked while the handler runs.
    pub mask: SignalSet,
}

/// What becomes of a signal that is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Nothing.
    Ignore,
    /// The process ends.
    Terminate,
    /// The process stops.
    Stop,
    /// The process continues, which happens when the signal is sent.
    Continue,
    /// The handler runs.
    Handle,
}

impl Action {
    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// What this action does for `signal`.
    pub fn disposition(&self, signal: u8) -> Disposition {
        match self.handler {
            0 => default(signal),
            1 => Disposition::Ignore,
            _ => Disposition::Handle,
        }
    }
}

/// The default action of each signal (signal(7), "Standard signals").
fn default(signal: u8) -> Disposition {
    match signal {
        SIGCHLD | SIGURG | SIGWINCH => Disposition::Ignore,
        SIGCONT => Disposition::Continue,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Disposition::Stop,
        _ => Disposition::Terminate,
    }
}

/// The actions for all signals; shared after fork until one side changes its own.
#[derive(Clone)]
pub struct Actions([Action; SIGMAX as usize]);

impl Default for Actions {
    fn default() -> Self {
        Self([Action::default(); SIGMAX as usize])
    }
}

impl Actions {
    /// The action for `signal`.
    pub fn get(&self, signal: u8) -> &Action {
        &self.0[signal as usize - 1]
    }

    /// Replaces the action for `signal`.
    pub fn set(&mut self, signal: u8, action: Action) {
        self.0[signal as usize - 1] = action;
    }

    /// Whether `execve` would change anything.
    pub fn any_handled(&self) -> bool {
        self.0.iter().any(|action| action.handler > 1 || action.flags != 0)
    }

    /// What `execve` leaves of them: handlers become defaults, ignored signals stay ignored.
    pub fn after_exec(&self) -> Self {
        let mut fresh = Self::default();
        for (new, old) in fresh.0.iter_mut().zip(&self.0) {
            if old.handler == 1 {
                new.handler = 1;
            }
        }
        fresh
    }

    /// Whether children need no wait: SIGCHLD is ignored or carries `SA_NOCLDWAIT`.
    pub fn reaps_children(&self) -> bool {
        let action = self.get(SIGCHLD);
        action.handler == 1 || action.has(linux::SA_NOCLDWAIT)
    }
}
