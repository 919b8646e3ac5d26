//! Files that events come from.

use super::{NAME, NONE, PATH, SIGNALS, SIGNALS_SIZE, TIME};
use crate::kind::File::{Any, Epoll, Event, Notify, Signals, Timer};
use crate::kind::Kind::{self, Below, Bits, Block, Buffer, Either, Fd, Length, One, Page, Pid, Signal};
use crate::kind::{Call, call};
use libc::*;

pub const EVENT: Kind =
    Block(&[(4, Bits(&[1, 2, 4, 8, 0x10, 0x2000, 1 << 31, 1 << 30, 1 << 28])), (8, Below(99))]);
const SETTING: Kind = Block(&[(8, NONE), (8, Below(2_000_000)), (8, NONE), (8, Below(2_000_000))]);
const FLAGS: Kind = Bits(&[O_NONBLOCK as u64, O_CLOEXEC as u64]);
const CHANGES: Kind =
    Bits(&[0xfff, 1, 2, 0x100, 0x200, 0x1000_0000, 0x2000_0000, 0x0100_0000, 0x0200_0000, 0x8000_0000]);

pub const CALLS: &[Call] = &[
    call("epoll_create1", SYS_epoll_create1, &[Bits(&[O_CLOEXEC as u64])]).opens(Epoll),
    call("epoll_ctl", SYS_epoll_ctl, &[Fd(Epoll), One(&[1, 1, 1, 2, 3]), Fd(Any), EVENT]),
    call("epoll_ctl nested", SYS_epoll_ctl, &[Fd(Epoll), One(&[1, 1, 2, 3]), Fd(Epoll), EVENT]),
    call("epoll_wait", SYS_epoll_wait, &[Fd(Epoll), Buffer(120), Below(10), Below(3)]),
    call(
        "epoll_pwait",
        SYS_epoll_pwait,
        &[Fd(Epoll), Buffer(120), Below(10), Below(3), SIGNALS, SIGNALS_SIZE],
    ),
    call("epoll_pwait2", SYS_epoll_pwait2, &[Fd(Epoll), Buffer(120), Below(10), TIME, SIGNALS, SIGNALS_SIZE]),
    call("eventfd2", SYS_eventfd2, &[Below(3), Bits(&[1, O_NONBLOCK as u64, O_CLOEXEC as u64])]).opens(Event),
    call("read of an event", SYS_read, &[Fd(Event), Buffer(8), Length]),
    call(
        "write to an event",
        SYS_write,
        &[Fd(Event), Block(&[(8, One(&[0, 1, u64::MAX - 1, u64::MAX]))]), One(&[8])],
    ),
    call("timerfd_create", SYS_timerfd_create, &[One(&[0, 1, 7, 8, 9]), FLAGS]).opens(Timer),
    call(
        "timerfd_settime",
        SYS_timerfd_settime,
        &[Fd(Timer), Below(4), SETTING, Either(&[NONE, Buffer(32)])],
    ),
    call("timerfd_gettime", SYS_timerfd_gettime, &[Fd(Timer), Buffer(32)]),
    call(
        "signalfd4",
        SYS_signalfd4,
        &[Either(&[One(&[u64::MAX]), Fd(Signals)]), SIGNALS, SIGNALS_SIZE, FLAGS],
    )
    .opens(Signals),
    call("inotify_init1", SYS_inotify_init1, &[FLAGS]).opens(Notify),
    call("inotify_add_watch", SYS_inotify_add_watch, &[Fd(Notify), Either(&[PATH, NAME]), CHANGES]),
    call("inotify_rm_watch", SYS_inotify_rm_watch, &[Fd(Notify), Below(9)]),
    call(
        "timer_create",
        SYS_timer_create,
        &[
            One(&[0, 1, 2, 3, 7]),
            Either(&[NONE, Block(&[(8, Page), (4, Signal), (4, One(&[0, 1, 4])), (4, Pid), (8, NONE)])]),
            Buffer(4),
        ],
    ),
    call("timer_settime", SYS_timer_settime, &[Below(6), Below(2), SETTING, Either(&[NONE, Buffer(32)])]),
    call("timer_gettime", SYS_timer_gettime, &[Below(6), Buffer(32)]),
    call("timer_getoverrun", SYS_timer_getoverrun, &[Below(6)]),
    call("timer_delete", SYS_timer_delete, &[Below(6)]),
];
