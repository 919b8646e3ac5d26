//! A terminal: the line discipline behind a lock, with those who wait for it.
//!
//! One [`Tty`] serves both directions. Programs reach it through [`OpenTty`](super::OpenTty), a driver or the master
//! of a pseudo-terminal through the methods in `line.rs` and `pty.rs`. Every change goes through [`Tty::with`], which
//! afterwards brings the readiness of both sides up to date, wakes who can go on, and sends what signals the change
//! gave rise to once the lock is free again.
//!
//! Lock order: the terminal's, then those inside readiness and wait queues. [`JobControl`] is called with none.

use alloc::sync::Arc;

use executor::sync::{Events, Readiness, SpinMutex, WaitQueue};
use syscalls::Errno;

use super::discipline::{LineDiscipline, LineFault, PacketStatus, Progress, Signals};
use super::job::{JobControl, Pid, Signal};
use super::line::{Line, ModemLines};
use super::output::LineKind;
use super::ring::Ring;
use super::termios::{ControlFlags, InputFlags, Termios, WindowSize};

/// Bytes received that the input queue has no room for yet.
const STAGING_SIZE: usize = 4096;
/// Output queue of a wire: what a blocked writer may run ahead of it.
const WIRE_OUTPUT_SIZE: usize = 4096;
/// Output queue of a pseudo-terminal.
const MASTER_OUTPUT_SIZE: usize = 8192;
/// A wire's writers are woken when fewer bytes than this are queued, so that they refill in bulk (Linux's
/// `WAKEUP_CHARS`).
const REFILL_LEVEL: usize = 256;
/// The most bytes that output processing makes of one: a tab. With less room a write might take nothing.
const LARGEST_EXPANSION: usize = 8;
/// The sender is asked to stop when there is less room than this, and to go on when less than this is queued.
const THROTTLE_LEVEL: usize = 128;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
/// What poll(2) says about a file whose terminal was hung up.
const HUNG_UP: Events = READABLE.union(WRITABLE).union(Events::HUP).union(Events::ERR);

/// What a terminal is made with.
pub struct TtyConfig {
    /// Device number, major and minor: what stat(2) shows and /proc calls the terminal by.
    pub device: (u32, u32),
    /// Settings at the start, and again after a hangup of a pseudo-terminal.
    pub termios: Termios,
    /// The driver of the line; None for pseudo-terminals.
    pub line: Option<Arc<dyn Line>>,
}

/// A terminal.
pub struct Tty {
    state: SpinMutex<State>,
    /// What poll(2) says to the master of a pseudo-terminal.
    pub(super) line_readiness: Readiness,
    pub(super) jobs: &'static dyn JobControl,
    pub(super) line: Option<Arc<dyn Line>>,
    device: (u32, u32),
    initial_termios: Termios,
}

/// What becomes of the output that is still queued when a terminal is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// It is dropped: the other end is gone.
    Dropped,
    /// It is sent: the other end is there, and is to see the last words of the session that ended.
    Sent,
}

/// What the files share that were opened since the last hangup. A hangup replaces it, and so cuts them off.
pub(super) struct Attachment {
    pub(super) readiness: Readiness,
    pub(super) readers: WaitQueue,
    /// Who waits for room, for a turn to write, or for output to drain.
    pub(super) writers: WaitQueue,
}

impl Attachment {
    fn new() -> Arc<Self> {
        Arc::new(Self { readiness: Readiness::new(), readers: WaitQueue::new(), writers: WaitQueue::new() })
    }
}

/// Who holds the turn to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A file that a hangup cuts off, and its turn with it.
    Ordinary,
    /// A file opened as /dev/console.
    Console,
}

/// The far end of a pseudo-terminal.
pub(super) struct MasterState {
    /// The slave cannot be opened yet (TIOCSPTLCK).
    pub(super) is_locked: bool,
    /// Reads of the master begin with a status byte (TIOCPKT).
    pub(super) in_packet_mode: bool,
    pub(super) is_closed: bool,
}

