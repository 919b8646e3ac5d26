//! Sockets.

use super::{NONE, TIME, VECTOR};
use crate::kind::File::{Any, Listener, Socket};
use crate::kind::Kind::{self, Array, Below, Bits, Block, Buffer, Either, Fd, Length, One, Pid, Text};
use crate::kind::{Call, call};
use libc::*;

/// AF_UNIX and the names s0, s1, abstract or not; nothing else listens there.
pub const NAMED: Kind = Either(&[
    Block(&[(2, One(&[1])), (4, One(&[0x3073, 0x3173, 0x0030_7300, 0x0031_7300])), (4, NONE)]),
    Block(&[(2, One(&[1]))]),
    Block(&[(2, One(&[0, 1, 2, 10, 16])), (8, Below(1 << 40)), (8, NONE)]),
]);
pub const FLAGS: Kind = Bits(&[
    MSG_OOB as u64,
    MSG_PEEK as u64,
    MSG_TRUNC as u64,
    MSG_DONTWAIT as u64,
    MSG_DONTWAIT as u64,
    MSG_EOR as u64,
    MSG_WAITALL as u64,
    MSG_NOSIGNAL as u64,
    MSG_CMSG_CLOEXEC as u64,
]);
const SORT: Kind = Bits(&[1, 2, 4, SOCK_NONBLOCK as u64, SOCK_CLOEXEC as u64]);
/// SCM_RIGHTS with two descriptors, or SCM_CREDENTIALS.
const CONTROL: Kind = Either(&[
    NONE,
    Buffer(200),
    Block(&[(8, One(&[24])), (4, One(&[1])), (4, One(&[1])), (4, Fd(Any)), (4, Fd(Socket))]),
    Block(&[
        (8, One(&[28])),
        (4, One(&[1])),
        (4, One(&[2])),
        (4, Pid),
        (4, One(&[65534, 0])),
        (4, One(&[65534, 0])),
    ]),
]);
pub const MESSAGE: &[(u8, Kind)] = &[
    (8, Either(&[NONE, NAMED])),
    (4, Either(&[NONE, Below(20), Length])),
    (4, NONE),
    (8, VECTOR),
    (8, Length),
    (8, CONTROL),
    (8, Length),
    (8, NONE),
];
const OPTION: Kind = Either(&[
    Below(70),
    One(&[SO_PASSCRED as u64, SO_SNDBUF as u64, SO_RCVTIMEO as u64, SO_PEERCRED as u64]),
]);
const VALUE: Kind = Either(&[Block(&[(4, Below(4))]), Block(super::SHORT)]);
pub const SIZE: Kind = Block(&[(4, Below(130))]);

pub const CALLS: &[Call] = &[
    call("socket", SYS_socket, &[One(&[1, 1, 1, 2, 16]), SORT, NONE]).opens(Socket),
    call("socket to listen", SYS_socket, &[One(&[1]), One(&[1, 5, 2049]), NONE]).opens(Listener),
    call("socketpair", SYS_socketpair, &[One(&[1]), SORT, NONE, Buffer(8)]).opens_pair([Socket, Socket], 3),
    call("bind", SYS_bind, &[Fd(Listener), NAMED, Length]),
    call("listen", SYS_listen, &[Fd(Listener), Below(4)]),
    call(
        "accept4",
        SYS_accept4,
        &[
            Fd(Listener),
            Either(&[NONE, Buffer(110)]),
            SIZE,
            Bits(&[SOCK_NONBLOCK as u64, SOCK_CLOEXEC as u64]),
        ],
    )
    .opens(Socket),
    call("connect", SYS_connect, &[Either(&[Fd(Socket), Fd(Listener)]), NAMED, Length]),
    call("getsockname", SYS_getsockname, &[Fd(Socket), Buffer(110), SIZE]),
    call("getpeername", SYS_getpeername, &[Fd(Socket), Buffer(110), SIZE]),
    call("sendto", SYS_sendto, &[Fd(Socket), Buffer(9000), Length, FLAGS, Either(&[NONE, NAMED]), Length]),
    call(
        "recvfrom",
        SYS_recvfrom,
        &[Fd(Socket), Buffer(9000), Length, FLAGS, Either(&[NONE, Buffer(110)]), SIZE],
    ),
    call("sendmsg", SYS_sendmsg, &[Fd(Socket), Block(MESSAGE), FLAGS]),
    call("recvmsg", SYS_recvmsg, &[Fd(Socket), Block(MESSAGE), FLAGS]),
    call("sendmmsg", SYS_sendmmsg, &[Fd(Socket), Array(3, MESSAGE), Length, FLAGS]),
    call("recvmmsg", SYS_recvmmsg, &[Fd(Socket), Array(3, MESSAGE), Length, FLAGS, TIME]),
    call("shutdown", SYS_shutdown, &[Fd(Socket), Below(4)]),
    call("getsockopt", SYS_getsockopt, &[Fd(Socket), One(&[1, 1, 1, 0, 6]), OPTION, Buffer(128), SIZE]),
    call("setsockopt", SYS_setsockopt, &[Fd(Socket), One(&[1, 1, 1, 0, 6]), OPTION, VALUE, Length]),
    call("unlink of a socket", SYS_unlink, &[Text(&["s0", "s1"])]),
];
