//! Controlling terminals: which session a terminal belongs to, and which of its groups is in the foreground.

use syscalls::Errno;

use super::job::{Caller, Pid, Signal};
use super::open::OpenTty;
use super::terminal::Leftover;
use super::termios::WindowSize;

impl OpenTty {
    /// Makes the terminal the controlling one of a session leader without one, if it is nobody's yet: what opening a
    /// terminal does without O_NOCTTY. `readable`: it was opened for reading.
    pub fn acquire_on_open(&self, caller: &Caller, readable: bool) {
        let is_eligible = caller.is_leader() && !caller.has_terminal && readable && !self.is_console();
        if is_eligible && self.claim(caller, false).is_ok() {
            self.tty().jobs.set_terminal(caller.session, Some(self.tty().clone()));
        }
    }

    /// TIOCSCTTY: the same on demand. With `steal`, an administrator takes it away from another session.
    ///
    /// # Errors
    /// EPERM when the caller does not lead its session, has another terminal, or the terminal is somebody else's.
    pub fn acquire(&self, caller: &Caller, steal: bool) -> Result<(), Errno> {
        if caller.is_leader() && Self::is_controlling(caller, self.tty().session()) {
            return Ok(());
        }
        if !caller.is_leader() || caller.has_terminal {
            return Err(Errno::EPERM);
        }
        let robbed = self.claim(caller, steal && caller.is_admin)?;
        if robbed != 0 {
            self.tty().jobs.set_terminal(robbed, None);
        }
        self.tty().jobs.set_terminal(caller.session, Some(self.tty().clone()));
        Ok(())
    }

    /// Notes the caller's session as the owner. Returns the session that was it before, or 0.
    fn claim(&self, caller: &Caller, steal: bool) -> Result<Pid, Errno> {
        self.tty().with(|state| {
            if self.is_cut_off(state) {
                return Err(Errno::EIO);
            }
            if state.session != 0 && !steal {
                return Err(Errno::EPERM);
            }
            state.foreground = caller.group;
            Ok(core::mem::replace(&mut state.session, caller.session))
        })
    }

    /// TIOCNOTTY: gives the controlling terminal up. A session leader gives it up for the whole session, and the
    /// foreground group gets SIGHUP and SIGCONT.
    ///
    /// # Errors
    /// ENOTTY when it is not the caller's.
    pub fn release(&self, caller: &Caller) -> Result<(), Errno> {
        if !Self::is_controlling(caller, self.tty().session()) {
            return Err(Errno::ENOTTY);
        }
        if caller.is_leader() {
            self.tty().leave_session(caller.session, false);
        } else {
            self.tty().jobs.leave_terminal(caller.process);
        }
        Ok(())
    }

    /// TIOCGPGRP: the foreground process group, or 0 when there is none.
    ///
    /// # Errors
    /// ENOTTY when it is not the caller's controlling terminal.
    pub fn foreground(&self, caller: &Caller) -> Result<Pid, Errno> {
        self.tty().look(|state| {
            Self::is_controlling(caller, state.session).then_some(state.foreground).ok_or(Errno::ENOTTY)
        })
    }

    /// TIOCGSID: the session whose controlling terminal it is.
    ///
    /// # Errors
    /// ENOTTY when it is not the caller's controlling terminal.
    pub fn session(&self, caller: &Caller) -> Result<Pid, Errno> {
        self.tty().look(|state| {
            Self::is_controlling(caller, state.session).then_some(state.session).ok_or(Errno::ENOTTY)
        })
    }

    /// TIOCSPGRP: puts a group of the caller's session into the foreground.
    ///
    /// # Errors
    /// ENOTTY when it is not the caller's controlling terminal (or the caller is in the background and orphaned),
    /// EINVAL for a negative number, ESRCH for no such group, EPERM for a group of another session, ERESTARTSYS when
    /// the caller is in the background and was sent SIGTTOU.
    pub fn set_foreground(&self, caller: &Caller, group: Pid) -> Result<(), Errno> {
        self.check_background(caller, Signal::BackgroundWrite).map_err(|error| match error {
            Errno::EIO => Errno::ENOTTY,
            other => other,
        })?;
        if !Self::is_controlling(caller, self.tty().session()) {
            return Err(Errno::ENOTTY);
        }
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        let session = self.tty().jobs.session_of(group).ok_or(Errno::ESRCH)?;
        if session != caller.session {
            return Err(Errno::EPERM);
        }
        self.tty().with(|state| {
            if state.session != caller.session {
                return Err(Errno::ENOTTY);
            }
            state.foreground = group;
            Ok(())
        })
    }
}

impl super::Tty {
    /// The leader of `session` gives its controlling terminal up, or is `exiting`: then a terminal on a wire is hung
    /// up as well, so that nobody of the old session can go on reading from it. What it wrote before is still sent
    /// (Linux drops what is queued at that moment, which is less than here, where the driver is a task). Nothing happens
    /// when the terminal is not that session's.
    pub fn leave_session(&self, session: Pid, exiting: bool) {
        if session == 0 || self.session() != session {
            return;
        }
        let foreground = if exiting && self.line.is_some() {
            self.cut_off(Leftover::Sent).1
        } else {
            self.with(|state| {
                state.session = 0;
                core::mem::take(&mut state.foreground)
            })
        };
        self.jobs.set_terminal(session, None);
        if foreground != 0 {
            self.jobs.signal_group(foreground, Signal::Hangup);
            if !exiting {
                self.jobs.signal_group(foreground, Signal::Continue);
            }
        }
    }

    /// The window's size (TIOCGWINSZ).
    pub fn window(&self) -> WindowSize {
        self.look(|state| state.window)
    }

    /// TIOCSWINSZ: the foreground group gets SIGWINCH if the size is another than before.
    pub fn set_window(&self, window: WindowSize) {
        let notified = self.with(|state| {
            let is_new = core::mem::replace(&mut state.window, window) != window;
            if is_new { state.foreground } else { 0 }
        });
        if notified != 0 {
            self.jobs.signal_group(notified, Signal::WindowChange);
        }
    }
}
