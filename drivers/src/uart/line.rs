//! What the terminal wants of the line: speed, framing, modem lines, breaks.

use executor::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use uart_16550::spec::CLK_FREQUENCY_HZ;
use uart_16550::spec::registers::{LCR, MCR, MSR, Parity, WordLength};

use super::{PortIo, Uart};
use crate::tty::{ControlFlags, Line, ModemLines, Termios};

/// Settings of the chip, packed into one atomic word so that they can be changed from any task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub divisor: u16,
    pub line_control: LCR,
    pub modem_control: MCR,
    /// Send only while the other end says clear to send.
    pub needs_cts: bool,
}

impl Wanted {
    /// How the chip is brought up.
    pub const STANDARD: Self = Self {
        divisor: 1,
        line_control: LCR::from_bits_retain(0b11),
        modem_control: MCR::DTR.union(MCR::RTS).union(MCR::OUT_2_INT_ENABLE),
        needs_cts: false,
    };

    pub const fn to_bits(self) -> u64 {
        self.divisor as u64
            | (self.line_control.bits() as u64) << 16
            | (self.modem_control.bits() as u64) << 24
            | (self.needs_cts as u64) << 32
    }

    pub const fn from_bits(bits: u64) -> Self {
        Self {
            divisor: bits as u16,
            line_control: LCR::from_bits_retain((bits >> 16) as u8),
            modem_control: MCR::from_bits_retain((bits >> 24) as u8),
            needs_cts: bits >> 32 != 0,
        }
    }

    /// Nanoseconds that one byte takes on the wire: start bit, eight bits, parity, two stop bits at most.
    pub fn byte_time(self) -> u64 {
        let bits_per_second = u64::from(CLK_FREQUENCY_HZ / 16) / u64::from(self.divisor.max(1));
        12 * 1_000_000_000 / bits_per_second.max(1)
    }

    fn with_termios(self, termios: &Termios) -> Self {
        let control = termios.control;
        let has = |flag| control.contains(flag);
        let word_length = WordLength::from_raw_bits(
            ((control & ControlFlags::CSIZE).bits() >> ControlFlags::CSIZE.bits().trailing_zeros()) as u8,
        );
        let parity = match (has(ControlFlags::PARENB), has(ControlFlags::CMSPAR), has(ControlFlags::PARODD)) {
            (false, _, _) => Parity::Disabled,
            (true, false, true) => Parity::Odd,
            (true, false, false) => Parity::Even,
            (true, true, true) => Parity::Forced1,
            (true, true, false) => Parity::Forced0,
        };
        let mut line_control =
            (self.line_control & LCR::SET_BREAK).set_word_length(word_length).set_parity(parity);
        line_control.set(LCR::MORE_STOP_BITS, has(ControlFlags::CSTOPB));
        let mut modem_control = self.modem_control;
        // B0 hangs up: the speed stays, the line goes dead. Any other speed brings it back.
        let is_up = termios.output_speed != 0;
        let was_up = modem_control.contains(MCR::DTR);
        if is_up != was_up {
            modem_control.set(MCR::DTR | MCR::RTS, is_up);
        }
        let divisor = (CLK_FREQUENCY_HZ / 16).checked_div(termios.output_speed);
        Self {
            divisor: divisor.map_or(self.divisor, |divisor| divisor.clamp(1, 0xffff) as u16),
            line_control,
            modem_control,
            needs_cts: has(ControlFlags::CRTSCTS),
        }
    }
}

impl<P: PortIo> Uart<P> {
    pub(super) fn wanted(&self) -> Wanted {
        // Acquire: pairs with the change in `want`.
        Wanted::from_bits(self.wanted.load(Acquire))
    }

    fn want(&self, change: impl Fn(Wanted) -> Wanted) {
        // Only the word itself is shared; Acquire and Release for good measure cost nothing here.
        let _ =
            self.wanted.fetch_update(AcqRel, Acquire, |bits| Some(change(Wanted::from_bits(bits)).to_bits()));
        self.bell.ring();
    }
}

impl<P: PortIo> Line for Uart<P> {
    fn kick(&self) {
        self.bell.ring();
    }

    fn is_idle(&self) -> bool {
        !self.in_flight.load(Acquire)
    }

    fn configure(&self, termios: &Termios) {
        self.want(|wanted| wanted.with_termios(termios));
    }

    fn modem_lines(&self) -> ModemLines {
        let theirs = MSR::from_bits_retain(self.modem_status.load(Relaxed));
        let ours = self.wanted().modem_control;
        [
            (ModemLines::DTR, ours.contains(MCR::DTR)),
            (ModemLines::RTS, ours.contains(MCR::RTS)),
            (ModemLines::CTS, theirs.contains(MSR::CTS)),
            (ModemLines::CAR, theirs.contains(MSR::CD)),
            (ModemLines::RNG, theirs.contains(MSR::RI)),
            (ModemLines::DSR, theirs.contains(MSR::DSR)),
        ]
        .into_iter()
        .filter(|&(_, is_up)| is_up)
        .map(|(line, _)| line)
        .collect()
    }

    fn set_modem_lines(&self, mask: ModemLines, lines: ModemLines) {
        self.want(|mut wanted| {
            for (line, bit) in [(ModemLines::DTR, MCR::DTR), (ModemLines::RTS, MCR::RTS)] {
                if mask.contains(line) {
                    wanted.modem_control.set(bit, lines.contains(line));
                }
            }
            wanted
        });
    }

    fn set_break(&self, on: bool) {
        self.want(|mut wanted| {
            wanted.line_control.set(LCR::SET_BREAK, on);
            wanted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_packing() {
        let mut termios = Termios::SERIAL_CONSOLE;
        assert_eq!(Wanted::STANDARD.with_termios(&termios), Wanted::STANDARD);
        termios.control |= ControlFlags::CRTSCTS | ControlFlags::PARENB | ControlFlags::CSTOPB;
        termios.output_speed = 9600;
        let wanted = Wanted::STANDARD.with_termios(&termios);
        assert_eq!((wanted.divisor, wanted.line_control.bits(), wanted.needs_cts), (12, 0b1_1111, true));
        assert_eq!(Wanted::from_bits(wanted.to_bits()), wanted);
        assert_eq!(wanted.byte_time(), 1_250_000);
    }

    #[test]
    fn speed_zero_drops_the_line_and_the_next_raises_it() {
        let mut termios = Termios::SERIAL_CONSOLE;
        termios.output_speed = 0;
        let hung_up = Wanted::STANDARD.with_termios(&termios);
        assert_eq!(hung_up.modem_control, MCR::OUT_2_INT_ENABLE);
        assert_eq!(hung_up.divisor, 1);
        assert_eq!(hung_up.with_termios(&Termios::SERIAL_CONSOLE), Wanted::STANDARD);
    }
}
