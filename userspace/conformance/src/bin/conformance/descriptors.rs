//! Descriptors: which ones calls give, what is in a table, and whose it is.

use crate::check::{aside, describe, outcome, path, show, sys, value};
use std::fs;
use std::io;
use support::patience::until;
use support::process::{Child, fork};
use support::random::Random;

pub fn run() {
    let _ = fs::write("file", "content");
    calls();
    none();
    aside("at random", at_random);
    aside("after exec", after_exec);
    aside("far apart", far_apart);
    aside("of one's own", own);
    aside("without a name", crate::nameless::run);
}

fn open(name: &str, flags: i32) -> io::Result<i64> {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o666)
}

fn calls() {
    let file = open("file", libc::O_RDONLY | libc::O_CLOEXEC).expect("the file");
    let flags = |what: &str, file: i64| value(what, sys!(SYS_fcntl, file, libc::F_GETFD));
    flags("close-on-exec", file);
    let twin = sys!(SYS_dup, file).expect("dup");
    flags("of its duplicate", twin);
    value("F_DUPFD from 30", sys!(SYS_fcntl, file, libc::F_DUPFD, 30));
    value("F_DUPFD_CLOEXEC from 30", sys!(SYS_fcntl, file, libc::F_DUPFD_CLOEXEC, 30));
    flags("of it", 31);
    value("dup2", sys!(SYS_dup2, file, 40));
    value("dup2 to itself", sys!(SYS_dup2, file, file).map(|same| same == file));
    value("dup3", sys!(SYS_dup3, file, 41, libc::O_CLOEXEC));
    flags("of it", 41);
    outcome("clear", sys!(SYS_fcntl, 41, libc::F_SETFD, 0));
    flags("of it", 41);
    outcome("close 30", sys!(SYS_close, 30));
    outcome("close it again", sys!(SYS_close, 30));
    outcome("close_range", sys!(SYS_close_range, 31, 41, 0));
    outcome("one of them", sys!(SYS_fcntl, 40, libc::F_GETFD));
    outcome("another", sys!(SYS_close, twin));
    value("lowest free is used", sys!(SYS_dup, file).map(|next| next == twin));
}

/// Without a descriptor nothing is looked for, made or emptied.
fn none() {
    aside("no descriptors", || {
        let _ = fs::write("full", "content");
        let mut limit = [0_u64; 2];
        outcome("limit", sys!(SYS_getrlimit, libc::RLIMIT_NOFILE, limit.as_mut_ptr()));
        let none = [0_u64, limit[1]];
        outcome("no more descriptors", sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, none.as_ptr()));
        outcome("open what is missing", open("never", libc::O_RDONLY));
        outcome("make", open("made without", libc::O_WRONLY | libc::O_CREAT));
        outcome("make in a missing folder", open("never/made", libc::O_WRONLY | libc::O_CREAT));
        outcome("empty", open("full", libc::O_WRONLY | libc::O_TRUNC));
        outcome(
            "unknown flags",
            sys!(SYS_openat2, libc::AT_FDCWD, c"full".as_ptr(), [1_u64 << 40, 0, 0].as_ptr(), 24),
        );
        outcome("no name", sys!(SYS_open, 0, libc::O_RDONLY, 0));
        outcome("an empty name", open("", libc::O_RDONLY));
        let mut pair = [-1_i32; 2];
        outcome("pipe", sys!(SYS_pipe2, pair.as_mut_ptr(), 0));
        show("pair", format_args!("{pair:?}"));
        outcome("pipe to nowhere", sys!(SYS_pipe2, 8, 0));
        outcome("as before", sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, limit.as_ptr()));
        outcome("was made", fs::metadata("made without").map(|data| data.len()));
        outcome("is as long as", fs::metadata("full").map(|data| data.len()));
        let _ = fs::remove_file("full");
    });
}

/// How many descriptors there may be from now on.
fn limit(most: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    outcome("limit", sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &raw mut now));
    now = libc::rlimit { rlim_cur: most, rlim_max: now.rlim_max.max(most) };
    outcome("another limit", sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const now, 0));
}

/// What a process has open: how many, the sum of the descriptors, how many are closed on exec.
fn census(up_to: i64) -> String {
    let flags = (0..up_to).map(|fd| (fd, sys!(SYS_fcntl, fd, libc::F_GETFD)));
    let open: Vec<_> = flags.filter_map(|(fd, flags)| Some((fd, flags.ok()?))).collect();
    let sum = open.iter().map(|(fd, _)| fd).sum::<i64>();
    format!("{} {sum} {}", open.len(), open.iter().map(|(_, flags)| flags).sum::<i64>())
}

