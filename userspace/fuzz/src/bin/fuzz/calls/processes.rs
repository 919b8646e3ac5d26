//! Processes, threads, and what they may do.

use super::{NONE, PATH, TIME};
use crate::kind::File::{Folder, Process};
use crate::kind::Kind::{
    self, At, Below, Bits, Block, Buffer, Either, Fd, Length, One, Page, Pid, Range, Signal, Text, Texts,
};
use crate::kind::{Call, call};
use libc::*;

/// Of a clone: everything but threads, which would run on this one's stack.
const CLONE: Kind = Bits(&[
    CLONE_FS as u64,
    CLONE_FILES as u64,
    CLONE_PTRACE as u64,
    CLONE_PARENT as u64,
    CLONE_SYSVSEM as u64,
    CLONE_PARENT_SETTID as u64,
    CLONE_CHILD_CLEARTID as u64,
    CLONE_CHILD_SETTID as u64,
    CLONE_PIDFD as u64,
    1 << 32,
]);
const CLONE_ARGUMENTS: Kind = Block(&[
    (8, CLONE),
    (8, Buffer(8)),
    (8, Buffer(8)),
    (8, Buffer(8)),
    (8, One(&[0, 17, 17, 64])),
    (48, Kind::Gap),
]);
/// A thread that dies where it begins: nobody has made it a stack.
const THREAD: Kind = One(&[0x3d_0f00, 0x10f00, 0x4111]);
const WORD: Kind = Block(&[(4, Below(3))]);
const FUTEX: Kind = One(&[0, 1, 3, 4, 5, 9, 10, 128, 129, 131, 132, 133, 137, 138, 265]);
const ID: Kind = One(&[65534, 0, u64::MAX]);
const WAIT: Kind = Bits(&[1, 2, 8, 0x2000_0000, 0x4000_0000]);
/// Waiting without waiting: whose children live on would wait for ever.
const NO_WAIT: Kind = One(&[1, 3, 9, 0x4000_0001]);
const ONE_PROGRAM: Kind = Text(&["/usr/bin/nothing", "/usr/bin/nothing-musl", "/bin/true"]);
const PROGRAM: Kind = Either(&[ONE_PROGRAM, ONE_PROGRAM, PATH]);
const WORDS: Kind = Texts(&["true", "a", "-x", ""]);
const LIMIT: Kind =
    Either(&[NONE, Block(&[(8, One(&[0, 64, 1 << 20, u64::MAX])), (8, One(&[64, 1 << 20, u64::MAX]))])]);
const PARAMETER: Kind = Block(&[(4, Below(3))]);
/// `struct sched_attr`; times are below ten milliseconds, of which a thread that has reserved some waits for the rest.
const SCHEDULING: Kind = Block(&[
    (4, One(&[48, 0, 56])),
    (4, Below(7)),
    (8, Below(32)),
    (4, Below(20)),
    (4, Below(3)),
    (8, One(&[0, 20_000, 1_000_000])),
    (8, One(&[0, 1_000_000, 5_000_000])),
    (8, One(&[0, 5_000_000, 10_000_000])),
]);

