//! The side of a terminal that faces the line: what a driver calls, and what it offers.

use super::discipline::LineFault;
use super::terminal::{State, Tty};
use super::termios::{ControlFlags, Termios};

use bitflags::bitflags;

bitflags! {
    /// Modem control lines, with the values of `TIOCM_*` (`ioctl_tty(2)`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ModemLines: u32 {
        /// Data terminal ready (ours).
        const DTR = linux_raw_sys::general::TIOCM_DTR;
        /// Request to send (ours).
        const RTS = linux_raw_sys::general::TIOCM_RTS;
        /// Clear to send (theirs).
        const CTS = linux_raw_sys::general::TIOCM_CTS;
        /// Carrier detect (theirs).
        const CAR = linux_raw_sys::general::TIOCM_CAR;
        /// Ring indicator (theirs).
        const RNG = linux_raw_sys::general::TIOCM_RNG;
        /// Data set ready (theirs).
        const DSR = linux_raw_sys::general::TIOCM_DSR;
    }
}

/// What a terminal asks of the driver of its line. The methods only note what is wanted and wake the driver's task:
/// they are called with the terminal's spin lock held, so they neither wait nor call back.
pub trait Line: Send + Sync {
    /// Output waits in the terminal, or room for input was made.
    fn kick(&self);

    /// Whether everything taken from the terminal has left through the wire.
    fn is_idle(&self) -> bool;

    /// Speed and framing changed. Applied between two bytes that are sent, in order with them.
    fn configure(&self, termios: &Termios);

    /// The modem lines as they are now.
    fn modem_lines(&self) -> ModemLines;

    /// Raises and lowers our modem lines: those in `mask` become as in `lines`. Others than DTR and RTS stay.
    fn set_modem_lines(&self, mask: ModemLines, lines: ModemLines);

    /// Begins or ends a break: the line held at zero.
    fn set_break(&self, on: bool);
}

/// What drivers of lines call. From tasks, not from interrupt handlers: these take the terminal's lock.
impl Tty {
    /// Hands over bytes that came in. Returns how many were taken; the rest is to be offered again after the next
    /// [`Line::kick`].
    pub fn receive(&self, bytes: &[u8]) -> usize {
        self.with(|state| state.receive(bytes))
    }

    /// Reports a break or a damaged byte, in its place among the bytes given to [`Self::receive`]. False: there is no
    /// room for it now; it is to be offered again as bytes are.
    pub fn receive_fault(&self, fault: LineFault) -> bool {
        self.with(|state| state.receive_fault(fault))
    }

    /// Moves up to `buffer.len()` bytes of output into `buffer` and says how many. 0: nothing to send, or output is
    /// stopped.
    pub fn take_output(&self, buffer: &mut [u8]) -> usize {
        self.with(|state| state.take_output(buffer))
    }

    /// Writes a message of the system's own, which no job control and no writer's turn holds up. Returns the bytes
    /// there was room for.
    pub fn print(&self, bytes: &[u8]) -> usize {
        self.with(|state| state.discipline.write(bytes))
    }

    /// The line has become idle: who waits for output to drain looks again.
    pub fn output_drained(&self) {
        self.look(State::wake_writers);
    }

    /// The carrier came or went. A lost carrier hangs up, unless CLOCAL says that there is none.
    pub fn carrier_changed(&self, is_there: bool) {
        let ignores_carrier = self.look(|state| state.termios().control.contains(ControlFlags::CLOCAL));
        if !is_there && !ignores_carrier {
            self.hang_up();
        }
    }
}
