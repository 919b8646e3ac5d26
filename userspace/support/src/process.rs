//! Child processes by plain fork(2) and vfork(2).

use crate::clock::now;
use crate::cvt;
use crate::pipe::{pipe, read, write};
use std::arch::asm;
use std::io;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ended {
    fn from_wait_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Killed(libc::WTERMSIG(status))
        } else {
            Self::Exited(libc::WEXITSTATUS(status))
        }
    }

    /// Whether it exited with status 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// Forks; the child runs `child` and exits with its result, without running destructors of the parent's.
///
/// Only the calling thread exists in the child. The programs here fork while they have one thread.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<Child> {
    // SAFETY: the child calls only `child` and `_exit`.
    match cvt(unsafe { libc::fork() })? {
        0 => {
            let status = child();
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(Child { pid }),
    }
}

/// A child that shares our memory and exits with its first instruction: on the stack that it has with us it could not return.
pub fn vfork_and_exit() -> io::Result<Child> {
    let pid: i64;
    // SAFETY: the child leaves this block only by exiting, and until then touches nothing but registers, so the
    // memory and the stack it shares with us stay as they are.
    unsafe {
        asm!(
            "syscall",
            "test eax, eax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "2:",
            exit = const libc::SYS_exit_group,
            inlateout("rax") libc::SYS_vfork => pid,
            out("rdi") _, out("rcx") _, out("r11") _,
        );
    }
    match i32::try_from(pid) {
        Ok(pid @ 1..) => Ok(Child { pid }),
        _ => Err(io::Error::from_raw_os_error(-pid as i32)),
    }
}

/// A process that [`fork`] made. It stays until waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process number.
    pub pid: i32,
}

impl Child {
    /// Waits until it has ended.
    pub fn wait(self) -> io::Result<Ended> {
        let mut status = 0;
        loop {
            // SAFETY: the kernel writes the status.
            match cvt(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(Ended::from_wait_status(status)),
            }
        }
    }

    /// Waits, and makes anything but exit status 0 an error.
    pub fn wait_success(self) -> io::Result<()> {
        match self.wait()? {
            Ended::Exited(0) => Ok(()),
            ended => Err(io::Error::other(format!("child ended with {ended:?}"))),
        }
    }

    /// The letter that `ps` shows; `?` once it is gone.
    pub fn state(self) -> char {
        state(self.pid)
    }

    /// Sends it a signal.
    pub fn kill(self, signal: i32) -> io::Result<()> {
        // SAFETY: no memory is involved.
        cvt(unsafe { libc::kill(self.pid, signal) }).map(drop)
    }
}

/// The letter that `ps` shows of a thread of this process, or of the process of that number; `?` once it is gone.
pub fn state(thread: i32) -> char {
    let stat = file_of(thread, "stat");
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

/// The number of the system call in which a thread of this process, or the process of that number, waits. `None` while it
/// runs, and when it is gone.
pub fn call_of(thread: i32) -> Option<i64> {
    file_of(thread, "syscall").split_whitespace().next()?.parse().ok()
}

fn file_of(thread: i32, name: &str) -> String {
    let read = |folder: &str| std::fs::read_to_string(format!("/proc/{folder}{thread}/{name}"));
    read("self/task/").or_else(|_| read("")).unwrap_or_default()
}

/// Runs `work` in `count` processes that start together; nanoseconds from the common start to the last end.
pub fn together(count: usize, work: impl Fn()) -> io::Result<u64> {
    let (ready, start) = (pipe()?, pipe()?);
    let mut children = Vec::new();
    for _ in 0..count {
        children.push(fork(|| {
            let released = write(&ready.writer, &[1]).and_then(|_| read(&start.reader, &mut [0]));
            if released.is_err() {
                return 1;
            }
            work();
            0
        })?);
    }
    for _ in 0..count {
        read(&ready.reader, &mut [0])?;
    }
    let begin = now();
    write(&start.writer, &vec![1; count])?;
    for child in children {
        child.wait_success()?;
    }
    Ok(now() - begin)
}

/// A line for each thread there is, for whoever has to find out why one is still there.
pub fn describe_all() -> String {
    let mut text = String::new();
    let numbers = |path: &str| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.parse::<i32>().is_ok()).collect()
    };
    for pid in numbers("/proc") {
        for tid in numbers(&format!("/proc/{pid}/task")) {
            let read =
                |name| std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/{name}")).unwrap_or_default();
            let status = read("status");
            let wanted = ["SigPnd", "ShdPnd", "SigBlk", "Threads"];
            let lines: Vec<&str> =
                status.lines().filter(|line| wanted.iter().any(|word| line.starts_with(word))).collect();
            text += &format!(
                "{} {} {} {}\n",
                read("stat").trim(),
                lines.join(" "),
                read("wchan").trim(),
                read("syscall").trim()
            );
        }
        if numbers(&format!("/proc/{pid}/task")).is_empty() {
            text += &std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        }
    }
    text
}
