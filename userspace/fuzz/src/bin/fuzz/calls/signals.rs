//! Signals.

use super::{NONE, SIGNALS, SIGNALS_SIZE, TIME};
use crate::kind::Kind::{
    self, Below, Bits, Block, Buffer, Either, Handler, One, Page, Pid, Restorer, Signal,
};
use crate::kind::{Call, call};
use libc::*;

const ACTION: Kind = Block(&[
    (8, Handler),
    // SA_RESTORER always: the C library's way, and the only one on x86-64.
    (8, Either(&[One(&[0x0400_0000, 0x1400_0000, 0x0400_0004, 0x4400_0004, 0x0c00_0004, 0x8400_0000])])),
    (8, Restorer),
    (8, One(&[0, 0, u64::MAX, 0x2000])),
]);
const INFORMATION: Kind = Block(&[
    (4, Signal),
    (4, NONE),
    (4, One(&[0xffff_ffff, 0xffff_fffa, 0])),
    (4, NONE),
    (8, Pid),
    (8, Page),
]);

pub const CALLS: &[Call] = &[
    call("kill", SYS_kill, &[Pid, Signal]).last().reaches(),
    call("tkill", SYS_tkill, &[Pid, Signal]).last().reaches(),
    call("tgkill", SYS_tgkill, &[Pid, Pid, Signal]).reaches(),
    call("rt_sigqueueinfo", SYS_rt_sigqueueinfo, &[Pid, Signal, INFORMATION]).last().reaches(),
    call("rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, &[Pid, Pid, Signal, INFORMATION]).last().reaches(),
    call("rt_sigaction", SYS_rt_sigaction, &[Signal, ACTION, Either(&[NONE, Buffer(32)]), SIGNALS_SIZE]),
    call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[Below(4), SIGNALS, Either(&[NONE, Buffer(8)]), SIGNALS_SIZE],
    ),
    call("rt_sigpending", SYS_rt_sigpending, &[Buffer(8), SIGNALS_SIZE]),
    call(
        "rt_sigtimedwait",
        SYS_rt_sigtimedwait,
        &[SIGNALS, Either(&[NONE, Buffer(128)]), TIME, SIGNALS_SIZE],
    ),
    call("rt_sigsuspend", SYS_rt_sigsuspend, &[SIGNALS, SIGNALS_SIZE]).last(),
    call("pause", SYS_pause, &[]).last(),
    call("rt_sigreturn", SYS_rt_sigreturn, &[]).last(),
    call(
        "sigaltstack",
        SYS_sigaltstack,
        &[
            Either(&[
                NONE,
                Block(&[(8, Page), (8, Bits(&[1, 2, 0x8000_0000])), (8, One(&[8192, 16384, 2048]))]),
            ]),
            Either(&[NONE, Buffer(24)]),
        ],
    ),
    call("restart_syscall", SYS_restart_syscall, &[]),
    call("alarm", SYS_alarm, &[Below(2)]),
];
