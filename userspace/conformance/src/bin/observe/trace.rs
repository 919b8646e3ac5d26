//! `/proc/PID/trace`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use support::errno::outcome;
use support::pipe::{Pipe, pipe, read, write};
use support::process::{Child, Ended, fork};

pub fn run() {
    arguments_and_results();
    signals_and_ends();
    threads();
    children();
    what_is_lost();
    readers();
    println!("all lines are as they should be");
}

/// A child that waits until it is let go.
struct Held {
    child: Child,
    gate: OwnedFd,
    /// The descriptor from which it waits to read.
    waits_for: i32,
}

fn held(work: impl FnOnce() -> i32) -> Held {
    let Pipe { reader, writer } = pipe().expect("a pipe");
    let (gate, waits_for) = (writer.as_raw_fd(), reader.as_raw_fd());
    let child = fork(move || {
        // SAFETY: the child's own copy, which would keep the pipe open.
        unsafe { libc::close(gate) };
        let _ = read(&reader, &mut [0]);
        work()
    })
    .expect("fork");
    Held { child, gate: writer, waits_for }
}

impl Held {
    fn trace(&self) -> File {
        // Else it may be on its way there.
        wait_for_read(self.child, self.waits_for);
        OpenOptions::new().read(true).write(true).open(self.name()).expect("its trace")
    }

    fn name(&self) -> String {
        format!("/proc/{}/trace", self.child.pid)
    }

    fn let_go(&self) {
        write(&self.gate, &[1]).expect("a byte");
    }

    /// Lets it go; all lines until its end, and how it has ended.
    fn lines(self, mut trace: File) -> (Vec<String>, Ended) {
        self.let_go();
        let mut text = String::new();
        trace.read_to_string(&mut text).expect("text");
        (text.lines().map(str::to_owned).collect(), self.child.wait().expect("its end"))
    }
}

/// Waits until a process waits to read from a descriptor.
fn wait_for_read(child: Child, fd: i32) {
    let call = format!("/proc/{}/syscall", child.pid);
    let begin = format!("{} {fd:#x} ", libc::SYS_read);
    while !std::fs::read_to_string(&call).expect("its call").starts_with(&begin) {
        support::clock::sleep_ms(1);
    }
}

/// A line without what differs from run to run: thread and time before it, the time that the call took after it.
fn plain(line: &str) -> &str {
    let rest = line.splitn(3, ' ').nth(2).unwrap_or_default();
    match rest.rsplit_once(" <") {
        Some((call, time)) if time.ends_with('>') => call,
        _ => rest,
    }
}

/// Panics unless the lines are these; `*` stands for anything.
fn expect(lines: &[String], expected: &[&str]) {
    for (index, pattern) in expected.iter().enumerate() {
        let line = lines.get(index).map_or("(none)", |line| plain(line));
        let matches = match pattern.split_once('*') {
            None => line == *pattern,
            Some((start, end)) => {
                line.len() >= start.len() + end.len() && line.starts_with(start) && line.ends_with(end)
            }
        };
        assert!(matches, "line {index} is\n{line}\ninstead of\n{pattern}\nin\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), expected.len(), "{}", lines.join("\n"));
}

/// A call whose result does not matter.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are numbers, or point to what lives until the call is over.
        let _ = unsafe { libc::syscall(libc::$number $(, $argument)*) };
    };
}

