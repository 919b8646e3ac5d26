//! What programs do with a terminal that they have open: read and write.
//!
//! Every operation comes twice: `try_*` never waits and says EAGAIN instead, for callers that wait themselves on
//! [`OpenTty::readiness`]; the async ones wait as Linux does, with VMIN and VTIME and with writes that do not mix.

use alloc::sync::Arc;
use core::time::Duration;

use executor::sync::{Events, Readiness};
use executor::{Instant, timeout};
use syscalls::Errno;

use super::job::{Caller, Pid, Signal};
use super::line::ModemLines;
use super::terminal::{Attachment, State, Tty, Writer};
use super::termios::{ControlFlags, LocalFlags, Special, Termios};

/// The modem lines by which an open terminal says that it is there.
const READY: ModemLines = ModemLines::DTR.union(ModemLines::RTS);

/// How a terminal is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAs {
    /// By the name /dev/console: survives hangups, ignores job control, and never becomes a controlling terminal.
    pub console: bool,
    /// By a process with `CAP_SYS_ADMIN`, which TIOCEXCL does not keep out.
    pub admin: bool,
}

/// An open terminal: what a file description refers to. Dropping it closes it.
pub struct OpenTty {
    tty: Arc<Tty>,
    attachment: Arc<Attachment>,
    is_console: bool,
}

impl Tty {
    /// Opens the terminal.
    ///
    /// # Errors
    /// EIO for the slave of a pseudo-terminal that is locked or whose master is closed; EBUSY under TIOCEXCL.
    pub fn open(self: &Arc<Self>, how: OpenAs) -> Result<OpenTty, Errno> {
        let attachment = self.with(|state| {
            if state.master.is_locked || state.master.is_closed {
                return Err(Errno::EIO);
            }
            if state.is_exclusive && !how.admin {
                return Err(Errno::EBUSY);
            }
            if state.opens == 0
                && let Some(line) = &self.line
            {
                line.set_modem_lines(READY, READY);
            }
            state.opens += 1;
            state.was_opened = true;
            Ok(if how.console { state.console_attachment() } else { state.attachment.clone() })
        })?;
        Ok(OpenTty { tty: self.clone(), attachment, is_console: how.console })
    }
}

impl Drop for OpenTty {
    fn drop(&mut self) {
        self.tty.with(|state| {
            state.opens -= 1;
            if state.opens == 0
                && let Some(line) = &self.tty.line
            {
                if state.termios().control.contains(ControlFlags::HUPCL) {
                    line.set_modem_lines(READY, ModemLines::empty());
                }
                // The next to open it finds it fresh. A pty's slave keeps its queues as long as the master is open.
                state.discipline.reset_input();
                state.drop_staged();
                state.is_exclusive = false;
                state.locked = Termios::NONE;
            }
        });
    }
}

/// What a read in progress does next.
type Step = Option<Result<usize, Errno>>;

impl OpenTty {
    /// The terminal.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// What poll(2) says, and where to wait for it. Always the same one for this file.
    pub fn readiness(&self) -> &Readiness {
        &self.attachment.readiness
    }

    /// What poll(2) says now.
    pub fn events(&self) -> Events {
        self.readiness().events()
    }

    /// Whether it was opened as /dev/console.
    pub fn is_console(&self) -> bool {
        self.is_console
    }

    pub(super) fn is_cut_off(&self, state: &State) -> bool {
        !self.is_console && !Arc::ptr_eq(&self.attachment, &state.attachment)
    }

    /// Whether the terminal was hung up since this was opened: it will never be of use again.
    pub fn is_hung_up(&self) -> bool {
        self.tty.look(|state| self.is_cut_off(state))
    }

    // ---- reading ----

    /// Reads what is there, at most `buffer.len()` bytes, and in canonical mode at most one line.
    ///
    /// # Errors
    /// EAGAIN when there is nothing, ERESTARTSYS when the caller is in the background and was sent SIGTTIN, EIO when
    /// it is in the background and cannot be stopped. 0 is the end of input (VEOF, or a hangup).
    pub fn try_read(&self, caller: &Caller, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut filled = 0;
        let wanted = buffer.len();
        self.try_read_with(caller, wanted, &mut |run| {
            buffer[filled..filled + run.len()].copy_from_slice(run);
            filled += run.len();
            run.len()
        })
    }

