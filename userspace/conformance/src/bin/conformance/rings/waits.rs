//! Requests that wait for something: polls, time-outs; and the end of waits.

use super::{MS, file, one, read_end, ring, submit, word, write_end, write_to};
use crate::check::{BAD, event_names, outcome, show, sys, value};
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, Ring, names::*};

pub fn run() {
    polls();
    timeouts();
    cancelling();
}

fn polled(ring: &mut Ring, what: &str) {
    let mut all: Vec<String> = std::iter::from_fn(|| ring.pop())
        .map(|completion| {
            let more = if completion.flags & CQE_MORE != 0 { ", more" } else { "" };
            let events = match completion.res {
                negative @ ..0 => word(negative),
                events => event_names(events as i16),
            };
            format!("{}: {events}{more}", completion.user_data)
        })
        .collect();
    // Who looks again just as an event comes may tell of it twice.
    all.dedup();
    show(what, all.join("; "));
}

fn polls() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let poll =
        |name, fd, events: i16, len| Entry { fd, op_flags: events as u32, len, ..Entry::new(POLL_ADD, name) };
    let (reader, writer) = (read_end(&pipe), write_end(&pipe));
    let go = |ring: &mut Ring, what: &str, entry: Entry, least| {
        assert!(ring.push(entry));
        outcome(what, ring.submit_within(least));
        polled(ring, what);
    };
    go(&mut ring, "room", poll(1, writer, libc::POLLOUT, 0), 1);
    go(&mut ring, "nothing to read", poll(2, reader, libc::POLLIN, 0), 0);
    write_to(writer, b"x");
    value("told", ring.submit_within(1));
    polled(&mut ring, "told");
    let file = file("/tmp/ring", b"x");
    go(&mut ring, "a file", poll(1, file.as_raw_fd(), libc::POLLIN | libc::POLLOUT, 0), 1);
    go(&mut ring, "no file", poll(1, -1, libc::POLLIN, 0), 1);
    go(&mut ring, "strange", Entry { off: 1, ..poll(1, reader, libc::POLLIN, 0) }, 1);
    go(&mut ring, "strange length", poll(1, reader, libc::POLLIN, 64), 1);
    // Again and again, by single bytes that are taken in between.
    let mut byte = [0_u8; 1];
    sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    go(&mut ring, "repeated", poll(7, reader, libc::POLLIN, 1), 0);
    for _ in 0..3 {
        write_to(writer, b"x");
        value("told", ring.submit_within(1));
        polled(&mut ring, "told");
        sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    }
    // Events that are over before anybody can have looked.
    write_to(writer, b"x");
    sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    value("told of what is over", ring.submit_within(1));
    polled(&mut ring, "told of what is over");
    let remove = |name, of| Entry { addr: of, ..Entry::new(POLL_REMOVE, name) };
    submit(&mut ring, "removed", &[remove(8, 7)], 2);
    submit(&mut ring, "removed again", &[remove(8, 7)], 1);
    go(&mut ring, "once", poll(6, reader, libc::POLLIN, 0), 0);
    write_to(writer, b"x");
    sys!(SYS_read, reader, byte.as_mut_ptr(), 1).expect("a byte");
    value("told of what is over", ring.submit_within(1));
    polled(&mut ring, "told of what is over");
    go(&mut ring, "waits", poll(3, reader, libc::POLLPRI, 0), 0);
    let renamed = Entry { len: 4, off: 4, ..remove(8, 3) };
    submit(&mut ring, "renamed", &[renamed], 1);
    let changed = Entry { len: 2, op_flags: libc::POLLIN as u32, ..remove(8, 4) };
    submit(&mut ring, "changed", &[changed], 1);
    write_to(writer, b"x");
    value("told", ring.submit_within(1));
    polled(&mut ring, "told");
    submit(&mut ring, "changed strangely", &[Entry { len: 8, ..remove(8, 4) }], 1);
    submit(&mut ring, "renamed to nothing", &[Entry { off: 4, ..remove(8, 4) }], 1);
    drop(pipe.writer);
    go(&mut ring, "hung up", poll(5, reader, libc::POLLPRI, 0), 1);
    // The ring itself.
    let other = Ring::new(4).expect("a ring");
    let mut entry = libc::pollfd { fd: other.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    let mut look = |what| {
        value(what, sys!(SYS_poll, &raw mut entry, 1, 0));
        show(what, event_names(entry.revents));
    };
    look("a ring with nothing");
    let mut other = other;
    other.push(Entry::new(NOP, 1));
    outcome("submit", other.submit(0));
    look("a ring with something");
}

