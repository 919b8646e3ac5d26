//! Terminal settings: the flags and characters of termios(3), with Linux's values and layouts.

use bitflags::bitflags;
use linux_raw_sys::general as linux;

bitflags! {
    /// `c_iflag`: what happens to bytes on their way in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InputFlags: u32 {
        /// Ignore break conditions.
        const IGNBRK = linux::IGNBRK;
        /// A break sends SIGINT to the foreground group.
        const BRKINT = linux::BRKINT;
        /// Ignore bytes with framing or parity errors.
        const IGNPAR = linux::IGNPAR;
        /// Mark such bytes as `\377 \0 byte` (and double a real `\377`).
        const PARMRK = linux::PARMRK;
        /// Check parity.
        const INPCK = linux::INPCK;
        /// Strip the eighth bit.
        const ISTRIP = linux::ISTRIP;
        /// Turn newline into carriage return.
        const INLCR = linux::INLCR;
        /// Drop carriage returns.
        const IGNCR = linux::IGNCR;
        /// Turn carriage return into newline.
        const ICRNL = linux::ICRNL;
        /// Turn upper case into lower case (needs IEXTEN).
        const IUCLC = linux::IUCLC;
        /// STOP and START characters stop and restart output.
        const IXON = linux::IXON;
        /// Any character restarts stopped output.
        const IXANY = linux::IXANY;
        /// Send STOP and START when the input queue fills and empties.
        const IXOFF = linux::IXOFF;
        /// Input is UTF-8: erase whole characters.
        const IUTF8 = linux::IUTF8;
        const _ = !0;
    }

    /// `c_oflag`: what happens to bytes on their way out.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OutputFlags: u32 {
        /// Process output at all.
        const OPOST = linux::OPOST;
        /// Turn lower case into upper case.
        const OLCUC = linux::OLCUC;
        /// Turn newline into carriage return and newline.
        const ONLCR = linux::ONLCR;
        /// Turn carriage return into newline.
        const OCRNL = linux::OCRNL;
        /// No carriage return at column 0.
        const ONOCR = linux::ONOCR;
        /// Newline returns the carriage.
        const ONLRET = linux::ONLRET;
        /// Expand tabs to spaces (both bits of the tab delay field).
        const XTABS = linux::TABDLY;
        const _ = !0;
    }

    /// `c_cflag`: the line's electrical settings.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ControlFlags: u32 {
        /// Mask of the output speed.
        const CBAUD = linux::CBAUD;
        /// The speed is a plain number in `output_speed`.
        const BOTHER = linux::BOTHER;
        /// Mask of the bits per byte.
        const CSIZE = linux::CSIZE;
        /// Eight bits per byte.
        const CS8 = linux::CS8;
        /// Two stop bits.
        const CSTOPB = linux::CSTOPB;
        /// Receive at all.
        const CREAD = linux::CREAD;
        /// Parity.
        const PARENB = linux::PARENB;
        /// Odd parity.
        const PARODD = linux::PARODD;
        /// Mark or space parity.
        const CMSPAR = linux::CMSPAR;
        /// Drop the modem lines at the last close.
        const HUPCL = linux::HUPCL;
        /// Ignore the modem lines.
        const CLOCAL = linux::CLOCAL;
        /// RTS/CTS flow control.
        const CRTSCTS = linux::CRTSCTS;
        const _ = !0;
    }

    /// `c_lflag`: line editing, echo and signals.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LocalFlags: u32 {
        /// INTR, QUIT and SUSP send signals.
        const ISIG = linux::ISIG;
        /// Input comes in edited lines.
        const ICANON = linux::ICANON;
        /// Echo input.
        const ECHO = linux::ECHO;
        /// ERASE wipes the character from the screen.
        const ECHOE = linux::ECHOE;
        /// KILL echoes a newline.
        const ECHOK = linux::ECHOK;
        /// Echo newlines even without ECHO.
        const ECHONL = linux::ECHONL;
        /// Signals do not flush the queues.
        const NOFLSH = linux::NOFLSH;
        /// Background writers get SIGTTOU.
        const TOSTOP = linux::TOSTOP;
        /// Echo control characters as `^X`.
        const ECHOCTL = linux::ECHOCTL;
        /// Erased characters are printed between `\` and `/`, as on paper.
        const ECHOPRT = linux::ECHOPRT;
        /// KILL wipes the line from the screen.
        const ECHOKE = linux::ECHOKE;
        /// Extended editing: LNEXT, WERASE, REPRINT, EOL2, IUCLC.
        const IEXTEN = linux::IEXTEN;
        /// Line editing is done elsewhere. Not supported: never set.
        const EXTPROC = linux::EXTPROC;
        const _ = !0;
    }
}

