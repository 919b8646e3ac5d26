//! Requests that wait for others.

use super::{MS, file, read_end, ring, submit, write_end, write_to};
use crate::check::show;
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, names::*};

pub fn run() {
    links();
    drains();
}

fn links() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let fd = file.as_raw_fd();
    let buffer = [0_u8; 10];
    let nop = |name| Entry::new(NOP, name);
    let fails = |name| Entry::transfer(READ, name, -1, &buffer, 0);
    submit(&mut ring, "linked", &[nop(1).flags(LINK), nop(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "the first fails", &[fails(1).flags(LINK), nop(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "the second fails", &[nop(1).flags(LINK), fails(2).flags(LINK), nop(3)], 3);
    submit(&mut ring, "linked hard", &[fails(1).flags(HARDLINK), nop(2).flags(HARDLINK), nop(3)], 3);
    let short = Entry::transfer(READ, 1, fd, &buffer, 5);
    submit(&mut ring, "moves less", &[short.flags(LINK), nop(2)], 2);
    let wrong = Entry::new(200, 2);
    submit(&mut ring, "one is wrong", &[nop(1).flags(LINK), wrong.flags(LINK), nop(3), nop(4)], 3);
    submit(&mut ring, "what is left", &[], 0);
    submit(&mut ring, "the end", &[nop(1).flags(LINK)], 1);
    submit(&mut ring, "alone after it", &[nop(2)], 1);
    // Written, then read.
    let mut other = [0_u8; 4];
    let written = Entry::transfer(WRITE, 1, fd, b"wxyz", 0).flags(LINK);
    let read = Entry::transfer(READ, 2, fd, &other, 0);
    submit(&mut ring, "write, then read", &[written, read], 2);
    show("bytes", String::from_utf8_lossy(&other));
    other = *b"    ";
    let pipe = pipe().expect("a pipe");
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &other, -1).flags(LINK);
    submit(&mut ring, "a chain waits", &[waits, nop(2).flags(LINK), nop(3)], 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and ends", &[], 3);
    show("bytes", String::from_utf8_lossy(&other));
    // Success that is not told.
    submit(&mut ring, "skips", &[nop(1).flags(SKIP_SUCCESS | LINK), nop(2)], 1);
    submit(&mut ring, "skips none that fails", &[fails(1).flags(SKIP_SUCCESS), nop(2)], 2);
    submit(&mut ring, "skips what follows", &[fails(1).flags(SKIP_SUCCESS | LINK), nop(2), nop(3)], 2);
    submit(&mut ring, "no draining any more", &[nop(1).flags(DRAIN)], 1);
    limits();
}

/// Time limits of linked requests.
fn limits() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let time = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let long = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    let nop = |name| Entry::new(NOP, name);
    let limit = |name, time: &libc::timespec| Entry {
        addr: std::ptr::from_ref(time) as u64,
        len: 1,
        ..Entry::new(LINK_TIMEOUT, name)
    };
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1).flags(LINK);
    submit(&mut ring, "in vain", &[waits, limit(2, &time)], 2);
    submit(&mut ring, "in time", &[nop(1).flags(LINK), limit(2, &long)], 2);
    submit(&mut ring, "in vain, and more", &[waits, limit(2, &time).flags(LINK), nop(3)], 3);
    submit(&mut ring, "in time, and more", &[nop(1).flags(LINK), limit(2, &long).flags(LINK), nop(3)], 3);
    submit(&mut ring, "of nothing", &[limit(2, &time)], 1);
    submit(&mut ring, "of a limit", &[nop(1).flags(LINK), limit(2, &long).flags(LINK), limit(3, &long)], 3);
    let quiet = |name, time| limit(name, time).flags(SKIP_SUCCESS);
    submit(&mut ring, "in time, not told", &[nop(1).flags(LINK), quiet(2, &long)], 1);
    submit(&mut ring, "in vain, not told", &[waits, quiet(2, &time)], 1);
    let fails = Entry::transfer(READ, 1, -1, &buffer, 0).flags(LINK);
    submit(&mut ring, "of what fails, not told", &[fails, quiet(2, &long)], 1);
    let strange = Entry { off: 1, ..limit(2, &time) };
    submit(&mut ring, "strange", &[nop(1).flags(LINK), strange], 2);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "read in time", &[waits, limit(2, &long)], 2);
}

fn drains() {
    let mut ring = ring();
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "nothing to wait for", &[nop(1), nop(2).flags(DRAIN), nop(3)], 3);
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let waits = Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1);
    submit(&mut ring, "waits for one", &[waits, nop(2).flags(DRAIN), nop(3)], 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and goes on", &[], 3);
    // What follows a chain that drains in its middle waits, too.
    let chain = [nop(2).flags(LINK), nop(3).flags(LINK | DRAIN), nop(4)];
    let entries: Vec<Entry> = [waits].into_iter().chain(chain).chain([nop(5), nop(6)]).collect();
    submit(&mut ring, "a chain waits for one", &entries, 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and goes on", &[], 6);
    submit(&mut ring, "a chain that waits", &[nop(1).flags(LINK), nop(2).flags(LINK | DRAIN), waits], 2);
    submit(&mut ring, "what follows", &[nop(4)], 0);
    write_to(write_end(&pipe), b"done");
    submit(&mut ring, "and ends", &[], 2);
    submit(&mut ring, "no more", &[nop(5)], 1);
}
