//! Unix-domain sockets (unix(7)).
//!
//! ```text
//!            OpenSocket: what a file holds; closed when it is dropped
//!                 │
//!   Socket ───────┤ state: phase, peer, name, shutdown, error           one short lock
//!                 │ state.queue:   message ◄── message ◄── message      put in by whoever sends to it
//!                 │ reader: the message that is being read              whoever reads
//!                 │ readiness: what poll(2) sees      room: what those wait for who want to send to it
//!                 ▼
//!   Message: bytes, the sender that is charged for them, credentials, where its rights (open files) are in flight
//!
//!   Domain: abstract names, all sockets, rights in flight and their collector, what is being taken apart
//! ```
//!
//! There is no buffer between two sockets: a message lies in the queue of the socket that it was sent to, and its size is
//! charged to the one that sent it, whose send buffer so bounds what it can have under way. All three types are made of
//! this; a stream reads across the borders of its messages, and stops only where one brings rights or, if it is asked to
//! tell, comes from another sender.
//!
//! **Locks.** Taken in this order, each for a few instructions, none across an `.await`:
//!
//! 1. `reader` of a socket: held while its message is copied to a program, so only other readers of the same socket wait.
//! 2. the domain's flight, which has the rights that are in messages, and counts the sockets among them.
//! 3. the domain's abstract names; its list of departures.
//! 4. `state` of a socket. Two at once only in `connect`, in the order of their addresses.
//! 5. `spare` of a socket.
//!
//! A readiness is changed under its socket's state, next to what it tells. Messages, sockets and rights are dropped
//! with no lock held: a right may be the last reference to anything.
//!
//! **Ends.** A socket that is closed with messages in its queue may hold rights that hold sockets, and so on. These are
//! handed to the domain's [departures](departure), which take them apart one after the other, not one inside the
//! other. Sockets that are only in each other's messages are found by the [collector](collect).
//!
//! Where to start reading: `socket.rs`, then `send.rs` and `receive.rs`.

mod close;
mod collect;
mod connect;
mod departure;
mod domain;
mod flight;
mod message;
mod name;
mod receive;
mod rights;
mod send;
mod socket;

pub use domain::{Domain, Listed};
pub use message::Credentials;
pub use name::{NAME_MAX, Name};
pub use receive::{Call, Delivery, How};
pub use rights::{Passenger, RIGHTS_MAX, Rights};
pub use send::Cargo;
pub use socket::{BUFFER_DEFAULT, BUFFER_MAX, DATAGRAMS_MAX, Kind, OpenSocket, SENDING, Socket};

use alloc::sync::Arc;
use syscalls::Errno;

/// What keeps an operation from being done, or from going on.
pub enum Obstacle {
    /// It failed.
    Failed(Errno),
    /// EPIPE; and unless the program asked for none, the signal SIGPIPE, if nothing has been sent.
    Broken,
    /// There is nothing to receive or to accept: wait for `IN` of the socket. When `ended`, nothing will come any more, and
    /// a reader that would wait is told so instead.
    Empty {
        /// Whether the socket has been shut down for reading.
        ended: bool,
    },
    /// The socket's messages fill its send buffer: wait for [`SENDING`] of it.
    Full,
    /// The queue of the socket at the other end is full: wait for `OUT` of its [`Socket::room`].
    Crowded(Arc<Socket>),
    /// The source or sink has stopped.
    Stopped,
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Obstacle::Failed(errno)
    }
}
