//! Descriptors in messages: threads or processes send them to each other, over sockets that are in messages themselves.
//!
//! ```text
//!   actor: slots with sockets ─► message over one: the witness, others ─► queue ─► actor: writes a byte to the witness,
//!                                                                                  has the others in its slots
//!   the witness: a pipe; whoever reads it sees each byte, and the end, when no message has its other end any more
//! ```
//!
//! Sockets of all types are sent over themselves and each other, over connections that nobody has accepted, and with
//! listeners, so that there are cycles; they are closed, shut down, peeked at, received where there is no room for
//! descriptors; processes are killed. In the end nobody has a socket open: what is in messages is lost, all of it, and so
//! the witness must come to its end. A message that is received has its witness, once.
//!
//! Start reading at [`actor`], then [`message`].

mod actor;
mod message;
mod program;
mod socket;

use crate::library::{Choice, unwatched};
use processes::program::Program;
use processes::run::Storm;

/// In the shared page: witnesses that were received.
const RECEIVED: i64 = 0;
/// Actors that have their sockets.
const READY: i64 = 4;

/// The most bytes in a message.
const BYTES: usize = 4000;

/// What all actors have in common.
struct Scene {
    as_processes: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// Where the descriptors of the witness are, the end that is read first.
    witness: usize,
    /// Where the descriptors of pairs are that all have in the beginning.
    pairs: Vec<usize>,
    /// A time limit for sockets.
    limit: usize,
    /// The bytes of messages, where they come from and where they go.
    bytes: (usize, usize),
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program::program(&mut Choice::new(seed)))
}

/// What the seed chooses.
fn scene(p: &mut Program, choice: &mut Choice) -> Scene {
    Scene {
        as_processes: choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        witness: p.data(8),
        pairs: (0..1 + choice.below(3)).map(|_| p.data(8)).collect(),
        limit: p.words(&[0, 5 + choice.below(40)]),
        bytes: (p.data(BYTES), p.data(BYTES)),
    }
}
