//! Threads and processes that share a file, or memory without one, through mappings, and change all of it under each other.
//!
//! ```text
//!                              ┌─ plain mappings, one of each party: moved, mapped anew, locked, dropped
//!   words of a file's pages ◄──┼─ windows, one of each process: its mover unmaps, protects, moves, cuts and covers them
//!        ▲       ▲             ├─ private mappings: copies, which a child sees, too
//!        │       │             └─ pread, pwrite; process_vm_readv, process_vm_writev through a window of another process
//!        │       └ cutters: ftruncate, fallocate, PUNCH_HOLE, MADV_REMOVE
//!        └ each word of eight bytes is written by all; no value comes twice
//! ```
//!
//! Each access begins and ends with telling the observer of it, and so does each change. From this it knows what a load may have
//! found, which accesses may have succeeded, and which faults there may have been: see [`history`]. Signal handlers have whoever
//! gets one go on behind the access. Meanwhile processes fork, vfork and execute, a futex is passed on between mappings that move,
//! and a process may be killed.
//!
//! Start reading at [`place`] and [`access`], then the parties: [`user`], [`mover`], [`keeper`], [`cutter`], [`player`]; what has to
//! hold is in [`observer`].

mod access;
mod cutter;
mod history;
mod keeper;
mod mover;
mod observer;
mod place;
mod player;
mod program;
mod user;

use crate::library::{Choice, exit};
use observer::Observer;
use processes::program::Program;
use processes::run::Storm;

/// What is shared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file with a name.
    Named,
    /// One without.
    Nameless,
    /// Memory without a file.
    Anonymous,
}

/// What a seed decides.
struct Shape {
    kind: Kind,
    /// How many processes there are.
    groups: usize,
    /// How many parties have been made; each has a number.
    parties: usize,
    /// Where the file's descriptor is.
    file: usize,
    /// A name for it.
    path: usize,
}

impl Shape {
    fn has_file(&self) -> bool {
        self.kind != Kind::Anonymous
    }

    /// A number for a party.
    fn party(&mut self) -> usize {
        self.parties += 1;
        self.parties - 1
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut observer = Observer::new();
    let mut after = Program::new();
    exit(&mut after, 0);
    Storm {
        programs: vec![("storm", program::program(&mut Choice::new(seed))), ("after", after)],
        watch: Box::new(move |event, a, b, c| observer.told(event, a, b, c)),
    }
}
