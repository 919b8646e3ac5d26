//! The machine.

use super::NONE;
use crate::kind::Kind::{self, Below, Bits, Block, Buffer, Either, Length, One};
use crate::kind::{Call, call};
use libc::*;

/// A program that judges calls: a step, which may be none, and the answer to all of them.
const PROGRAM: Kind = Block(&[
    (8, One(&[2])),
    (
        8,
        Block(&[
            (2, One(&[0, 1, 2, 3, 4, 5, 7, 0x20, 0x54, 0x3c, 0x60, 0x80, 0x84, 0x87])),
            (2, NONE),
            (4, Below(17)),
            (4, One(&[6])),
            (4, One(&[ALLOW, ALLOW, ALLOW, 0x7ffc_0000, 0x7ff0_0000, 0x3_0000, 0x5_0004, 0])),
        ]),
    ),
]);
const ALLOW: u64 = 0x7fff_0000;

pub const CALLS: &[Call] = &[
    call("uname", SYS_uname, &[Buffer(390)]),
    call("sysinfo", SYS_sysinfo, &[Buffer(112)]),
    call("syslog", SYS_syslog, &[Below(11), Buffer(300), Length]),
    call("getrandom", SYS_getrandom, &[Buffer(4096), Length, Bits(&[1, 2, 4])]),
    call("sync", SYS_sync, &[]),
    call("sethostname", SYS_sethostname, &[Buffer(64), Length]),
    call("setdomainname", SYS_setdomainname, &[Buffer(64), Length]),
    call("sysfs", SYS_sysfs, &[Below(4), Below(10), Buffer(64)]),
    call("ustat", SYS_ustat, &[Below(40), Buffer(32)]),
    call("bpf", SYS_bpf, &[Below(30), Buffer(64), Below(65)]),
    call(
        "seccomp",
        SYS_seccomp,
        &[Below(4), Bits(&[1, 2, 4, 16]), Either(&[NONE, PROGRAM, PROGRAM, Buffer(16)])],
    ),
    // Without new privileges, which a program takes; a program; the strict mode.
    call("prctl", SYS_prctl, &[One(&[38, 38, 22]), One(&[1, 1, 2]), Either(&[NONE, PROGRAM]), NONE, NONE]),
    call("userfaultfd", SYS_userfaultfd, &[One(&[0, 1, 0o4000])]),
    call("quotactl", SYS_quotactl, &[Below(9), NONE, Below(9), Buffer(64)]),
];
