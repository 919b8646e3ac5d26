//! wait4 and waitid: which children, which changes, which status.

use crate::check::{describe_status, outcome, show, sleeper, sys, value};
use std::mem::MaybeUninit;
use support::clock::sleep_ms;
use support::patience::until;
use support::process::{Child, fork};

pub fn run() {
    no_children();
    choices();
    stops();
    by_waitid();
    ignored_children();
    usage();
    status_at_bad_pointer();
}

/// Waits; prints whether it was that child, and its status in words.
fn wait(what: &str, which: i32, options: i32, expected: Child) {
    let mut status = 0_i32;
    match sys!(SYS_wait4, which, &raw mut status, options, 0) {
        Ok(0) => show(what, "nothing yet"),
        Ok(pid) if pid == i64::from(expected.pid) => show(what, describe_status(status)),
        Ok(_) => show(what, "another child"),
        Err(error) => outcome::<()>(what, Err(error)),
    }
}

fn no_children() {
    outcome("wait without children", sys!(SYS_wait4, -1, 0, 0, 0));
    outcome("WNOHANG without children", sys!(SYS_wait4, -1, 0, libc::WNOHANG, 0));
    outcome("wait for ourselves", sys!(SYS_wait4, std::process::id(), 0, 0, 0));
    outcome("wait for the first process", sys!(SYS_wait4, 1, 0, 0, 0));
    outcome("wait for group of nobody", sys!(SYS_wait4, -0x3f_ffff, 0, 0, 0));
}

fn choices() {
    let (first, second) = (sleeper(), fork(|| 6).expect("fork"));
    wait("WNOHANG for the sleeper", first.pid, libc::WNOHANG, first);
    until(|| second.state() == 'Z');
    wait("any of two", -1, 0, second);
    outcome("the reaped one again", sys!(SYS_wait4, second.pid, 0, 0, 0));
    outcome("kill the sleeper", first.kill(libc::SIGTERM));
    wait("the killed one, by group 0", 0, 0, first);

    let child = sleeper();
    outcome("own group", sys!(SYS_setpgid, child.pid, child.pid));
    outcome("group 0 has no children now", sys!(SYS_wait4, 0, 0, libc::WNOHANG, 0));
    outcome("kill its group", sys!(SYS_kill, -child.pid, libc::SIGINT));
    wait("by its group", -child.pid, 0, child);
    for signal in [libc::SIGQUIT, libc::SIGSEGV, libc::SIGABRT, libc::SIGKILL, libc::SIGUSR1, 34] {
        let child = sleeper();
        outcome("kill", child.kill(signal));
        let mut status = 0_i32;
        outcome("wait", sys!(SYS_wait4, child.pid, &raw mut status, 0, 0));
        show("status", describe_status(status));
    }
}

fn stops() {
    let child = sleeper();
    outcome("stop", child.kill(libc::SIGSTOP));
    wait("stopped", child.pid, libc::WUNTRACED, child);
    wait("reported once", child.pid, libc::WUNTRACED | libc::WNOHANG, child);
    outcome("continue", child.kill(libc::SIGCONT));
    wait("continued", child.pid, libc::WCONTINUED, child);
    wait("reported once", child.pid, libc::WCONTINUED | libc::WNOHANG, child);
    outcome("stop again", child.kill(libc::SIGSTOP));
    wait("stopped", child.pid, libc::WUNTRACED, child);
    outcome("kill while stopped", child.kill(libc::SIGKILL));
    wait("killed", child.pid, 0, child);
    let child = sleeper();
    outcome("stop", child.kill(libc::SIGSTOP));
    wait("stopped", child.pid, libc::WUNTRACED, child);
    outcome("TERM while stopped", child.kill(libc::SIGTERM));
    sleep_ms(20);
    wait("stays", child.pid, libc::WNOHANG, child);
    outcome("continue", child.kill(libc::SIGCONT));
    wait("terminates", child.pid, 0, child);
}

fn by_waitid() {
    let print = |what: &str, which: i32, id: i32, options: i32, child: Child| {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let result = sys!(SYS_waitid, which, id, info.as_mut_ptr(), options, 0);
        // SAFETY: zeroed, and perhaps filled in by the kernel; any bytes are valid.
        let info = unsafe { info.assume_init() };
        if result.is_err() {
            return outcome(what, result);
        }
        // SAFETY: for waitid the fields of SIGCHLD are valid, or zero.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        let who = if pid == child.pid {
            "child"
        } else if pid == 0 {
            "nobody"
        } else {
            "other"
        };
        show(what, format!("signal {} code {} status {status} {who}", info.si_signo, info.si_code));
    };
    let child = fork(|| 12).expect("fork");
    print("peek", libc::P_PID as i32, child.pid, libc::WEXITED | libc::WNOWAIT, child);
    print("take", libc::P_PID as i32, child.pid, libc::WEXITED, child);
    print("gone", libc::P_PID as i32, child.pid, libc::WEXITED, child);
    let child = sleeper();
    print("not yet", libc::P_ALL as i32, 0, libc::WEXITED | libc::WNOHANG, child);
    let _ = child.kill(libc::SIGSTOP);
    print("stopped", libc::P_PID as i32, child.pid, libc::WSTOPPED, child);
    let _ = child.kill(libc::SIGCONT);
    print("continued", libc::P_PID as i32, child.pid, libc::WCONTINUED, child);
    let _ = child.kill(libc::SIGKILL);
    print("killed", libc::P_ALL as i32, 0, libc::WEXITED, child);
}

/// With SIGCHLD ignored, children leave no zombies, and wait waits for all of them.
fn ignored_children() {
    crate::check::aside("SIGCHLD ignored", || {
        // SAFETY: ignoring a signal involves no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let child = fork(|| 1).expect("fork");
        outcome("wait with SIGCHLD ignored", child.wait());
        // It may be hidden a moment before it is gone.
        until(|| child.kill(0).is_err());
        outcome("kill afterwards", child.kill(0));
    });
}

fn usage() {
    let child = fork(|| {
        let mut sum = 0_u64;
        for i in 0..2_000_000_u64 {
            sum = std::hint::black_box(sum + i);
        }
        0
    })
    .expect("fork");
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    value("status", sys!(SYS_wait4, child.pid, 0, 0, usage.as_mut_ptr()).map(|pid| pid == child.pid.into()));
    // SAFETY: zeroed and filled in by the kernel.
    let usage = unsafe { usage.assume_init() };
    show("resident set counted", usage.ru_maxrss > 0);
    show("faults counted", usage.ru_minflt > 0);
    outcome("getrusage self", sys!(SYS_getrusage, libc::RUSAGE_SELF, usage_buffer().as_mut_ptr()));
    outcome("getrusage children", sys!(SYS_getrusage, libc::RUSAGE_CHILDREN, usage_buffer().as_mut_ptr()));
}

fn usage_buffer() -> MaybeUninit<libc::rusage> {
    MaybeUninit::zeroed()
}

fn status_at_bad_pointer() {
    let child = fork(|| 0).expect("fork");
    outcome("status at a bad pointer", sys!(SYS_wait4, child.pid, crate::check::BAD, 0, 0));
    outcome("the child is gone all the same", sys!(SYS_wait4, child.pid, 0, 0, 0));
}
