//! Asynchronous transfers.

use super::files::RWF;
use super::{NONE, OFFSET, SIGNALS, SIGNALS_SIZE, TIME, VECTOR};
use crate::kind::File::{Any, Event};
use crate::kind::Kind::{self, Array, Below, Block, Buffer, Context, Either, Fd, One};
use crate::kind::{Call, Part, call};
use libc::*;

/// iocb: the program's word, the key, flags, what is to be done and how urgently, on what, where in memory and how much, where
/// in the file, nothing, whether a counter is told, and which.
const REQUEST: &[Part] = &[
    (8, Below(99)),
    (4, NONE),
    (4, Either(&[NONE, NONE, RWF])),
    (2, One(&[0, 1, 0, 1, 2, 3, 5, 5, 6, 7, 8])),
    (2, NONE),
    (4, Fd(Any)),
    (8, Either(&[Buffer(9000), Buffer(9000), VECTOR, Below(100)])),
    (8, Either(&[NONE, Below(9000), Below(8)])),
    (8, Either(&[NONE, OFFSET])),
    (8, NONE),
    (4, Below(2)),
    (4, Fd(Event)),
];
const EVENTS: Kind = Buffer(32 * 6);

pub const CALLS: &[Call] = &[
    call("io_setup", SYS_io_setup, &[Below(70), Block(&[(8, NONE)])]),
    call("io_destroy", SYS_io_destroy, &[Context]),
    call("io_submit", SYS_io_submit, &[Context, Below(5), Array(5, &[(8, Block(REQUEST))])]),
    call("io_getevents", SYS_io_getevents, &[Context, Below(3), Below(6), EVENTS, TIME]),
    call(
        "io_pgetevents",
        333,
        &[
            Context,
            Below(3),
            Below(6),
            EVENTS,
            TIME,
            Either(&[NONE, Block(&[(8, SIGNALS), (8, SIGNALS_SIZE)])]),
        ],
    ),
    call("io_cancel", SYS_io_cancel, &[Context, Block(REQUEST), Buffer(32)]),
];
