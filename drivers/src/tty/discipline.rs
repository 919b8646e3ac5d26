//! The line discipline: what a terminal does with bytes between the line and the programs. Pure logic, no waiting.
//!
//! It behaves as Linux's `N_TTY` does, byte for byte; the tests in `tests/against_linux/` hold it against a real one.
//! Signals to send are not sent here but collected as [`Signals`] for the owner, who holds a lock around this.

use bitflags::bitflags;
use syscalls::Errno;

use super::ctype::to_lower;
use super::echo::{Echo, EchoQueue};
use super::edit;
use super::input::{INPUT_SIZE, InputQueue};
use super::output::{LineKind, Output};
use super::termios::{DISABLED, InputFlags, LocalFlags, Special, Termios};

bitflags! {
    /// Signals that input asks to send to the foreground process group.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Signals: u8 {
        /// SIGINT.
        const INTERRUPT = 1;
        /// SIGQUIT.
        const QUIT = 2;
        /// SIGTSTP.
        const SUSPEND = 4;
    }

    /// What a master in packet mode is told about the slave (`ioctl_tty(2)`, TIOCPKT).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PacketStatus: u8 {
        /// The input queue was flushed.
        const FLUSH_READ = linux_raw_sys::general::TIOCPKT_FLUSHREAD as u8;
        /// The output queue was flushed.
        const FLUSH_WRITE = linux_raw_sys::general::TIOCPKT_FLUSHWRITE as u8;
        /// Output was stopped.
        const STOP = linux_raw_sys::general::TIOCPKT_STOP as u8;
        /// Output was restarted.
        const START = linux_raw_sys::general::TIOCPKT_START as u8;
        /// ^S and ^Q are ordinary characters now.
        const NO_STOP = linux_raw_sys::general::TIOCPKT_NOSTOP as u8;
        /// ^S and ^Q control the flow now.
        const DO_STOP = linux_raw_sys::general::TIOCPKT_DOSTOP as u8;
    }
}

/// How far the queues have come; positions that wrap. Two of these tell whether something was added between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Position of the next input byte.
    pub input: usize,
    /// Position of the next output byte.
    pub output: usize,
    /// The line can be given something.
    pub is_ready: bool,
}

/// Something wrong with a received byte, told by the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// The line was held at zero for longer than a byte.
    Break,
    /// The byte has a wrong parity or stop bit.
    Damaged(u8),
}

/// A set of bytes.
#[derive(Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
}

/// One terminal's line discipline with its queues.
pub struct LineDiscipline {
    pub(super) termios: Termios,
    pub(super) input: InputQueue,
    pub(super) echo: EchoQueue,
    /// The last of the echo did not fit into the output queue.
    echo_awaits_room: bool,
    pub(super) output: Output,
    /// Bytes that mean something special under the present settings.
    special: ByteSet,
    /// Input needs no looking at: it goes straight into the queue.
    is_raw: bool,
    /// LNEXT came: the next byte is literal.
    literal_next: bool,
    /// An ECHOPRT erasure is open: a `\` was printed.
    pub(super) erasing: bool,
    /// Output was stopped by TCXONC: no character restarts it.
    held: bool,
    signals: Signals,
    packet_status: PacketStatus,
}

