//! Policies and priorities: what is kept, told, inherited and refused.

use crate::check::{BAD, aside, in_child, outcome, show, sys, value};
use std::io;
use support::process::fork;

const FLAG: i32 = 0x4000_0000;

fn set(policy: i32, priority: i32) -> io::Result<i64> {
    sys!(SYS_sched_setscheduler, 0, policy, &raw const priority)
}

/// Policy and priority.
fn now() -> String {
    let mut priority = -1_i32;
    let _ = sys!(SYS_sched_getparam, 0, &raw mut priority);
    format!("{:#x} {priority}", sys!(SYS_sched_getscheduler, 0).unwrap_or(-1))
}

fn attributes() -> String {
    let mut raw = [0_u32; 14];
    match sys!(SYS_sched_getattr, 0, raw.as_mut_ptr(), 48, 0) {
        Ok(_) => format!(
            "{} policy {} flags {} nice {} priority {}",
            raw[0], raw[1], raw[2], raw[4] as i32, raw[5]
        ),
        Err(error) => support::errno::error_name(&error),
    }
}

fn set_attributes(size: u32, policy: u32, flags: u32, nice: i32, priority: u32) -> io::Result<i64> {
    let mut raw = [0_u32; 16];
    (raw[0], raw[1], raw[2], raw[4], raw[5]) = (size, policy, flags, nice as u32, priority);
    sys!(SYS_sched_setattr, 0, raw.as_ptr(), 0)
}

pub fn run() {
    policies();
    attribute_structures();
    nice_of_threads();
    users();
    input_and_output();
}

fn policies() {
    show("at first", now());
    let parameter = 0_i32;
    outcome("unknown policy", set(9, 0));
    outcome("negative policy", set(-1, 0));
    outcome("usual, with a priority", set(libc::SCHED_OTHER, 1));
    outcome("real time, without", set(libc::SCHED_FIFO, 0));
    outcome("real time, too high", set(libc::SCHED_RR, 100));
    outcome("no parameter", sys!(SYS_sched_setscheduler, 0, 0, 0));
    outcome("bad parameter", sys!(SYS_sched_setscheduler, 0, 0, BAD));
    outcome("nobody", sys!(SYS_sched_setscheduler, 4_000_000, 0, &raw const parameter));
    outcome("negative", sys!(SYS_sched_setscheduler, -1, 0, &raw const parameter));
    outcome("told of nobody", sys!(SYS_sched_getscheduler, 4_000_000));
    outcome("told to nowhere", sys!(SYS_sched_getparam, 0, 0));
    aside("each", || {
        for (policy, priority) in
            [(libc::SCHED_BATCH, 0), (libc::SCHED_IDLE, 0), (libc::SCHED_RR, 7), (libc::SCHED_FIFO, 99)]
        {
            outcome("set", set(policy, priority));
            show("is", now());
        }
        outcome("another priority", sys!(SYS_sched_setparam, 0, [5_i32].as_ptr()));
        show("is", now());
        outcome("none", sys!(SYS_sched_setparam, 0, &raw const parameter));
        in_child("inherited", || i32::from(now() != "0x1 5"));
        let mut interval = [0_i64; 2];
        let _ = sys!(SYS_sched_rr_get_interval, 0, interval.as_mut_ptr());
        show("first in, first out", format!("{interval:?}"));
        let _ = set(libc::SCHED_RR, 1);
        let _ = sys!(SYS_sched_rr_get_interval, 0, interval.as_mut_ptr());
        show("in turns", format!("{interval:?}"));
        outcome("not for children", set(libc::SCHED_RR | FLAG, 3));
        show("is", now());
        in_child("not inherited", || i32::from(now() != "0x0 0"));
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        show("in /proc", format!("{} {} {}", words[15], words[37], words[38]));
    });
    aside("another nice value, not for children", || {
        let _ = sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, -5);
        let _ = set(FLAG, 0);
        let nice = || sys!(SYS_getpriority, libc::PRIO_PROCESS, 0).unwrap_or(-1);
        show("has", nice());
        let child = fork(|| nice() as i32).expect("fork");
        value("a child", child.wait().map(crate::check::describe));
    });
}

fn attribute_structures() {
    show("at first", attributes());
    let mut raw = [0_u32; 16];
    outcome("to nowhere", sys!(SYS_sched_getattr, 0, 0, 48, 0));
    outcome("too small", sys!(SYS_sched_getattr, 0, raw.as_mut_ptr(), 47, 0));
    outcome("with flags", sys!(SYS_sched_getattr, 0, raw.as_mut_ptr(), 48, 1));
    outcome("of nobody", sys!(SYS_sched_getattr, 4_000_000, raw.as_mut_ptr(), 48, 0));
    outcome("from nowhere", sys!(SYS_sched_setattr, 0, 0, 0));
    outcome("from a bad place", sys!(SYS_sched_setattr, 0, BAD, 0));
    outcome("too small", set_attributes(40, 0, 0, 0, 0));
    outcome("too large", set_attributes(5000, 0, 0, 0, 0));
    outcome("larger, with nothing more", set_attributes(64, 0, 0, 0, 0));
    raw[15] = 1;
    raw[0] = 64;
    outcome("larger, with more", sys!(SYS_sched_setattr, 0, raw.as_mut_ptr(), 0));
    show("the size there is", raw[0]);
    outcome("unknown flags", set_attributes(48, 0, 0x80, 0, 0));
    outcome("negative policy", set_attributes(48, u32::MAX, 0, 0, 0));
    aside("set", || {
        outcome("no size", set_attributes(0, 3, 0, 7, 0));
        show("is", attributes());
        outcome("nice", set_attributes(48, 0, 0, 12, 0));
        show("is", attributes());
        value("20 - nice", sys!(SYS_getpriority, libc::PRIO_PROCESS, 0));
        outcome("real time", set_attributes(48, 2, 1, 0, 40));
        show("is", attributes());
        outcome("the same policy", set_attributes(48, 0, 8, 0, 41));
        show("is", attributes());
        outcome("the same parameters", set_attributes(48, 1, 0x10, 0, 2));
        show("is", attributes());
    });
}

