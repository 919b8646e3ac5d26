//! Cancelling without a request.

use super::{read_end, ring, told};
use crate::check::{BAD, outcome, value};
use support::pipe::pipe;
use support::ring::{Entry, Ring, names::*};

/// `struct io_uring_sync_cancel_reg`.
#[repr(C)]
struct Cancel {
    name: u64,
    fd: i32,
    flags: u32,
    seconds: i64,
    nanoseconds: i64,
    pad: [u64; 4],
}

/// Cancelling without a request.
pub fn run() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    let read = |name| Entry::transfer(READ, name, read_end(&pipe), &buffer, -1);
    let cancel = |name| Cancel { name, fd: -1, flags: 0, seconds: -1, nanoseconds: -1, pad: [0; 4] };
    let of_file = |flags| Cancel { fd: read_end(&pipe), flags, ..cancel(0) };
    let begin = |ring: &mut Ring, names: &[u64]| {
        for name in names {
            ring.push(read(*name));
        }
        ring.submit_within(0).expect("a submission");
    };
    let ask = |ring: &Ring, what: &str, cancel: &Cancel| {
        // SAFETY: it is live.
        value(what, unsafe { ring.register(REGISTER_SYNC_CANCEL, std::ptr::from_ref(cancel), 1) });
    };
    ask(&ring, "nothing", &cancel(5));
    begin(&mut ring, &[5, 5, 6, 7]);
    ask(&ring, "one", &cancel(5));
    told(&mut ring, "cancelled");
    ask(&ring, "another name", &cancel(9));
    ask(&ring, "all of that name", &Cancel { flags: 1, ..cancel(5) });
    told(&mut ring, "cancelled");
    ask(&ring, "all of that name again", &Cancel { flags: 1, ..cancel(5) });
    ask(&ring, "by its file", &of_file(2));
    told(&mut ring, "cancelled");
    ask(&ring, "all of its file", &of_file(3));
    told(&mut ring, "cancelled");
    begin(&mut ring, &[1, 2, 3]);
    ask(&ring, "any", &Cancel { flags: 4, ..cancel(0) });
    told(&mut ring, "cancelled");
    ask(&ring, "none", &Cancel { flags: 4, ..cancel(0) });
    ask(&ring, "strange flags", &Cancel { flags: 64, ..cancel(0) });
    ask(&ring, "padding", &Cancel { pad: [0, 0, 0, 1], ..cancel(0) });
    ask(&ring, "within a time", &Cancel { seconds: 0, nanoseconds: 1000, ..cancel(5) });
    ask(&ring, "no such file", &Cancel { fd: 777, flags: 2, ..cancel(0) });
    ask(&ring, "no registered file", &Cancel { fd: 0, flags: 2 | 8, ..cancel(0) });
    // SAFETY: it is live.
    unsafe {
        let two = cancel(5);
        outcome("two", ring.register(REGISTER_SYNC_CANCEL, &raw const two, 2));
        outcome("bad", ring.register(REGISTER_SYNC_CANCEL, BAD as *const u8, 1));
    }
}
