//! Stops that have to do with processes: attaching, group-stops, the end of either side.

use super::{describe, expect, finish, go, ptrace, tracee, wait};
use crate::check::{outcome, show, sleeper, sys, value};
use support::pipe::{pipe, read, write};
use support::process::{Child, fork};

pub fn run() {
    attach();
    group_stop();
    seize();
    somebody_else();
    end_of_tracer();
    kills();
}

fn kill(child: Child) {
    let _ = sys!(SYS_kill, child.pid, libc::SIGKILL);
    expect("killed", child.pid);
}

fn attach() {
    let child = sleeper();
    outcome("attach", ptrace(libc::PTRACE_ATTACH, child.pid, 0_usize, 0_usize));
    expect("stopped", child.pid);
    go("a signal that is given instead", libc::PTRACE_CONT, child.pid, libc::SIGTERM);
}

fn group_stop() {
    let child = sleeper();
    let _ = ptrace(libc::PTRACE_ATTACH, child.pid, 0_usize, 0_usize);
    wait(child.pid);
    go("SIGSTOP lets it stop", libc::PTRACE_CONT, child.pid, libc::SIGSTOP);
    let mut info = [0_u64; 16];
    outcome(
        "a group-stop has no signal",
        ptrace(libc::PTRACE_GETSIGINFO, child.pid, 0_usize, info.as_mut_ptr()),
    );
    outcome("detach", ptrace(libc::PTRACE_DETACH, child.pid, 0_usize, 0_usize));
    let mut status = 0_i32;
    let stopped = sys!(SYS_wait4, child.pid, &raw mut status, libc::WUNTRACED | libc::WNOHANG, 0);
    value("it is told again", stopped.map(|pid| i64::from(pid != 0)));
    let _ = sys!(SYS_kill, child.pid, libc::SIGCONT);
    let _ = sys!(SYS_wait4, child.pid, &raw mut status, libc::WCONTINUED, 0);
    show("it continues", describe(status));
    kill(child);
}

fn seize() {
    let child = sleeper();
    outcome("seize", ptrace(libc::PTRACE_SEIZE, child.pid, 0_usize, libc::PTRACE_O_TRACESYSGOOD));
    let mut status = 0_i32;
    value("it runs", sys!(SYS_wait4, child.pid, &raw mut status, libc::__WALL | libc::WNOHANG, 0));
    outcome("interrupt", ptrace(libc::PTRACE_INTERRUPT, child.pid, 0_usize, 0_usize));
    expect("interrupted", child.pid);
    outcome("listen outside a group-stop", ptrace(libc::PTRACE_LISTEN, child.pid, 0_usize, 0_usize));
    outcome("interrupt a listener", ptrace(libc::PTRACE_INTERRUPT, child.pid, 0_usize, 0_usize));
    expect("interrupted", child.pid);
    let _ = sys!(SYS_kill, child.pid, libc::SIGSTOP);
    go("a signal", libc::PTRACE_CONT, child.pid, 0);
    go("group-stop", libc::PTRACE_CONT, child.pid, libc::SIGSTOP);
    outcome("listen", ptrace(libc::PTRACE_LISTEN, child.pid, 0_usize, 0_usize));
    outcome("a listener answers nothing", ptrace(libc::PTRACE_CONT, child.pid, 0_usize, 0_usize));
    let _ = sys!(SYS_kill, child.pid, libc::SIGCONT);
    expect("told of the continuation", child.pid);
    go("the signal", libc::PTRACE_CONT, child.pid, 0);
    go("killed", libc::PTRACE_KILL, child.pid, 0);

    let child = fork(|| {
        let _ = sys!(SYS_kill, std::process::id() as i32, libc::SIGSTOP);
        6
    })
    .expect("fork");
    let _ = sys!(SYS_wait4, child.pid, &raw mut status, libc::WUNTRACED, 0);
    show("stopped", describe(status));
    outcome("seize one that is stopped", ptrace(libc::PTRACE_SEIZE, child.pid, 0_usize, 0_usize));
    expect("shows it", child.pid);
    let _ = sys!(SYS_kill, child.pid, libc::SIGCONT);
    go("SIGCONT", libc::PTRACE_CONT, child.pid, 0);
    finish("and then", child);
}

/// A tracer that is not the parent hears of the end first.
fn somebody_else() {
    let (door, knock) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let child = fork(|| {
        let _ = read(&door.reader, &mut [0]);
        7
    })
    .expect("fork");
    let tracer = fork(|| {
        let _ = ptrace(libc::PTRACE_SEIZE, child.pid, 0_usize, 0_usize);
        let _ = write(&door.writer, &[0]);
        let mut info = [0_u32; 32];
        let ended = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        let _ = sys!(SYS_waitid, libc::P_PID, child.pid, info.as_mut_ptr(), ended, 0);
        let _ = write(&knock.writer, &[0]);
        let mut status = 0_i32;
        // Until the parent has looked.
        let _ = read(&door.reader, &mut [0]);
        value(
            "the tracer waits",
            sys!(SYS_wait4, child.pid, &raw mut status, 0, 0).map(|_| i64::from(status)),
        );
        0
    })
    .expect("fork");
    let _ = read(&knock.reader, &mut [0]);
    let mut status = 0_i32;
    value("not yet for the parent", sys!(SYS_wait4, child.pid, &raw mut status, libc::WNOHANG, 0));
    let _ = write(&door.writer, &[0]);
    let _ = tracer.wait();
    expect("now for the parent", child.pid);
}

/// A tracee of a tracer that ends goes on, or dies with it.
fn end_of_tracer() {
    for (what, options) in [("goes on", 0), ("dies", libc::PTRACE_O_EXITKILL)] {
        let door = pipe().expect("a pipe");
        let child = fork(|| {
            let _ = read(&door.reader, &mut [0]);
            4
        })
        .expect("fork");
        let tracer = fork(|| {
            let _ = ptrace(libc::PTRACE_SEIZE, child.pid, 0_usize, options);
            let _ = ptrace(libc::PTRACE_INTERRUPT, child.pid, 0_usize, 0_usize);
            wait(child.pid);
            0
        })
        .expect("fork");
        let _ = tracer.wait();
        let _ = write(&door.writer, &[0]);
        expect(what, child.pid);
    }
}

/// SIGKILL ends every stop.
fn kills() {
    let child = tracee(|| 0);
    kill(child);
    let child = tracee(|| 0);
    let _ = ptrace(libc::PTRACE_SYSCALL, child.pid, 0_usize, 0_usize);
    wait(child.pid);
    kill(child);
    let child = sleeper();
    let _ = ptrace(libc::PTRACE_SEIZE, child.pid, 0_usize, 0_usize);
    let _ = ptrace(libc::PTRACE_INTERRUPT, child.pid, 0_usize, 0_usize);
    wait(child.pid);
    kill(child);
}
