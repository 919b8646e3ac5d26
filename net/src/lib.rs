//! Sockets of Rusk. So far those of the Unix domain: see [`unix`].
//!
//! ```text
//!   system calls (the kernel)     descriptors, user memory, paths, signals, waiting
//!        │  try_send, try_receive, try_connect, try_accept      answer at once, or with an Obstacle
//!        ▼
//!   unix::OpenSocket ── unix::Domain                            queues, names, rights in flight
//! ```
//!
//! The crate knows nothing of the kernel, of files or of devices, only the executor. It never waits: what would have to
//! says what stands in the way ([`unix::Obstacle`]), and a [`Readiness`](executor::sync::Readiness) tells when to try
//! again.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
// For what its unit tests share with those in `tests`.
#[cfg(test)]
extern crate self as net;

mod transfer;
pub mod unix;

pub use transfer::{Bytes, Room, Sink, Source};
