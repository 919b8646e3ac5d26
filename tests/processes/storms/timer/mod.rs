//! Timers of all kinds that are set, set again, turned off and deleted at the very moment at which they expire, and calls
//! whose time runs out.
//!
//! ```text
//!   owners ─► set: timerfd, POSIX timer, setitimer ─► wait for each expiration ─► off: no other may come
//!                  ▲                                                        └─► or off, set, deleted just then
//!   meddlers ──────┘ set and turn off what another has
//!   sleepers ─► sleeps, and calls with a time-out
//!   children ─► are killed, or execute a program, with timers running
//! ```
//!
//! Signals interrupt them meanwhile. Nothing may come before its time or be lost, what is counted must be what time allows,
//! and a timer that is off or deleted must be quiet, but for a signal that was pending before.
//!
//! Start reading at [`observer`] and [`party`], then the kinds of timers, first [`timerfd`], and last [`program`].

mod child;
mod interval;
mod meddler;
mod observer;
mod party;
mod posix;
mod program;
mod sleeper;
mod timerfd;

use crate::library::Choice;
use observer::Observer;
use processes::run::Storm;

/// Timers are set to expire in less than so many nanoseconds.
const SPAN: i64 = 15_000;
/// As long as nobody may hear of a timer that is off.
const QUIET_NS: i64 = 20_000;
/// The first signal of the parties' timers: each has its own.
const FIRST_SIGNAL: u32 = 34;
/// Of the timers of children, and one that nobody sends.
const CHILD_SIGNAL: u32 = 60;
const NO_SIGNAL: u32 = 61;
/// How often a timer is set.
const TIMES: usize = 4;
/// Expirations that are awaited of a timer with a period.
const EXPIRATIONS: usize = 3;

/// What a party does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Reads a timerfd of its own.
    Reader,
    /// Reads a timerfd that a meddler sets.
    Shared,
    /// Takes the signals of a POSIX timer of its own.
    Posix,
    /// Deletes POSIX timers that a meddler sets.
    Deleter,
    /// Takes the signals of setitimer(2).
    Interval,
    /// Sleeps.
    Sleeper,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut observer = Observer::default();
    let programs = vec![("storm", program::program(&mut Choice::new(seed))), ("after", child::after_exec())];
    Storm { programs, watch: Box::new(move |event, a, b, c| observer.told(event, a as usize, b, c)) }
}
