//! Open files: descriptors, what they stand for, and how system calls read, write and wait through them.
//!
//! ```text
//!   descriptor ─► FileTable ─► File (offset, status flags) ─┬─► an inode: regular file, directory   (fs crate)
//!                                                           ├─► a Stream: pipe, terminal, device...
//!                                                           └─► a socket                              (net crate)
//! ```
//!
//! A [`Stream`] never waits: it offers what it can do at once and a readiness to wait on. Blocking happens in one
//! place, [`io`], for all of them.
//!
//! Where to start reading: `open_file.rs`, then [`io`]; [`lookup`] is where paths come from.

pub mod aio;
pub mod bulk;
pub mod context;
pub mod events;
pub mod io;
pub mod lock;
pub mod lookup;
pub mod mapping;
pub mod poll;
pub mod regular;
pub mod stream;
pub mod table;
pub mod uring;

pub mod device;
pub mod direct;
pub mod disk;
pub mod looped;
pub mod nameless;
pub mod node;
mod open;
mod open_file;
pub mod pipe;
pub mod socket;
pub mod terminal;

pub use context::FsContext;
pub use node::Node;
pub use open::{of_opened, open, open_place};
pub use open_file::{File, Object};
pub use pipe::new_pipe;
pub use stream::Stream;
pub use table::{FileTable, Reservation};
