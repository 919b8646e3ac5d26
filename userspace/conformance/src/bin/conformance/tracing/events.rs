//! Children, programs and ends as a tracer sees them.

use super::{describe, expect, finish, go, ptrace, tracee, wait};
use crate::check::{outcome, path, show, sys, value};
use std::ptr::null;
use support::process::fork;

pub fn run() {
    births();
    programs();
    ends();
    threads();
}

pub fn message(pid: i32) -> i64 {
    let mut message = 0_u64;
    match ptrace(libc::PTRACE_GETEVENTMSG, pid, 0_usize, &raw mut message) {
        Ok(_) => message as i64,
        Err(_) => -1,
    }
}

/// Ends the calling process with that status.
fn leave(status: i32) -> ! {
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(status) }
}

fn births() {
    let child = tracee(|| {
        let other = fork(|| 2).expect("fork");
        let _ = other.wait();
        // SAFETY: the child only ends.
        match unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_VFORK, 0, 0, 0, 0) } {
            0 => leave(3),
            pid => {
                let mut status = 0_i32;
                let _ = sys!(SYS_wait4, pid, &raw mut status, libc::__WALL, 0);
            }
        }
        5
    });
    let options = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACEVFORKDONE;
    outcome("options", ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, options));
    go("fork", libc::PTRACE_CONT, child.pid, 0);
    let grandchild = message(child.pid) as i32;
    expect("the child begins stopped", grandchild);
    go("it ends", libc::PTRACE_CONT, grandchild, 0);
    go("the parent hears of it", libc::PTRACE_CONT, child.pid, 0);
    go("vfork", libc::PTRACE_CONT, child.pid, 0);
    let grandchild = message(child.pid) as i32;
    expect("the child begins stopped", grandchild);
    go("it ends", libc::PTRACE_CONT, grandchild, 0);
    go("the memory is back", libc::PTRACE_CONT, child.pid, 0);
    show("of the same child", message(child.pid) as i32 == grandchild);
    finish("the end", child);
}

fn programs() {
    let program = path("/bin/true");
    let arguments = [program.as_ptr(), null()];
    let run = || {
        let _ = sys!(SYS_execve, program.as_ptr(), arguments.as_ptr(), 0);
        1
    };
    let child = tracee(run);
    go("a program without events", libc::PTRACE_CONT, child.pid, 0);
    finish("the end", child);
    let child = tracee(run);
    let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESYSGOOD;
    let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, options);
    go("a program", libc::PTRACE_CONT, child.pid, 0);
    show("was it before", message(child.pid) as i32 == child.pid);
    go("the call's end", libc::PTRACE_SYSCALL, child.pid, 0);
    finish("the end", child);
}

fn ends() {
    for (what, end) in [("exit", 6), ("a signal", 0)] {
        let child = tracee(move || {
            if end == 0 {
                let _ = sys!(SYS_kill, std::process::id() as i32, libc::SIGTERM);
            }
            end
        });
        let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, libc::PTRACE_O_TRACEEXIT);
        if end == 0 {
            go("about to die", libc::PTRACE_CONT, child.pid, 0);
            go(what, libc::PTRACE_CONT, child.pid, libc::SIGTERM);
        } else {
            go(what, libc::PTRACE_CONT, child.pid, 0);
        }
        show("the status", message(child.pid));
        let mut word = 0_u64;
        outcome("registers are there", ptrace(libc::PTRACE_PEEKUSER, child.pid, 0_usize, &raw mut word));
        finish("the end", child);
    }
}

/// A thread's end, and a program that another thread than the first begins.
fn threads() {
    let program = path("/bin/true");
    let arguments = [program.as_ptr() as usize, 0];
    let (name, list) = (program.as_ptr() as usize, arguments.as_ptr() as usize);
    for replaces in [false, true] {
        let child = tracee(move || {
            let thread = std::thread::spawn(move || {
                if replaces {
                    let _ = sys!(SYS_execve, name, list, 0);
                }
            });
            let _ = thread.join();
            loop {
                let _ = sys!(SYS_kill, std::process::id() as i32, libc::SIGSTOP);
            }
        });
        let options = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;
        let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, options);
        go("a thread", libc::PTRACE_CONT, child.pid, 0);
        let thread = message(child.pid) as i32;
        expect("begins stopped", thread);
        let _ = ptrace(libc::PTRACE_CONT, child.pid, 0_usize, 0_usize);
        let _ = ptrace(libc::PTRACE_CONT, thread, 0_usize, 0_usize);
        if replaces {
            expect("a program", child.pid);
            show("by the thread", message(child.pid) as i32 == thread);
            let mut status = 0_i32;
            value(
                "its old number",
                sys!(SYS_wait4, thread, &raw mut status, libc::__WALL | libc::WNOHANG, 0),
            );
        } else {
            show("its end", describe(wait(thread)));
            expect("the first goes on", child.pid);
            let _ = sys!(SYS_kill, child.pid, libc::SIGKILL);
            expect("the end", child.pid);
            continue;
        }
        finish("the end", child);
    }
}
