//! Anything at all done to a pseudo-terminal, in any order and size: nothing panics, no byte appears from nowhere,
//! and what is promised about room and readiness is kept.

#[path = "against_linux/random.rs"]
mod random;
mod support;

use drivers::tty::{LineFault, Master, OpenAs, OpenTty, PtyTable};
use executor::sync::Events;
use linux_raw_sys::ioctl;
use random::Random;
use support::{Jobs, STRANGER};
use syscalls::Errno;

struct Session {
    master: Master,
    slave: OpenTty,
    typed: usize,
    read: usize,
}

impl Session {
    fn new() -> Self {
        let master = PtyTable::new(Jobs::new()).open_master().expect("a pair");
        master.control(&STRANGER, ioctl::TIOCSPTLCK, 0, &mut [0; _]).expect("unlocked");
        let slave = master.open_slave(OpenAs::default()).expect("open");
        Self { master, slave, typed: 0, read: 0 }
    }

    fn step(&mut self, random: &mut Random) {
        let size = random.pick(&[1, 1, 10, 100, 1000, 5000, 20_000]);
        match random.below(16) {
            0..5 => {
                let bytes = random.bytes(size);
                self.typed += match self.master.try_write(&bytes) {
                    Ok(count) => count,
                    Err(error) => {
                        assert_eq!(error, Errno::EAGAIN);
                        assert!(!self.master.events().contains(Events::OUT));
                        0
                    }
                };
            }
            5..8 => {
                let bytes = random.bytes(size);
                match self.slave.try_write(&STRANGER, &bytes) {
                    Ok(count) => assert!(count > 0 && count <= bytes.len()),
                    Err(error) => {
                        // Waiting echo may have taken the room that poll saw; but now poll knows, too.
                        assert_eq!(error, Errno::EAGAIN);
                        assert!(!self.slave.events().contains(Events::OUT), "a writer would spin");
                    }
                }
            }
            8..11 => {
                let mut buffer = vec![0; size];
                let was_readable = self.slave.events().contains(Events::IN);
                match self.slave.try_read(&STRANGER, &mut buffer) {
                    Ok(count) => self.read += count,
                    Err(error) => {
                        assert_eq!(error, Errno::EAGAIN);
                        assert!(!was_readable, "poll said that a read would not wait");
                    }
                }
            }
            11 | 12 => {
                let mut buffer = vec![0; size];
                let was_readable = self.master.events().contains(Events::IN);
                let result = self.master.try_read(&mut buffer);
                assert_eq!(result.is_ok(), was_readable);
            }
            13 => {
                let fault =
                    random.pick(&[LineFault::Break, LineFault::Damaged(b'x'), LineFault::Damaged(0xff)]);
                self.typed += usize::from(self.slave.tty().receive_fault(fault));
            }
            14 => self.slave.flush(random.percent(50), random.percent(50)),
            _ => self.slave.tty().set_termios(random.termios()),
        }
        // PARMRK makes three bytes of one at most.
        assert!(self.read <= 3 * self.typed, "{} bytes read of {} typed", self.read, self.typed);
    }
}

#[test]
fn nothing_breaks_a_terminal() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut session = Session::new();
        for _ in 0..200 {
            session.step(&mut random);
        }
    }
}
