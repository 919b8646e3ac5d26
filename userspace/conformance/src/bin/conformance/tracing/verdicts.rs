//! Calls that a tracee's own program has its tracer see.

use super::{events::message, finish, go, ptrace, state::show_call, tracee};
use crate::check::{outcome, show, sys, value};
use crate::seccomp::{add, judge};
use support::process::Child;

const TRACE: u32 = libc::SECCOMP_RET_TRACE;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// Where a tracer finds the call's number, and where its result.
const NUMBER: usize = 15 * 8;
const RESULT: usize = 10 * 8;

pub fn run() {
    seen();
    changed();
    judged_again();
    ended();
}

/// A tracee whose program has `getpriority` seen, which it calls once.
fn asker(options: i32) -> Child {
    let child = tracee(|| {
        let _ = add(&judge(libc::SYS_getpriority, TRACE | 99, ALLOW));
        value("call", sys!(SYS_getpriority, 0, 0));
        let _ = sys!(SYS_umask, 0o22);
        4
    });
    let options = options | libc::PTRACE_O_TRACESYSGOOD;
    outcome("options", ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, options));
    child
}

fn seen() {
    finish("nobody asks to see it", asker(0));
    let child = asker(libc::PTRACE_O_TRACESECCOMP);
    go("seen", libc::PTRACE_CONT, child.pid, 0);
    show("word", message(child.pid));
    show_call(child.pid);
    go("its end", libc::PTRACE_SYSCALL, child.pid, 0);
    show_call(child.pid);
    finish("the end", child);
    // Beginning, verdict, end.
    let child = asker(libc::PTRACE_O_TRACESECCOMP);
    for _ in 0..40 {
        go("step", libc::PTRACE_SYSCALL, child.pid, 0);
        show_call(child.pid);
        if message(child.pid) == 99 {
            break;
        }
    }
    go("behind it", libc::PTRACE_SYSCALL, child.pid, 0);
    show_call(child.pid);
    finish("the end", child);
}

fn changed() {
    for (what, number) in
        [("another call", libc::SYS_sched_getscheduler), ("no call", -1), ("an unknown one", 4000)]
    {
        let child = asker(libc::PTRACE_O_TRACESECCOMP);
        go(what, libc::PTRACE_CONT, child.pid, 0);
        outcome("make it that", ptrace(libc::PTRACE_POKEUSER, child.pid, NUMBER, number));
        if number < 0 {
            outcome("with a result", ptrace(libc::PTRACE_POKEUSER, child.pid, RESULT, 12_usize));
        }
        finish("the end", child);
    }
}

fn judged_again() {
    let child = tracee(|| {
        let _ = add(&judge(libc::SYS_umask, libc::SECCOMP_RET_ERRNO | 88, ALLOW));
        let _ = add(&judge(libc::SYS_getpriority, TRACE | 7, ALLOW));
        outcome("call", sys!(SYS_getpriority, 0, 0));
        5
    });
    let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, libc::PTRACE_O_TRACESECCOMP);
    go("seen", libc::PTRACE_CONT, child.pid, 0);
    outcome("make it another", ptrace(libc::PTRACE_POKEUSER, child.pid, NUMBER, libc::SYS_umask));
    finish("the end", child);
}

fn ended() {
    for (what, verdict) in
        [("killed", libc::SECCOMP_RET_KILL_PROCESS), ("signalled", libc::SECCOMP_RET_TRAP | 3)]
    {
        let child = tracee(move || {
            let _ = add(&judge(libc::SYS_getpriority, verdict, ALLOW));
            let _ = sys!(SYS_getpriority, 0, 0);
            0
        });
        let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, libc::PTRACE_O_TRACEEXIT);
        go(what, libc::PTRACE_CONT, child.pid, 0);
        let mut info = [0_i32; 32];
        let told = ptrace(libc::PTRACE_GETSIGINFO, child.pid, 0_usize, info.as_mut_ptr());
        value("told", told.map(|_| format!("{:?} {:x?}", &info[..3], &info[6..8])));
        show("message", message(child.pid));
        go("on", libc::PTRACE_CONT, child.pid, 0);
        finish("the end", child);
    }
}
