//! The table of system calls in the book, held against the kernel that runs this: each call that the table has is there,
//! and every other number answers ENOSYS. On Rusk alone, of which the table speaks.

use crate::check::{call, show};
use std::io;
use support::patience::until;
use support::process::{Ended, call_of, fork, vfork_and_exit};

/// The chapter with the table.
const CHAPTER: &str = include_str!("../../../../../docs/src/abi.md");

/// The child's way of saying that the call answered ENOSYS. No call that ends its caller leaves this status.
const MISSING: i32 = 77;

/// A row of the table.
struct Row {
    number: i64,
    name: &'static str,
    is_there: bool,
}

/// The rows: lines that begin with a number. None if one of them cannot be read.
fn rows() -> Option<Vec<Row>> {
    let lines = CHAPTER.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let read = |line: &'static str| {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let number = cells.next()?.parse().ok()?;
        let name = cells.next()?.trim_matches('`');
        let is_there = match cells.next()? {
            "whole" | "partly" => true,
            "ENOSYS" => false,
            _ => return None,
        };
        Some(Row { number, name, is_there })
    };
    lines.map(read).collect()
}

/// Whether the call answers ENOSYS to arguments that it has to refuse, made in a process of its own: it may end its caller,
/// change what the caller is, or wait until it is killed.
fn is_missing(number: i64) -> io::Result<bool> {
    let arguments = match number {
        // Refuse operations and flags that do not exist with ENOSYS; these find nothing at their address.
        libc::SYS_futex | libc::SYS_memfd_create => [usize::MAX, 0, 0, 0, 0, 0],
        _ => [usize::MAX; 6],
    };
    let make = || match number {
        libc::SYS_vfork => vfork_and_exit().map(drop),
        _ => call(number, &arguments).map(drop),
    };
    let child = fork(|| match make() {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => MISSING,
        _ => 0,
    })?;
    until(|| child.state() == 'Z' || call_of(child.pid) == Some(number));
    child.kill(libc::SIGKILL)?;
    Ok(child.wait()? == Ended::Exited(MISSING))
}

pub fn run() {
    let rows = rows().expect("a table of numbers, names and states");
    let mut faults = 0;
    for row in &rows {
        let missing = is_missing(row.number).expect("a child");
        if missing == row.is_there {
            show(row.name, if missing { "ENOSYS, against the table" } else { "there, against the table" });
            faults += 1;
        }
    }
    let last = rows.last().map_or(0, |row| row.number);
    for number in 0..last + 40 {
        if rows.iter().all(|row| row.number != number) && !is_missing(number).expect("a child") {
            show("not in the table, but there", number);
            faults += 1;
        }
    }
    // As many as Linux 6.1 has.
    if rows.len() != 362 || !rows.is_sorted_by_key(|row| row.number) {
        show("rows", rows.len());
        faults += 1;
    }
    std::process::exit(i32::from(faults > 0));
}
