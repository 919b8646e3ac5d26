//! ptrace(2), from both sides.

#![allow(clippy::needless_borrows_for_generic_args, reason = "the kernel writes through these pointers")]

mod events;
mod state;
mod stops;
mod vectors;
mod verdicts;

use crate::check::{Argument, describe_status, outcome, show, signal_name, sys};
use std::io;
use support::process::{Child, fork};

pub fn run() {
    errors();
    state::run();
    vectors::run();
    stops::run();
    events::run();
    verdicts::run();
}

/// A request; see `sys!` for what the arguments must be.
fn ptrace(request: u32, pid: i32, address: impl Argument, data: impl Argument) -> io::Result<i64> {
    sys!(SYS_ptrace, request, pid, address.word(), data.word())
}

/// A child that is traced and stopped by SIGSTOP; then it runs `body`.
fn tracee(body: impl FnOnce() -> i32) -> Child {
    let child = fork(|| {
        let _ = ptrace(libc::PTRACE_TRACEME, 0, 0_usize, 0_usize);
        let _ = sys!(SYS_kill, std::process::id() as i32, libc::SIGSTOP);
        body()
    })
    .expect("fork");
    wait(child.pid);
    child
}

/// Waits for a tracee, and says what its status is.
fn wait(pid: i32) -> i32 {
    let mut status = 0_i32;
    let _ = sys!(SYS_wait4, pid, &raw mut status, libc::__WALL, 0);
    status
}

/// A status with the event in it, in words.
fn describe(status: i32) -> String {
    const EVENTS: [&str; 8] = ["", "fork", "vfork", "clone", "exec", "vfork done", "exit", "seccomp"];
    let event = status >> 16;
    if libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
        "stopped at a call".into()
    } else if event == libc::PTRACE_EVENT_STOP {
        format!("trapped, {}", signal_name(libc::WSTOPSIG(status)))
    } else if event != 0 {
        format!("event {}", EVENTS[event as usize & 7])
    } else {
        describe_status(status)
    }
}

/// Waits, and prints what the tracee does.
fn expect(what: &str, pid: i32) {
    show(what, describe(wait(pid)));
}

/// Lets it go on, waits, and prints what it does.
fn go(what: &str, request: u32, pid: i32, signal: i32) {
    if let Err(error) = ptrace(request, pid, 0_usize, signal) {
        return outcome::<()>(what, Err(error));
    }
    expect(what, pid);
}

/// Lets it run to its end.
fn finish(what: &str, child: Child) {
    go(what, libc::PTRACE_CONT, child.pid, 0);
}

fn errors() {
    let own = std::process::id() as i32;
    let none = 0_usize;
    for (what, request, pid) in [
        ("attach to oneself", libc::PTRACE_ATTACH, own),
        ("attach to nobody", libc::PTRACE_ATTACH, 4_000_000),
        ("attach to a negative number", libc::PTRACE_ATTACH, -1),
        ("seize oneself", libc::PTRACE_SEIZE, own),
        ("go on with one that is not traced", libc::PTRACE_CONT, own),
        ("interrupt one that is not traced", libc::PTRACE_INTERRUPT, own),
        ("an unknown request", 0x4999, own),
    ] {
        outcome(what, ptrace(request, pid, none, none));
    }
    outcome("seize with an address", ptrace(libc::PTRACE_SEIZE, own, 1_usize, none));
    let child = tracee(|| {
        outcome("be traced twice", ptrace(libc::PTRACE_TRACEME, 0, 0_usize, 0_usize));
        0
    });
    let mut word = 0_u64;
    let place = &raw mut word;
    outcome("attach to a tracee", ptrace(libc::PTRACE_ATTACH, child.pid, none, none));
    outcome("an unknown request of a tracee", ptrace(0x4999, child.pid, none, none));
    outcome("unknown options", ptrace(libc::PTRACE_SETOPTIONS, child.pid, none, 1_usize << 12));
    outcome("a signal that is none", ptrace(libc::PTRACE_CONT, child.pid, none, 65_usize));
    outcome("a place between words", ptrace(libc::PTRACE_PEEKUSER, child.pid, 4_usize, place));
    outcome("a place behind the end", ptrace(libc::PTRACE_PEEKUSER, child.pid, 928_usize, place));
    outcome("setting what is no register", ptrace(libc::PTRACE_POKEUSER, child.pid, 300_usize, none));
    outcome("a selector", ptrace(libc::PTRACE_POKEUSER, child.pid, 17 * 8_usize, none));
    outcome("a base in the kernel", ptrace(libc::PTRACE_POKEUSER, child.pid, 21 * 8_usize, 1_usize << 63));
    outcome("memory that is not mapped", ptrace(libc::PTRACE_PEEKDATA, child.pid, 8_usize, place));
    outcome("writing there", ptrace(libc::PTRACE_POKEDATA, child.pid, 8_usize, none));
    outcome("no room for the answer", ptrace(libc::PTRACE_GETREGS, child.pid, none, 8_usize));
    outcome(
        "an unknown set",
        ptrace(libc::PTRACE_GETREGSET, child.pid, 77_usize, [place as usize, 8].as_ptr()),
    );
    outcome("a mask of another size", ptrace(libc::PTRACE_GETSIGMASK, child.pid, 4_usize, place));
    outcome("listen without seizing", ptrace(libc::PTRACE_LISTEN, child.pid, none, none));
    outcome("interrupt without seizing", ptrace(libc::PTRACE_INTERRUPT, child.pid, none, none));
    go("go on", libc::PTRACE_CONT, child.pid, 0);
    outcome("one that has ended", ptrace(libc::PTRACE_CONT, child.pid, none, none));
}