pub const CALLS: &[Call] = &[
    call("fork", SYS_fork, &[]).forks(),
    call("clone", SYS_clone, &[Either(&[One(&[17]), CLONE]), NONE, Buffer(8), Buffer(8), NONE]).forks(),
    call("clone3", SYS_clone3, &[CLONE_ARGUMENTS, One(&[64, 80, 88])]).forks(),
    call("clone of a thread", SYS_clone, &[THREAD, Page, Buffer(8), Buffer(8), Page]).last(),
    call("vfork", SYS_vfork, &[]).last(),
    call("execve", SYS_execve, &[PROGRAM, WORDS, WORDS]).last(),
    call("execveat", SYS_execveat, &[At, PROGRAM, WORDS, WORDS, Bits(&[0x100, 0x1000])]).last(),
    call("exit", SYS_exit, &[Below(3)]).last(),
    call("exit_group", SYS_exit_group, &[Below(3)]).last(),
    call(
        "wait4",
        SYS_wait4,
        &[Either(&[Pid, One(&[0, u64::MAX])]), Buffer(4), NO_WAIT, Either(&[NONE, Buffer(144)])],
    ),
    call(
        "waitid",
        SYS_waitid,
        &[Below(4), Either(&[Pid, Fd(Process)]), Buffer(128), Bits(&[1, 2, 4, 8, 0x0100_0000]), Buffer(144)],
    ),
    call("wait4 and wait", SYS_wait4, &[One(&[u64::MAX]), Buffer(4), WAIT, NONE]),
    call("futex wait", SYS_futex, &[WORD, FUTEX, Below(3), TIME, WORD, Below(4)]),
    call("futex wake", SYS_futex, &[WORD, One(&[1, 129]), Below(5), NONE, NONE, NONE]),
    call("futex requeue", SYS_futex, &[WORD, One(&[3, 4, 131, 132]), Below(3), Below(3), WORD, Below(3)]),
    call(
        "futex_waitv",
        SYS_futex_waitv,
        &[
            Kind::Array(4, &[(8, Below(3)), (8, WORD), (4, One(&[2, 130])), (4, NONE)]),
            Length,
            NONE,
            TIME,
            NONE,
        ],
    ),
    call(
        "set_robust_list",
        SYS_set_robust_list,
        &[Block(&[(8, Page), (8, Below(64)), (8, Page)]), One(&[24])],
    ),
    call("get_robust_list", SYS_get_robust_list, &[Pid, Buffer(8), Buffer(8)]),
    call("set_tid_address", SYS_set_tid_address, &[Buffer(4)]),
    call("rseq", SYS_rseq, &[Buffer(32), One(&[32]), Below(2), One(&[0x5305_3053])]),
    call("pidfd_open", SYS_pidfd_open, &[Pid, Bits(&[0o4000])]).opens(Process),
    call("pidfd_getfd", SYS_pidfd_getfd, &[Fd(Process), Below(20), NONE]).opens(crate::kind::File::Any),
    call("pidfd_send_signal", SYS_pidfd_send_signal, &[Fd(Process), Signal, NONE, NONE]).last().reaches(),
    call("ptrace", SYS_ptrace, &[Either(&[Below(26), Range(0x4200, 20)]), Pid, Buffer(64), Buffer(256)])
        .last()
        .reaches(),
    call(
        "unshare",
        SYS_unshare,
        &[Bits(&[CLONE_FS as u64, CLONE_FILES as u64, CLONE_SYSVSEM as u64, CLONE_NEWNS as u64])],
    ),
    call("setns", SYS_setns, &[Fd(Folder), NONE]),
    call("getpid", SYS_getpid, &[]),
    call("getpgid", SYS_getpgid, &[Pid]),
    call("setpgid", SYS_setpgid, &[Pid, Either(&[NONE, Pid])]),
    call("getsid", SYS_getsid, &[Pid]),
    call("setsid", SYS_setsid, &[]),
    call("setresuid", SYS_setresuid, &[ID, ID, ID]),
    call("setresgid", SYS_setresgid, &[ID, ID, ID]),
    call("setreuid", SYS_setreuid, &[ID, ID]),
    call("getresuid", SYS_getresuid, &[Buffer(4), Buffer(4), Buffer(4)]),
    call("setgroups", SYS_setgroups, &[Below(20), Buffer(80)]),
    call("getgroups", SYS_getgroups, &[Below(20), Buffer(80)]),
    call("setfsuid", SYS_setfsuid, &[ID]),
    call("capget", SYS_capget, &[Block(&[(4, One(&[0x2008_0522, 0x1998_0330])), (4, Pid)]), Buffer(24)]),
    call("capset", SYS_capset, &[Block(&[(4, One(&[0x2008_0522, 0x1998_0330])), (4, Pid)]), Buffer(24)]),
    call("prctl", SYS_prctl, &[Below(70), Either(&[Below(64), Buffer(64)]), Below(64), NONE, NONE]),
    call("arch_prctl", SYS_arch_prctl, &[One(&[0x1003, 0x1004, 0x1001, 0x1011, 0x1012]), Buffer(8)]),
    call("prlimit64", SYS_prlimit64, &[Pid, Below(17), LIMIT, Either(&[NONE, Buffer(16)])]).reaches(),
    call("getrusage", SYS_getrusage, &[One(&[0, 1, u64::MAX]), Buffer(144)]),
    call("getpriority", SYS_getpriority, &[Below(4), Pid]),
    call("setpriority", SYS_setpriority, &[Below(2), Pid, Below(20)]).reaches(),
    call("sched_yield", SYS_sched_yield, &[]),
    call("sched_setaffinity", SYS_sched_setaffinity, &[Pid, Below(130), Buffer(128)]).reaches(),
    call("sched_getaffinity", SYS_sched_getaffinity, &[Pid, Below(130), Buffer(128)]),
    call("sched_setscheduler", SYS_sched_setscheduler, &[Pid, Below(7), PARAMETER]).reaches(),
    call("sched_getscheduler", SYS_sched_getscheduler, &[Pid]),
    call("sched_setparam", SYS_sched_setparam, &[Pid, PARAMETER]).reaches(),
    call("sched_getparam", SYS_sched_getparam, &[Pid, Buffer(4)]),
    call("sched_setattr", SYS_sched_setattr, &[Pid, SCHEDULING, NONE]).reaches(),
    call("sched_getattr", SYS_sched_getattr, &[Pid, Buffer(64), Below(64), NONE]),
    call("sched_rr_get_interval", SYS_sched_rr_get_interval, &[Pid, Buffer(16)]),
    call("ioprio_get", SYS_ioprio_get, &[Below(4), Pid]),
    call("ioprio_set", SYS_ioprio_set, &[Below(2), Pid, Below(1 << 15)]).reaches(),
    call("personality", SYS_personality, &[One(&[0xffff_ffff, 0, 0x4_0000])]),
];
