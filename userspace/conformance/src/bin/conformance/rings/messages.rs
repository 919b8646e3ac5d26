//! Messages between rings: completions, and registered files.

use super::{file, one, ring, submit, told};
use crate::check::{outcome, show};
use std::os::fd::AsRawFd;
use support::ring::{Entry, Parameters, Ring, names::*};

pub fn run() {
    messages();
    files_sent();
}

/// A message to another ring: a completion there.
fn messages() {
    let mut ring = ring();
    let mut other = super::ring();
    let to = |fd: i32| Entry { fd, off: 77, len: 12, ..Entry::new(MSG_RING, 1) };
    let there = to(other.as_raw_fd());
    one(&mut ring, "sent", there);
    told(&mut other, "received");
    let own = to(ring.as_raw_fd());
    submit(&mut ring, "to itself", &[own], 2);
    one(&mut ring, "to no file", to(777));
    one(&mut ring, "to another file", to(0));
    one(&mut ring, "a buffer", Entry { buf_index: 1, ..there });
    one(&mut ring, "a priority", Entry { ioprio: 1, ..there });
    one(&mut ring, "a flag", Entry { op_flags: 1, ..there });
    one(&mut ring, "a strange flag", Entry { op_flags: 4, ..there });
    one(&mut ring, "a strange kind", Entry { addr: 9, ..there });
    one(&mut ring, "a place", Entry { file_index: 1, ..there });
    one(&mut ring, "less than nothing", Entry { len: -5_i32 as u32, ..there });
    told(&mut other, "received");
    let parameters = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
    let asleep = Ring::with(4, parameters).expect("a ring");
    one(&mut ring, "to one that takes nothing", to(asleep.as_raw_fd()));
    // More than there is room for.
    let small = Ring::new(1).expect("a ring");
    for _ in 0..4 {
        one(&mut ring, "to a small one", to(small.as_raw_fd()));
    }
}

/// A registered file, to a place of another ring.
fn files_sent() {
    let mut ring = ring();
    let mut other = super::ring();
    let buffer = [0_u8; 4];
    let file = file("/tmp/ring", b"0123456789");
    // SAFETY: the arguments are live.
    unsafe {
        outcome("register", ring.register(2, [file.as_raw_fd(), -1].as_ptr(), 2));
        outcome("register there", other.register(2, [-1, -1, -1].as_ptr(), 3));
    }
    let send = |from: u64, to: i32| Entry {
        fd: other.as_raw_fd(),
        off: 77,
        len: 12,
        addr: 1,
        addr3: from,
        file_index: to,
        ..Entry::new(MSG_RING, 1)
    };
    let [second, lowest] = [send(0, 2), send(0, -1)];
    one(&mut ring, "sent", second);
    one(&mut ring, "to the lowest place", lowest);
    one(&mut ring, "and the next", lowest);
    one(&mut ring, "and none", lowest);
    let [empty, none, nowhere] = [send(1, 1), send(9, 1), send(0, 9)];
    one(&mut ring, "no file there", empty);
    one(&mut ring, "no such place", none);
    one(&mut ring, "to no place", nowhere);
    one(&mut ring, "quietly", Entry { op_flags: 1, ..send(0, 1) });
    one(&mut ring, "strangely", Entry { op_flags: 2, ..send(0, 1) });
    let own = Entry { fd: ring.as_raw_fd(), ..send(0, 1) };
    one(&mut ring, "to itself", own);
    told(&mut other, "received");
    one(&mut other, "read there", Entry::transfer(READ, 1, 1, &buffer, 3).flags(FIXED_FILE));
    show("bytes", String::from_utf8_lossy(&buffer));
}
