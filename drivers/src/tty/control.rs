//! ioctl(2) on terminals: numbers and user-space structures mapped to what terminals do (`ioctl_tty(2)`).
//!
//! The caller moves the bytes to and from user space: [`Transfer::of`] says how many, [`Payload`] holds them.

use linux_raw_sys::{general as linux, ioctl};
use syscalls::Errno;

use super::job::{Caller, Pid, Signal};
use super::line::{Line, ModemLines};
use super::open::OpenTty;
use super::pty::Master;
use super::terminal::Tty;
use super::termios::{
    ControlFlags, LocalFlags, TERMIO_SIZE, TERMIOS_SIZE, TERMIOS2_SIZE, Termios, WINDOW_SIZE_SIZE, WindowSize,
};

/// Bytes of the largest structure that a terminal's ioctl reads or writes.
pub const PAYLOAD_SIZE: usize = TERMIOS2_SIZE;

/// The structure that the ioctl's argument points to, in user space's layout.
pub type Payload = [u8; PAYLOAD_SIZE];

/// Which way the structure behind an ioctl's argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Neither: the argument is a number, or not used.
    None,
    /// So many bytes are to be copied from user space before the call.
    In(usize),
    /// So many bytes are to be copied to user space after a successful call.
    Out(usize),
}

/// The layouts of terminal settings.
#[derive(Clone, Copy)]
enum Layout {
    Termios,
    Termios2,
    Termio,
}

/// When changed settings take effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    Drained,
    DrainedAndFlushed,
}

enum Settings {
    Get(Layout),
    Set(Layout, When),
}

impl Settings {
    const fn of(request: u32) -> Option<Self> {
        use {Layout::*, When::*};
        Some(match request {
            ioctl::TCGETS => Self::Get(Termios),
            ioctl::TCSETS => Self::Set(Termios, Now),
            ioctl::TCSETSW => Self::Set(Termios, Drained),
            ioctl::TCSETSF => Self::Set(Termios, DrainedAndFlushed),
            ioctl::TCGETS2 => Self::Get(Termios2),
            ioctl::TCSETS2 => Self::Set(Termios2, Now),
            ioctl::TCSETSW2 => Self::Set(Termios2, Drained),
            ioctl::TCSETSF2 => Self::Set(Termios2, DrainedAndFlushed),
            ioctl::TCGETA => Self::Get(Termio),
            ioctl::TCSETA => Self::Set(Termio, Now),
            ioctl::TCSETAW => Self::Set(Termio, Drained),
            ioctl::TCSETAF => Self::Set(Termio, DrainedAndFlushed),
            _ => return None,
        })
    }
}

impl Layout {
    const fn size(self) -> usize {
        match self {
            Self::Termios => TERMIOS_SIZE,
            Self::Termios2 => TERMIOS2_SIZE,
            Self::Termio => TERMIO_SIZE,
        }
    }

    fn write(self, termios: &Termios, payload: &mut Payload) {
        match self {
            Self::Termios => payload[..TERMIOS_SIZE].copy_from_slice(&termios.to_termios()),
            Self::Termios2 => payload.copy_from_slice(&termios.to_termios2()),
            Self::Termio => payload[..TERMIO_SIZE].copy_from_slice(&termios.to_termio()),
        }
    }

    fn read(self, old: &Termios, payload: &Payload) -> Termios {
        match self {
            Self::Termios => old.with_termios(&prefix(payload)),
            Self::Termios2 => old.with_termios2(payload),
            Self::Termio => old.with_termio(&prefix(payload)),
        }
    }
}

