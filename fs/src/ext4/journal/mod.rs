//! The journal: copies of blocks that a crash may have kept from getting to where they belong.
//!
//! `layout` is what jbd2 writes, `log` the file that it writes to, `scan` finds out what counts, and `replay` brings it to its
//! place: on the disk, or, where that is read-only, in an `overlay`. `record` writes transactions to the log.

mod layout;
mod log;
mod overlay;
mod record;
mod replay;
mod scan;

pub(super) use log::Journal;
pub(super) use record::Log;
pub(super) use replay::recover;
