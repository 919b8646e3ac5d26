//! inotify: what happens to files, as it is told.

use crate::check::{BAD, describe, outcome, path, show, sys, value};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use support::process::{Child, fork};

/// An instance, and the cookies that it has told so far, to be shown by number.
struct Instance {
    fd: i64,
    cookies: HashMap<u32, usize>,
}

const NAMES: &[(u32, &str)] = &[
    (libc::IN_ACCESS, "ACCESS"),
    (libc::IN_MODIFY, "MODIFY"),
    (libc::IN_ATTRIB, "ATTRIB"),
    (libc::IN_CLOSE_WRITE, "CLOSE_WRITE"),
    (libc::IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
    (libc::IN_OPEN, "OPEN"),
    (libc::IN_MOVED_FROM, "MOVED_FROM"),
    (libc::IN_MOVED_TO, "MOVED_TO"),
    (libc::IN_CREATE, "CREATE"),
    (libc::IN_DELETE, "DELETE"),
    (libc::IN_DELETE_SELF, "DELETE_SELF"),
    (libc::IN_MOVE_SELF, "MOVE_SELF"),
    (libc::IN_UNMOUNT, "UNMOUNT"),
    (libc::IN_Q_OVERFLOW, "Q_OVERFLOW"),
    (libc::IN_IGNORED, "IGNORED"),
    (libc::IN_ISDIR, "ISDIR"),
];

impl Instance {
    fn new() -> Self {
        let fd = sys!(SYS_inotify_init1, libc::IN_NONBLOCK | libc::IN_CLOEXEC).expect("an instance");
        Instance { fd, cookies: HashMap::new() }
    }

    fn watch(&self, name: &str, mask: u32) -> io::Result<i64> {
        sys!(SYS_inotify_add_watch, self.fd, path(name).as_ptr(), mask)
    }

    /// Shows everything that it has to tell.
    fn tell(&mut self, what: &str) {
        println!("{what}:");
        let mut bytes = [0_u8; 4096];
        loop {
            match sys!(SYS_read, self.fd, bytes.as_mut_ptr(), bytes.len()) {
                Ok(count) => self.show(&bytes[..count as usize]),
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return,
                Err(error) => return show("read", error),
            }
        }
    }

    /// Shows what it has to tell until so many files have been closed. Whoever waits for a process may be told of its end before
    /// what it had open is closed.
    fn await_closes(&mut self, mut left: usize) {
        let mut bytes = [0_u8; 16];
        while left > 0 {
            let mut file = libc::pollfd { fd: self.fd as i32, events: libc::POLLIN, revents: 0 };
            let _ = sys!(SYS_poll, &raw mut file, 1, -1);
            let _ = sys!(SYS_read, self.fd, bytes.as_mut_ptr(), bytes.len());
            let mask = u32::from_ne_bytes(bytes[4..8].try_into().expect("a word"));
            left -= usize::from(mask & libc::IN_CLOSE != 0);
            self.show(&bytes);
        }
        self.tell("and then");
    }

    fn show(&mut self, mut bytes: &[u8]) {
        let word =
            |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("a word"));
        while !bytes.is_empty() {
            let [number, mask, cookie, len] = [0, 4, 8, 12].map(|at| word(bytes, at));
            let (event, rest) = bytes.split_at(16 + len as usize);
            bytes = rest;
            let set: Vec<&str> =
                NAMES.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
            let mut line = format!("  {} {}", number as i32, set.join("|"));
            if len > 0 {
                let name = event[16..].split(|byte| *byte == 0).next().unwrap_or_default();
                line += &format!(" {} in {len}", String::from_utf8_lossy(name));
            }
            if cookie != 0 {
                let next = self.cookies.len();
                line += &format!(" cookie {}", self.cookies.entry(cookie).or_insert(next));
            }
            println!("{line}");
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = sys!(SYS_close, self.fd);
    }
}

fn write_bytes(name: &str) {
    fs::write(name, b"some bytes").expect("a file");
}

pub fn run() {
    let _ = fs::remove_dir_all("/tmp/inotify");
    fs::create_dir_all("/tmp/inotify").expect("a folder");
    std::env::set_current_dir("/tmp/inotify").expect("the folder");
    errors();
    numbers();
    files();
    attributes();
    names();
    renames();
    ends();
    flags();
    reading();
    limits();
    waiting();
    programs();
    unmounted();
    std::env::set_current_dir("/").expect("the root");
    let _ = fs::remove_dir_all("/tmp/inotify");
}

fn errors() {
    outcome("strange flags", sys!(SYS_inotify_init1, 1));
    let instance = Instance::new();
    let name = path("/tmp");
    value("close on exec", sys!(SYS_fcntl, instance.fd, libc::F_GETFD));
    show("flags", format!("{:#o}", sys!(SYS_fcntl, instance.fd, libc::F_GETFL).unwrap_or(-1)));
    let link = fs::read_link(format!("/proc/self/fd/{}", instance.fd)).expect("a link");
    show("name", link.display());
    outcome("no events", instance.watch("/tmp", 0));
    outcome("strange events", instance.watch("/tmp", 0x0010_0000));
    outcome("flags alone", instance.watch("/tmp", libc::IN_ONLYDIR));
    outcome("add and make", instance.watch("/tmp", 1 | libc::IN_MASK_ADD | 0x1000_0000));
    outcome("nothing there", instance.watch("/tmp/inotify/none", 1));
    outcome("no name", instance.watch("", 1));
    outcome("bad address", sys!(SYS_inotify_add_watch, instance.fd, BAD, 1));
    outcome("closed", sys!(SYS_inotify_add_watch, 99, name.as_ptr(), 1));
    outcome("another file", sys!(SYS_inotify_add_watch, 0, name.as_ptr(), 1));
    outcome("no folder", {
        write_bytes("file");
        instance.watch("file", 1 | libc::IN_ONLYDIR)
    });
    outcome("remove the unknown", sys!(SYS_inotify_rm_watch, instance.fd, 77));
    outcome("remove by another file", sys!(SYS_inotify_rm_watch, 0, 1));
    outcome("remove by a closed file", sys!(SYS_inotify_rm_watch, 99, 1));
    outcome("write", sys!(SYS_write, instance.fd, name.as_ptr(), 1));
    outcome("seek", sys!(SYS_lseek, instance.fd, 0, 0));
    outcome("short read of nothing", sys!(SYS_read, instance.fd, [0_u8; 4].as_mut_ptr(), 4));
    fs::set_permissions("file", std::os::unix::fs::PermissionsExt::from_mode(0o200)).expect("chmod");
    crate::check::aside("a user", || {
        let _ = sys!(SYS_setuid, 1000);
        outcome("a file that cannot be read", instance.watch("file", 1));
    });
    fs::remove_file("file").expect("unlink");
}

fn numbers() {
    let mut instance = Instance::new();
    for name in ["a", "b", "c"] {
        write_bytes(name);
    }
    value("first", instance.watch("a", libc::IN_OPEN));
    value("second", instance.watch("b", libc::IN_OPEN));
    value("the first again", instance.watch("a", libc::IN_CLOSE));
    value("by another name", instance.watch("../inotify/./a", libc::IN_OPEN));
    outcome("remove", sys!(SYS_inotify_rm_watch, instance.fd, 1));
    outcome("remove once more", sys!(SYS_inotify_rm_watch, instance.fd, 1));
    value("a new number", instance.watch("a", libc::IN_OPEN));
    value("and the next", instance.watch("c", libc::IN_ALL_EVENTS | libc::IN_ONESHOT));
    instance.tell("told");
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", instance.fd)).expect("fdinfo");
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("inotify"))
        .map(|line| {
            let known = |word: &&str| ["wd:", "mask:", "ignored"].iter().any(|start| word.starts_with(start));
            line.split(' ').filter(known).collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    show("fdinfo", lines.join(", "));
}

fn files() {
    let mut instance = Instance::new();
    fs::create_dir("d").expect("a folder");
    let _ = instance.watch("d", libc::IN_ALL_EVENTS);
    let mut file = File::create("d/file").expect("a file");
    instance.tell("made");
    let _ = instance.watch("d/file", libc::IN_ALL_EVENTS);
    for _ in 0..3 {
        file.write_all(b"bytes").expect("a write");
    }
    instance.tell("written, the same told once");
    let _ = file.set_len(2);
    instance.tell("cut");
    drop(file);
    instance.tell("closed");
    let mut text = String::new();
    let mut file = File::open("d/file").expect("the file");
    let _ = file.read_to_string(&mut text);
    instance.tell("read, to the end");
    let _ = file.read_to_string(&mut text);
    instance.tell("nothing left");
    let copy = file.try_clone().expect("a copy");
    drop(file);
    instance.tell("a copy is open");
    drop(copy);
    instance.tell("closed");
    let file = OpenOptions::new().read(true).write(true).truncate(true).open("d/file").expect("the file");
    instance.tell("emptied");
    let (mut buffer, raw) = ([0_u8; 8], file.as_raw_fd());
    value("pwrite", sys!(SYS_pwrite64, raw, buffer.as_ptr(), 8, 0));
    value("pread", sys!(SYS_pread64, raw, buffer.as_mut_ptr(), 8, 0));
    let vector = [buffer.as_ptr() as usize, 8];
    value("pwritev", sys!(SYS_pwritev, raw, vector.as_ptr(), 1, 0, 0));
    value("preadv", sys!(SYS_preadv, raw, vector.as_ptr(), 1, 0, 0));
    outcome("fallocate", sys!(SYS_fallocate, raw, 0, 0, 100));
    instance.tell("by every call");
    let other = File::create("elsewhere").expect("a file");
    let mut offset = 0_i64;
    value("sendfile", sys!(SYS_sendfile, other.as_raw_fd(), raw, &raw mut offset, 10));
    value("copy_file_range", sys!(SYS_copy_file_range, raw, 0, other.as_raw_fd(), 0, 10, 0));
    instance.tell("moved");
    drop(file);
    let _ = fs::read_dir("d").map(Iterator::count);
    instance.tell("listed");
    let place = sys!(SYS_open, path("d/file").as_ptr(), libc::O_PATH).expect("a place");
    let _ = sys!(SYS_close, place);
    let _ = fs::metadata("d/file");
    let _ = sys!(SYS_access, path("d/file").as_ptr(), 0);
    instance.tell("looked at");
    outcome("truncate", sys!(SYS_truncate, path("d/file").as_ptr(), 0));
    instance.tell("cut by name");
    let _ = sys!(SYS_mknod, path("d/fifo").as_ptr(), libc::S_IFIFO | 0o600, 0);
    let fifo = OpenOptions::new().read(true).write(true).open("d/fifo");
    let mut fifo = fifo.expect("the fifo");
    instance.tell("a fifo");
    let _ = instance.watch("d/fifo", libc::IN_ALL_EVENTS);
    let _ = fifo.write_all(b"x").and_then(|()| fifo.read_exact(&mut buffer[..1]));
    drop(fifo);
    instance.tell("bytes through it");
    let _ = fs::remove_dir_all("d");
}

fn attributes() {
    let mut instance = Instance::new();
    write_bytes("file");
    let _ = instance.watch(".", libc::IN_ALL_EVENTS);
    let _ = instance.watch("file", libc::IN_ATTRIB | libc::IN_ACCESS | libc::IN_MODIFY);
    let name = path("file");
    let times = |first: [i64; 2], second: [i64; 2]| {
        let both = [first, second];
        sys!(SYS_utimensat, libc::AT_FDCWD, name.as_ptr(), both.as_ptr(), 0)
    };
    outcome("chmod", sys!(SYS_chmod, name.as_ptr(), 0o600));
    instance.tell("told");
    outcome("chown", sys!(SYS_chown, name.as_ptr(), 1000, -1));
    instance.tell("told");
    outcome("chown of nothing", sys!(SYS_chown, name.as_ptr(), -1, -1));
    instance.tell("told");
    outcome("both times", times([5, 0], [6, 0]));
    instance.tell("told");
    outcome("one time", times([5, 0], [0, libc::UTIME_OMIT]));
    instance.tell("told");
    outcome("the other", times([0, libc::UTIME_OMIT], [5, 0]));
    instance.tell("told");
    outcome("neither", times([0, libc::UTIME_OMIT], [0, libc::UTIME_OMIT]));
    instance.tell("told");
    outcome("link", sys!(SYS_link, name.as_ptr(), path("second").as_ptr()));
    instance.tell("told");
    outcome("unlink", sys!(SYS_unlink, path("second").as_ptr()));
    instance.tell("told");
    outcome("chmod of the folder", sys!(SYS_chmod, path(".").as_ptr(), 0o755));
    instance.tell("told");
    let _ = fs::remove_file("file");
}

fn names() {
    let mut instance = Instance::new();
    fs::create_dir("d").expect("a folder");
    let _ = instance.watch("d", libc::IN_ALL_EVENTS & !(libc::IN_OPEN | libc::IN_CLOSE));
    let _ = fs::create_dir("d/folder");
    let _ = std::os::unix::fs::symlink("nowhere", "d/link");
    let _ = sys!(SYS_mknod, path("d/node").as_ptr(), libc::S_IFREG | 0o600, 0);
    let _ = std::os::unix::net::UnixListener::bind("d/socket");
    let long = "x".repeat(255);
    for name in ["123456789012345", "1234567890123456", &long] {
        write_bytes(&format!("d/{name}"));
    }
    instance.tell("made");
    let _ = fs::remove_dir("d/folder");
    let _ = fs::remove_dir("d/node");
    for name in ["link", "node", "socket", "none"] {
        let _ = fs::remove_file(format!("d/{name}"));
    }
    instance.tell("removed");
    for name in ["123456789012345", "1234567890123456", &long] {
        let _ = fs::remove_file(format!("d/{name}"));
    }
    let _ = fs::remove_dir("d");
    instance.tell("all");
}

fn renames() {
    let mut instance = Instance::new();
    for name in ["a", "b"] {
        fs::create_dir(format!("{name}.d")).expect("a folder");
        let _ = instance.watch(&format!("{name}.d"), libc::IN_MOVE | libc::IN_DELETE | libc::IN_CREATE);
    }
    write_bytes("a.d/file");
    write_bytes("a.d/other");
    for name in ["a.d/file", "a.d/other"] {
        let mask = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | libc::IN_ATTRIB;
        let _ = instance.watch(name, mask);
    }
    instance.tell("made");
    outcome("within", fs::rename("a.d/file", "a.d/name"));
    instance.tell("told");
    outcome("to the other folder", fs::rename("a.d/name", "b.d/name"));
    instance.tell("told");
    outcome("over another", fs::rename("b.d/name", "a.d/other"));
    instance.tell("told");
    outcome("out of sight", fs::rename("a.d/other", "outside"));
    instance.tell("told");
    outcome("into sight", fs::rename("outside", "b.d/inside"));
    instance.tell("told");
    write_bytes("a.d/x");
    let (x, inside) = (path("a.d/x"), path("b.d/inside"));
    let cwd = libc::AT_FDCWD;
    outcome("exchange", sys!(SYS_renameat2, cwd, x.as_ptr(), cwd, inside.as_ptr(), libc::RENAME_EXCHANGE));
    instance.tell("told");
    outcome("to itself", fs::rename("a.d/x", "a.d/x"));
    instance.tell("told");
    let _ = instance.watch("a.d", libc::IN_MOVE_SELF | libc::IN_MASK_ADD);
    outcome("a folder", fs::rename("a.d", "b.d/a.d"));
    instance.tell("told");
    outcome("in its new place", fs::rename("b.d/a.d/x", "b.d/a.d/y"));
    instance.tell("told");
    let _ = fs::remove_dir_all("b.d");
}

fn ends() {
    let mut instance = Instance::new();
    fs::create_dir("d").expect("a folder");
    let _ = instance.watch("d", libc::IN_ALL_EVENTS & !(libc::IN_OPEN | libc::IN_CLOSE | libc::IN_ACCESS));
    write_bytes("d/file");
    let _ = instance.watch("d/file", libc::IN_ALL_EVENTS);
    let mut file = File::open("d/file").expect("the file");
    instance.tell("made and opened");
    let _ = fs::remove_file("d/file");
    instance.tell("removed, but open");
    let _ = file.read(&mut [0; 4]);
    instance.tell("read");
    drop(file);
    instance.tell("closed");
    write_bytes("d/file");
    let _ = fs::hard_link("d/file", "d/second");
    value("a new watch", instance.watch("d/file", libc::IN_ALL_EVENTS));
    instance.tell("made");
    let _ = fs::remove_file("d/file");
    instance.tell("one name removed");
    let _ = fs::remove_file("d/second");
    instance.tell("the other removed");
    let _ = fs::create_dir("d/folder");
    let _ = instance.watch("d/folder", libc::IN_ALL_EVENTS);
    let _ = fs::remove_dir("d/folder");
    instance.tell("a folder made and removed");
    let _ = fs::remove_dir("d");
    instance.tell("the folder removed");
    outcome("its watch is gone", sys!(SYS_inotify_rm_watch, instance.fd, 1));
}

fn flags() {
    let mut instance = Instance::new();
    write_bytes("file");
    value("once", instance.watch("file", libc::IN_OPEN | libc::IN_CLOSE | libc::IN_ONESHOT));
    drop(File::open("file"));
    drop(File::open("file"));
    instance.tell("told once");
    let create = 0x1000_0000;
    value("made", instance.watch("file", libc::IN_OPEN | create));
    value("made again", instance.watch("file", libc::IN_OPEN | create));
    value("added", instance.watch("file", libc::IN_CLOSE_NOWRITE | libc::IN_MASK_ADD));
    drop(File::open("file"));
    instance.tell("both");
    value("replaced", instance.watch("file", libc::IN_CLOSE_NOWRITE));
    drop(File::open("file"));
    instance.tell("one");
    fs::create_dir("d").expect("a folder");
    write_bytes("d/file");
    let _ = instance.watch("d", libc::IN_ALL_EVENTS | libc::IN_EXCL_UNLINK);
    let file = OpenOptions::new().write(true).open("d/file").expect("the file");
    let _ = fs::remove_file("d/file");
    instance.tell("removed");
    let _ = (&file).write(b"x");
    let _ = sys!(SYS_fchmod, file.as_raw_fd(), 0o600);
    drop(file);
    instance.tell("used without a name");
    let _ = instance.watch("d", libc::IN_ALL_EVENTS);
    write_bytes("d/file");
    let file = OpenOptions::new().write(true).open("d/file").expect("the file");
    let _ = fs::remove_file("d/file");
    let _ = (&file).write(b"x");
    drop(file);
    instance.tell("used without a name, without the flag");
    let _ = std::os::unix::fs::symlink("file", "link");
    value("through a link", instance.watch("link", libc::IN_ALL_EVENTS));
    value("the link", instance.watch("link", libc::IN_ALL_EVENTS | libc::IN_DONT_FOLLOW));
    let _ = fs::remove_file("link");
    instance.tell("the link removed");
    for name in ["file", "d"] {
        let _ = fs::remove_file(name).or_else(|_| fs::remove_dir(name));
    }
}

fn reading() {
    let mut instance = Instance::new();
    write_bytes("a");
    let _ = instance.watch(".", libc::IN_OPEN);
    let polled = |fd: i64| {
        let mut entry = libc::pollfd { fd: fd as i32, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        let _ = sys!(SYS_poll, &raw mut entry, 1, 0);
        crate::check::event_names(entry.revents)
    };
    let queued = |fd: i64| {
        let mut count = 0_i32;
        sys!(SYS_ioctl, fd, libc::FIONREAD, &raw mut count).map(|_| count)
    };
    show("polled", polled(instance.fd));
    value("bytes", queued(instance.fd));
    for name in ["a", ".", "a"] {
        drop(File::open(name));
    }
    show("polled", polled(instance.fd));
    value("bytes", queued(instance.fd));
    let mut bytes = [0_u8; 64];
    outcome("no room for a header", sys!(SYS_read, instance.fd, bytes.as_mut_ptr(), 15));
    outcome("no room for the name", sys!(SYS_read, instance.fd, bytes.as_mut_ptr(), 31));
    value("room for one", sys!(SYS_read, instance.fd, bytes.as_mut_ptr(), 40));
    value("bytes", queued(instance.fd));
    let other = Instance::new();
    let _ = other.watch(".", libc::IN_OPEN);
    drop(File::open("a"));
    outcome("to a bad place", sys!(SYS_read, other.fd, BAD, 64));
    drop(other);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let fresh = sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory");
    value("to memory never touched, across a page", sys!(SYS_read, instance.fd, fresh + 4090, 32));
    instance.tell("left");
    let epoll = sys!(SYS_epoll_create1, 0).expect("an instance");
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 5 };
    let _ = sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, instance.fd, &raw mut event);
    let mut told = libc::epoll_event { events: 0, u64: 0 };
    value("epoll", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    drop(File::open("a"));
    value("epoll, one came", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    value("epoll, none came", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    drop(File::open("."));
    value("epoll, another came", sys!(SYS_epoll_wait, epoll, &raw mut told, 1, 0));
    let _ = sys!(SYS_close, epoll);
    let _ = fs::remove_file("a");
}

fn limits() {
    let file = |name: &str| format!("/proc/sys/fs/inotify/{name}");
    let read = |name: &str| fs::read_to_string(file(name)).map(|text| text.trim().to_owned());
    value("instances", read("max_user_instances"));
    value("events", read("max_queued_events"));
    let _ = fs::write(file("max_queued_events"), "3");
    let mut instance = Instance::new();
    for name in ["a", "b"] {
        write_bytes(name);
    }
    let _ = instance.watch(".", libc::IN_OPEN);
    for name in ["a", "b", "a", "b", "a", "b"] {
        drop(File::open(name));
    }
    instance.tell("three and the loss of others");
    for name in ["a", "b"] {
        drop(File::open(name));
    }
    instance.tell("there is room again");
    let _ = fs::write(file("max_queued_events"), "16384");
    let watches = read("max_user_watches").unwrap_or_default();
    let _ = fs::write(file("max_user_watches"), "2");
    value("a second", instance.watch("a", libc::IN_OPEN));
    value("a third", instance.watch("b", libc::IN_OPEN));
    value("the second, changed", instance.watch("a", libc::IN_ALL_EVENTS));
    drop(instance);
    let _ = fs::write(file("max_user_watches"), watches);
    let _ = fs::write(file("max_user_instances"), "1");
    let instance = Instance::new();
    outcome("a second instance", sys!(SYS_inotify_init));
    drop(instance);
    outcome("another one", sys!(SYS_inotify_init).and_then(|fd| sys!(SYS_close, fd)));
    let _ = fs::write(file("max_user_instances"), "128");
}

fn in_child(act: impl FnOnce()) -> Child {
    fork(|| {
        act();
        0
    })
    .expect("fork")
}

fn waiting() {
    let fd = sys!(SYS_inotify_init1, 0).expect("an instance");
    let mut instance = Instance { fd, cookies: HashMap::new() };
    let _ = instance.watch(".", libc::IN_CREATE);
    let child = in_child(|| write_bytes("new"));
    let mut bytes = [0_u8; 256];
    let count = sys!(SYS_read, fd, bytes.as_mut_ptr(), 256);
    instance.show(&bytes[..count.unwrap_or(0) as usize]);
    value("child", child.wait().map(describe));
    let waiter = fork(|| i32::from(sys!(SYS_read, fd, bytes.as_mut_ptr(), 256).is_err())).expect("fork");
    let _ = waiter.kill(libc::SIGTERM);
    value("a waiter that is killed", waiter.wait().map(describe));
    let _ = fs::remove_file("new");
}

/// What is executed is opened, read, and closed when the process has ended or executes something else.
fn programs() {
    fs::copy("/proc/self/exe", "program").expect("a program");
    fs::write("script", "#!/tmp/inotify/program\n").expect("a script");
    fs::write("none", "no program").expect("a file");
    for name in ["script", "none"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(name, mode).expect("a program");
    }
    let mut instance = Instance::new();
    let mask = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE;
    for name in ["program", "script", "none"] {
        value(name, instance.watch(name, mask));
    }
    for (name, closes) in [("program", 1), ("script", 2), ("none", 1)] {
        let child = Command::new(format!("/tmp/inotify/{name}")).arg("none").stderr(Stdio::null()).status();
        show(name, child.map_or_else(|error| error.kind().to_string(), |status| status.to_string()));
        instance.await_closes(closes);
    }
    for name in ["program", "script", "none"] {
        let _ = fs::remove_file(name);
    }
}

fn unmounted() {
    fs::create_dir("mount").expect("a folder");
    let (kind, place) = (path("tmpfs"), path("mount"));
    outcome("mount", sys!(SYS_mount, kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, 0));
    write_bytes("mount/file");
    let fd = sys!(SYS_inotify_init1, 0).expect("an instance");
    let mut instance = Instance { fd, cookies: HashMap::new() };
    let _ = instance.watch("mount/file", libc::IN_OPEN);
    outcome("unmount", sys!(SYS_umount2, place.as_ptr(), 0));
    let mut bytes = [0_u8; 32];
    let mut got = 0;
    while let Ok(count) = sys!(SYS_read, fd, bytes[got..].as_mut_ptr(), 32 - got) {
        got += count as usize;
        if got == 32 {
            break;
        }
    }
    instance.show(&bytes[..got]);
    let _ = fs::remove_dir("mount");
}