impl Transfer {
    /// What to copy for `request`; None for requests that no terminal knows (ENOTTY).
    pub const fn of(request: u32) -> Option<Self> {
        match Settings::of(request) {
            Some(Settings::Get(layout)) => return Some(Self::Out(layout.size())),
            Some(Settings::Set(layout, _)) => return Some(Self::In(layout.size())),
            None => {}
        }
        Some(match request {
            ioctl::TIOCGWINSZ => Self::Out(WINDOW_SIZE_SIZE),
            ioctl::TIOCSWINSZ => Self::In(WINDOW_SIZE_SIZE),
            ioctl::TIOCGLCKTRMIOS => Self::Out(TERMIOS_SIZE),
            ioctl::TIOCSLCKTRMIOS => Self::In(TERMIOS_SIZE),
            ioctl::TIOCGPGRP
            | ioctl::TIOCGSID
            | ioctl::FIONREAD
            | ioctl::TIOCOUTQ
            | ioctl::TIOCGETD
            | ioctl::TIOCGEXCL
            | ioctl::TIOCMGET
            | ioctl::TIOCGSOFTCAR
            | ioctl::TIOCGDEV
            | ioctl::TIOCGPTN
            | ioctl::TIOCGPTLCK
            | ioctl::TIOCGPKT => Self::Out(4),
            ioctl::TIOCSPGRP
            | ioctl::TIOCSETD
            | ioctl::TIOCMSET
            | ioctl::TIOCMBIS
            | ioctl::TIOCMBIC
            | ioctl::TIOCSSOFTCAR
            | ioctl::TIOCSPTLCK
            | ioctl::TIOCPKT => Self::In(4),
            ioctl::TCSBRK
            | ioctl::TCSBRKP
            | ioctl::TCXONC
            | ioctl::TCFLSH
            | ioctl::TIOCSBRK
            | ioctl::TIOCCBRK
            | ioctl::TIOCSCTTY
            | ioctl::TIOCNOTTY
            | ioctl::TIOCEXCL
            | ioctl::TIOCNXCL
            | ioctl::TIOCSTI
            | ioctl::TIOCSIG
            | ioctl::TIOCVHANGUP
            | ioctl::TIOCGPTPEER => Self::None,
            _ => return None,
        })
    }
}

fn prefix<const N: usize>(payload: &Payload) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&payload[..N]);
    bytes
}

fn int(payload: &Payload) -> i32 {
    i32::from_ne_bytes(prefix(payload))
}

fn answer(payload: &mut Payload, value: impl TryInto<i32>) {
    let value = value.try_into().unwrap_or(i32::MAX);
    payload[..4].copy_from_slice(&value.to_ne_bytes());
}

impl Tty {
    /// Changes the settings that are not locked, as far as the terminal can do what they ask: EXTPROC never sticks, nor
    /// does any line discipline but `N_TTY`, and a pseudo-terminal always has eight bits without parity.
    pub fn set_termios(&self, termios: Termios) {
        let mut termios = self.look(|state| termios.unless_locked(&state.locked, state.discipline.termios()));
        termios.line = 0;
        termios.local.remove(LocalFlags::EXTPROC);
        match &self.line {
            Some(line) => line.configure(&termios),
            None => {
                termios.control.remove(ControlFlags::CSIZE | ControlFlags::PARENB);
                termios.control.insert(ControlFlags::CS8 | ControlFlags::CREAD);
            }
        }
        self.with(|state| {
            state.discipline.set_termios(termios);
            // Other settings may make waiting readers and writers ready.
            state.attachment.readers.wake_all();
            state.wake_writers();
        });
    }

    /// Locks settings; those that are 0 in the structure can be changed again.
    fn set_locked_settings(&self, caller: &Caller, payload: &Payload) -> Result<(), Errno> {
        if !caller.is_admin {
            return Err(Errno::EPERM);
        }
        let locked = Termios::NONE.with_termios(&prefix(payload));
        self.with(|state| state.locked = locked);
        Ok(())
    }

    fn device_number(&self) -> u32 {
        let (major, minor) = self.device();
        (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
    }
}

impl OpenTty {
    /// Carries out the ioctl `request`. `argument` is the number given, `payload` what it points to, copied as
    /// [`Transfer::of`] says. Requests that drain output wait; all others are done when first polled.
    ///
    /// # Errors
    /// ENOTTY for requests that terminals do not know; EIO after a hangup; what the requests themselves say, among it
    /// ERESTARTSYS for changes by a background process, which was sent SIGTTOU.
    pub async fn control(
        &self,
        caller: &Caller,
        request: u32,
        argument: usize,
        payload: &mut Payload,
    ) -> Result<(), Errno> {
        if self.is_hung_up() {
            return Err(if request == ioctl::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        match Settings::of(request) {
            Some(Settings::Get(layout)) => {
                layout.write(&self.tty().termios(), payload);
                return Ok(());
            }
            Some(Settings::Set(layout, when)) => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                if when != When::Now {
                    self.drain().await?;
                }
                if when == When::DrainedAndFlushed {
                    self.flush(true, false);
                }
                self.tty().set_termios(layout.read(&self.tty().termios(), payload));
                return Ok(());
            }
            None => {}
        }
        match request {
            ioctl::TCSBRK | ioctl::TCSBRKP => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                self.drain().await?;
                let duration = if request == ioctl::TCSBRKP { argument } else { 0 };
                if request == ioctl::TCSBRKP || argument == 0 {
                    self.send_break(duration).await;
                }
                Ok(())
            }
            ioctl::TIOCSBRK | ioctl::TIOCCBRK => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                if request == ioctl::TIOCSBRK {
                    self.drain().await?;
                }
                self.wire().map(|line| line.set_break(request == ioctl::TIOCSBRK))
            }
            _ => self.control_now(caller, request, argument, payload),
        }
    }

