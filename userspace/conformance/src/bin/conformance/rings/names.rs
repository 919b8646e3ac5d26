//! Requests about names.

use super::{one, read_end, ring, word, write_end, write_to};
use crate::check::{BAD, outcome, path, show, sys, value};
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, names::*};

pub fn run() {
    let mut ring = ring();
    let _ = std::fs::remove_dir_all("/tmp/rings");
    let at = |opcode, text: &std::ffi::CStr| Entry {
        fd: libc::AT_FDCWD,
        addr: text.as_ptr() as u64,
        ..Entry::new(opcode, 1)
    };
    let folder = path("/tmp/rings");
    one(&mut ring, "mkdir", Entry { len: 0o755, ..at(MKDIRAT, &folder) });
    one(&mut ring, "mkdir again", Entry { len: 0o755, ..at(MKDIRAT, &folder) });
    one(&mut ring, "mkdir strangely", Entry { op_flags: 1, ..at(MKDIRAT, &folder) });
    let (name, other, third) = (path("/tmp/rings/a"), path("/tmp/rings/b"), path("/tmp/rings/c"));
    let flags = (libc::O_CREAT | libc::O_RDWR) as u32;
    for entry in [
        Entry { op_flags: flags, len: 0o644, ..at(OPENAT, &name) },
        at(OPENAT, &other),
        Entry { addr: BAD as u64, ..at(OPENAT, &name) },
    ] {
        ring.push(entry);
        outcome("open", ring.submit_within(1));
        let opened = ring.pop().expect("a completion").res;
        show("opened", if opened < 0 { word(opened) } else { "ok".into() });
        if opened >= 0 {
            one(&mut ring, "close", Entry { fd: opened, ..Entry::new(CLOSE, 1) });
            one(&mut ring, "close again", Entry { fd: opened, ..Entry::new(CLOSE, 1) });
        }
    }
    one(&mut ring, "close strangely", Entry { len: 1, ..Entry::new(CLOSE, 1) });
    let own = ring.as_raw_fd();
    one(&mut ring, "close the ring", Entry { fd: own, ..Entry::new(CLOSE, 1) });
    let how = [flags as u64, 0o600, 0];
    let open2 = Entry { off: how.as_ptr() as u64, len: 24, ..at(OPENAT2, &other) };
    ring.push(open2);
    outcome("open2", ring.submit_within(1));
    show("opened", ring.pop().is_some_and(|completion| completion.res >= 0));
    one(&mut ring, "open2 strange size", Entry { len: 8, ..open2 });
    one(&mut ring, "open2 bad how", Entry { off: BAD as u64, ..open2 });
    // SAFETY: the kernel writes it.
    let mut statx: libc::statx = unsafe { std::mem::zeroed() };
    let stat = Entry { len: 0x7ff, off: &raw mut statx as u64, ..at(STATX, &name) };
    one(&mut ring, "statx", stat);
    show("mode", format!("{:o}", statx.stx_mode));
    one(&mut ring, "statx of nothing", Entry { addr: third.as_ptr() as u64, ..stat });
    one(&mut ring, "statx bad buffer", Entry { off: BAD as u64, ..stat });
    let two = |opcode, first: &std::ffi::CStr, second: &std::ffi::CStr, directory: i32| Entry {
        off: second.as_ptr() as u64,
        len: directory as u32,
        ..at(opcode, first)
    };
    one(&mut ring, "link", two(LINKAT, &name, &third, libc::AT_FDCWD));
    one(&mut ring, "link again", two(LINKAT, &name, &third, libc::AT_FDCWD));
    let symbolic = path("/tmp/rings/s");
    one(&mut ring, "symlink", two(SYMLINKAT, &name, &symbolic, 0));
    show(
        "target",
        std::fs::read_link("/tmp/rings/s").map_or("none".into(), |target| target.display().to_string()),
    );
    let moved = path("/tmp/rings/d");
    one(&mut ring, "rename", two(RENAMEAT, &third, &moved, libc::AT_FDCWD));
    one(&mut ring, "rename nothing", two(RENAMEAT, &third, &moved, libc::AT_FDCWD));
    one(&mut ring, "unlink", at(UNLINKAT, &moved));
    one(&mut ring, "unlink nothing", at(UNLINKAT, &moved));
    one(&mut ring, "unlink a folder", at(UNLINKAT, &folder));
    one(&mut ring, "unlink strangely", Entry { op_flags: 1, ..at(UNLINKAT, &folder) });
    one(&mut ring, "rmdir", Entry { op_flags: libc::AT_REMOVEDIR as u32, ..at(UNLINKAT, &folder) });
    let fixed = Entry { flags: FIXED_FILE, ..at(UNLINKAT, &folder) };
    one(&mut ring, "by a registered folder", fixed);
    let mut left: Vec<String> = std::fs::read_dir("/tmp/rings")
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    left.sort();
    show("left", left.join(" "));
    let epoll = sys!(SYS_epoll_create1, 0).expect("an epoll instance") as i32;
    let pipe = pipe().expect("a pipe");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    let control = |operation: i32, event: *const libc::epoll_event| Entry {
        fd: epoll,
        len: operation as u32,
        off: read_end(&pipe) as u64,
        addr: event as u64,
        ..Entry::new(EPOLL_CTL, 1)
    };
    one(&mut ring, "epoll add", control(libc::EPOLL_CTL_ADD, &raw const event));
    one(&mut ring, "epoll add again", control(libc::EPOLL_CTL_ADD, &raw const event));
    one(&mut ring, "epoll bad event", control(libc::EPOLL_CTL_MOD, BAD as *const _));
    write_to(write_end(&pipe), b"x");
    value("epoll wait", sys!(SYS_epoll_wait, epoll, &raw mut event, 1, 0));
    one(&mut ring, "epoll delete", control(libc::EPOLL_CTL_DEL, std::ptr::null()));
}