fn arguments_and_results() {
    let held = held(|| {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
        let text = [b'a'; 40];
        // The family, and a path of 15 bytes with its NUL.
        let name = b"\x01\0/no/such/socket\0";
        let mut pair = [0_i32; 2];
        let mask = 1_u64 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGTERM - 1);
        let mut old = 0_u64;
        let mut buffer = [0_u8; 8];
        call!(SYS_openat, libc::AT_FDCWD, c"/no\n\"such".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
        call!(SYS_open, c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_APPEND, 0o640);
        call!(SYS_dup2, 0, 99);
        // SAFETY: a path.
        let zeros = unsafe { libc::syscall(libc::SYS_open, c"/dev/zero".as_ptr(), 0, 0) };
        call!(SYS_dup3, zeros, 100, libc::O_CLOEXEC);
        call!(SYS_read, 100, buffer.as_mut_ptr(), 3);
        call!(SYS_write, -1, text.as_ptr(), 40);
        call!(SYS_write, -1, 8, 40);
        call!(SYS_nanosleep, &raw const time, 0);
        call!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const mask, &raw mut old, 8);
        call!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const mask, &raw mut old, 8);
        call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        call!(SYS_connect, -1, name.as_ptr(), 18);
        call!(SYS_pipe2, pair.as_mut_ptr(), libc::O_NONBLOCK);
        call!(SYS_munmap, 0x10000, 0x1000);
        call!(SYS_madvise, 0, 0, libc::MADV_DONTNEED);
        call!(SYS_futex, 0, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 5, 0);
        call!(SYS_getppid);
        call!(SYS_kill, 0x3fff_ffff, libc::SIGKILL);
        call!(SYS_unlinkat, 100, c"".as_ptr(), libc::AT_REMOVEDIR);
        call!(SYS_fcntl, 100, libc::F_GETFD);
        7
    });
    let trace = held.trace();
    let parent = std::process::id();
    let (lines, ended) = held.lines(trace);
    assert_eq!(ended, Ended::Exited(7));
    expect(
        &lines,
        &[
            r#"openat(AT_FDCWD, "/no\n\"such", O_RDONLY|O_CLOEXEC, 0) = -1 ENOENT (No such file or directory)"#,
            r#"open("/dev/null", O_RDWR|O_CREAT|O_APPEND, 0640) = *"#,
            "dup2(0, 99) = 99",
            r#"open("/dev/zero", O_RDONLY, 0) = *"#,
            "dup3(*, 100, O_CLOEXEC) = 100",
            r#"read(100, "\0\0\0", 3) = 3"#,
            r#"write(-1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"..., 40) = -1 EBADF (Bad file number)"#,
            "write(-1, 0x8, 40) = -1 EBADF (Bad file number)",
            "nanosleep({tv_sec=0, tv_nsec=1000}, 0) = 0",
            "rt_sigprocmask(SIG_BLOCK, [USR1 TERM], [], 8) = 0",
            "rt_sigprocmask(SIG_BLOCK, [USR1 TERM], [USR1 TERM], 8) = 0",
            "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = *",
            r#"connect(-1, {sa_family=AF_UNIX, sun_path="/no/such/socket"}, 18) = -1 EBADF (Bad file number)"#,
            "pipe2([*], O_NONBLOCK) = 0",
            "munmap(0x10000, 4096) = 0",
            "madvise(0, 0, MADV_DONTNEED) = 0",
            "futex(0, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 5, 0, *) = -1 EFAULT (Bad address)",
            &format!("getppid() = {parent}"),
            "kill(1073741823, SIGKILL) = -1 ESRCH (No such process)",
            r#"unlinkat(100, "", AT_REMOVEDIR) = -1 ENOENT (No such file or directory)"#,
            "fcntl(100, F_GETFD, *) = 1",
            "close(*) = 0",
            "exit_group(7) = ?",
            "+++ exited with 7 +++",
        ],
    );
}

fn signals_and_ends() {
    extern "C" fn nothing(_: i32) {}
    let this = held(|| {
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGUSR1, nothing as extern "C" fn(i32) as libc::sighandler_t) };
        // SAFETY: signals ourselves.
        unsafe { libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGUSR1) };
        let text = [c"true".as_ptr(), std::ptr::null()];
        let none = [std::ptr::null::<u8>()];
        call!(SYS_execve, c"/bin/true".as_ptr(), text.as_ptr(), none.as_ptr());
        1
    });
    let trace = this.trace();
    let pid = this.child.pid;
    let (lines, ended) = this.lines(trace);
    assert_eq!(ended, Ended::Exited(0));
    let end = lines.iter().position(|line| plain(line).starts_with("execve(")).expect("an execve");
    expect(
        &lines[..=end],
        &[
            "rt_sigaction(SIGUSR1, *) = 0",
            &format!("getpid() = {pid}"),
            &format!("kill({pid}, SIGUSR1) = 0"),
            &format!("--- SIGUSR1 {{si_signo=SIGUSR1, si_code=SI_USER, si_pid={pid}, si_uid=0}} ---"),
            "rt_sigreturn() = 0",
            r#"execve("/bin/true", ["true"], * /* 0 vars */) = 0"#,
        ],
    );
    expect(&lines[lines.len() - 2..], &["exit_group(0) = ?", "+++ exited with 0 +++"]);

    // Killed in a call.
    let Pipe { reader, writer } = pipe().expect("a pipe");
    let this = held(|| {
        let _ = read(&reader, &mut [0]);
        0
    });
    let mut trace = this.trace();
    this.let_go();
    wait_for_read(this.child, reader.as_raw_fd());
    this.child.kill(libc::SIGKILL).expect("kill");
    assert_eq!(this.child.wait().expect("its end"), Ended::Killed(libc::SIGKILL));
    let mut text = String::new();
    trace.read_to_string(&mut text).expect("text");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    expect(&lines, &[&format!("read({}, *, 1) = ?", reader.as_raw_fd()), "+++ killed by SIGKILL +++"]);
    drop(writer);
}