pub(super) struct State {
    pub(super) discipline: LineDiscipline,
    staged: Ring,
    pub(super) window: WindowSize,
    /// The session whose controlling terminal this is.
    pub(super) session: Pid,
    /// The foreground process group.
    pub(super) foreground: Pid,
    pub(super) is_exclusive: bool,
    /// Which settings cannot be changed (`TIOCSLCKTRMIOS`).
    pub(super) locked: Termios,
    pub(super) opens: usize,
    pub(super) was_opened: bool,
    /// Who is in the middle of a write; others wait, so that writes do not mix.
    pub(super) writer: Option<Writer>,
    /// The sender was asked to stop.
    is_throttled: bool,
    pub(super) attachment: Arc<Attachment>,
    /// What the files share that were opened as /dev/console: no hangup touches them.
    console: Option<Arc<Attachment>>,
    pub(super) master: MasterState,
    /// The driver had to keep something back: it wants to hear of room.
    kept_back: Option<KeptBack>,
}

/// What the terminal had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptBack {
    Bytes,
    /// A break or a damaged byte, which cannot be staged.
    Fault,
}

impl Tty {
    /// A terminal made while the system starts.
    ///
    /// # Panics
    /// When there is no memory for it: see [`Self::try_new`].
    pub fn new(config: TtyConfig, jobs: &'static dyn JobControl) -> Arc<Self> {
        Self::try_new(config, jobs).expect("memory for a terminal")
    }

    /// A terminal that nobody has opened: some 18 KiB.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(config: TtyConfig, jobs: &'static dyn JobControl) -> Result<Arc<Self>, Errno> {
        let TtyConfig { device, termios, line } = config;
        let (kind, output_size) = match line {
            Some(_) => (LineKind::Wire, WIRE_OUTPUT_SIZE),
            None => (LineKind::Master, MASTER_OUTPUT_SIZE),
        };
        if let Some(line) = &line {
            line.configure(&termios);
        }
        let state = State {
            discipline: LineDiscipline::new(termios, output_size, kind)?,
            staged: Ring::new(STAGING_SIZE)?,
            window: WindowSize::default(),
            session: 0,
            foreground: 0,
            is_exclusive: false,
            locked: Termios::NONE,
            opens: 0,
            was_opened: false,
            writer: None,
            is_throttled: false,
            attachment: Attachment::new(),
            console: None,
            master: MasterState { is_locked: line.is_none(), in_packet_mode: false, is_closed: false },
            kept_back: None,
        };
        let tty = Self {
            state: SpinMutex::new(state),
            line_readiness: Readiness::new(),
            jobs,
            line,
            device,
            initial_termios: termios,
        };
        tty.with(|_| ());
        Ok(Arc::new(tty))
    }

    /// Device number, major and minor.
    pub fn device(&self) -> (u32, u32) {
        self.device
    }

    /// The session whose controlling terminal this is, or 0.
    pub fn session(&self) -> Pid {
        self.look(|state| state.session)
    }

    /// The foreground process group, or 0.
    pub fn foreground(&self) -> Pid {
        self.look(|state| state.foreground)
    }

    /// The present settings.
    pub fn termios(&self) -> Termios {
        self.look(|state| *state.termios())
    }

    /// Looks at something under the lock.
    pub(super) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Makes a change under the lock, then lets both sides know of what it changed.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let before = (state.discipline.progress(), state.can_refill());
        let result = change(&mut state);
        state.move_staged();
        self.publish(&mut state, before);
        let signals = state.discipline.take_signals();
        let foreground = state.foreground;
        drop(state);
        if !signals.is_empty() && foreground != 0 {
            self.send(signals, foreground);
        }
        result
    }

    fn send(&self, signals: Signals, foreground: Pid) {
        let all = [
            (Signals::INTERRUPT, Signal::Interrupt),
            (Signals::QUIT, Signal::Quit),
            (Signals::SUSPEND, Signal::Stop),
        ];
        for (_, signal) in all.into_iter().filter(|&(noted, _)| signals.contains(noted)) {
            self.jobs.signal_group(foreground, signal);
        }
    }

    /// Brings readiness up to date and wakes who can go on now and could not before. Nobody else: a waiter that looks
    /// in vain must not wake itself.
    fn publish(&self, state: &mut State, (before, could_refill): (Progress, bool)) {
        let now = state.discipline.progress();
        let events = state.program_events();
        for attachment in state.attachments() {
            show(&attachment.readiness, events);
            if now.input != before.input {
                // Who polls edge-triggered hears of more input even where there was some already.
                attachment.readiness.notify(events & READABLE);
                attachment.readers.wake_all();
            }
        }
        if state.can_refill() && !could_refill {
            state.wake_writers();
        }
        let has_new_output = now.output != before.output || (now.is_ready && !before.is_ready);
        match &self.line {
            Some(line) => {
                state.throttle(line.as_ref());
                if (now.is_ready && has_new_output) || state.line_may_resume() {
                    line.kick();
                }
            }
            None => {
                let line_events = state.master_events();
                show(&self.line_readiness, line_events);
                if has_new_output {
                    self.line_readiness.notify(line_events & READABLE);
                }
            }
        }
    }

    /// Cuts off every file that has the terminal open, except those opened as /dev/console: their reads return 0,
    /// their writes fail with EIO. The session that had it as controlling terminal loses it, and its leader gets
    /// SIGHUP and SIGCONT. What vhangup(2), a lost carrier and the last close of a master do.
    pub fn hang_up(&self) {
        let (session, foreground) = self.cut_off(Leftover::Dropped);
        if session != 0 {
            self.jobs.lose_terminal(session, foreground);
            self.jobs.signal_leader(session, Signal::Hangup);
            self.jobs.signal_leader(session, Signal::Continue);
        }
    }

    /// A hangup as far as the terminal itself goes. Returns whose controlling terminal it was, and the foreground
    /// group.
    pub(super) fn cut_off(&self, output: Leftover) -> (Pid, Pid) {
        let fresh = Attachment::new();
        let (owners, cut_off) = self.with(|state| {
            let owners = (core::mem::take(&mut state.session), core::mem::take(&mut state.foreground));
            state.is_exclusive = false;
            state.locked = Termios::NONE;
            state.writer = state.writer.filter(|&writer| writer == Writer::Console);
            if self.line.is_none() {
                state.discipline.set_termios(self.initial_termios);
            }
            match output {
                Leftover::Dropped => state.discipline.reset(),
                Leftover::Sent => state.discipline.reset_input(),
            }
            state.drop_staged();
            (owners, core::mem::replace(&mut state.attachment, fresh))
        });
        show(&cut_off.readiness, HUNG_UP);
        cut_off.readers.wake_all();
        cut_off.writers.wake_all();
        owners
    }
}