    /// A break of `tenths` of a second (a quarter of a second for 0). Pseudo-terminals have no breaks.
    async fn send_break(&self, tenths: usize) {
        let Ok(line) = self.wire() else { return };
        let milliseconds = if tenths == 0 { 250 } else { (tenths as u64).min(600) * 100 };
        /// Ends the break also when the wait is cancelled.
        struct Break<'a>(&'a dyn Line);
        impl Drop for Break<'_> {
            fn drop(&mut self) {
                self.0.set_break(false);
            }
        }
        line.set_break(true);
        let _break = Break(line);
        executor::sleep(core::time::Duration::from_millis(milliseconds)).await;
    }

    /// The line's driver, for what only wires have.
    fn wire(&self) -> Result<&dyn Line, Errno> {
        self.tty().line.as_deref().ok_or(Errno::ENOTTY)
    }

    fn control_now(
        &self,
        caller: &Caller,
        request: u32,
        argument: usize,
        payload: &mut Payload,
    ) -> Result<(), Errno> {
        let tty = self.tty();
        match request {
            ioctl::TIOCGWINSZ => payload[..WINDOW_SIZE_SIZE].copy_from_slice(&tty.window().to_bytes()),
            ioctl::TIOCSWINSZ => tty.set_window(WindowSize::from_bytes(&prefix(payload))),
            ioctl::TIOCGLCKTRMIOS => Layout::Termios.write(&tty.look(|state| state.locked), payload),
            ioctl::TIOCSLCKTRMIOS => tty.set_locked_settings(caller, payload)?,
            ioctl::TIOCSCTTY => self.acquire(caller, argument == 1)?,
            ioctl::TIOCNOTTY => self.release(caller)?,
            ioctl::TIOCGPGRP => answer(payload, self.foreground(caller)?),
            ioctl::TIOCSPGRP => self.set_foreground(caller, int(payload))?,
            ioctl::TIOCGSID => answer(payload, self.session(caller)?),
            ioctl::FIONREAD => answer(payload, tty.look(|state| state.discipline.readable())),
            ioctl::TIOCOUTQ => {
                let queued = tty.look(|state| state.discipline.queued_output());
                answer(payload, if tty.line.is_some() { queued } else { 0 });
            }
            ioctl::TCFLSH => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                match argument as u32 {
                    linux::TCIFLUSH => self.flush(true, false),
                    linux::TCOFLUSH => self.flush(false, true),
                    linux::TCIOFLUSH => self.flush(true, true),
                    _ => return Err(Errno::EINVAL),
                }
            }
            ioctl::TCXONC => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                match argument as u32 {
                    linux::TCOOFF => tty.with(|state| state.discipline.hold_output()),
                    linux::TCOON => tty.with(|state| state.discipline.release_output()),
                    linux::TCIOFF => tty.with(|state| state.discipline.ask_sender(true)),
                    linux::TCION => tty.with(|state| state.discipline.ask_sender(false)),
                    _ => return Err(Errno::EINVAL),
                }
            }
            ioctl::TIOCEXCL => tty.with(|state| state.is_exclusive = true),
            ioctl::TIOCNXCL => tty.with(|state| state.is_exclusive = false),
            ioctl::TIOCGEXCL => answer(payload, i32::from(tty.look(|state| state.is_exclusive))),
            ioctl::TIOCGETD => answer(payload, 0),
            ioctl::TIOCSETD => {
                self.check_background(caller, Signal::BackgroundWrite)?;
                if int(payload) != 0 {
                    return Err(Errno::EINVAL);
                }
            }
            ioctl::TIOCGDEV => answer(payload, tty.device_number()),
            ioctl::TIOCVHANGUP if caller.is_admin => tty.hang_up(),
            // Typing for others is refused, as by a Linux without legacy TIOCSTI.
            ioctl::TIOCSTI => return Err(Errno::EIO),
            ioctl::TIOCVHANGUP => return Err(Errno::EPERM),
            ioctl::TIOCGSOFTCAR => {
                answer(payload, i32::from(tty.termios().control.contains(ControlFlags::CLOCAL)));
            }
            ioctl::TIOCSSOFTCAR => {
                let mut termios = tty.termios();
                termios.control.set(ControlFlags::CLOCAL, int(payload) != 0);
                tty.set_termios(termios);
            }
            ioctl::TIOCMGET => answer(payload, self.wire()?.modem_lines().bits() as i32),
            ioctl::TIOCMSET | ioctl::TIOCMBIS | ioctl::TIOCMBIC => {
                let line = self.wire()?;
                let given = ModemLines::from_bits_truncate(int(payload) as u32);
                match request {
                    ioctl::TIOCMSET => line.set_modem_lines(ModemLines::all(), given),
                    ioctl::TIOCMBIS => line.set_modem_lines(given, given),
                    _ => line.set_modem_lines(given, ModemLines::empty()),
                }
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(())
    }

    /// Drops input not read and output not sent (TCFLSH).
    pub fn flush(&self, input: bool, output: bool) {
        self.tty().with(|state| {
            if input {
                state.discipline.flush_input();
            }
            if output {
                state.discipline.flush_output();
                state.wake_writers();
            }
        });
    }
}