/// Index of a special character in [`Termios::characters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "the names are termios(3)'s own")]
pub enum Special {
    Interrupt = linux::VINTR as usize,
    Quit = linux::VQUIT as usize,
    Erase = linux::VERASE as usize,
    Kill = linux::VKILL as usize,
    EndOfFile = linux::VEOF as usize,
    Time = linux::VTIME as usize,
    Minimum = linux::VMIN as usize,
    Start = linux::VSTART as usize,
    Stop = linux::VSTOP as usize,
    Suspend = linux::VSUSP as usize,
    EndOfLine = linux::VEOL as usize,
    Reprint = linux::VREPRINT as usize,
    WordErase = linux::VWERASE as usize,
    LiteralNext = linux::VLNEXT as usize,
    EndOfLine2 = linux::VEOL2 as usize,
}

/// `_POSIX_VDISABLE`: a special character set to this is switched off.
pub const DISABLED: u8 = 0;

/// The settings of a terminal, as `struct termios2` holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// `c_iflag`.
    pub input: InputFlags,
    /// `c_oflag`.
    pub output: OutputFlags,
    /// `c_cflag`.
    pub control: ControlFlags,
    /// `c_lflag`.
    pub local: LocalFlags,
    /// `c_line`: the line discipline's number, always 0 (`N_TTY`).
    pub line: u8,
    /// `c_cc`, indexed by [`Special`].
    pub characters: [u8; 19],
    /// `c_ispeed`, bits per second.
    pub input_speed: u32,
    /// `c_ospeed`, bits per second.
    pub output_speed: u32,
}

/// Bytes of `struct termios` (TCGETS, TCSETS).
pub const TERMIOS_SIZE: usize = 36;
/// Bytes of `struct termios2` (TCGETS2, TCSETS2).
pub const TERMIOS2_SIZE: usize = 44;
/// Bytes of the System V `struct termio` (TCGETA, TCSETA), with its trailing padding.
pub const TERMIO_SIZE: usize = 18;

/// [`Termios::STANDARD`].
impl Default for Termios {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl Termios {
    /// A terminal fresh from the factory: edited lines, echo, signals, 38400 bit/s (Linux's `tty_std_termios`).
    pub const STANDARD: Self = Self {
        input: InputFlags::ICRNL.union(InputFlags::IXON),
        output: OutputFlags::OPOST.union(OutputFlags::ONLCR),
        control: ControlFlags::from_bits_retain(linux::B38400 | linux::CS8 | linux::CREAD | linux::HUPCL),
        local: LocalFlags::ISIG
            .union(LocalFlags::ICANON)
            .union(LocalFlags::ECHO)
            .union(LocalFlags::ECHOE)
            .union(LocalFlags::ECHOK)
            .union(LocalFlags::ECHOCTL)
            .union(LocalFlags::ECHOKE)
            .union(LocalFlags::IEXTEN),
        line: 0,
        //            INTR  QUIT  ERASE KILL  EOF TIME MIN SWTC START STOP SUSP EOL REPR DISC WERA LNEXT EOL2
        characters: [3, 0o34, 0o177, 0o25, 4, 0, 1, 0, 0o21, 0o23, 0o32, 0, 0o22, 0o17, 0o27, 0o26, 0, 0, 0],
        input_speed: 38400,
        output_speed: 38400,
    };

    /// Nothing set: which settings are locked at first.
    pub const NONE: Self = Self {
        input: InputFlags::empty(),
        output: OutputFlags::empty(),
        control: ControlFlags::empty(),
        local: LocalFlags::empty(),
        line: 0,
        characters: [0; 19],
        input_speed: 0,
        output_speed: 0,
    };

    /// These settings, but for those that are not 0 in `locked`, which are `old`'s (`TIOCSLCKTRMIOS`): bits of flags, whole
    /// characters.
    pub fn unless_locked(self, locked: &Self, old: &Self) -> Self {
        if *locked == Self::NONE {
            return self;
        }
        let mut new = self;
        new.input = self.input & !locked.input | old.input & locked.input;
        new.output = self.output & !locked.output | old.output & locked.output;
        new.control = self.control & !locked.control | old.control & locked.control;
        new.local = self.local & !locked.local | old.local & locked.local;
        for (at, kept) in old.characters.iter().enumerate() {
            if locked.characters[at] != 0 {
                new.characters[at] = *kept;
            }
        }
        new.with_derived_speeds()
    }

    /// What a pseudo-terminal starts with: [`Self::STANDARD`] without modem lines.
    pub const PTY: Self = Self {
        control: ControlFlags::from_bits_retain(linux::B38400 | linux::CS8 | linux::CREAD),
        ..Self::STANDARD
    };

