//! Rings that may be asked for some things only.

use super::{one, ring, submit, told};
use crate::check::{BAD, outcome};
use std::os::fd::AsRawFd;
use support::clock::sleep_ms;
use support::ring::{Entry, Parameters, Ring, names::*};

/// `struct io_uring_restriction`: what is restricted, and to what.
#[repr(C)]
#[derive(Clone, Copy)]
struct Restriction(u16, u8, u8, [u32; 3]);

/// A ring that may do some things only.
pub fn run() {
    let asleep = || {
        let parameters = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
        Ring::with(8, parameters).expect("a ring")
    };
    let ask = |ring: &Ring, what: &str, restrictions: &[Restriction]| {
        let (first, count) = (restrictions.as_ptr(), restrictions.len() as u32);
        // SAFETY: they are live.
        outcome(what, unsafe { ring.register(REGISTER_RESTRICTIONS, first, count) });
    };
    let enable = |ring: &Ring, what: &str| {
        // SAFETY: no argument.
        outcome(what, unsafe { ring.register(REGISTER_ENABLE_RINGS, std::ptr::null::<u8>(), 0) });
    };
    let of = |kind, what: u8| Restriction(kind, what, 0, [0; 3]);
    let awake = ring();
    ask(&awake, "one that runs", &[of(1, NOP)]);
    let ring = asleep();
    ask(&ring, "a strange kind", &[of(4, 0)]);
    ask(&ring, "a strange operation", &[of(1, 200)]);
    ask(&ring, "a strange registration", &[of(0, 200)]);
    ask(&ring, "too many", &[of(1, NOP); 200]);
    // SAFETY: no memory is involved.
    unsafe {
        outcome("nowhere", ring.register(REGISTER_RESTRICTIONS, std::ptr::null::<u8>(), 1));
        outcome("at a bad address", ring.register(REGISTER_RESTRICTIONS, BAD as *const u8, 1));
    }
    let flags = |kind, flags| Restriction(kind, flags, 0, [0; 3]);
    ask(&ring, "some", &[of(1, NOP), of(1, READ), of(0, 12), of(0, 4), flags(2, ASYNC | FIXED_FILE)]);
    ask(&ring, "again", &[of(1, WRITE)]);
    enable(&ring, "enable");
    let mut ring = ring;
    one(&mut ring, "allowed", Entry::new(NOP, 1));
    one(&mut ring, "not allowed", Entry { fd: -1, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "a flag", Entry::new(NOP, 1).flags(ASYNC));
    one(&mut ring, "another flag", Entry::new(NOP, 1).flags(DRAIN));
    enable(&ring, "enable again");
    // SAFETY: no arguments.
    unsafe {
        outcome("a registration", ring.register(5, std::ptr::null::<u8>(), 0));
        let fd = ring.as_raw_fd();
        outcome("one that is allowed", ring.register(4, &raw const fd, 1));
        outcome("a strange one", ring.register(200, std::ptr::null::<u8>(), 0));
    }
    let ring = asleep();
    ask(&ring, "what there must be", &[of(1, READ), of(1, NOP), flags(3, FIXED_FILE), flags(2, ASYNC)]);
    enable(&ring, "enable");
    let mut ring = ring;
    one(&mut ring, "without", Entry::new(NOP, 1));
    one(&mut ring, "with it", Entry::new(NOP, 1).flags(FIXED_FILE));
    one(&mut ring, "with more", Entry::new(NOP, 1).flags(FIXED_FILE | ASYNC));
    one(&mut ring, "with too much", Entry::new(NOP, 1).flags(FIXED_FILE | LINK));
    // A poller takes nothing before that either.
    let parameters = Parameters { flags: SETUP_R_DISABLED | SETUP_SQPOLL, ..Parameters::default() };
    let mut ring = Ring::with(8, parameters).expect("a ring");
    ask(&ring, "for a poller", &[of(1, READ)]);
    ring.push(Entry::new(NOP, 1));
    sleep_ms(50);
    told(&mut ring, "not yet");
    enable(&ring, "enable");
    submit(&mut ring, "not allowed", &[], 1);
    for restrictions in [&[of(0, 12)][..], &[]] {
        let ring = asleep();
        ask(&ring, "no request", restrictions);
        enable(&ring, "enable");
        let mut ring = ring;
        one(&mut ring, "nothing is allowed", Entry::new(NOP, 1));
        enable(&ring, "enable again");
    }
}