/// Makes `readiness` show exactly `events`.
fn show(readiness: &Readiness, events: Events) {
    let before = readiness.events();
    if before != events {
        readiness.clear(before - events);
        readiness.set(events - before);
    }
}

impl State {
    /// The present settings.
    pub(super) fn termios(&self) -> &Termios {
        self.discipline.termios()
    }

    fn attachments(&self) -> impl Iterator<Item = &Arc<Attachment>> {
        core::iter::once(&self.attachment).chain(&self.console)
    }

    /// The attachment of files opened as /dev/console, made at the first such open.
    pub(super) fn console_attachment(&mut self) -> Arc<Attachment> {
        self.console.get_or_insert_with(Attachment::new).clone()
    }

    pub(super) fn wake_writers(&self) {
        self.attachments().for_each(|attachment| {
            attachment.writers.wake_all();
        });
    }

    fn program_events(&self) -> Events {
        let mut events = Events::empty();
        if self.discipline.is_readable_for_poll() {
            events |= READABLE;
        }
        if self.can_refill() && self.writer.is_none() {
            events |= WRITABLE;
        }
        if self.master.is_closed {
            events |= Events::HUP;
        }
        events
    }

    fn master_events(&self) -> Events {
        let mut events = Events::empty();
        if self.discipline.has_output() {
            events |= READABLE;
        }
        if self.packet_status().is_some() {
            events |= READABLE | Events::PRI;
        }
        if self.staged.free() > 0 {
            events |= WRITABLE;
        }
        if self.slave_is_gone() {
            events |= Events::HUP;
        }
        events
    }

