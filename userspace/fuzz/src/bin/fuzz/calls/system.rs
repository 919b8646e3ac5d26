//! The machine.

use super::NONE;
use crate::kind::Kind::{Below, Bits, Buffer, Length, One};
use crate::kind::{Call, call};
use libc::*;

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
    call("seccomp", SYS_seccomp, &[Below(4), NONE, Buffer(16)]),
    call("userfaultfd", SYS_userfaultfd, &[One(&[0, 1, 0o4000])]),
    call("quotactl", SYS_quotactl, &[Below(9), NONE, Below(9), Buffer(64)]),
];
