//! Job control: who may read and write a terminal, and whom it signals (POSIX.1-2024 11.1.4, `credentials(7)`).

use alloc::sync::Arc;

use linux_raw_sys::general as linux;

use super::Tty;

/// A process, process group or session number. 0 stands for "none".
pub type Pid = i32;

/// The signals that terminals send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Signal {
    /// SIGHUP: the terminal is gone.
    Hangup = linux::SIGHUP as u8,
    /// SIGINT: the INTR character, or a break.
    Interrupt = linux::SIGINT as u8,
    /// SIGQUIT: the QUIT character.
    Quit = linux::SIGQUIT as u8,
    /// SIGCONT: so that stopped processes notice a hangup.
    Continue = linux::SIGCONT as u8,
    /// SIGTSTP: the SUSP character.
    Stop = linux::SIGTSTP as u8,
    /// SIGTTIN: a background process read.
    BackgroundRead = linux::SIGTTIN as u8,
    /// SIGTTOU: a background process wrote, or changed settings.
    BackgroundWrite = linux::SIGTTOU as u8,
    /// SIGWINCH: the window size changed.
    WindowChange = linux::SIGWINCH as u8,
}

impl Signal {
    /// The signal's number.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// What a terminal needs to know about who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its number: blocked signals are each thread's own.
    pub thread: Pid,
    /// Its process number. A session leader's is the session's number.
    pub process: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Whether it has a controlling terminal: its session has, and it did not give it up with TIOCNOTTY.
    pub has_terminal: bool,
    /// Whether it may administer the system (`CAP_SYS_ADMIN`).
    pub is_admin: bool,
}

impl Caller {
    /// Whether its process leads its session.
    pub const fn is_leader(&self) -> bool {
        self.process == self.session
    }
}

/// What terminals ask of the keeper of processes. Called with no lock of a terminal held, so that implementations
/// may lock what they like; never called from interrupt handlers.
pub trait JobControl: Send + Sync {
    /// Sends `signal` to every process of `group`.
    fn signal_group(&self, group: Pid, signal: Signal);

    /// Sends `signal` to every process of `caller`'s group, as it does in the background what is not for it to do. The caller
    /// makes its call again, whether its own thread takes the signal or another.
    fn signal_background(&self, caller: &Caller, signal: Signal);

    /// Sends `signal` to the process that leads `session`.
    fn signal_leader(&self, session: Pid, signal: Signal);

    /// Whether `caller`'s thread blocks `signal`, or its process ignores it.
    fn ignores(&self, caller: &Caller, signal: Signal) -> bool;

    /// Whether `group` is orphaned: nobody in its session but outside it could continue it (POSIX.1-2024 3.264).
    fn is_orphaned(&self, group: Pid) -> bool;

    /// The session that `group` belongs to; None when there is no such group.
    fn session_of(&self, group: Pid) -> Option<Pid>;

    /// Makes `terminal` the controlling terminal of `session`, or leaves the session without one.
    fn set_terminal(&self, session: Pid, terminal: Option<Arc<Tty>>);

    /// A hangup takes the controlling terminal away from `session`. The group that was in the foreground, `foreground`
    /// (0: none), has heard nothing of it: on Linux it gets SIGHUP and SIGCONT when the session's leader exits. A keeper
    /// of processes that does the same remembers it here; by default the session is only left without a terminal.
    fn lose_terminal(&self, session: Pid, foreground: Pid) {
        let _ = foreground;
        self.set_terminal(session, None);
    }

    /// `process`, which does not lead its session, gives up its controlling terminal (TIOCNOTTY).
    fn leave_terminal(&self, process: Pid);
}