    /// As [`Self::try_read`], giving the bytes to `put` where they lie, in at most two runs. `put` says how much it
    /// took; less than offered ends the read, and nothing is lost. It is called with the terminal's spin lock held.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn try_read_with(
        &self,
        caller: &Caller,
        wanted: usize,
        put: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Errno> {
        self.check_background(caller, Signal::BackgroundRead)?;
        self.read_step(wanted, put).unwrap_or_else(|| {
            let returns_at_once =
                wanted == 0 || self.tty.look(|state| state.discipline.reads_return_at_once());
            if returns_at_once { Ok(0) } else { Err(Errno::EAGAIN) }
        })
    }

    /// Takes what there is to read. None: nothing yet.
    fn read_step(&self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> Step {
        self.tty.with(|state| {
            if self.is_cut_off(state) || wanted == 0 {
                Some(Ok(0))
            } else if state.discipline.is_readable() {
                Some(Ok(state.discipline.read(wanted, put)))
            } else {
                None
            }
        })
    }

    /// As [`Self::try_read_with`], but waits: in canonical mode for a line, in raw mode for VMIN bytes, or as long as
    /// VTIME says. Cancel-safe: bytes that `put` took stay taken, and the caller knows how many those are.
    ///
    /// A caller that is cut off in the middle of the wait by the last close of a master gets EIO, as on Linux.
    ///
    /// # Errors
    /// As [`Self::try_read`], without EAGAIN.
    pub async fn read(
        &self,
        caller: &Caller,
        wanted: usize,
        put: &mut (dyn FnMut(&[u8]) -> usize + Send),
    ) -> Result<usize, Errno> {
        self.check_background(caller, Signal::BackgroundRead)?;
        let timing = Timing::of(&self.tty);
        let mut total = 0;
        let mut limit = timing.first;
        loop {
            let mut offered_all = true;
            let mut waited = false;
            let step = self.attachment.readers.wait_until(|| {
                let step = self.read_step(wanted - total, &mut |run| {
                    let taken = put(run);
                    offered_all &= taken == run.len();
                    taken
                });
                let is_closed = waited && step.is_some() && self.tty.look(|state| state.master.is_closed);
                waited = true;
                if is_closed { Some(Err(Errno::EIO)) } else { step }
            });
            let outcome = match limit {
                Some(limit) => timeout(step, Instant::now() + limit).await.unwrap_or(Ok(0)),
                None => step.await,
            };
            match outcome {
                Ok(count) if count > 0 => total += count,
                Ok(_) => return Ok(total),
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
            if total >= timing.minimum.min(wanted) || !offered_all {
                return Ok(total);
            }
            limit = timing.between;
        }
    }

    // ---- writing ----

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// EAGAIN when there is no room or somebody else is in the middle of a write, EIO after a hangup, and under
    /// TOSTOP in the background ERESTARTSYS (SIGTTOU was sent) or EIO.
    pub fn try_write(&self, caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        self.check_write(caller)?;
        self.tty.with(|state| {
            if self.is_cut_off(state) {
                Err(Errno::EIO)
            } else if bytes.is_empty() {
                Ok(0)
            } else if state.writer.is_some() {
                Err(Errno::EAGAIN)
            } else {
                match state.discipline.write(bytes) {
                    0 => Err(Errno::EAGAIN),
                    count => Ok(count),
                }
            }
        })
    }

    /// Waits for a turn to write. While the turn lasts nobody else's writes come between: one write(2), however long,
    /// stays in one piece.
    ///
    /// # Errors
    /// As [`Self::try_write`], without EAGAIN.
    pub async fn begin_write(&self, caller: &Caller) -> Result<Writing<'_>, Errno> {
        self.check_write(caller)?;
        self.attachment
            .writers
            .wait_until(|| {
                self.tty.with(|state| {
                    if self.is_cut_off(state) {
                        return Some(Err(Errno::EIO));
                    }
                    if state.writer.is_some() {
                        return None;
                    }
                    state.writer = Some(if self.is_console { Writer::Console } else { Writer::Ordinary });
                    Some(Ok(()))
                })
            })
            .await?;
        Ok(Writing { file: self })
    }

    fn check_write(&self, caller: &Caller) -> Result<(), Errno> {
        let is_stopped = self.tty.look(|state| state.termios().has_local(LocalFlags::TOSTOP));
        if is_stopped { self.check_background(caller, Signal::BackgroundWrite) } else { Ok(()) }
    }

    /// Waits until everything written has left through the wire (tcdrain(3)). A pseudo-terminal's output counts as
    /// gone when it is with the master, that is at once.
    ///
    /// # Errors
    /// EIO after a hangup.
    pub async fn drain(&self) -> Result<(), Errno> {
        let Some(line) = &self.tty.line else { return Ok(()) };
        self.attachment
            .writers
            .wait_until(|| {
                self.tty.look(|state| {
                    if self.is_cut_off(state) {
                        Some(Err(Errno::EIO))
                    } else {
                        (state.discipline.queued_output() == 0 && line.is_idle()).then_some(Ok(()))
                    }
                })
            })
            .await
    }

    // ---- job control ----

    /// Whether the terminal is the controlling one of `caller`.
    pub(super) fn is_controlling(caller: &Caller, session: Pid) -> bool {
        caller.has_terminal && session != 0 && caller.session == session
    }

    /// The rule for background processes: they are sent `signal` and are to try again when they are continued;
    /// unless they do not mind it, or nobody could continue them.
    pub(super) fn check_background(&self, caller: &Caller, signal: Signal) -> Result<(), Errno> {
        let (session, foreground) = self.tty.look(|state| (state.session, state.foreground));
        let is_background =
            Self::is_controlling(caller, session) && foreground != 0 && foreground != caller.group;
        if !is_background || (self.is_console && signal == Signal::BackgroundRead) {
            return Ok(());
        }
        let jobs = self.tty.jobs;
        if jobs.ignores(caller, signal) {
            if signal == Signal::BackgroundRead { Err(Errno::EIO) } else { Ok(()) }
        } else if jobs.is_orphaned(caller.group) {
            Err(Errno::EIO)
        } else {
            jobs.signal_background(caller, signal);
            Err(Errno::ERESTARTSYS)
        }
    }
}

/// A turn to write; see [`OpenTty::begin_write`].
pub struct Writing<'a> {
    file: &'a OpenTty,
}

