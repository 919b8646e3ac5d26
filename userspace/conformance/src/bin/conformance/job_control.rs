//! Job control: sessions, foreground groups, and the signals a terminal sends.

use crate::check::{describe_status, in_child, outcome, show, sleep, sleeper, sys};
use crate::terminals::Pty;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use support::clock::sleep_ms;
use support::patience::{child_in_call, until, until_in_call, until_orphaned};
use support::pipe::{read, write};
use support::process::{Child, fork};

pub fn run() {
    controlling_terminal();
    keys();
    background();
    orphaned_groups();
    hang_up();
    window_changes();
    stopped_shell();
}

/// Runs `leader` as the leader of a new session whose controlling terminal is a new pseudo-terminal.
fn session(what: &str, leader: impl FnOnce(&Pty) -> i32) {
    in_child(what, || {
        let pty = Pty::open().expect("a pseudo-terminal");
        let _ = sys!(SYS_setsid);
        // The terminal goes away with `pty`, which hangs up on its session.
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        outcome("take the terminal", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCSCTTY, 0));
        leader(&pty)
    });
}

/// A child in a process group of its own.
fn job(run: impl FnOnce() -> i32) -> Child {
    let child = fork(|| {
        let _ = sys!(SYS_setpgid, 0, 0);
        // SAFETY: the default action involves no handler; the session's leader ignores this signal.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        run()
    })
    .expect("fork");
    let _ = sys!(SYS_setpgid, child.pid, child.pid);
    child
}

fn sleeping_job() -> Child {
    job(|| sleep())
}

/// Blocks a signal, for this thread alone.
fn block(signal: i32) {
    let set = 1_u64 << (signal - 1);
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8);
}

/// Makes a job's group the terminal's foreground group, as a shell does.
fn foreground(pty: &Pty, group: i32) -> std::io::Result<i64> {
    // SAFETY: ignoring involves no handler; a shell ignores SIGTTOU while it hands the terminal over.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let result = sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCSPGRP, &raw const group);
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_DFL) };
    result
}

fn foreground_group(pty: &Pty) -> i32 {
    let mut group = 0_i32;
    let _ = sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCGPGRP, &raw mut group);
    group
}

/// Waits for a change of a job.
fn change(what: &str, job: Child) {
    let mut status = 0_i32;
    let options = libc::WUNTRACED | libc::WCONTINUED;
    match sys!(SYS_wait4, job.pid, &raw mut status, options, 0) {
        Ok(_) => show(what, describe_status(status)),
        Err(error) => outcome::<()>(what, Err(error)),
    }
}

fn pid() -> i32 {
    std::process::id() as i32
}

fn controlling_terminal() {
    session("controlling terminal", |pty| {
        show("foreground group is ours", foreground_group(pty) == pid());
        let mut session = 0_i32;
        outcome("its session", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCGSID, &raw mut session));
        show("is ours", session == pid());
        outcome("open /dev/tty", std::fs::File::open("/dev/tty"));
        let other = Pty::open().expect("a pseudo-terminal");
        outcome("take a second terminal", sys!(SYS_ioctl, other.terminal.as_raw_fd(), libc::TIOCSCTTY, 0));
        outcome(
            "foreground group of the second",
            sys!(SYS_ioctl, other.terminal.as_raw_fd(), libc::TIOCGPGRP, &raw mut session),
        );
        outcome("foreground group of nobody", foreground(pty, 0x3f_ffff));
        outcome("negative group", foreground(pty, -1));
        outcome("group of another session", foreground(pty, 1));
        let child = sleeping_job();
        outcome("a job's group", foreground(pty, child.pid));
        show("is it", foreground_group(pty) == child.pid);
        let _ = child.kill(libc::SIGKILL);
        let _ = child.wait();
        0
    });
    in_child("a session leader that opens a terminal gets it", || {
        let pty = Pty::open().expect("a pseudo-terminal");
        let _ = sys!(SYS_setsid);
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        let before = std::fs::File::open("/dev/tty").is_ok();
        let _terminal =
            std::fs::OpenOptions::new().read(true).write(true).open(&pty.name).expect("the terminal");
        let after = std::fs::File::open("/dev/tty").is_ok();
        i32::from(before) * 10 + i32::from(after)
    });
    session("giving it up", |pty| {
        outcome("TIOCNOTTY", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCNOTTY, 0));
        outcome("open /dev/tty", std::fs::File::open("/dev/tty"));
        0
    });
}