    /// The slave was open and is no more: the master reads what is left and then EIO.
    pub(super) fn slave_is_gone(&self) -> bool {
        self.was_opened && self.opens == 0
    }

    /// What a master in packet mode has to be told next.
    pub(super) fn packet_status(&self) -> Option<PacketStatus> {
        let status = self.discipline.packet_status();
        (self.master.in_packet_mode && !status.is_empty()).then_some(status)
    }

    /// Whether it is worth waking a blocked writer.
    pub(super) fn can_refill(&self) -> bool {
        let is_low = match self.discipline.kind() {
            LineKind::Wire => self.discipline.queued_output() < REFILL_LEVEL,
            LineKind::Master => true,
        };
        is_low && self.discipline.output_room() >= LARGEST_EXPANSION
    }

    /// Gives staged bytes to the discipline as far as it has room.
    fn move_staged(&mut self) {
        while !self.staged.is_empty() {
            let taken = self.discipline.receive(self.staged.front());
            if taken == 0 {
                break;
            }
            self.staged.consume(taken);
        }
    }

    /// Drops received bytes that the discipline has not seen.
    pub(super) fn drop_staged(&mut self) {
        self.staged.truncate(0);
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) -> usize {
        let direct = if self.staged.is_empty() { self.discipline.receive(bytes) } else { 0 };
        let taken = direct + self.stage(&bytes[direct..]);
        if taken < bytes.len() {
            self.kept_back = Some(KeptBack::Bytes);
        }
        taken
    }

    /// Keeps bytes until the discipline has room; but START and STOP do not wait in the queue, or nobody could stop
    /// the output of a program that does not read.
    fn stage(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let run =
                rest.iter().position(|&byte| self.discipline.is_flow_control(byte)).unwrap_or(rest.len());
            let kept = self.staged.push_slice(&rest[..run]);
            taken += kept;
            if kept < run {
                break;
            }
            if let Some(&byte) = rest.get(run) {
                self.discipline.control_flow(byte);
                taken += 1;
            }
        }
        taken
    }

    pub(super) fn receive_fault(&mut self, fault: LineFault) -> bool {
        let is_taken = self.staged.is_empty() && self.discipline.receive_fault(fault);
        if !is_taken {
            self.kept_back = Some(KeptBack::Fault);
        }
        is_taken
    }

    pub(super) fn take_output(&mut self, buffer: &mut [u8]) -> usize {
        let wanted = buffer.len();
        let mut filled = 0;
        self.discipline.take_output(wanted, &mut |run| {
            buffer[filled..filled + run.len()].copy_from_slice(run);
            filled += run.len();
            run.len()
        })
    }

    /// Whether the driver, which kept something back, may offer it again.
    fn line_may_resume(&mut self) -> bool {
        let has_room = match self.kept_back {
            None => false,
            Some(KeptBack::Bytes) => self.staged.free() >= STAGING_SIZE / 2,
            Some(KeptBack::Fault) => self.staged.is_empty() && self.discipline.receive_room() > 0,
        };
        if has_room {
            self.kept_back = None;
        }
        has_room
    }

    /// Asks the sender to pause or go on, by IXOFF or CRTSCTS, as the input queue fills and empties.
    fn throttle(&mut self, line: &dyn Line) {
        let termios = self.discipline.termios();
        let by_characters = termios.has_input(InputFlags::IXOFF);
        let by_wire = termios.control.contains(ControlFlags::CRTSCTS);
        let pause = match self.is_throttled {
            false => self.discipline.is_nearly_full(THROTTLE_LEVEL),
            true => self.discipline.buffered() > THROTTLE_LEVEL,
        };
        if pause == self.is_throttled {
            return;
        }
        self.is_throttled = pause;
        if by_characters {
            self.discipline.ask_sender(pause);
            line.kick();
        }
        if by_wire {
            line.set_modem_lines(ModemLines::RTS, if pause { ModemLines::empty() } else { ModemLines::RTS });
        }
    }
}