/// Bytes that go through the line discipline before other tasks get their turn.
const WRITTEN_AT_ONCE: usize = 256;

impl Writing<'_> {
    /// Writes as much as there is room for, possibly nothing.
    ///
    /// # Errors
    /// EIO after a hangup.
    pub fn try_put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.file.tty.with(|state| {
            if self.file.is_cut_off(state) { Err(Errno::EIO) } else { Ok(state.discipline.write(bytes)) }
        })
    }

    /// Writes all of `bytes`, waiting for room. When cancelled, what was written is written.
    ///
    /// # Errors
    /// EIO after a hangup.
    pub async fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.put_some(rest).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Writes at least one byte of `bytes`, which is not empty, waiting for room.
    ///
    /// # Errors
    /// EIO after a hangup.
    pub async fn put_some(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        executor::make_way().await;
        let bytes = &bytes[..bytes.len().min(WRITTEN_AT_ONCE)];
        let file = self.file;
        file.attachment
            .writers
            .wait_until(|| match self.try_put(bytes) {
                Ok(0) => None,
                result => Some(result),
            })
            .await
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.file.tty.with(|state| {
            // After a hangup the turn, if any, is somebody else's.
            if !self.file.is_cut_off(state) {
                state.writer = None;
                state.wake_writers();
            }
        });
    }
}

/// How long a read waits, and for how much (termios(3), "Canonical and noncanonical mode").
struct Timing {
    /// Bytes after which it returns.
    minimum: usize,
    /// Limit of the wait for the first byte.
    first: Option<Duration>,
    /// Limit of the wait for each further byte.
    between: Option<Duration>,
}

impl Timing {
    fn of(tty: &Tty) -> Self {
        let termios = tty.termios();
        if termios.has_local(LocalFlags::ICANON) {
            return Self { minimum: 0, first: None, between: None };
        }
        let time = match termios.character(Special::Time) {
            0 => None,
            tenths => Some(Duration::from_millis(u64::from(tenths) * 100)),
        };
        match usize::from(termios.character(Special::Minimum)) {
            0 => Self { minimum: 1, first: Some(time.unwrap_or(Duration::ZERO)), between: None },
            minimum => Self { minimum, first: None, between: time },
        }
    }
}