impl Master {
    /// As [`OpenTty::control`], on the master: settings, window and groups are the slave's. Never waits.
    ///
    /// TIOCGPTPEER is the caller's to do, with [`Master::open_slave`].
    ///
    /// # Errors
    /// ENOTTY for requests that masters do not know, and what the requests themselves say.
    pub fn control(
        &self,
        caller: &Caller,
        request: u32,
        argument: usize,
        payload: &mut Payload,
    ) -> Result<(), Errno> {
        let tty = self.tty();
        match Settings::of(request) {
            Some(Settings::Get(layout)) => {
                layout.write(&tty.termios(), payload);
                return Ok(());
            }
            Some(Settings::Set(layout, when)) => {
                if when == When::DrainedAndFlushed {
                    self.flush(true, false);
                }
                tty.set_termios(layout.read(&tty.termios(), payload));
                return Ok(());
            }
            None => {}
        }
        match request {
            ioctl::TIOCGPTN => answer(payload, self.index()),
            ioctl::TIOCSPTLCK => self.set_locked(int(payload) != 0),
            ioctl::TIOCGPTLCK => answer(payload, i32::from(self.is_locked())),
            ioctl::TIOCPKT => self.set_packet_mode(int(payload) != 0),
            ioctl::TIOCGPKT => answer(payload, i32::from(self.in_packet_mode())),
            ioctl::TIOCSIG => self.send_signal(argument)?,
            ioctl::TIOCGWINSZ => payload[..WINDOW_SIZE_SIZE].copy_from_slice(&tty.window().to_bytes()),
            ioctl::TIOCSWINSZ => tty.set_window(WindowSize::from_bytes(&prefix(payload))),
            ioctl::TIOCGLCKTRMIOS => Layout::Termios.write(&tty.look(|state| state.locked), payload),
            ioctl::TIOCSLCKTRMIOS => tty.set_locked_settings(caller, payload)?,
            ioctl::TIOCGPGRP => answer(payload, tty.foreground()),
            ioctl::TIOCGSID => match tty.session() {
                0 => return Err(Errno::ENOTTY),
                session => answer(payload, session),
            },
            ioctl::TIOCSPGRP => self.set_foreground(caller, int(payload))?,
            ioctl::FIONREAD => answer(payload, tty.look(|state| state.discipline.queued_output())),
            ioctl::TIOCOUTQ | ioctl::TIOCGETD => answer(payload, 0),
            ioctl::TCFLSH => match argument as u32 {
                linux::TCIFLUSH => self.flush(true, false),
                linux::TCOFLUSH => self.flush(false, true),
                linux::TCIOFLUSH => self.flush(true, true),
                _ => return Err(Errno::EINVAL),
            },
            ioctl::TIOCGDEV => {
                // /dev/ptmx
                answer(payload, (5 << 8) | 2);
            }
            ioctl::TCSBRK | ioctl::TCSBRKP => {}
            _ => return Err(Errno::ENOTTY),
        }
        Ok(())
    }

    fn set_foreground(&self, caller: &Caller, group: Pid) -> Result<(), Errno> {
        let session = self.tty().session();
        if !OpenTty::is_controlling(caller, session) {
            return Err(Errno::ENOTTY);
        }
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        match self.tty().jobs.session_of(group) {
            None => Err(Errno::ESRCH),
            Some(owner) if owner != session => Err(Errno::EPERM),
            Some(_) => {
                self.tty().with(|state| state.foreground = group);
                Ok(())
            }
        }
    }
}
