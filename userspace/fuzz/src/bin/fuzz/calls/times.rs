//! Clocks.

use super::{NONE, TIME};
use crate::kind::Kind::{self, Below, Block, Buffer, Either, One, Pid};
use crate::kind::{Call, call};
use libc::*;

const CLOCK: Kind = Either(&[Below(12), One(&[u64::MAX - 1, 0xffff_fffe])]);
const SETTING: Kind = Block(&[(8, NONE), (8, Below(2000)), (8, NONE), (8, Below(2000))]);

pub const CALLS: &[Call] = &[
    call("nanosleep", SYS_nanosleep, &[Block(super::SHORT), Either(&[NONE, Buffer(16)])]),
    call(
        "clock_nanosleep",
        SYS_clock_nanosleep,
        &[CLOCK, Below(2), Block(super::SHORT), Either(&[NONE, Buffer(16)])],
    ),
    call("clock_gettime", SYS_clock_gettime, &[CLOCK, Buffer(16)]),
    call("clock_getres", SYS_clock_getres, &[CLOCK, Buffer(16)]),
    call("gettimeofday", SYS_gettimeofday, &[Buffer(16), Either(&[NONE, Buffer(8)])]),
    call("times", SYS_times, &[Buffer(32)]),
    call("getitimer", SYS_getitimer, &[Below(4), Buffer(32)]),
    call("setitimer", SYS_setitimer, &[Below(4), SETTING, Either(&[NONE, Buffer(32)])]),
    call("adjtimex", SYS_adjtimex, &[Block(&[(8, NONE), (8, NONE)])]),
    call("clock_adjtime", SYS_clock_adjtime, &[CLOCK, Buffer(208)]),
    call("getcpu", SYS_getcpu, &[Buffer(4), Buffer(4), TIME]),
    call("time", SYS_time, &[Either(&[NONE, Buffer(8)])]),
    call("get_mempolicy", SYS_get_mempolicy, &[Buffer(4), Buffer(8), Below(70), Pid, Below(8)]),
];