/// Each thread is as nice as it is made; a group is all threads of its processes.
fn nice_of_threads() {
    let of = |which: u32, who: i64| sys!(SYS_getpriority, which, who);
    let set = |which: u32, who: i64, nice: i32| sys!(SYS_setpriority, which, who, nice);
    let in_proc = |path: &str| {
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        format!("{:?} {:?}", words.get(15), words.get(16))
    };
    aside("nice values of threads", || {
        let _ = sys!(SYS_setpgid, 0, 0);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            outcome("its own", set(libc::PRIO_PROCESS, 0, 7));
            let child = fork(|| of(libc::PRIO_PROCESS, 0).unwrap_or(-1) as i32).expect("fork");
            value("its child", child.wait().map(crate::check::describe));
            tell.send(sys!(SYS_gettid).expect("a thread")).expect("a listener");
            let _ = wait.recv();
        });
        let tid = told.recv().expect("a thread");
        value("the first thread's", of(libc::PRIO_PROCESS, 0));
        value("the other's", of(libc::PRIO_PROCESS, tid));
        show("in /proc, of the process", in_proc("/proc/self/stat"));
        show("in /proc, of the other", in_proc(&format!("/proc/self/task/{tid}/stat")));
        outcome("another's", set(libc::PRIO_PROCESS, tid, 11));
        value("the first thread's", of(libc::PRIO_PROCESS, 0));
        value("the group's", of(libc::PRIO_PGRP, 0));
        outcome("all of a group's", set(libc::PRIO_PGRP, 0, 13));
        value("the first thread's", of(libc::PRIO_PROCESS, 0));
        value("the other's", of(libc::PRIO_PROCESS, tid));
        drop(go);
        other.join().expect("its end");
    });
    aside("a group of two users", || {
        let _ = sys!(SYS_setpgid, 0, 0);
        let child = fork(|| {
            let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
            outcome("all of the group's", set(libc::PRIO_PGRP, 0, 3));
            of(libc::PRIO_PROCESS, 0).unwrap_or(-1) as i32
        });
        value("what a user could set", child.expect("fork").wait().map(crate::check::describe));
        value("what not", of(libc::PRIO_PROCESS, 0));
        value("no such group", of(libc::PRIO_PGRP, 4_000_000));
        value("no such user", of(libc::PRIO_USER, 4_000_000));
        value("no such thread", of(libc::PRIO_PROCESS, 4_000_000));
        value("a negative one", of(libc::PRIO_PROCESS, -1));
        value("no such kind", of(3, 0));
    });
}

fn users() {
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("real time", set(libc::SCHED_RR, 1));
        outcome("batch", set(libc::SCHED_BATCH, 0));
        outcome("idle", set(libc::SCHED_IDLE, 0));
        outcome("usual again", set(libc::SCHED_OTHER, 0));
        outcome("of another", sys!(SYS_sched_setscheduler, 1, 0, [0_i32].as_ptr()));
        outcome("priority of another", sys!(SYS_setpriority, libc::PRIO_PROCESS, 1, 10));
        outcome("not for children", set(libc::SCHED_IDLE | FLAG, 0));
        outcome("for children again", set(libc::SCHED_IDLE, 0));
    });
    aside("a user with limits", || {
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_RTPRIO, [10_u64, 10].as_ptr());
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_NICE, [25_u64, 25].as_ptr());
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("real time", set(libc::SCHED_RR, 10));
        outcome("higher", set(libc::SCHED_RR, 11));
        outcome("usual", set(libc::SCHED_OTHER, 0));
        outcome("nicer", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, -5));
        outcome("too nice", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, -6));
    });
}

fn input_and_output() {
    let get = |which: i32, who: i32| sys!(SYS_ioprio_get, which, who);
    let set = |priority: i32| sys!(SYS_ioprio_set, 1, 0, priority);
    value("at first", get(1, 0));
    value("unknown kind", get(4, 0));
    value("nobody", get(1, 4_000_000));
    aside("set", || {
        for (class, level) in [(1, 0), (1, 8), (2, 4), (2, 8), (3, 0), (0, 1), (0, 0), (4, 0)] {
            outcome("set", set(class << 13 | level));
            value("is", get(1, 0));
        }
        let _ = set(2 << 13 | 6);
        in_child("inherited", || i32::from(get(1, 0).ok() != Some(2 << 13 | 6)));
        let _ = sys!(SYS_setpgid, 0, 0);
        value("of a group", get(2, 0));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("real time", set(1 << 13));
        outcome("by effort", set(2 << 13));
        outcome("another's", sys!(SYS_ioprio_set, 1, 1, 2 << 13));
    });
}