fn threads() {
    const THREADS: usize = 4;
    const CALLS: u64 = 100;
    let held = held(|| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                std::thread::spawn(move || {
                    for number in 0..CALLS {
                        call!(SYS_lseek, -1 - thread as i32, number, libc::SEEK_SET);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a thread");
        }
        0
    });
    let trace = held.trace();
    let (lines, _) = held.lines(trace);
    for thread in 0..THREADS {
        let begin = format!("lseek({}, ", -1 - thread as i32);
        let own: Vec<&String> = lines.iter().filter(|line| plain(line).starts_with(&begin)).collect();
        assert_eq!(own.len() as u64, CALLS, "{}", lines.join("\n"));
        for (number, line) in own.iter().enumerate() {
            let expected = format!("{begin}{number}, SEEK_SET) = -1 EBADF (Bad file number)");
            assert_eq!(plain(line), expected);
            assert_eq!(line.split(' ').next(), own[0].split(' ').next(), "all by one thread");
        }
    }
    let ends = lines.iter().filter(|line| line.contains("+++")).count();
    assert_eq!(ends, 1, "{}", lines.join("\n"));
}

fn children() {
    for follows in [false, true] {
        let held = held(|| {
            let grandchild = fork(|| {
                call!(SYS_lseek, -5, 5, 0);
                3
            });
            let _ = grandchild.expect("fork").wait();
            0
        });
        let mut trace = held.trace();
        if follows {
            trace.write_all(b"follow\n").expect("a command");
        }
        let (lines, _) = held.lines(trace);
        let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        let expected = usize::from(follows);
        assert_eq!(count("lseek(-5, 5, SEEK_SET) = -1 EBADF"), expected, "{}", lines.join("\n"));
        assert_eq!(count("+++ exited with 3 +++"), expected, "{}", lines.join("\n"));
        assert_eq!(count("+++ exited with 0 +++"), 1, "{}", lines.join("\n"));
        assert_eq!(count("WEXITSTATUS(s) == 3"), 1, "{}", lines.join("\n"));
    }
}

fn what_is_lost() {
    const CALLS: usize = 5000;
    let this = held(|| {
        for _ in 0..CALLS {
            call!(SYS_lseek, -1, 0, 0);
        }
        0
    });
    let mut trace = this.trace();
    this.let_go();
    assert_eq!(this.child.wait().expect("its end"), Ended::Exited(0));
    let mut text = String::new();
    trace.read_to_string(&mut text).expect("text");
    let lost = |line: &str| line.strip_prefix("--- ")?.strip_suffix(" lines lost ---")?.parse::<usize>().ok();
    let missing: usize = text.lines().filter_map(lost).sum();
    let there = text.lines().filter(|line| lost(line).is_none()).count();
    assert!(missing > 0 && there > 500, "{missing} missing, {there} there");
    // The gate is closed, and the process exits and ends.
    assert_eq!(missing + there, CALLS + 3);
}

fn readers() {
    let this = held(|| 0);
    let name = this.name();
    let mut trace = this.trace();
    assert_eq!(outcome(&File::open(&name)), "EBUSY");
    let stranger = fork(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::setresuid(1000, 1000, 1000) };
        i32::from(outcome(&File::open(&name)) != "EACCES")
    });
    assert_eq!(stranger.expect("fork").wait().expect("its end"), Ended::Exited(0), "no business of others");
    assert_eq!(outcome(&trace.write_all(b"nonsense")), "EINVAL");

    // Nothing yet: not ready, and who does not want to wait need not.
    let ready = |trace: &File| {
        let mut watched = libc::pollfd { fd: trace.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut watched, 1, 0) };
        watched.revents
    };
    assert_eq!(ready(&trace), 0);
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(trace.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(trace.read(&mut [0; 10]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));

    // Whoever has read enough leaves the process as it was, for the next.
    drop(trace);
    let mut trace =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&name).expect("once more");
    this.let_go();
    assert_eq!(this.child.wait().expect("its end"), Ended::Exited(0));
    assert_eq!(ready(&trace), libc::POLLIN | libc::POLLHUP);
    let mut text = Vec::new();
    let mut byte = [0];
    while trace.read(&mut byte).expect("lines, then the end") > 0 {
        text.push(byte[0]);
    }
    assert!(text.ends_with(b"+++ exited with 0 +++\n"), "{}", String::from_utf8_lossy(&text));
    assert_eq!(ready(&trace), libc::POLLIN | libc::POLLHUP);
    assert_eq!(outcome(&File::open(&name)), "ENOENT", "it is gone");

    // A process that has ended, but is still there, calls nothing any more.
    let this = held(|| 0);
    this.let_go();
    while this.child.state() != 'Z' {
        support::clock::sleep_ms(1);
    }
    assert_eq!(outcome(&File::open(this.name())), "ESRCH");
    let _ = this.child.wait();
}
