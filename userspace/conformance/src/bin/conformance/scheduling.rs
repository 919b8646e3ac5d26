//! Policies and priorities: what is kept, told, inherited and refused.

use crate::check::{BAD, aside, in_child, outcome, show, sys, value};
use std::io;
use std::time::{Duration, Instant};
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
    reservations();
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

const MS: u64 = 1_000_000;
const RESET: u64 = 1;
const OVERRUN: u64 = 4;

fn reserve(pid: i32, flags: u64, runtime: u64, deadline: u64, period: u64) -> io::Result<i64> {
    sys!(SYS_sched_setattr, pid, [48 | 6 << 32, flags, 0, runtime, deadline, period].as_ptr(), 0)
}

/// Flags, and the three times.
fn reserved() -> String {
    let mut raw = [0_u64; 6];
    match sys!(SYS_sched_getattr, 0, raw.as_mut_ptr(), 48, 0) {
        Ok(_) => format!("policy {} flags {} {:?}", raw[0] >> 32, raw[1], &raw[2..]),
        Err(error) => support::errno::error_name(&error),
    }
}

fn cpu_time() -> Duration {
    let mut time = [0_u64; 2];
    let _ = sys!(SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr());
    Duration::new(time[0], time[1] as u32)
}

/// SCHED_DEADLINE: what is admitted, told, inherited, and enforced.
fn reservations() {
    for (what, [runtime, deadline, period]) in [
        ("nothing", [0, 0, 0]),
        ("too little", [1023, MS, MS]),
        ("more than the deadline", [2 * MS, MS, 3 * MS]),
        ("a deadline after the period", [MS, 3 * MS, 2 * MS]),
        ("too often", [10_000, 99_999, 99_999]),
        ("too seldom", [MS, 4_194_304_001, 4_194_304_001]),
        ("a bit too many", [MS, 1 << 63, 1 << 63]),
    ] {
        outcome(what, reserve(0, 0, runtime, deadline, period));
    }
    outcome("without parameters", set(6, 0));
    outcome(
        "with a priority",
        sys!(SYS_sched_setattr, 0, [48 | 6 << 32, 0, 1 << 32, MS, MS, MS].as_ptr(), 0),
    );
    aside("a reservation", || {
        outcome("without a period", reserve(0, 2, MS, 50 * MS, 0));
        show("is", reserved());
        show("is", now());
        outcome("another", reserve(0, 0, 2 * MS, 40 * MS, 50 * MS));
        show("is", reserved());
        outcome("the same policy", sys!(SYS_sched_setattr, 0, [48, 8, 0, MS, 2 * MS, 9 * MS].as_ptr(), 0));
        show("is", reserved());
        outcome("the same parameters", sys!(SYS_sched_setattr, 0, [48, 0x10, 0, 0, 0, 0].as_ptr(), 0));
        show("is", reserved());
        outcome("a parameter", sys!(SYS_sched_setparam, 0, [0].as_ptr()));
        let mut interval = [7_i64; 2];
        let _ = sys!(SYS_sched_rr_get_interval, 0, interval.as_mut_ptr());
        show("interval", format!("{interval:?}"));
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        show("in /proc", format!("{} {} {}", words[15], words[37], words[38]));
        outcome("a child", sys!(SYS_fork));
        outcome("not for children", reserve(0, RESET, MS, 50 * MS, 0));
        in_child("the usual one", || i32::from(now() != "0x0 0"));
        outcome("usual", set(libc::SCHED_OTHER, 0));
        in_child("another child", || 0);
    });
    aside("as many as there can be", || {
        let pids: Vec<i64> = (0..40)
            .map_while(|_| {
                let pid = sys!(SYS_fork).ok()?;
                if pid == 0 {
                    loop {
                        let _ = sys!(SYS_pause);
                    }
                }
                Some(pid)
            })
            .collect();
        let admitted = pids.iter().filter(|pid| reserve(**pid as i32, 0, 5 * MS, 10 * MS, 0).is_ok()).count();
        show("halves of a CPU", admitted);
        outcome("one more", reserve(0, 0, 5 * MS, 10 * MS, 0));
        outcome("as much again", reserve(pids[0] as i32, 0, 50 * MS, 100 * MS, 0));
        for pid in pids {
            let _ = sys!(SYS_kill, pid, libc::SIGKILL);
            let _ = sys!(SYS_wait4, pid, 0, 0, 0);
        }
        outcome("one when all have ended", reserve(0, 0, 5 * MS, 10 * MS, 0));
    });
    aside("what is reserved, and no more", || {
        let _ = reserve(0, 0, 10 * MS, 100 * MS, 0);
        let (began, before) = (Instant::now(), cpu_time());
        while began.elapsed() < Duration::from_millis(800) {}
        let (periods, used) = (began.elapsed().as_millis() / 100 + 2, cpu_time() - before);
        // Linux looks with each tick.
        show("has had no more than that", used.as_millis() <= periods * 14);
        show("and some of it", used.as_millis() >= 10);
        let began = Instant::now();
        for _ in 0..4 {
            let _ = sys!(SYS_sched_yield);
        }
        show("to yield is to wait for the next period", began.elapsed() >= Duration::from_millis(290));
    });
    aside("who is told", || {
        static TOLD: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        extern "C" fn told(_: i32) {
            TOLD.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGXCPU, told as *const () as libc::sighandler_t) };
        let _ = reserve(0, OVERRUN, 5 * MS, 50 * MS, 0);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(400) {}
        let told = TOLD.load(std::sync::atomic::Ordering::Relaxed);
        let periods = began.elapsed().as_millis() as u32 / 50 + 2;
        show("once a period, or less often", (1..=periods).contains(&told));
    });
    aside("one of several CPUs", || {
        let confine = |cpus: u64| sys!(SYS_sched_setaffinity, 0, 8, [cpus].as_ptr());
        outcome("confined", confine(1));
        outcome("reserve there", reserve(0, 0, MS, 10 * MS, 0));
        outcome("free again", confine(u64::MAX));
        outcome("reserve", reserve(0, 0, MS, 10 * MS, 0));
        outcome("and confined", confine(1));
    });
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("cannot", reserve(0, 0, MS, 10 * MS, 0));
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