/// Many calls in no order, each of which tells the descriptor that it got.
fn at_random() {
    const MOST: u64 = 700;
    limit(MOST);
    let mut random = Random::new(1);
    let mut told = 0_i64;
    for step in 0..4000 {
        let fd = (3 + random.below(MOST)) as i64;
        let result = match random.below(12) {
            0..=3 => sys!(SYS_dup, 0),
            4 => sys!(SYS_fcntl, 0, libc::F_DUPFD, fd),
            5 => sys!(SYS_fcntl, 0, libc::F_DUPFD_CLOEXEC, fd),
            6 => sys!(SYS_dup2, 0, fd),
            7 => sys!(SYS_dup3, 0, fd, libc::O_CLOEXEC),
            8 => sys!(SYS_close, fd),
            9 => sys!(SYS_fcntl, fd, libc::F_SETFD, fd & 1),
            10 => sys!(SYS_close_range, fd, fd + 20, if fd & 1 == 0 { 0 } else { 4 }),
            _ => sys!(SYS_open, c"file".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC),
        };
        let result = result.unwrap_or_else(|error| -i64::from(error.raw_os_error().unwrap_or(0)));
        told = (told * 31 + result) % 1_000_000_007;
        if step % 400 == 399 {
            show("told and open", format!("{told} / {}", census(MOST as i64)));
        }
    }
    value("a child has the same", fork(|| child_census(MOST)).and_then(Child::wait).map(describe));
    outcome("all but three closed", sys!(SYS_close_range, 3, u32::MAX, 0));
    show("open", census(MOST as i64));
}

fn child_census(up_to: u64) -> i32 {
    show("open in the child", census(up_to as i64));
    0
}

/// How many descriptors of a new program there are, as it says itself.
fn of_program(what: &str) {
    let words =
        [c"sh".as_ptr(), c"-c".as_ptr(), c"set -- /proc/self/fd/*; echo open after exec: $#".as_ptr()];
    let arguments = [words[0], words[1], words[2], std::ptr::null()];
    let ended = fork(|| {
        let _ = sys!(SYS_execve, c"/bin/sh".as_ptr(), arguments.as_ptr(), [0_usize].as_ptr());
        1
    });
    value(what, ended.and_then(Child::wait).map(describe));
}

fn after_exec() {
    limit(4096);
    outcome("tidy", sys!(SYS_close_range, 3, u32::MAX, 0));
    of_program("three");
    for fd in 3..2000 {
        let closes = if fd % 3 == 0 { libc::O_CLOEXEC } else { 0 };
        if let Err(error) = sys!(SYS_dup3, 0, fd, closes) {
            return outcome::<()>("dup3", Err(error));
        }
    }
    of_program("two in three");
    outcome("marked", sys!(SYS_close_range, 70, 1990, 4));
    of_program("few");
    outcome("marked", sys!(SYS_close_range, 0, u32::MAX, 4));
    show("open here", census(4096));
}

/// Descriptors with nothing between them.
fn far_apart() {
    limit(100_000);
    outcome("tidy", sys!(SYS_close_range, 3, u32::MAX, 0));
    for fd in [63, 64, 127, 128, 4095, 4096, 65_536, 99_999] {
        value("dup2", sys!(SYS_dup2, 0, fd));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap_or("none");
        show("size", size.trim());
    }
    outcome("dup2 too high", sys!(SYS_dup2, 0, 100_000));
    outcome("F_DUPFD too high", sys!(SYS_fcntl, 0, libc::F_DUPFD, 100_000));
    value("F_DUPFD in between", sys!(SYS_fcntl, 0, libc::F_DUPFD, 65_535));
    value("F_DUPFD behind those", sys!(SYS_fcntl, 0, libc::F_DUPFD, 65_535));
    outcome("F_DUPFD at the last", sys!(SYS_fcntl, 0, libc::F_DUPFD, 99_999));
    show("open", census(100_000));
    let mut listed: Vec<u64> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    listed.sort_unstable();
    show("listed", format!("{listed:?}"));
    outcome("close_range", sys!(SYS_close_range, 64, 65_536, 0));
    show("open", census(100_000));
    value("the lowest", sys!(SYS_dup, 0));
}

/// Tables that processes share, and stop sharing.
fn own() {
    outcome("tidy", sys!(SYS_close_range, 3, u32::MAX, 0));
    let sharing = |act: &dyn Fn() -> String| {
        let flags = libc::CLONE_FILES | libc::SIGCHLD;
        match sys!(SYS_clone, flags, 0, 0, 0, 0).expect("clone") {
            0 => {
                show("in the child", act());
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(0) }
            }
            pid => value("child", Child { pid: pid as i32 }.wait().map(describe)),
        }
    };
    let in_procfs = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    sharing(&|| {
        value("shared dup2", sys!(SYS_dup2, 0, 10));
        census(100)
    });
    show("seen", census(100));
    sharing(&|| {
        outcome("unshare", sys!(SYS_unshare, libc::CLONE_FILES));
        value("own dup2", sys!(SYS_dup2, 0, 11));
        format!("{} {}", census(100), in_procfs())
    });
    show("not seen", format!("{} {}", census(100), in_procfs()));
    sharing(&|| {
        outcome("own, but for some", sys!(SYS_close_range, 3, u32::MAX, 2));
        format!("{} {}", census(100), in_procfs())
    });
    show("all there", format!("{} {}", census(100), in_procfs()));
    sharing(&|| {
        outcome("own, and marked", sys!(SYS_close_range, 0, u32::MAX, 2 | 4));
        census(100)
    });
    show("not marked", census(100));
    show("alone", until(|| in_procfs() == 5));
}
