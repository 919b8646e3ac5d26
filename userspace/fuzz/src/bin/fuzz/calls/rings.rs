//! Rings for calls, and what is asked of them.

use super::events::EVENT;
use super::files::{RWF, SPLICE as SPLICING};
use super::names::ATTRIBUTE;
use super::names::{AT_FLAGS, HOW, MODE, OPEN};
use super::sockets::{FLAGS, MESSAGE, NAMED, SIZE};
use super::{NAME, NONE, OFFSET, PATH, SHORT, SIGNALS, SIGNALS_SIZE, TIME, VECTOR};
use crate::kind::File::{Any, Epoll, Event, Listener, Reader, Regular, Ring, Socket, Writer};
use crate::kind::Kind::{
    self, Array, At, Below, Bits, Block, Buffer, Either, Entries, Fd, Length, One, Page, Span,
};
use crate::kind::{Call, Request, call, request};
use libc::*;
use support::ring::names::*;

/// io_uring_params: flags, the thread's CPU, how long it looks on, the features; the kernel fills in the rest.
const PARAMETERS: Kind = Block(&[
    (4, One(&[8])),
    (4, NONE),
    (4, Bits(&[1, 2, 4, 8, 16])),
    (4, NONE),
    (4, Below(10)),
    (100, Kind::Gap),
]);
const BYTES: Kind = Buffer(12_000);
/// Where in a file: mostly in its middle, or where it stands.
const PLACE: Kind = Either(&[OFFSET, One(&[u64::MAX])]);
/// The name of a request.
const OTHER: Kind = Below(Request::NAMES);
const EVENTS: Kind = Bits(&[1, 4, 1, 4, 2, 8, 0x10, 0x2000, 1 << 30, 1 << 31]);
/// io_uring_getevents_arg.
const WAITING: Kind = Block(&[(8, SIGNALS), (4, SIGNALS_SIZE), (4, NONE), (8, TIME)]);

/// io_uring_buf_reg: where, how many, the group.
const BUFFER_RING: &[(u8, Kind)] = &[
    (8, Page),
    (4, One(&[1, 4, 8, 256, 0x8000])),
    (2, Below(3)),
    (2, NONE),
    (8, NONE),
    (8, NONE),
    (8, NONE),
];
/// io_uring_sync_cancel_reg: a name, a descriptor, flags, a time.
const CANCEL: &[(u8, Kind)] = &[
    (8, OTHER),
    (4, Fd(Any)),
    (4, Bits(&[1, 2, 4])),
    (8, One(&[0, u64::MAX])),
    (8, One(&[0, 1000, u64::MAX])),
    (32, Kind::Gap),
];

