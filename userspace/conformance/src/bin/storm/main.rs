//! `storm KIND`: many of one thing at once, for some seconds, checking that nothing is lost, mixed up or left over.
//!
//! A storm prints what went wrong and exits with status 1, or prints `ok`.

mod calls;
mod epolls;
mod faults;
mod forks;
mod futexes;
mod kills;
mod pipes;
mod rings;
mod signals;
mod sockets;
mod stream;

use std::time::{Duration, Instant};

/// A storm: runs until the deadline; an error says what went wrong.
type Storm = fn(Deadline) -> Result<(), String>;

const STORMS: &[(&str, Storm)] = &[
    ("calls", calls::run),
    ("epolls", epolls::run),
    ("forks", forks::run),
    ("faults", faults::run),
    ("futexes", futexes::run),
    ("kills", kills::run),
    ("pipes", pipes::run),
    ("rings", rings::run),
    ("signals", signals::run),
    ("sockets", sockets::run),
];

/// When to stop.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    /// Whether there is time for another round.
    fn ahead(self) -> bool {
        Instant::now() < self.0
    }
}

/// Numbers that look random and are the same each time (xorshift64).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Waits for every child left and fails if one ended badly: with another wait status than 0 and `expected`.
fn reap_all(expected: i32) -> Result<(), String> {
    let mut bad = 0;
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes the status.
        match support::cvt(unsafe { libc::wait(&raw mut status) }) {
            Ok(_) if status != 0 && status != expected => bad = status,
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
            Err(error) => return Err(format!("wait: {error}")),
        }
    }
    if bad == 0 { Ok(()) } else { Err(format!("a child ended with wait status {bad:#x}")) }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    if kind == kills::ENDS || kind == kills::HOLDS {
        kills::another(kind == kills::ENDS);
    }
    let seconds = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(3);
    let Some((_, storm)) = STORMS.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<&str> = STORMS.iter().map(|(name, _)| *name).collect();
        eprintln!("storm KIND [SECONDS], where KIND is one of: {}", names.join(" "));
        std::process::exit(2);
    };
    match storm(Deadline(Instant::now() + Duration::from_secs(seconds))) {
        Ok(()) => println!("ok"),
        Err(problem) => {
            println!("storm {kind}: {problem}");
            std::process::exit(1);
        }
    }
}