fn timeouts() {
    let mut ring = ring();
    let timeout = |name, time: &libc::timespec, count, flags| Entry {
        addr: std::ptr::from_ref(time) as u64,
        len: 1,
        off: count,
        op_flags: flags,
        ..Entry::new(TIMEOUT, name)
    };
    let short = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let long = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    let past = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    one(&mut ring, "short", timeout(1, &short, 0, 0));
    one(&mut ring, "at a time that is past", timeout(1, &past, 0, 1));
    one(&mut ring, "by the wall, past", timeout(1, &past, 0, 9));
    one(&mut ring, "since the start, past", timeout(1, &past, 0, 5));
    one(&mut ring, "two clocks", timeout(1, &past, 0, 12));
    one(&mut ring, "strange flags", timeout(1, &past, 0, 1 << 20));
    one(&mut ring, "strange length", Entry { len: 2, ..timeout(1, &past, 0, 0) });
    one(&mut ring, "bad time", Entry { addr: BAD as u64, ..timeout(1, &past, 0, 0) });
    let negative = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    one(&mut ring, "negative", timeout(1, &negative, 0, 0));
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "ended by others", &[timeout(1, &long, 2, 0), nop(2), nop(3)], 3);
    submit(&mut ring, "ended by one", &[timeout(1, &long, 1, 0), nop(2)], 2);
    let remove = |name, of, flags| Entry { addr: of, op_flags: flags, ..Entry::new(TIMEOUT_REMOVE, name) };
    submit(&mut ring, "begun", &[timeout(1, &long, 0, 0)], 0);
    submit(&mut ring, "removed", &[remove(2, 1, 0)], 2);
    submit(&mut ring, "removed again", &[remove(2, 1, 0)], 1);
    submit(&mut ring, "begun", &[timeout(1, &long, 0, 0)], 0);
    let update = Entry { off: &raw const short as u64, ..remove(2, 1, 2) };
    submit(&mut ring, "changed", &[update], 2);
    submit(&mut ring, "changed, but none is there", &[update], 1);
    submit(&mut ring, "strangely", &[Entry { op_flags: 1 << 20, ..update }], 1);
    submit(&mut ring, "linked", &[timeout(1, &past, 0, 0).flags(LINK), nop(2)], 2);
    submit(&mut ring, "linked, no failure", &[timeout(1, &past, 0, 32).flags(LINK), nop(2)], 2);
}

fn cancelling() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let waits = |name| Entry::transfer(READ, name, read_end(&pipe), &buffer, -1);
    let cancel = |name, of, flags| Entry { addr: of, op_flags: flags, ..Entry::new(ASYNC_CANCEL, name) };
    submit(&mut ring, "nothing there", &[cancel(9, 1, 0)], 1);
    submit(&mut ring, "one", &[waits(1), cancel(9, 1, 0)], 2);
    submit(&mut ring, "the first of a name", &[waits(1), waits(1), waits(2)], 0);
    submit(&mut ring, "goes", &[cancel(9, 1, 0)], 2);
    submit(&mut ring, "all of a name", &[cancel(9, 1, 1)], 2);
    submit(&mut ring, "none of a name", &[cancel(9, 1, 1)], 1);
    submit(&mut ring, "all on a file", &[Entry { fd: read_end(&pipe), ..cancel(9, 0, 3) }], 2);
    submit(&mut ring, "three", &[waits(1), waits(2), waits(3)], 0);
    submit(&mut ring, "any", &[cancel(9, 0, 4)], 4);
    submit(&mut ring, "strange flags", &[cancel(9, 0, 1 << 20)], 1);
    submit(&mut ring, "no such file", &[Entry { fd: -1, ..cancel(9, 0, 2) }], 1);
    let nop = |name| Entry::new(NOP, name);
    submit(&mut ring, "a chain", &[waits(1).flags(LINK), nop(2)], 0);
    submit(&mut ring, "goes", &[cancel(9, 1, 0)], 3);
    write_to(write_end(&pipe), b"left");
    one(&mut ring, "nothing is lost", waits(1));
}
