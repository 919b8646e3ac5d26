//! Datagrams, from several senders to receivers whose queues are short.
//!
//! ```text
//!   senders ─► connected, or by name ─► queues of ten ─► receivers     the last sender: a stop for each receiver
//!   watcher: sends until there is no room, and waits for the edge
//!   mover: connects a socket to one that nobody reads, and to a receiver, in turn ─► another waits for it to be writable
//! ```
//!
//! Signals interrupt the calls. Under some seeds nobody is rude, and then each message arrives, once, whole, and after those
//! that its sender has sent before; under others receivers go away, or connect to one of the senders, which the others are
//! told, and what is in their queues is lost. Nobody sleeps for ever.
//!
//! Start reading at [`sender`] and [`receiver`].

mod message;
mod mover;
mod named;
mod program;
mod receiver;
mod sender;
mod watcher;

use crate::library::{Choice, unwatched};
use named::{Named, named};
use processes::program::Program;
use processes::run::Storm;

/// What is counted in the shared page.
const SENT: i64 = 0;
const RECEIVED: i64 = 4;
/// Senders that have not ended.
const SENDERS: i64 = 8;
/// Messages of the waiter, and whether the mover is where it stays.
const GOT_ON: i64 = 12;
const ARRIVED: i64 = 16;

/// Messages that a sender sends.
const MESSAGES: i64 = 14;

/// What all have in common.
struct Scene {
    as_processes: bool,
    /// Whether receivers go away or choose whom they hear.
    is_rude: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// Whether receivers take their time, so that queues become full.
    is_slow: bool,
    receivers: Vec<Named>,
    /// How many receive at each of them.
    ears: Vec<u64>,
    senders: Vec<Named>,
    /// The address of nobody.
    nobody: usize,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program::program(&mut Choice::new(seed)))
}

/// What the seed chooses.
fn scene(p: &mut Program, choice: &mut Choice) -> Scene {
    let receivers: Vec<Named> = (0..1 + choice.below(2)).map(|index| named(p, b'0' + index as u8)).collect();
    Scene {
        as_processes: choice.below(2) == 0,
        is_rude: choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        is_slow: choice.below(2) == 0,
        ears: receivers.iter().map(|_| 1 + choice.below(2)).collect(),
        receivers,
        senders: (0..2 + choice.below(3)).map(|index| named(p, b'a' + index as u8)).collect(),
        nobody: p.data(8),
    }
}
