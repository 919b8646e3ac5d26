//! Rings whose memory says what is not so, and rings whose makers are gone.

use super::{one, read_end, ring, told, write_end, write_to};
use crate::check::{in_child, outcome, show, sys, value};
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, Ring, names::*};

pub fn run() {
    lies();
    ends();
}

/// Memory that says what is not so.
fn lies() {
    use std::sync::atomic::Ordering::SeqCst;
    let mut ring = ring();
    let offsets = ring.parameters;
    // A number of no entry.
    ring.push(Entry::new(NOP, 1));
    ring.word(offsets.sq_off[6]).store(0xffff_ffff, SeqCst);
    value("no such entry", ring.submit_within(0));
    show("dropped", ring.word(offsets.sq_off[5]).load(SeqCst));
    told(&mut ring, "completions");
    one(&mut ring, "and on", Entry::new(NOP, 2));
    // Masks, counts and heads that are the kernel's.
    for offset in
        [offsets.sq_off[2], offsets.sq_off[3], offsets.cq_off[2], offsets.cq_off[3], offsets.sq_off[0]]
    {
        ring.word(offset).store(0xffff_ffff, SeqCst);
    }
    let head = ring.word(offsets.sq_off[1]).load(SeqCst);
    ring.word(offsets.sq_off[0]).store(head, SeqCst);
    one(&mut ring, "with strange counts", Entry::new(NOP, 3));
    // More entries than there are.
    let tail = ring.word(offsets.sq_off[1]);
    tail.store(tail.load(SeqCst).wrapping_add(1 << 20), SeqCst);
    let taken = ring.enter(u32::MAX, 0, 0);
    show("at most a ring", taken.is_ok_and(|taken| taken <= 16));
    let mut other = Ring::new(4).expect("a ring");
    // Completions that nobody can have seen.
    other.word(offsets.cq_off[0]).store(0x8000_0000, SeqCst);
    other.push(Entry::new(NOP, 1));
    value("seen what is not there", other.submit(0));
}

/// What is left when those who have begun it are gone.
fn ends() {
    // A child ends with requests in flight.
    let pipe = pipe().expect("a pipe");
    in_child("ends", || {
        let mut ring = ring();
        let buffer = [0_u8; 4];
        let time = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        ring.push(Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
        ring.push(Entry { addr: &raw const time as u64, len: 1, ..Entry::new(TIMEOUT, 2) });
        ring.push(Entry {
            fd: read_end(&pipe),
            op_flags: libc::POLLIN as u32,
            len: 1,
            ..Entry::new(POLL_ADD, 3)
        });
        ring.submit_within(0).map_or(1, |_| 0)
    });
    write_to(write_end(&pipe), b"kept");
    let mut buffer = [0_u8; 8];
    value("left in the pipe", sys!(SYS_read, read_end(&pipe), buffer.as_mut_ptr(), 8));
    // A ring that is closed lets go of its files.
    let ring = ring();
    let (reader, writer) = (pipe.reader, pipe.writer);
    let fds = [writer.as_raw_fd()];
    // SAFETY: the array is live.
    outcome("register", unsafe { ring.register(2, fds.as_ptr(), 1) });
    drop(writer);
    drop(ring);
    value("the end", sys!(SYS_read, reader.as_raw_fd(), buffer.as_mut_ptr(), 8));
}
