//! Seeded choices: the same seed makes the same test.

use drivers::tty::{InputFlags, LocalFlags, OutputFlags, Special, Termios};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A byte that terminals care about more often than chance would have it.
    pub fn byte(&mut self) -> u8 {
        const TELLING: &[u8] =
            b"\n\n\n\r\t\t\x08\x7f\x7f\x7f\x04\x04\x15\x17\x17\x12\x16\x16\x03\x1c\x1a\x11\x13\x00\xff";
        match self.below(10) {
            0..4 => b'a' + self.below(6) as u8,
            4 => self.pick(b"_ AZ09.-"),
            5 => self.pick(&[0xc3, 0xa4, 0xe2, 0x82, 0xac, 0x80, 0xdf]),
            6..9 => self.pick(TELLING),
            _ => self.next() as u8,
        }
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Settings: sometimes the usual ones, sometimes anything.
    pub fn termios(&mut self) -> Termios {
        let mut termios = Termios::PTY;
        let flips = self.pick(&[0, 1, 3, 10, 30]);
        for _ in 0..flips {
            match self.below(3) {
                0 => termios.input.toggle(self.pick(&[
                    InputFlags::ISTRIP,
                    InputFlags::INLCR,
                    InputFlags::IGNCR,
                    InputFlags::ICRNL,
                    InputFlags::IUCLC,
                    InputFlags::IXON,
                    InputFlags::IXANY,
                    InputFlags::IXOFF,
                    InputFlags::IUTF8,
                    InputFlags::PARMRK,
                    InputFlags::INPCK,
                ])),
                1 => termios.output.toggle(self.pick(&[
                    OutputFlags::OPOST,
                    OutputFlags::OLCUC,
                    OutputFlags::ONLCR,
                    OutputFlags::OCRNL,
                    OutputFlags::ONOCR,
                    OutputFlags::ONLRET,
                    OutputFlags::XTABS,
                ])),
                _ => termios.local.toggle(self.pick(&[
                    LocalFlags::ISIG,
                    LocalFlags::ICANON,
                    LocalFlags::ECHO,
                    LocalFlags::ECHOE,
                    LocalFlags::ECHOK,
                    LocalFlags::ECHONL,
                    LocalFlags::NOFLSH,
                    LocalFlags::ECHOCTL,
                    LocalFlags::ECHOPRT,
                    LocalFlags::ECHOKE,
                    LocalFlags::IEXTEN,
                ])),
            }
        }
        if self.percent(20) {
            let which = self.pick(&[
                Special::Erase,
                Special::Kill,
                Special::EndOfFile,
                Special::EndOfLine,
                Special::EndOfLine2,
                Special::WordErase,
                Special::LiteralNext,
                Special::Reprint,
                Special::Start,
                Special::Stop,
                Special::Interrupt,
            ]);
            termios.characters[which as usize] = self.byte();
        }
        termios.characters[Special::Minimum as usize] = self.below(4) as u8;
        termios
    }
}