const REQUESTS: &[Request] = &[
    request(&[NOP], NONE, NONE, NONE, NONE, NONE),
    request(&[READ, WRITE], Fd(Regular), PLACE, BYTES, Length, NONE),
    request(&[READ, WRITE], Fd(Any), PLACE, BYTES, Length, Either(&[NONE, RWF])),
    request(&[READ], Either(&[Fd(Reader), Fd(Socket), Fd(Event)]), One(&[u64::MAX]), BYTES, Length, NONE),
    request(&[WRITE], Either(&[Fd(Writer), Fd(Socket), Fd(Event)]), One(&[u64::MAX]), BYTES, Length, NONE),
    request(&[READV, WRITEV], Fd(Any), PLACE, VECTOR, Length, Either(&[NONE, RWF])),
    request(&[READ_FIXED, WRITE_FIXED], Fd(Regular), PLACE, BYTES, Length, NONE),
    request(&[FSYNC], Fd(Any), NONE, NONE, NONE, Below(2)),
    request(&[POLL_ADD], Fd(Any), NONE, NONE, Below(2), EVENTS),
    request(&[POLL_REMOVE], NONE, OTHER, OTHER, Bits(&[1, 2, 4]), EVENTS),
    request(&[TIMEOUT], NONE, Below(3), Block(SHORT), One(&[1]), Either(&[NONE, Bits(&[1, 4, 8, 32])])),
    request(&[TIMEOUT_REMOVE], NONE, Block(SHORT), OTHER, NONE, Bits(&[2, 16])),
    request(&[LINK_TIMEOUT], NONE, NONE, Block(SHORT), One(&[1]), Either(&[NONE, Bits(&[1, 4, 8])])),
    request(&[ASYNC_CANCEL], Fd(Any), NONE, OTHER, NONE, Either(&[NONE, Bits(&[1, 2, 4])])),
    request(&[ACCEPT], Fd(Listener), SIZE, Either(&[NONE, Buffer(110)]), NONE, NONE),
    request(&[CONNECT], Either(&[Fd(Socket), Fd(Listener)]), One(&[2, 10, 18]), NAMED, NONE, NONE),
    request(&[SENDMSG, RECVMSG], Fd(Socket), NONE, Block(MESSAGE), One(&[1]), FLAGS),
    request(&[SEND, RECV], Fd(Socket), NONE, Buffer(9000), Length, FLAGS),
    request(&[SOCKET], One(&[1]), One(&[1, 2, 5]), NONE, NONE, NONE),
    request(&[SHUTDOWN], Fd(Socket), NONE, NONE, Below(4), NONE),
    request(&[OPENAT], At, NONE, PATH, MODE, OPEN),
    request(&[OPENAT2], At, Block(HOW), PATH, One(&[24]), NONE),
    request(&[CLOSE], Fd(Any), NONE, NONE, NONE, NONE),
    request(&[STATX], At, Buffer(256), PATH, Below(0x2000), AT_FLAGS),
    request(&[RENAMEAT], At, NAME, NAME, At, Below(8)),
    request(&[UNLINKAT], At, NONE, NAME, NONE, AT_FLAGS),
    request(&[MKDIRAT], At, NONE, NAME, MODE, NONE),
    request(&[SYMLINKAT], At, NAME, PATH, NONE, NONE),
    request(&[LINKAT], At, NAME, PATH, At, AT_FLAGS),
    request(&[FALLOCATE], Fd(Regular), OFFSET, OFFSET, Bits(&[1, 2, 8, 16, 32]), NONE),
    request(&[FADVISE], Fd(Regular), OFFSET, NONE, Below(9000), Below(7)),
    request(&[MADVISE], NONE, NONE, Page, Span, Below(26)),
    request(&[EPOLL_CTL], Fd(Epoll), Fd(Any), EVENT, One(&[1, 1, 2, 3]), NONE),
    request(&[SPLICE], Fd(Writer), PLACE, PLACE, Below(9000), SPLICING).with(Fd(Any)),
    request(&[TEE], Fd(Writer), NONE, NONE, Below(9000), SPLICING).with(Fd(Reader)),
    request(&[FILES_UPDATE], NONE, Below(9), Array(4, &[(4, Fd(Any))]), Length, NONE),
    // Buffers in groups.
    request(&[PROVIDE_BUFFERS], Below(9), Below(20), Buffer(3000), Below(400), NONE),
    request(&[PROVIDE_BUFFERS], Below(9), Below(20), Buffer(3000), Below(400), NONE),
    request(&[PROVIDE_BUFFERS], One(&[1, 0x8000, 0x1_0000]), Below(2), Page, Below(3), NONE),
    request(&[REMOVE_BUFFERS], One(&[1, 2, 0x1_0000]), NONE, NONE, NONE, NONE),
    request(&[READ], Either(&[Fd(Reader), Fd(Socket), Fd(Event)]), One(&[u64::MAX]), NONE, NONE, NONE)
        .choosing(),
    request(&[READ, READV], Fd(Any), PLACE, VECTOR, One(&[0, 1, 1, 50]), NONE).choosing(),
    request(&[RECV], Fd(Socket), NONE, NONE, NONE, Either(&[NONE, FLAGS])).choosing(),
    request(&[RECVMSG], Fd(Socket), NONE, Block(MESSAGE), One(&[1]), Either(&[NONE, FLAGS])).choosing(),
    // Other rings, and attributes.
    request(&[MSG_RING], Fd(Ring), OTHER, NONE, Below(99), NONE),
    request(&[MSG_RING], Fd(Ring), OTHER, One(&[1]), Below(99), Below(2)).with(Below(9)).and(Below(9)),
    request(&[FSETXATTR], Fd(Any), Buffer(300), ATTRIBUTE, Length, Below(4)),
    request(&[FGETXATTR], Fd(Any), Buffer(300), ATTRIBUTE, Below(300), NONE),
    request(&[SETXATTR], NONE, Buffer(300), ATTRIBUTE, Length, Below(4)).and(NAME),
    request(&[GETXATTR], NONE, Buffer(300), ATTRIBUTE, Below(300), NONE).and(NAME),
    // What is registered is opened, accepted and closed.
    request(&[OPENAT], At, NONE, PATH, MODE, OPEN).with(Below(9)),
    request(&[ACCEPT], Fd(Listener), NONE, NONE, NONE, NONE).with(Below(9)),
    request(&[CLOSE], NONE, NONE, NONE, NONE, NONE).with(Below(9)),
    request(&[8, 46, 47, 48, 60, 255], Fd(Any), OFFSET, BYTES, Length, Below(4)),
];
const ENTRIES: Kind = Entries(6, REQUESTS);

