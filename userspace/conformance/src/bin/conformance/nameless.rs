//! What stat(2) tells of open files without a name, pipes and sockets above all, and how that is changed.

use crate::check::{outcome, path, show, sys, value};
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd};
use support::pipe::{Pipe, pipe};
use support::process::fork;

pub fn run() {
    // SAFETY: changes nothing but this process's mask.
    unsafe { libc::umask(0o022) };
    let Pipe { reader, writer } = pipe().expect("a pipe");
    let pair = pair();
    let alone = socket();
    for (name, file) in [("pipe", reader.as_raw_fd()), ("pair", pair[0]), ("socket", alone)] {
        println!("{name}");
        changes(file);
    }
    attributes("the other end of the pipe", writer.as_raw_fd());
    attributes("the other socket", pair[1]);
    bound(alone);
    reopened(&reader);
    queue();
    systems(&[reader.as_raw_fd(), alone]);
}

fn socket() -> i32 {
    sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).expect("a socket") as i32
}

fn pair() -> [i32; 2] {
    let mut pair = [0; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()).expect("two sockets");
    pair
}

fn stat(file: i32) -> libc::stat {
    // SAFETY: an all-zero stat is valid.
    let mut stat: libc::stat = unsafe { zeroed() };
    sys!(SYS_fstat, file, &raw mut stat).expect("attributes");
    stat
}

fn attributes(what: &str, file: i32) {
    let stat = stat(file);
    show(what, format!("{:o} {} {} {}", stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink));
}

fn changes(file: i32) {
    attributes("as made", file);
    outcome("fchmod", sys!(SYS_fchmod, file, 0o640));
    outcome("fchown", sys!(SYS_fchown, file, 1000, 1001));
    let times = [5_i64, 0, 6, 0];
    outcome("utimensat", sys!(SYS_utimensat, file, 0, times.as_ptr(), 0));
    let link = path(&format!("/proc/self/fd/{file}"));
    outcome("chmod by its link", sys!(SYS_chmod, link.as_ptr(), 0o4751));
    attributes("changed", file);
    let seen = stat(file);
    show("times", format!("{} {}", seen.st_atime, seen.st_mtime));
    let by = |what: &str, user: u32, group: u32| {
        println!("{what}");
        let child = fork(|| {
            sys!(SYS_setgroups, 0, 0).expect("no groups");
            sys!(SYS_setresgid, group, group, group).expect("the group");
            sys!(SYS_setresuid, user, user, user).expect("the user");
            outcome("fchmod", sys!(SYS_fchmod, file, 0o666));
            outcome("fchown", sys!(SYS_fchown, file, -1, group));
            outcome("utimensat to now", sys!(SYS_utimensat, file, 0, 0, 0));
            outcome("open by its link", sys!(SYS_open, link.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK));
            0
        });
        child.expect("a child").wait().expect("its end");
    };
    by("another user", 7, 7);
    by("the owner", 1000, 1000);
    attributes("in the end", file);
}

/// A socket's permissions become those of the name it is bound to.
fn bound(changed: i32) {
    let bind = |what: &str, socket: i32| {
        let mut address = [0_u8; 32];
        address[0] = libc::AF_UNIX as u8;
        address[2..2 + what.len()].copy_from_slice(what.as_bytes());
        outcome("bind", sys!(SYS_bind, socket, address.as_ptr(), 2 + what.len() + 1));
        // SAFETY: an all-zero stat is valid.
        let mut stat: libc::stat = unsafe { zeroed() };
        sys!(SYS_stat, path(what).as_ptr(), &raw mut stat).expect("the name's attributes");
        show(what, format!("{:o} {} {}", stat.st_mode, stat.st_uid, stat.st_gid));
        outcome("fchmod", sys!(SYS_fchmod, socket, 0o600));
        sys!(SYS_stat, path(what).as_ptr(), &raw mut stat).expect("the name's attributes");
        show("the name's", format!("{:o}", stat.st_mode));
    };
    bind("changed", changed);
    bind("plain", socket());
    let all = socket();
    outcome("fchmod", sys!(SYS_fchmod, all, 0o7777));
    bind("all", all);
}

fn target(file: i32) -> io::Result<String> {
    std::fs::read_link(format!("/proc/self/fd/{file}")).map(|text| text.display().to_string())
}

/// A pipe that is opened once more is the same.
fn reopened(reader: &impl AsRawFd) {
    let link = path(&format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let again = sys!(SYS_open, link.as_ptr(), libc::O_WRONLY).expect("the pipe, opened once more") as i32;
    // SAFETY: the descriptor was opened above and is owned by nobody else.
    let again = unsafe { File::from_raw_fd(again) };
    attributes("opened once more", again.as_raw_fd());
    show("the same", target(again.as_raw_fd()).ok() == target(reader.as_raw_fd()).ok());
    show("its number", stat(again.as_raw_fd()).st_ino == stat(reader.as_raw_fd()).st_ino);
    outcome("fchmod", sys!(SYS_fchmod, again.as_raw_fd(), 0o400));
    attributes("the first", reader.as_raw_fd());
}

fn queue() {
    let name = path("nameless");
    let queue =
        sys!(SYS_mq_open, name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o660, 0).expect("a queue") as i32;
    attributes("queue", queue);
    outcome("fchmod", sys!(SYS_fchmod, queue, 0o604));
    outcome("fchown", sys!(SYS_fchown, queue, 1000, 1000));
    attributes("changed", queue);
    let child = fork(|| {
        sys!(SYS_setresgid, 7, 7, 7).expect("the group");
        sys!(SYS_setresuid, 7, 7, 7).expect("the user");
        value("others read", sys!(SYS_mq_open, name.as_ptr(), libc::O_RDONLY).map(|_| 0));
        value("others write", sys!(SYS_mq_open, name.as_ptr(), libc::O_WRONLY).map(|_| 0));
        0
    });
    child.expect("a child").wait().expect("its end");
    outcome("unlink", sys!(SYS_mq_unlink, name.as_ptr()));
}

fn systems(files: &[i32]) {
    let events = sys!(SYS_eventfd2, 0, 0).expect("a counter") as i32;
    attributes("events", events);
    for file in files.iter().chain([&events]) {
        // SAFETY: an all-zero statfs is valid.
        let mut of: libc::statfs = unsafe { zeroed() };
        outcome("fstatfs", sys!(SYS_fstatfs, *file, &raw mut of));
        show("its type", format!("{:x} {} {}", of.f_type, of.f_bsize, of.f_namelen));
    }
}