fn keys() {
    session("keys", |pty| {
        for (key, what) in [("\x03", "Ctrl-C"), ("\x1c", "Ctrl-\\")] {
            let child = sleeping_job();
            let _ = foreground(pty, child.pid);
            pty.type_in(key);
            change(what, child);
            show("screen", format!("{:?}", pty.screen()));
        }
        let child = sleeping_job();
        let _ = foreground(pty, child.pid);
        pty.type_in("\x1a");
        change("Ctrl-Z", child);
        show("screen", format!("{:?}", pty.screen()));
        let _ = child.kill(libc::SIGCONT);
        change("continued", child);
        pty.type_in("dropped by the key\x03");
        change("Ctrl-C", child);
        let _ = foreground(pty, pid());
        let _ = pty.screen();
        show("the line typed before it is gone", pty.input());
        // All of a foreground group get the signal.
        let child = job(|| {
            let helper = sleeper();
            // SAFETY: ignoring involves no handler.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
            let ended = helper.wait();
            ended.map_or(
                1,
                |ended| if ended == support::process::Ended::Killed(libc::SIGINT) { 33 } else { 2 },
            )
        });
        let _ = foreground(pty, child.pid);
        until_in_call(child.pid, libc::SYS_wait4);
        pty.type_in("\x03");
        change("the helper was killed, its parent not", child);
        let _ = foreground(pty, pid());
        0
    });
}

/// Continues a job that has been stopped for its read, where it may read.
fn reads_in_foreground(pty: &Pty, job: Child) {
    let _ = foreground(pty, job.pid);
    let _ = job.kill(libc::SIGCONT);
    change("continued in the foreground", job);
    pty.type_in("x\n");
    change("read", job);
    let _ = foreground(pty, pid());
}