    /// What a serial console starts with: 115200 bit/s, eight bits, no parity, modem lines ignored.
    pub const SERIAL_CONSOLE: Self = Self {
        control: ControlFlags::from_bits_retain(
            linux::B115200 | linux::CS8 | linux::CREAD | linux::HUPCL | linux::CLOCAL,
        ),
        input_speed: 115_200,
        output_speed: 115_200,
        ..Self::STANDARD
    };

    /// The special character at `which` ([`DISABLED`] when off; for Minimum and Time a plain number).
    pub const fn character(&self, which: Special) -> u8 {
        self.characters[which as usize]
    }

    /// Whether all of `flags` are set in `c_iflag`.
    pub const fn has_input(&self, flags: InputFlags) -> bool {
        self.input.contains(flags)
    }

    /// Whether all of `flags` are set in `c_lflag`.
    pub const fn has_local(&self, flags: LocalFlags) -> bool {
        self.local.contains(flags)
    }

    /// Whether all of `flags` are set in `c_oflag`.
    pub const fn has_output(&self, flags: OutputFlags) -> bool {
        self.output.contains(flags)
    }

    /// Whether XON/XOFF flow control with the customary ^S and ^Q is on: what packet mode tells the master.
    pub const fn has_customary_flow_control(&self) -> bool {
        self.has_input(InputFlags::IXON)
            && self.character(Special::Stop) == 0o23
            && self.character(Special::Start) == 0o21
    }

