//! Locks of files: flock(2), and those of ranges of bytes, which belong to a process or to an open file (fcntl(2)).
//!
//! ```text
//!   workers  ─► lock ─► tell, count ─► convert, split, a second lock, fork, execve ─► tell ─► unlock, close or exit
//!   the wild ─► threads that lock and unlock through a descriptor, which another one puts to other files meanwhile
//!   victims  ─► lock ─► tell ─► unlock ... SIGKILL: their parent has to find their locks given up
//! ```
//!
//! Meanwhile signals interrupt all of them. The observer knows who has which bytes: a lock must exclude. Nobody may wait for
//! ever, also not in a circle of processes; and no call may fail but as Linux has it.
//!
//! Start reading at [`range`] and [`claim`], then [`worker`], and who else takes part: [`wild`] and [`victim`]; what has to hold
//! is in [`observer`].

mod claim;
mod family;
mod heir;
mod observer;
mod program;
mod range;
mod victim;
mod wild;
mod worker;

use crate::library::{Choice, ends};
use observer::Observer;
use processes::run::Storm;

/// What each worker does.
const ROUNDS: i64 = 4;

/// The kinds of locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a range, by a process.
    Process,
    /// Of a range, by an open file.
    Open,
    /// Of the whole file, by an open file.
    Whole,
}

/// What a seed decides.
struct Shape {
    /// Calls go on after a signal.
    restarts: bool,
    /// How many files there are.
    files: usize,
    /// Their paths; the last one is the victims' own.
    paths: [usize; 3],
}

impl Shape {
    /// How a call may end that waits for a lock, or fails with one of `more`.
    fn ends_of_wait(&self, more: &[u32]) -> Vec<i64> {
        ends(self.restarts, 0, more)
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut observer = Observer::default();
    let programs = vec![("storm", program::program(&mut Choice::new(seed))), ("heir", heir::program())];
    Storm { programs, watch: Box::new(move |event, a, b, c| observer.told(event, a, b, c)) }
}