fn background() {
    session("background jobs", |pty| {
        let terminal = pty.terminal.as_raw_fd();
        let reads = job(move || {
            let mut byte = [0_u8];
            let result = sys!(SYS_read, terminal, byte.as_mut_ptr(), 1);
            i32::from(result.is_err())
        });
        change("read in the background", reads);
        reads_in_foreground(pty, reads);
        let writes = job(move || i32::from(sys!(SYS_write, terminal, b"w".as_ptr(), 1).is_err()));
        change("write in the background is allowed", writes);
        // With TOSTOP it is not.
        // SAFETY: a valid termios, read and written back.
        unsafe {
            let mut mode = std::mem::zeroed();
            libc::tcgetattr(terminal, &raw mut mode);
            mode.c_lflag |= libc::TOSTOP;
            libc::tcsetattr(terminal, libc::TCSANOW, &raw const mode);
        }
        let writes = job(move || i32::from(sys!(SYS_write, terminal, b"w".as_ptr(), 1).is_err()));
        change("write with TOSTOP", writes);
        let _ = writes.kill(libc::SIGKILL);
        change("kill", writes);
        let ignores = job(move || {
            // SAFETY: ignoring involves no handler.
            unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
            i32::from(sys!(SYS_write, terminal, b"w".as_ptr(), 1).is_err())
        });
        change("write with SIGTTOU ignored", ignores);
        let ignores = job(move || {
            // SAFETY: ignoring involves no handler.
            unsafe { libc::signal(libc::SIGTTIN, libc::SIG_IGN) };
            let mut byte = [0_u8];
            sys!(SYS_read, terminal, byte.as_mut_ptr(), 1)
                .map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0)
        });
        change("read with SIGTTIN ignored", ignores);
        let changes = job(move || {
            // SAFETY: a valid termios, read and written back.
            unsafe {
                let mut mode = std::mem::zeroed();
                libc::tcgetattr(terminal, &raw mut mode);
                libc::tcsetattr(terminal, libc::TCSANOW, &raw const mode)
            }
        });
        change("change of modes in the background", changes);
        let _ = changes.kill(libc::SIGKILL);
        change("kill", changes);
        // Another thread may mind what this one does not.
        let blocks = job(move || {
            let _ = std::thread::spawn(|| sys!(SYS_pause));
            block(libc::SIGTTOU);
            // SAFETY: a valid termios, read and written back.
            unsafe {
                let mut mode = std::mem::zeroed();
                libc::tcgetattr(terminal, &raw mut mode);
                libc::tcsetattr(terminal, libc::TCSANOW, &raw const mode)
            }
        });
        change("change of modes by a thread that blocks SIGTTOU", blocks);
        let blocks = job(move || {
            let _ = std::thread::spawn(|| sys!(SYS_pause));
            block(libc::SIGTTIN);
            let mut byte = [0_u8];
            sys!(SYS_read, terminal, byte.as_mut_ptr(), 1)
                .map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0)
        });
        change("read by a thread that blocks SIGTTIN", blocks);
        let minds = job(move || {
            let reads = std::thread::spawn(move || {
                let mut byte = [0_u8];
                i32::from(sys!(SYS_read, terminal, byte.as_mut_ptr(), 1).is_err())
            });
            block(libc::SIGTTIN);
            reads.join().unwrap_or(2)
        });
        change("read by the other thread", minds);
        let _ = minds.kill(libc::SIGKILL);
        change("kill", minds);
        // The signal is for the first thread, but the call is the other's. Nothing is there to be read that ends it too soon.
        // SAFETY: an open terminal.
        unsafe { libc::tcflush(terminal, libc::TCIFLUSH) };
        let minds = job(move || {
            let reads = std::thread::spawn(move || {
                let mut byte = [0_u8];
                i32::from(sys!(SYS_read, terminal, byte.as_mut_ptr(), 1).is_err())
            });
            reads.join().unwrap_or(2)
        });
        change("read by a thread that the signal is not for", minds);
        reads_in_foreground(pty, minds);
        let takes = job(move || {
            let group = pid();
            i32::from(sys!(SYS_ioctl, terminal, libc::TIOCSPGRP, &raw const group).is_err())
        });
        change("taking the foreground from the background", takes);
        let _ = takes.kill(libc::SIGKILL);
        change("kill", takes);
        0
    });
}

/// A group nobody could continue is not stopped by its terminal, and is told when it becomes one while stopped.
fn orphaned_groups() {
    session("orphaned group", |pty| {
        let pipe = support::pipe::pipe().expect("a pipe");
        let terminal = pty.terminal.as_raw_fd();
        let middle = fork(|| {
            let middle = pid();
            let _ = job(|| {
                until_orphaned(middle);
                let mut byte = [0_u8];
                let read = sys!(SYS_read, terminal, byte.as_mut_ptr(), 1);
                let error = read.map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0);
                // SAFETY: no memory is involved.
                unsafe { libc::kill(libc::getpid(), libc::SIGTSTP) };
                let _ = write(&pipe.writer, &[error as u8]);
                0
            });
            0
        });
        let _ = middle.and_then(Child::wait);
        let mut byte = [0_u8];
        let _ = read(&pipe.reader, &mut byte);
        show("read in an orphaned group", support::errno::name(byte[0].into()).unwrap_or("ok"));
        0
    });
    in_child("stopped group that becomes orphaned", || {
        let pipe = support::pipe::pipe().expect("a pipe");
        let _ = sys!(SYS_setsid);
        let middle = fork(|| {
            let child = job(|| {
                // SAFETY: the handlers store an atomic.
                unsafe {
                    libc::signal(libc::SIGHUP, note as extern "C" fn(i32) as usize);
                    libc::signal(libc::SIGCONT, note as extern "C" fn(i32) as usize);
                    libc::raise(libc::SIGSTOP);
                }
                let _ = write(&pipe.writer, &[SEEN.load(SeqCst) as u8]);
                0
            });
            let mut status = 0_i32;
            let _ = sys!(SYS_wait4, child.pid, &raw mut status, libc::WUNTRACED, 0);
            0
        });
        let _ = middle.and_then(Child::wait);
        let mut byte = [0_u8];
        let _ = read(&pipe.reader, &mut byte);
        byte[0].into()
    });
}

