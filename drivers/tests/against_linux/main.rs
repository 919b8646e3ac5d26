//! The line discipline against the real thing: the same seeded input, output, settings and reads go to a
//! pseudo-terminal of the host's Linux and to ours, and everything that comes back has to be the same.
//!
//! Linux moves bytes between the ends in a kernel worker, so its answer may come a moment late. Where that shows, the
//! scenario is played again with pauses for the worker; a true difference shows every time.

mod host;
mod model;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use drivers::tty::{InputFlags, LocalFlags, Special, Termios};
use host::{End, HostPty};
use model::Model;
use random::Random;

/// The two terminals and what has been done to them.
struct Pair {
    host: HostPty,
    model: Model,
    /// How long the host's worker gets after each step.
    pause: Duration,
    in_packets: bool,
    history: Vec<String>,
}

impl Pair {
    /// Waits until Linux's worker has brought as many bytes to each end as we did, but not for ever.
    fn settle(&self) {
        std::thread::sleep(self.pause);
        let patience = Instant::now() + Duration::from_millis(20);
        loop {
            // Looking at an unreadable end makes Linux wait for its worker.
            self.host.poll(End::Slave);
            self.host.poll(End::Master);
            let is_level = self.host.readable(End::Slave) == self.model.readable()
                && self.host.readable(End::Master) == self.model.queued_output();
            if is_level || Instant::now() > patience {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, linux: &T, ours: &T) -> Result<(), String> {
        self.history.push(format!("{what}: {ours:?}"));
        if linux == ours {
            return Ok(());
        }
        let shown = self.history.len().saturating_sub(25);
        Err(format!(
            "{what}:\n  Linux {linux:?}\n  ours  {ours:?}\n  {:?}\nafter\n  {}",
            self.model.termios(),
            self.history[shown..].join("\n  ")
        ))
    }

    /// Everything that has come out for the master's reader.
    fn compare_output(&mut self) -> Result<(), String> {
        let linux = collect(self.in_packets, || self.host.read(End::Master, 4096).ok());
        let ours = collect(self.in_packets, || self.model.read_master(4096).ok());
        self.compare("output", &linux, &ours)
    }

    fn compare_read(&mut self, wanted: usize) -> Result<(), String> {
        let linux = self.host.read(End::Slave, wanted).map(Text);
        let ours = self.model.read(wanted).map(Text);
        self.compare(&format!("read {wanted}"), &linux, &ours)?;
        self.settle();
        self.compare_output()
    }

    fn compare_write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let linux = self.host.write(End::Slave, bytes);
        let ours = self.model.write(bytes);
        self.compare(&format!("write {:?}", Text(bytes.to_vec())), &linux, &ours)?;
        self.settle();
        self.compare_output()
    }

    fn set_termios(&mut self, termios: Termios) {
        self.host.set_termios(&termios);
        self.model.set_termios(termios);
        self.history.push(format!("settings {termios:?}"));
    }

    fn close_slave(&mut self) {
        self.host.close(End::Slave);
        self.model.close_slave();
    }

    fn open_slave(&mut self) {
        self.host.open_slave();
        self.model.open_slave();
    }

    fn close_master(&mut self) {
        self.host.close(End::Master);
        self.model.close_master();
    }

    /// What the master sees: poll, then a read.
    fn compare_master_state(&mut self, what: &str) -> Result<(), String> {
        let linux = self.host.poll(End::Master);
        let ours = self.model.poll_master();
        self.compare(&format!("poll of the master, {what}"), &linux, &ours)?;
        let linux = self.host.read(End::Master, 100).map(Text);
        let ours = self.model.read_master(100).map(Text);
        self.compare(&format!("read of the master, {what}"), &linux, &ours)
    }

    fn compare_state(&mut self) -> Result<(), String> {
        let linux = self.host.readable(End::Slave);
        let ours = self.model.readable();
        self.compare("FIONREAD", &linux, &ours)?;
        let linux = self.host.poll(End::Slave);
        let ours = self.model.poll();
        self.compare("poll", &linux, &ours)?;
        let linux = self.host.poll(End::Master);
        let ours = self.model.poll_master();
        self.compare("poll of the master", &linux, &ours)
    }

    fn type_in(&mut self, bytes: &[u8]) -> Result<(), String> {
        let linux = self.host.write(End::Master, bytes);
        let ours = self.model.type_in(bytes);
        self.compare(&format!("type {:?}", Text(bytes.to_vec())), &linux, &ours)?;
        self.settle();
        self.compare_output()
    }

    fn step(&mut self, random: &mut Random) -> Result<(), String> {
        match random.below(21) {
            0..8 => {
                let count = random.pick(&[1, 1, 2, 5, 20, 60]);
                let bytes = random.bytes(count);
                // A signal flushes output that Linux's worker has not delivered yet, which is a matter of luck:
                // give it time before each.
                let termios = *self.model.termios();
                for part in bytes.chunk_by(|_, &next| !is_flushing(&termios, next)) {
                    self.type_in(part)?;
                }
            }
            8..11 => {
                let count = random.pick(&[1, 7, 30]);
                let bytes = random.bytes(count);
                self.compare_write(&bytes)?;
            }
            11..16 => {
                let wanted = random.pick(&[1, 2, 3, 5, 10, 60, 4096]);
                self.compare_read(wanted)?;
            }
            16 | 17 => {
                let termios = random.termios();
                self.set_termios(termios);
                self.settle();
                self.compare_output()?;
            }
            18 => {
                // TCXONC: the four actions.
                let action = random.below(4) as i32;
                let linux = self.host.control(End::Slave, libc::TCXONC, action);
                let ours = self.model.control(libc::TCXONC as u32, action as usize, &mut [0; _]).map(|()| 0);
                self.compare(&format!("TCXONC {action}"), &linux, &ours)?;
                self.settle();
                self.compare_output()?;
            }
            19 => {
                self.in_packets = random.percent(50);
                let mode = i32::from(self.in_packets);
                let linux = self.host.set_int(End::Master, libc::TIOCPKT, mode);
                self.model.set_packet_mode(mode);
                self.compare(&format!("TIOCPKT {mode}"), &linux, &Ok(0))?;
            }
            _ => {
                let queue = random.pick(&[libc::TCIFLUSH, libc::TCOFLUSH, libc::TCIOFLUSH]);
                let linux = self.host.control(End::Slave, libc::TCFLSH, queue);
                let ours = self.model.control(libc::TCFLSH as u32, queue as usize, &mut [0; _]).map(|()| 0);
                self.compare(&format!("TCFLSH {queue}"), &linux, &ours)?;
                self.settle();
            }
        }
        self.compare_state()
    }
}

/// Whether typing this byte may flush the queues.
fn is_flushing(termios: &Termios, byte: u8) -> bool {
    let signals = [Special::Interrupt, Special::Quit, Special::Suspend];
    // ISTRIP and IUCLC may turn other bytes into it.
    let forms = [byte, byte & 0x7f, byte.to_ascii_lowercase(), (byte & 0x7f).to_ascii_lowercase()];
    termios.has_local(LocalFlags::ISIG)
        && signals.iter().any(|&which| forms.contains(&termios.character(which)))
}

/// What a master's reader gets until there is nothing more.
#[derive(Debug, PartialEq)]
struct Output {
    data: Text,
    /// The status bytes of packet mode.
    statuses: Vec<u8>,
}

fn collect(in_packets: bool, mut read: impl FnMut() -> Option<Vec<u8>>) -> Output {
    let (mut data, mut statuses) = (Vec::new(), Vec::new());
    while let Some(bytes) = read() {
        match bytes.split_first() {
            Some((0, rest)) if in_packets => data.extend(rest),
            Some((status, [])) if in_packets => statuses.push(*status),
            _ => data.extend(bytes),
        }
    }
    Output { data: Text(data), statuses }
}

/// Bytes shown as text.
#[derive(PartialEq)]
struct Text(Vec<u8>);

impl Debug for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

/// A fresh pair with the same settings on both sides, or None (and a word why) without pseudo-terminals.
fn pair(pause: Duration) -> Option<Pair> {
    let Some(host) = HostPty::open() else {
        println!("skipped: this host has no usable /dev/ptmx");
        return None;
    };
    host.set_termios(&Termios::PTY);
    Some(Pair { host, model: Model::new(), pause, in_packets: false, history: Vec::new() })
}

/// Plays a scenario, and again with longer pauses when it fails. Fails when it fails every time.
fn play(scenario: impl Fn(&mut Pair) -> Result<(), String>) {
    let mut failure = String::new();
    for pause in [0, 5, 40].map(Duration::from_millis) {
        let Some(mut pair) = pair(pause) else { return };
        match scenario(&mut pair) {
            Ok(()) => return,
            Err(difference) => failure = difference,
        }
    }
    panic!("{failure}");
}

/// How many random sessions to play: RUSK_TTY_SEEDS, or enough for every day.
fn seeds() -> u64 {
    std::env::var("RUSK_TTY_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

#[test]
fn random_sessions_look_the_same() {
    for seed in 0..seeds() {
        play(|pair| {
            let mut random = Random(seed);
            for _ in 0..60 {
                pair.step(&mut random).map_err(|difference| format!("seed {seed}: {difference}"))?;
            }
            Ok(())
        });
    }
}

#[test]
fn lines_longer_than_the_queue_keep_their_newline() {
    for length in [4094, 4095, 4096, 4097, 5000, 9000] {
        play(|pair| {
            let mut termios = Termios::PTY;
            termios.local.remove(LocalFlags::ECHO);
            pair.set_termios(termios);
            for chunk in vec![b'x'; length].chunks(500) {
                pair.type_in(chunk)?;
            }
            pair.compare_state()?;
            pair.type_in(b"\x7f\x7fyz\nnext\n")?;
            for _ in 0..4 {
                pair.compare_state()?;
                pair.compare_read(5000)?;
            }
            Ok(())
        });
    }
}

#[test]
fn raw_input_waits_for_room() {
    play(|pair| {
        let mut termios = Termios::PTY;
        termios.input = InputFlags::empty();
        termios.local = LocalFlags::empty();
        pair.set_termios(termios);
        for round in 0..12u8 {
            pair.type_in(&[round; 500])?;
        }
        for _ in 0..8 {
            pair.compare_state()?;
            pair.compare_read(1000)?;
        }
        Ok(())
    });
}

#[test]
fn output_can_be_stopped_while_nobody_reads() {
    play(|pair| {
        let mut termios = Termios::PTY;
        termios.input = InputFlags::IXON;
        termios.local = LocalFlags::empty();
        pair.set_termios(termios);
        for _ in 0..10 {
            pair.type_in(&[b'x'; 500])?;
        }
        pair.type_in(b"yz\x13w")?;
        pair.compare_write(b"stopped?")?;
        pair.type_in(b"ab\x11c")?;
        pair.compare_write(b"again")?;
        for _ in 0..12 {
            pair.compare_state()?;
            pair.compare_read(500)?;
        }
        Ok(())
    });
}

#[test]
fn ends_go_away_alike() {
    play(|pair| {
        pair.compare_write(b"last words")?;
        pair.close_slave();
        pair.compare_master_state("the slave closed")?;
        pair.compare_master_state("and read empty")?;
        pair.open_slave();
        pair.compare_master_state("the slave open again")?;
        pair.type_in(b"typed\n")?;
        pair.compare_state()?;
        pair.close_master();
        let linux = pair.host.poll(End::Slave);
        let ours = pair.model.poll();
        pair.compare("poll after the master closed", &linux, &ours)?;
        let linux = pair.host.read(End::Slave, 10).map(Text);
        let ours = pair.model.read(10).map(Text);
        pair.compare("read after the master closed", &linux, &ours)?;
        let linux = pair.host.write(End::Slave, b"x");
        let ours = pair.model.write(b"x");
        pair.compare("write after the master closed", &linux, &ours)?;
        let linux = pair.host.control(End::Slave, libc::TCFLSH, libc::TCIFLUSH);
        let ours = pair.model.control(libc::TCFLSH as u32, libc::TCIFLUSH as usize, &mut [0; _]).map(|()| 0);
        pair.compare("ioctl after the master closed", &linux, &ours)
    });
}
