//! io_uring: setup, enter, register, and every operation.

mod attributes;
mod cancelling;
mod chains;
mod hostile;
mod messages;
mod names;
mod own_numbers;
mod provided;
mod registered;
mod restrictions;
mod setup;
mod sockets;
mod transfers;
mod waits;

use crate::check::{show, sys};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use support::errno::error_name;
use support::pipe::Pipe;
use support::ring::{Completion, Entry, Ring};

const MS: i64 = 1_000_000;

pub fn run() {
    setup::run();
    transfers::run();
    chains::run();
    waits::run();
    names::run();
    registered::run();
    sockets::run();
    provided::run();
    messages::run();
    attributes::run();
    cancelling::run();
    restrictions::run();
    own_numbers::run();
    hostile::run();
}

/// A result in words.
fn word(result: i32) -> String {
    if result < 0 { error_name(&io::Error::from_raw_os_error(-result)) } else { result.to_string() }
}

/// All completions, by name: results, and flags if there are any.
fn completions(ring: &mut Ring) -> Vec<String> {
    let mut all: Vec<Completion> = std::iter::from_fn(|| ring.pop()).collect();
    all.sort_by_key(|completion| completion.user_data);
    let text = |completion: &Completion| {
        let flags = if completion.flags == 0 { String::new() } else { format!("+{:x}", completion.flags) };
        // What is cancelled may just be looked at by another CPU; it ends as well.
        let result = if completion.res == -libc::EALREADY { 0 } else { completion.res };
        format!("{}={}{flags}", completion.user_data, word(result))
    };
    all.iter().map(text).collect()
}

/// Prints all completions.
fn told(ring: &mut Ring, what: &str) {
    show(what, completions(ring).join(" "));
}

/// Submits entries, waits until there are so many completions, and prints all. A time-out's end ends a wait early.
fn submit(ring: &mut Ring, what: &str, entries: &[Entry], least: u32) {
    for entry in entries {
        assert!(ring.push(*entry), "room in the ring");
    }
    let mut taken = ring.submit_within(least);
    let mut all = completions(ring);
    while taken.is_ok() && (all.len() as u32) < least {
        if let Err(error) = ring.submit_within(least - all.len() as u32) {
            taken = Err(error);
        }
        all.append(&mut completions(ring));
    }
    all.sort();
    let taken = taken.map_or_else(|error| error_name(&error), |taken| taken.to_string());
    show(what, format!("{taken}: {}", all.join(" ")));
}

/// Submits one entry and prints its result.
fn one(ring: &mut Ring, what: &str, entry: Entry) {
    submit(ring, what, &[entry], 1);
}

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

fn file(name: &str, contents: &[u8]) -> std::fs::File {
    std::fs::write(name, contents).expect("a file");
    std::fs::File::options().read(true).write(true).open(name).expect("a file")
}

fn read_end(pipe: &Pipe) -> RawFd {
    pipe.reader.as_raw_fd()
}

fn write_end(pipe: &Pipe) -> RawFd {
    pipe.writer.as_raw_fd()
}

fn write_to(fd: RawFd, bytes: &[u8]) {
    sys!(SYS_write, fd, bytes.as_ptr(), bytes.len()).expect("a write");
}