impl LineDiscipline {
    /// A discipline with empty queues, towards a line of this kind. `output_size` is a power of two.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(termios: Termios, output_size: usize, kind: LineKind) -> Result<Self, Errno> {
        let mut this = Self {
            termios,
            input: InputQueue::new()?,
            echo: EchoQueue::default(),
            echo_awaits_room: false,
            output: Output::new(output_size, kind)?,
            special: ByteSet::default(),
            is_raw: false,
            literal_next: false,
            erasing: false,
            held: false,
            signals: Signals::empty(),
            packet_status: PacketStatus::empty(),
        };
        this.classify();
        Ok(this)
    }

    /// The present settings.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the settings; queued input is kept, and becomes readable when the mode changes.
    pub fn set_termios(&mut self, new: Termios) {
        let old = core::mem::replace(&mut self.termios, new);
        if (old.local ^ new.local).contains(LocalFlags::ICANON) {
            if self.is_canonical() {
                self.input.start_lines();
            } else {
                self.input.end_lines();
            }
            self.erasing = false;
            self.literal_next = false;
        }
        self.classify();
        let (had_flow, has_flow) = (old.has_customary_flow_control(), new.has_customary_flow_control());
        if had_flow != has_flow {
            self.packet_status.remove(PacketStatus::DO_STOP | PacketStatus::NO_STOP);
            self.packet_status |= if has_flow { PacketStatus::DO_STOP } else { PacketStatus::NO_STOP };
        }
        // Without IXON nobody could restart the output from the keyboard any more.
        if old.has_input(InputFlags::IXON) && !new.has_input(InputFlags::IXON) {
            self.start_output();
        }
    }

    pub(super) fn is_canonical(&self) -> bool {
        self.termios.has_local(LocalFlags::ICANON)
    }

    fn has_special(&self, byte: u8, which: Special) -> bool {
        byte == self.termios.character(which)
    }

    /// Works out which bytes need a closer look under the present settings.
    fn classify(&mut self) {
        let termios = &self.termios;
        let input = |flag| termios.input.intersects(flag);
        let local = |flag| termios.local.intersects(flag);
        let looked_at = InputFlags::ISTRIP
            | InputFlags::IUCLC
            | InputFlags::IGNCR
            | InputFlags::ICRNL
            | InputFlags::INLCR
            | InputFlags::IXON
            | InputFlags::PARMRK;
        self.is_raw = !input(looked_at) && !local(LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::ECHO);
        let mut special = ByteSet::default();
        let mut add = |condition: bool, characters: &[Special]| {
            if condition {
                characters.iter().for_each(|&which| special.insert(termios.character(which)));
            }
        };
        let canonical = local(LocalFlags::ICANON);
        let extended = canonical && local(LocalFlags::IEXTEN);
        add(canonical, &[Special::Erase, Special::Kill, Special::EndOfFile, Special::EndOfLine]);
        add(extended, &[Special::WordErase, Special::LiteralNext, Special::EndOfLine2]);
        add(extended && local(LocalFlags::ECHO), &[Special::Reprint]);
        add(input(InputFlags::IXON), &[Special::Start, Special::Stop]);
        add(local(LocalFlags::ISIG), &[Special::Interrupt, Special::Quit, Special::Suspend]);
        if input(InputFlags::IGNCR | InputFlags::ICRNL) {
            special.insert(b'\r');
        }
        if canonical || input(InputFlags::INLCR) {
            special.insert(b'\n');
        }
        special.remove(DISABLED);
        self.special = special;
    }

    // ---- from the line ----

    /// Bytes that [`Self::receive`] would take now (1 stands for "without end" while a line overflows).
    pub fn receive_room(&self) -> usize {
        match self.plain_room() {
            0 => usize::from(self.may_overflow()),
            room => room,
        }
    }

    /// Room in the input queue less one byte, which is kept for the newline of a canonical line. PARMRK can make
    /// three bytes out of one.
    fn plain_room(&self) -> usize {
        let free = INPUT_SIZE - self.input.len();
        let free = if self.termios.has_input(InputFlags::PARMRK) { free.div_ceil(3) } else { free };
        free.saturating_sub(1)
    }

    /// A line being typed that fills the queue alone must go on taking bytes, or no newline could end it.
    fn may_overflow(&self) -> bool {
        self.is_canonical() && !self.input.has_line()
    }

    /// How many of `bytes` should be received before others have a turn: in a long line, a character that edits it is work
    /// for each of its bytes, so it is the last. In a short one it is not, as bytes that come together echo together.
    pub fn turn(&self, bytes: &[u8]) -> usize {
        const LONG: usize = 512;
        const EDITING: [Special; 4] = [Special::Erase, Special::WordErase, Special::Kill, Special::Reprint];
        let edits = |byte: &u8| {
            self.special.contains(*byte) && EDITING.iter().any(|which| self.has_special(*byte, *which))
        };
        if !self.is_canonical() || self.input.line_len() < LONG {
            return bytes.len();
        }
        bytes.iter().position(edits).map_or(bytes.len(), |last| last + 1)
    }

    /// Takes bytes from the line: edits, echoes, queues. Returns how many it took; the rest has to wait until a
    /// program reads.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let room = match self.plain_room() {
                0 if self.may_overflow() => {
                    // The byte at the end gives way to each next one, until a line end comes.
                    if self.input.len() == INPUT_SIZE {
                        self.input.unpush(1);
                    }
                    1
                }
                0 => break,
                room => room,
            };
            let count = room.min(bytes.len() - taken);
            self.process(&bytes[taken..taken + count]);
            taken += count;
        }
        taken
    }

    /// Takes a break or a damaged byte from the line. False: there is no room for it now.
    pub fn receive_fault(&mut self, fault: LineFault) -> bool {
        if self.receive_room() == 0 {
            return false;
        }
        if self.input.len() == INPUT_SIZE {
            self.input.unpush(1);
        }
        let has = |flag| self.termios.has_input(flag);
        let marked = has(InputFlags::PARMRK) && self.plain_room() > 0;
        match fault {
            LineFault::Break if has(InputFlags::IGNBRK) => {}
            LineFault::Break if has(InputFlags::BRKINT) => self.signal(Signals::INTERRUPT),
            LineFault::Break if marked => self.input.push_slice(&[0xff, 0, 0]),
            LineFault::Damaged(byte) if !has(InputFlags::INPCK) => self.input.push(byte),
            LineFault::Damaged(_) if has(InputFlags::IGNPAR) => {}
            LineFault::Damaged(byte) if marked => self.input.push_slice(&[0xff, 0, byte]),
            LineFault::Break | LineFault::Damaged(_) => self.input.push(0),
        }
        true
    }

    fn process(&mut self, bytes: &[u8]) {
        if self.is_raw {
            self.input.push_slice(bytes);
            return;
        }
        let strips = self.termios.has_input(InputFlags::ISTRIP);
        let lowers = self.termios.has_input(InputFlags::IUCLC) && self.termios.has_local(LocalFlags::IEXTEN);
        for &byte in bytes {
            let byte = if strips { byte & 0x7f } else { byte };
            let byte = if lowers { to_lower(byte) } else { byte };
            if core::mem::take(&mut self.literal_next) {
                self.ordinary(byte);
            } else if self.special.contains(byte) {
                self.special(byte);
            } else {
                self.ordinary(byte);
            }
        }
        if self.echo.has_news() && self.termios.local.intersects(LocalFlags::ECHO | LocalFlags::ECHONL) {
            self.flush_echoes();
        }
    }

    /// IXANY: anything typed restarts stopped output.
    fn restart_on_any(&mut self) {
        if self.output.is_stopped()
            && !self.held
            && self.termios.has_input(InputFlags::IXON | InputFlags::IXANY)
        {
            self.start_output();
        }
    }

    /// A byte without a meaning of its own.
    fn ordinary(&mut self, byte: u8) {
        self.restart_on_any();
        self.insert(byte, false);
    }

    /// Echoes and queues a byte of the line. Newlines echo as themselves only where they are special.
    fn insert(&mut self, byte: u8, newline_is_special: bool) {
        if self.termios.has_local(LocalFlags::ECHO) {
            edit::finish_erasing(self);
            if byte == b'\n' && newline_is_special {
                self.echo.push(Echo::Byte(byte));
            } else {
                if self.input.is_line_start() {
                    self.echo.push(Echo::SetLineColumn);
                }
                edit::echo_character(self, byte);
            }
        }
        self.double_mark(byte);
        self.input.push(byte);
    }

    /// With PARMRK a real `\377` is doubled, to tell it from the mark.
    fn double_mark(&mut self, byte: u8) {
        let has_room = self.input.len() + 1 < INPUT_SIZE;
        if byte == 0xff && self.termios.has_input(InputFlags::PARMRK) && has_room {
            self.input.push(byte);
        }
    }

    /// A byte that may mean something. The order of the questions is Linux's, and shows when settings clash.
    fn special(&mut self, byte: u8) {
        if self.is_flow_control(byte) {
            self.control_flow(byte);
            return;
        }
        if self.signal_character(byte) {
            return;
        }
        self.restart_on_any();
        let byte = match byte {
            b'\r' if self.termios.has_input(InputFlags::IGNCR) => return,
            b'\r' if self.termios.has_input(InputFlags::ICRNL) => b'\n',
            b'\n' if self.termios.has_input(InputFlags::INLCR) => b'\r',
            other => other,
        };
        if !self.is_canonical() || !self.editing(byte) {
            self.insert(byte, true);
        }
    }

    /// Whether `byte` stops or restarts output under the present settings.
    pub fn is_flow_control(&self, byte: u8) -> bool {
        self.termios.has_input(InputFlags::IXON)
            && byte != DISABLED
            && (self.has_special(byte, Special::Start) || self.has_special(byte, Special::Stop))
    }

    /// Obeys `byte`, for which [`Self::is_flow_control`] holds.
    pub fn control_flow(&mut self, byte: u8) {
        if self.has_special(byte, Special::Start) {
            self.start_output();
        } else {
            self.stop_output();
        }
    }

    fn signal_character(&mut self, byte: u8) -> bool {
        if !self.termios.has_local(LocalFlags::ISIG) {
            return false;
        }
        let signal = if self.has_special(byte, Special::Interrupt) {
            Signals::INTERRUPT
        } else if self.has_special(byte, Special::Quit) {
            Signals::QUIT
        } else if self.has_special(byte, Special::Suspend) {
            Signals::SUSPEND
        } else {
            return false;
        };
        self.signal(signal);
        if self.termios.has_input(InputFlags::IXON) {
            self.restart();
        }
        if self.termios.has_local(LocalFlags::ECHO) {
            edit::echo_character(self, byte);
        } else {
            self.flush_echoes();
        }
        true
    }

    /// Notes a signal, and flushes the queues unless NOFLSH.
    fn signal(&mut self, signal: Signals) {
        self.signals |= signal;
        if !self.termios.has_local(LocalFlags::NOFLSH) {
            self.echo.clear();
            self.flush_output();
            self.flush_input();
        }
    }

    /// Canonical mode's own characters. False: an ordinary byte after all.
    fn editing(&mut self, byte: u8) -> bool {
        let echoes = self.termios.has_local(LocalFlags::ECHO);
        let extended = self.termios.has_local(LocalFlags::IEXTEN);
        let is = |which| self.has_special(byte, which);
        if is(Special::Erase) || is(Special::Kill) || (extended && is(Special::WordErase)) {
            edit::erase(self, byte);
        } else if extended && is(Special::LiteralNext) {
            self.literal_next = true;
            if echoes {
                edit::finish_erasing(self);
                if self.termios.has_local(LocalFlags::ECHOCTL) {
                    self.echo.push(Echo::Byte(b'^'));
                    self.echo.push(Echo::Byte(0x08));
                }
            }
        } else if extended && echoes && is(Special::Reprint) {
            edit::reprint(self, byte);
        } else if byte == b'\n' {
            if self.termios.local.intersects(LocalFlags::ECHO | LocalFlags::ECHONL) {
                self.echo.push(Echo::Byte(byte));
            }
            self.input.push_end(byte);
        } else if is(Special::EndOfFile) {
            self.input.push_end(DISABLED);
        } else if is(Special::EndOfLine) || (extended && is(Special::EndOfLine2)) {
            if echoes {
                if self.input.is_line_start() {
                    self.echo.push(Echo::SetLineColumn);
                }
                edit::echo_character(self, byte);
            }
            self.double_mark(byte);
            self.input.push_end(byte);
        } else {
            return false;
        }
        true
    }

    // ---- towards programs ----

    /// Whether a read would return something other than "wait".
    pub fn is_readable(&self) -> bool {
        if self.is_canonical() { self.input.has_line() } else { self.input.len() > 0 }
    }

    /// Whether poll(2) calls it readable: raw input counts from VMIN bytes on, unless VTIME limits the wait anyway.
    pub fn is_readable_for_poll(&self) -> bool {
        let minimum = match self.termios.character(Special::Minimum) {
            0 => 1,
            minimum => usize::from(minimum),
        };
        if self.is_canonical() || self.termios.character(Special::Time) != 0 {
            self.is_readable()
        } else {
            self.input.len() >= minimum
        }
    }

    /// Moves a line, or raw bytes, to a reader through `put`, which says how much it took (less than offered ends
    /// the read). Returns the bytes moved. The caller has checked [`Self::is_readable`].
    pub fn read(&mut self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        if self.is_canonical() {
            let wipe = !self.termios.has_local(LocalFlags::ECHO);
            self.input.read_line(wanted, wipe, put)
        } else {
            self.input.read_raw(wanted, put)
        }
    }

    /// Bytes that could be read now (FIONREAD).
    pub fn readable(&self) -> usize {
        if self.is_canonical() { self.input.finished_len() } else { self.input.len() }
    }

    /// Takes a program's output, as much as there is room for. Returns the bytes used up.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.flush_echoes();
        self.output.write(bytes, &self.termios)
    }

    /// Output bytes that would be taken now: none while stopped.
    pub fn output_room(&self) -> usize {
        self.output.room()
    }

    /// Whether the line can be given something.
    pub fn has_output(&self) -> bool {
        self.output.is_ready()
    }

    /// Processed bytes that wait for the line.
    pub fn queued_output(&self) -> usize {
        self.output.queued()
    }

    /// Whether a reader that finds nothing gets 0 at once: raw mode with neither VMIN nor VTIME.
    pub fn reads_return_at_once(&self) -> bool {
        !self.is_canonical()
            && self.termios.character(Special::Minimum) == 0
            && self.termios.character(Special::Time) == 0
    }

    /// Gives the line up to `wanted` processed bytes through `put`, which says how much it took. Waiting echo moves
    /// up into the room that makes. Returns the bytes moved.
    pub fn take_output(&mut self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let moved = self.output.take(wanted, put);
        if moved > 0 && self.echo_awaits_room {
            self.flush_echoes();
        }
        moved
    }

    /// Moves waiting echo to the output as far as there is room.
    fn flush_echoes(&mut self) {
        let Self { echo, output, termios, .. } = self;
        let is_done = echo.drain(|operations| output.echo_all(operations, termios));
        self.echo_awaits_room = !is_done && !output.is_stopped();
    }

    /// Drops input that was not read (TCIFLUSH, signals).
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.erasing = false;
        self.packet_status |= PacketStatus::FLUSH_READ;
    }

    /// Drops output that has not reached the line (TCOFLUSH, signals).
    pub fn flush_output(&mut self) {
        self.output.flush();
        self.packet_status |= PacketStatus::FLUSH_WRITE;
    }

    // ---- flow control ----

    fn stop_output(&mut self) {
        if !self.output.is_stopped() {
            self.output.set_stopped(true);
            self.packet_status.remove(PacketStatus::START);
            self.packet_status |= PacketStatus::STOP;
        }
    }

    fn start_output(&mut self) {
        self.restart();
        self.flush_echoes();
    }

    fn restart(&mut self) {
        if self.output.is_stopped() && !self.held {
            self.output.set_stopped(false);
            self.packet_status.remove(PacketStatus::STOP);
            self.packet_status |= PacketStatus::START;
        }
    }

    /// Stops output until [`Self::release_output`] (TCOOFF).
    pub fn hold_output(&mut self) {
        self.held = true;
        self.stop_output();
    }

    /// Restarts output that was held (TCOON). As on Linux, waiting echo comes with the next input or output.
    pub fn release_output(&mut self) {
        if core::mem::take(&mut self.held) {
            self.restart();
        }
    }

    /// Sends the STOP (`stop`) or START character to the other end (TCIOFF, TCION), if it is not switched off.
    pub fn ask_sender(&mut self, stop: bool) {
        let character = self.termios.character(if stop { Special::Stop } else { Special::Start });
        if character == DISABLED {
            return;
        }
        let was_stopped = self.output.is_stopped();
        if was_stopped && self.kind() == LineKind::Master {
            // A master gets it as ordinary output, which has to flow for that moment.
            self.restart();
        }
        self.output.send_flow_control(character);
        if was_stopped {
            self.stop_output();
        }
    }

    // ---- the owner's side ----

    /// What is at the other end.
    pub fn kind(&self) -> LineKind {
        self.output.kind()
    }

    /// How far the queues have come.
    pub fn progress(&self) -> Progress {
        Progress {
            input: self.input.end_position(),
            output: self.output.end_position(),
            is_ready: self.output.is_ready(),
        }
    }

    /// Input bytes that readers have to take before more fits, end-of-file marks included.
    pub fn buffered(&self) -> usize {
        if self.is_canonical() { self.input.len() - self.input.line_len() } else { self.input.len() }
    }

    /// Whether less than `level` bytes of input fit and a reader could change that.
    pub fn is_nearly_full(&self, level: usize) -> bool {
        INPUT_SIZE - self.input.len() < level && self.is_readable()
    }

    /// Drops input and forgets flow control: the terminal as its first opener finds it.
    pub fn reset_input(&mut self) {
        self.held = false;
        self.restart();
        self.literal_next = false;
        self.flush_input();
        self.signals = Signals::empty();
    }

    /// The same for both directions: the terminal after a hangup.
    pub fn reset(&mut self) {
        self.reset_input();
        self.echo.clear();
        self.flush_output();
        self.packet_status = PacketStatus::empty();
    }

    /// Signals noted since the last call.
    pub fn take_signals(&mut self) -> Signals {
        core::mem::take(&mut self.signals)
    }

    /// What a master in packet mode has not been told yet.
    pub fn packet_status(&self) -> PacketStatus {
        self.packet_status
    }

    /// Takes (and forgets) what a master in packet mode has not been told yet.
    pub fn take_packet_status(&mut self) -> PacketStatus {
        core::mem::take(&mut self.packet_status)
    }
}