pub const CALLS: &[Call] = &[
    call("io_uring_setup", SYS_io_uring_setup, &[Below(70), PARAMETERS]).opens(Ring),
    call("io_uring_enter", SYS_io_uring_enter, &[ENTRIES, Below(9), NONE, Bits(&[2]), NONE, NONE]),
    call(
        "io_uring_enter and wait",
        SYS_io_uring_enter,
        &[ENTRIES, Below(9), Below(3), One(&[1, 3, 5]), Either(&[NONE, SIGNALS]), SIGNALS_SIZE],
    ),
    call(
        "io_uring_enter and wait for a time",
        SYS_io_uring_enter,
        &[ENTRIES, Below(9), Below(3), One(&[9, 11]), WAITING, One(&[24])],
    ),
    call(
        "io_uring_enter of any ring",
        SYS_io_uring_enter,
        &[Fd(Ring), Below(9), Below(3), Bits(&[1, 2, 4, 8]), Either(&[NONE, SIGNALS]), SIGNALS_SIZE],
    ),
    call("io_uring_register of buffers", SYS_io_uring_register, &[Fd(Ring), One(&[0]), VECTOR, Length]),
    call(
        "io_uring_register of files",
        SYS_io_uring_register,
        &[Fd(Ring), One(&[2]), Array(6, &[(4, Fd(Any))]), Length],
    ),
    call(
        "io_uring_register of an event",
        SYS_io_uring_register,
        &[Fd(Ring), One(&[4, 7]), Block(&[(4, Fd(Event))]), One(&[1])],
    ),
    call(
        "io_uring_register of a ring of buffers",
        SYS_io_uring_register,
        &[Fd(Ring), One(&[22, 22, 23]), Block(BUFFER_RING), One(&[1])],
    ),
    call(
        "io_uring_register of numbers",
        SYS_io_uring_register,
        &[
            Fd(Ring),
            One(&[20, 20, 21]),
            Array(
                4,
                &[(4, Either(&[Below(17), One(&[0xffff_ffff])])), (4, NONE), (8, Either(&[Fd(Ring), NONE]))],
            ),
            Length,
        ],
    ),
    call(
        "io_uring_enter by a number",
        SYS_io_uring_enter,
        &[Below(17), Below(9), Below(3), One(&[16, 17]), NONE, NONE],
    ),
    call(
        "io_uring_register of a cancellation",
        SYS_io_uring_register,
        &[Fd(Ring), One(&[24]), Block(CANCEL), One(&[1])],
    ),
    call(
        "io_uring_register of restrictions, or places",
        SYS_io_uring_register,
        &[
            Fd(Ring),
            One(&[11, 25]),
            Array(4, &[(4, Either(&[Below(5), Bits(&[1, 1 << 16, 1 << 17])])), (4, Below(9)), (8, NONE)]),
            Length,
        ],
    ),
    call(
        "io_uring_register",
        SYS_io_uring_register,
        &[
            Fd(Ring),
            Below(30),
            Either(&[NONE, Array(4, &[(8, Page), (8, Length)]), Array(6, &[(4, Fd(Any))]), Buffer(64)]),
            Length,
        ],
    ),
];
