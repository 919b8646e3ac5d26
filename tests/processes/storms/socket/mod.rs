//! Connections between threads and processes: listeners with small backlogs, and pairs with several at each end.
//!
//! ```text
//!   clients ─► connect ─► backlog ─► accept ─► servers        over each connection:
//!                                                               client: bytes, shutdown ─► server: reads to the end
//!   writers ─► one end ═══ other end ─► readers                 client ◄─ how many there were ─ server
//! ```
//!
//! Sockets are streams or of messages, blocking or not, with time limits or without. Signals interrupt the calls. Under some
//! seeds nobody is rude, and then each byte arrives; under others servers and clients go away in the middle, the listener
//! is shut down, readers want no more, or the servers are killed. Bytes arrive once and in order, as many as the server
//! says; errors are those of an end that is gone; and nobody sleeps for ever.
//!
//! Start reading at [`transfer`], then [`server`] and [`client`], and [`pair`].

mod client;
mod pair;
mod program;
mod server;
mod transfer;

use crate::library::{Choice, unwatched};
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::program::Program;
use processes::run::Storm;

/// What is counted in the shared page.
const SENT: i64 = 0;
const RECEIVED: i64 = 4;
/// Connections that somebody has left in the middle.
const BROKEN: i64 = 8;
/// Calls that ended with EPIPE, and SIGPIPEs.
const REFUSED: i64 = 12;
const PIPE_SIGNALS: i64 = 16;
/// Writers at the pair that have not ended.
const WRITERS: i64 = 20;

/// The bytes that are sent are words; each says where it is, in so many bytes, a power of two.
const PERIOD: usize = 8192;
/// The longest message.
const LONGEST: usize = 12_288;
/// Messages that a client or writer sends.
const MESSAGES: i64 = 6;
/// No address.
const NOWHERE: usize = 0;

/// What all programs of a storm have in common.
struct Scene {
    /// `SOCK_STREAM` or `SOCK_SEQPACKET`.
    kind: u32,
    /// Processes, not threads.
    as_processes: bool,
    /// Whether ends go away in the middle.
    is_rude: bool,
    /// Whether the servers are killed.
    is_doomed: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// The address of the listener and its length.
    address: (usize, usize),
    /// Where the descriptor of the listener is.
    listener: usize,
    /// Whether that has `O_NONBLOCK`.
    listener_polls: bool,
    /// Where the descriptors of the pair are: writers have the first, readers the second.
    pair: usize,
    /// What is sent.
    pattern: usize,
    /// The words with the lengths of messages, and how many there are.
    lengths: (usize, i64),
}

/// How a thread uses a socket.
#[derive(Clone, Copy)]
struct Manners {
    /// It has `O_NONBLOCK`.
    polls: bool,
    /// It has time limits.
    is_hasty: bool,
}

/// Its calls wait as long as they have to.
const PATIENT: Manners = Manners { polls: false, is_hasty: false };

impl Manners {
    /// Some.
    fn any(choice: &mut Choice) -> Self {
        Self { polls: choice.below(3) == 0, is_hasty: choice.below(4) == 0 }
    }

    /// The flag that makes a socket of this kind.
    fn flag(self) -> u32 {
        if self.polls { linux::O_NONBLOCK } else { 0 }
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program::program(&mut Choice::new(seed)))
}

/// What the seed chooses.
fn scene(p: &mut Program, choice: &mut Choice) -> Scene {
    let kind = if choice.below(2) == 0 { net::SOCK_STREAM } else { net::SOCK_SEQPACKET };
    let name: &[u8] = if choice.below(2) == 0 { b"/tmp/door\0" } else { b"\0door" };
    let address = [&(net::AF_UNIX as u16).to_le_bytes(), name].concat();
    // No message is longer than half of a small send buffer.
    let lengths: &[u64] = match kind {
        net::SOCK_STREAM => &[4, 64, 1000, 4096, LONGEST as u64],
        _ => &[4, 64, 1000, 4096],
    };
    let words: Vec<u8> =
        (0..PERIOD + LONGEST).step_by(4).flat_map(|at| ((at % PERIOD) as u32).to_le_bytes()).collect();
    let as_processes = choice.below(2) == 0;
    let is_rude = choice.below(2) == 0;
    Scene {
        kind,
        as_processes,
        is_rude,
        is_doomed: as_processes && is_rude && choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        address: (p.bytes(&address), address.len()),
        listener: p.data(8),
        listener_polls: choice.below(3) == 0,
        pair: p.data(8),
        pattern: p.bytes(&words),
        lengths: (p.words(lengths), lengths.len() as i64),
    }
}