/// Signals seen: 1 for SIGHUP, 2 for SIGCONT, 4 for SIGWINCH.
static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: i32) {
    let bit = match signal {
        libc::SIGHUP => 1,
        libc::SIGCONT => 2,
        _ => 4,
    };
    SEEN.fetch_or(bit, SeqCst);
}

fn hang_up() {
    in_child("hang-up: the leader is told", || {
        let pty = Pty::open().expect("a pseudo-terminal");
        let leader = child_in_call(libc::SYS_pause, || {
            let _ = sys!(SYS_setsid);
            let _ = sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCSCTTY, 0);
            // The child's own copy of the user's end must go, or the hang-up never comes.
            let _ = sys!(SYS_close, pty.user.as_raw_fd());
            sleep()
        });
        drop(pty.user);
        let mut status = 0_i32;
        let _ = sys!(SYS_wait4, leader.pid, &raw mut status, 0, 0);
        if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 99 }
    });
    in_child("the leader's end: the foreground group is told", || {
        let pty = Pty::open().expect("a pseudo-terminal");
        let pipe = support::pipe::pipe().expect("a pipe");
        let leader = fork(|| {
            let _ = sys!(SYS_setsid);
            let _ = sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TIOCSCTTY, 0);
            let child = job(|| {
                // SAFETY: the handler stores an atomic.
                unsafe { libc::signal(libc::SIGHUP, note as extern "C" fn(i32) as usize) };
                let _ = write(&pipe.writer, b"r");
                until(|| SEEN.load(SeqCst) != 0);
                let _ = write(&pipe.writer, &[SEEN.load(SeqCst) as u8]);
                0
            });
            let _ = foreground(&pty, child.pid);
            let _ = read(&pipe.reader, &mut [0]);
            0
        })
        .expect("fork");
        let _ = leader.wait();
        let mut byte = [99_u8];
        let _ = read(&pipe.reader, &mut byte);
        byte[0].into()
    });
}

fn window_changes() {
    session("window change", |pty| {
        // SAFETY: the handler stores an atomic.
        unsafe { libc::signal(libc::SIGWINCH, note as extern "C" fn(i32) as usize) };
        SEEN.store(0, SeqCst);
        let size = [30_u16, 100, 0, 0];
        let set = || sys!(SYS_ioctl, pty.user.as_raw_fd(), libc::TIOCSWINSZ, size.as_ptr());
        outcome("set", set());
        until(|| SEEN.load(SeqCst) != 0);
        show("told", SEEN.swap(0, SeqCst));
        outcome("set the same", set());
        sleep_ms(20);
        show("told", SEEN.load(SeqCst));
        0
    });
}

/// What a shell sees: a pipeline of two processes in one group, stopped, continued, ended.
fn stopped_shell() {
    session("a pipeline", |pty| {
        let pipe = support::pipe::pipe().expect("a pipe");
        let first = job(|| {
            loop {
                let _ = write(&pipe.writer, b"tick");
                sleep_ms(20);
            }
        });
        let second = fork(|| {
            let _ = sys!(SYS_setpgid, 0, first.pid);
            let mut buffer = [0_u8; 100];
            while let Ok(1..) = read(&pipe.reader, &mut buffer) {}
            0
        })
        .expect("fork");
        let _ = sys!(SYS_setpgid, second.pid, first.pid);
        let _ = foreground(pty, first.pid);
        until_in_call(second.pid, libc::SYS_read);
        pty.type_in("\x1a");
        change("first", first);
        change("second", second);
        let _ = foreground(pty, pid());
        let _ = foreground(pty, first.pid);
        outcome("continue both", sys!(SYS_kill, -first.pid, libc::SIGCONT));
        change("first", first);
        change("second", second);
        pty.type_in("\x03");
        change("first", first);
        change("second", second);
        outcome("the group is gone", sys!(SYS_kill, -first.pid, 0));
        let _ = foreground(pty, pid());
        0
    });
}