    /// `struct termios` as user space sees it.
    pub fn to_termios(&self) -> [u8; TERMIOS_SIZE] {
        let mut bytes = [0; TERMIOS_SIZE];
        let words = [self.input.bits(), self.output.bits(), self.control.bits(), self.local.bits()];
        for (field, word) in bytes.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    /// `struct termios2` as user space sees it.
    pub fn to_termios2(&self) -> [u8; TERMIOS2_SIZE] {
        let mut bytes = [0; TERMIOS2_SIZE];
        bytes[..TERMIOS_SIZE].copy_from_slice(&self.to_termios());
        bytes[36..40].copy_from_slice(&self.input_speed.to_ne_bytes());
        bytes[40..].copy_from_slice(&self.output_speed.to_ne_bytes());
        bytes
    }

    /// `struct termio` as user space sees it: the low halves of the flags and the first eight characters.
    pub fn to_termio(&self) -> [u8; TERMIO_SIZE] {
        let mut bytes = [0; TERMIO_SIZE];
        let words = [self.input.bits(), self.output.bits(), self.control.bits(), self.local.bits()];
        for (field, word) in bytes.chunks_exact_mut(2).zip(words) {
            field.copy_from_slice(&(word as u16).to_ne_bytes());
        }
        bytes[8] = self.line;
        bytes[9..17].copy_from_slice(&self.characters[..8]);
        bytes
    }

    /// These settings with everything that a `struct termios` holds taken from `bytes`; the speeds follow `c_cflag`.
    pub fn with_termios(&self, bytes: &[u8; TERMIOS_SIZE]) -> Self {
        let mut new = *self;
        let word = |index: usize| {
            u32::from_ne_bytes([bytes[index], bytes[index + 1], bytes[index + 2], bytes[index + 3]])
        };
        new.input = InputFlags::from_bits_retain(word(0));
        new.output = OutputFlags::from_bits_retain(word(4));
        new.control = ControlFlags::from_bits_retain(word(8));
        new.local = LocalFlags::from_bits_retain(word(12));
        new.line = bytes[16];
        new.characters.copy_from_slice(&bytes[17..]);
        new.with_derived_speeds()
    }

    /// The settings in a `struct termios2`; the speed fields count where `c_cflag` says `BOTHER`.
    pub fn with_termios2(&self, bytes: &[u8; TERMIOS2_SIZE]) -> Self {
        let mut prefix = [0; TERMIOS_SIZE];
        prefix.copy_from_slice(&bytes[..TERMIOS_SIZE]);
        let word = |index: usize| {
            u32::from_ne_bytes([bytes[index], bytes[index + 1], bytes[index + 2], bytes[index + 3]])
        };
        let with_speeds = Self { input_speed: word(36), output_speed: word(40), ..*self };
        with_speeds.with_termios(&prefix)
    }

    /// These settings with the half-words of a `struct termio` taken over; upper halves stay.
    pub fn with_termio(&self, bytes: &[u8; TERMIO_SIZE]) -> Self {
        let merge = |old: u32, index: usize| {
            (old & 0xffff_0000) | u32::from(u16::from_ne_bytes([bytes[index], bytes[index + 1]]))
        };
        let mut new = *self;
        new.input = InputFlags::from_bits_retain(merge(self.input.bits(), 0));
        new.output = OutputFlags::from_bits_retain(merge(self.output.bits(), 2));
        new.control = ControlFlags::from_bits_retain(merge(self.control.bits(), 4));
        new.local = LocalFlags::from_bits_retain(merge(self.local.bits(), 6));
        new.line = bytes[8];
        new.characters[..8].copy_from_slice(&bytes[9..17]);
        new.with_derived_speeds()
    }

    /// The speeds that `c_cflag` encodes, written into the speed fields. The input speed has a field of its own in
    /// the upper bits, where 0 means "as the output".
    fn with_derived_speeds(mut self) -> Self {
        let control = self.control.bits();
        if control & linux::CBAUD != linux::BOTHER {
            self.output_speed = speed_of(control & linux::CBAUD);
        }
        match (control >> linux::IBSHIFT) & linux::CBAUD {
            0 => self.input_speed = self.output_speed,
            linux::BOTHER => {}
            code => self.input_speed = speed_of(code),
        }
        self
    }
}

/// Bits per second of a `Bnnn` code; 0 (hang up) for a code that names no speed.
fn speed_of(code: u32) -> u32 {
    const SPEEDS: [u32; 16] =
        [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
    const FAST: [u32; 15] = [
        57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
        2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];
    if code & linux::CBAUDEX == 0 {
        SPEEDS[(code & 0xf) as usize]
    } else {
        (code & 0xf).checked_sub(1).map_or(0, |index| FAST[index as usize])
    }
}

/// A terminal's size as `struct winsize` holds it, in characters and pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub columns: u16,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

/// Bytes of `struct winsize`.
pub const WINDOW_SIZE_SIZE: usize = 8;

impl WindowSize {
    /// `struct winsize` as user space sees it.
    pub fn to_bytes(self) -> [u8; WINDOW_SIZE_SIZE] {
        let mut bytes = [0; WINDOW_SIZE_SIZE];
        for (field, value) in
            bytes.chunks_exact_mut(2).zip([self.rows, self.columns, self.width, self.height])
        {
            field.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    /// The size in a `struct winsize`.
    pub fn from_bytes(bytes: &[u8; WINDOW_SIZE_SIZE]) -> Self {
        let field = |index: usize| u16::from_ne_bytes([bytes[index], bytes[index + 1]]);
        Self { rows: field(0), columns: field(2), width: field(4), height: field(6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_linux_s() {
        assert_eq!(size_of::<linux::termios>(), TERMIOS_SIZE);
        assert_eq!(size_of::<linux::termios2>(), TERMIOS2_SIZE);
        assert_eq!(size_of::<linux::termio>(), TERMIO_SIZE);
        assert_eq!(size_of::<linux::winsize>(), WINDOW_SIZE_SIZE);
    }

    #[test]
    fn structures_survive_a_round_trip() {
        let console = Termios::SERIAL_CONSOLE;
        assert_eq!(Termios::PTY.with_termios(&console.to_termios()), console);
        assert_eq!(Termios::PTY.with_termios2(&console.to_termios2()), console);
        let mut custom = console;
        custom.control = ControlFlags::from_bits_retain(
            (console.control.bits() & !linux::CBAUD) | linux::BOTHER | (linux::BOTHER << linux::IBSHIFT),
        );
        custom.input_speed = 1234;
        custom.output_speed = 98765;
        assert_eq!(Termios::PTY.with_termios2(&custom.to_termios2()), custom);
        let size = WindowSize { rows: 24, columns: 80, width: 1, height: 2 };
        assert_eq!(WindowSize::from_bytes(&size.to_bytes()), size);
    }

    #[test]
    fn termio_keeps_upper_halves() {
        let mut termios = Termios::STANDARD;
        termios.local |= LocalFlags::EXTPROC;
        let mut changed = termios;
        changed.local.remove(LocalFlags::ECHO);
        assert_eq!(termios.with_termio(&changed.to_termio()), changed);
    }

    #[test]
    fn speeds_follow_their_codes() {
        assert_eq!(speed_of(linux::B9600), 9600);
        assert_eq!(speed_of(linux::B115200), 115_200);
        assert_eq!(speed_of(linux::B4000000), 4_000_000);
        assert_eq!(speed_of(linux::B0), 0);
        let mut slow = Termios::STANDARD;
        slow.control =
            ControlFlags::from_bits_retain(linux::B300 | (linux::B1200 << linux::IBSHIFT) | linux::CS8);
        let slow = Termios::STANDARD.with_termios(&slow.to_termios());
        assert_eq!((slow.output_speed, slow.input_speed), (300, 1200));
    }
}
