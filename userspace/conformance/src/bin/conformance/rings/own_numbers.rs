//! Numbers of a thread's own for rings.

use super::{ring, told};
use crate::check::{show, sys, value};
use std::os::fd::AsRawFd;
use support::ring::{Entry, Ring, names::*};

/// `struct io_uring_rsrc_update`: a number, nothing, a descriptor.
#[repr(C)]
#[derive(Clone, Copy)]
struct Number(u32, u32, u64);

/// Numbers that a thread has for rings.
pub fn run() {
    let mut ring = ring();
    let fd = ring.as_raw_fd() as u64;
    let ask = |ring: &Ring, what: &str, operation: u32, numbers: &mut [Number]| {
        // SAFETY: they are live.
        value(what, unsafe { ring.register(operation, numbers.as_ptr(), numbers.len() as u32) });
        numbers.iter().map(|number| number.0 as i32).collect::<Vec<_>>()
    };
    let enter = |ring: &mut Ring, what: &str, number: i32| {
        ring.push(Entry::new(NOP, 1));
        value(what, sys!(SYS_io_uring_enter, number, 1, 1, GETEVENTS | REGISTERED_RING, 0, 8));
        told(ring, what);
    };
    enter(&mut ring, "none yet", 0);
    let any = Number(u32::MAX, 0, fd);
    ask(&ring, "none", REGISTER_RING_FDS, &mut []);
    ask(&ring, "too many", REGISTER_RING_FDS, &mut [any; 17]);
    ask(&ring, "reserved", REGISTER_RING_FDS, &mut [Number(u32::MAX, 1, fd)]);
    ask(&ring, "no file", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, 777)]);
    ask(&ring, "another file", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, 0)]);
    ask(&ring, "no number", REGISTER_RING_FDS, &mut [Number(16, 0, fd)]);
    let numbers = ask(&ring, "two", REGISTER_RING_FDS, &mut [Number(2, 0, fd), any]);
    show("numbers", format!("{numbers:?}"));
    let numbers = ask(&ring, "three", REGISTER_RING_FDS, &mut [any, any, Number(2, 0, fd)]);
    show("numbers", format!("{numbers:?}"));
    ask(&ring, "taken", REGISTER_RING_FDS, &mut [Number(2, 0, fd)]);
    enter(&mut ring, "by a number", 2);
    enter(&mut ring, "by no number", 7);
    enter(&mut ring, "by a large one", 16);
    enter(&mut ring, "by less than none", -1);
    let other = std::thread::spawn(|| {
        let entered = sys!(SYS_io_uring_enter, 2, 0, 0, GETEVENTS | REGISTERED_RING, 0, 8);
        value("by another thread", entered);
    });
    other.join().expect("a thread");
    ask(&ring, "with a descriptor", UNREGISTER_RING_FDS, &mut [Number(2, 0, fd)]);
    ask(&ring, "away", UNREGISTER_RING_FDS, &mut [Number(2, 0, 0), Number(16, 0, 0)]);
    ask(&ring, "away again", UNREGISTER_RING_FDS, &mut [Number(2, 0, 0)]);
    enter(&mut ring, "by that number", 2);
    // What the thread has closed it still has.
    let own = sys!(SYS_dup, ring.as_raw_fd()).expect("a descriptor") as u64;
    let numbers = ask(&ring, "by another descriptor", REGISTER_RING_FDS, &mut [Number(u32::MAX, 0, own)]);
    let _ = sys!(SYS_close, own);
    enter(&mut ring, "closed", numbers[0]);
}
