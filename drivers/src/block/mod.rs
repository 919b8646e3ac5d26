//! Disks: what a driver of one offers to the rest, and the queue between the two.
//!
//! ```text
//!   disk.submit(request) ──► Transfer: a future ◄─────────────────────── woken ──┐
//!            │                  │ dropped: cancelled                             │
//!            ▼                  ▼                                                │
//!        ┌──────────────── table of 256 ────────────────┐                        │
//!        │ waiting ── merged with what adjoins ──► issued ──► done ──────────────┘
//!        └──────────────────────────▲──────────┬────────┘
//!                          complete │          │ next
//!                                driver's task, e.g. of an AHCI port
//! ```
//!
//! [`Disk::submit`] puts a request into the table at once, if there is room, and gives a [`Transfer`], a future of the
//! result and the buffers. A request owns its buffers; so does, from then on, the table. If the future is dropped, a
//! request that the device has not got is taken out, and one that it has is left to end, its buffers in the table until
//! it has. Whoever finds the table full waits, first come, first served. Submitting, issuing and completing allocate
//! nothing.
//!
//! # Order
//!
//! Requests are begun in the order in which they came, but nothing is said about the order in which they end or in which
//! the disk carries them out: who needs one after the other awaits the first. Of two that overlap and are under way at
//! the same time, one of which writes, anything may come. [`Operation::Flush`] covers all writes that had completed when
//! it was submitted, and no others.
//!
//! Waiting requests of the same kind whose sectors adjoin go out as one command. If that fails, each is tried again by
//! itself, so that only those fail whose own sectors are at fault.
//!
//! Where to start reading: [`Request`], then [`Transfer`], then `table.rs`.

mod disk;
mod geometry;
mod in_flight;
mod request;
mod table;
mod transfer;

pub use disk::{Disk, Statistics};
pub use geometry::Geometry;
pub use request::{BlockError, Buffer, Buffers, Operation, Request, SECTOR_SIZE};
pub use transfer::Transfer;

pub(crate) use in_flight::InFlight;
pub(crate) use table::Command;
