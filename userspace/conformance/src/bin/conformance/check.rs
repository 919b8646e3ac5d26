//! The words the areas share: raw system calls, and printing what they did.

use std::fmt::Display;
use std::io;
use support::errno::error_name;
use support::process::{Child, Ended, fork};

/// A raw system call by the name of its number, past everything libc adds: `sys!(SYS_getppid)`.
///
/// Pointers are given as raw pointers. They must be null, point to live memory that is large enough, or be ones
/// the kernel has to refuse.
macro_rules! sys {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::check::call(libc::$number, &[$($crate::check::Argument::word($argument)),*])
    };
}
pub(crate) use sys;

/// A raw system call; arguments that are not given are 0. [`sys!`] is how it is used, and says what it asks for.
pub fn call(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: what the macro asks for; what the kernel has to refuse is what these programs are about.
    support::cvt(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// What can be an argument of a system call: a number, widened with its sign, or a pointer.
pub trait Argument {
    /// The register's content.
    fn word(self) -> usize;
}

macro_rules! arguments {
    ($($number:ty),*) => {$(
        impl Argument for $number {
            fn word(self) -> usize {
                self as usize
            }
        }
    )*};
}
arguments!(i16, i32, u32, i64, u64, isize, usize);

impl<T> Argument for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

/// An address in the first page, which is never mapped.
pub const BAD: usize = 8;
/// An address in the kernel's half.
pub const KERNEL: usize = 0xffff_ffff_8020_0000;
/// The first address past user space's end.
pub const USER_END: usize = 0x7fff_ffff_f000;
/// An address that is not canonical.
pub const NON_CANONICAL: usize = 0x8000_0000_0000;

/// Prints a line.
pub fn show(what: &str, value: impl Display) {
    println!("{what}: {value}");
}

/// Prints `ok` or the name of the error.
#[expect(clippy::needless_pass_by_value, reason = "callers pass the call itself")]
pub fn outcome<T>(what: &str, result: io::Result<T>) {
    show(what, support::errno::outcome(&result));
}

/// Prints the value or the name of the error.
pub fn value<T: Display>(what: &str, result: io::Result<T>) {
    match result {
        Ok(value) => show(what, value),
        Err(error) => show(what, error_name(&error)),
    }
}

/// Prints a line with the words of `list` sorted.
pub fn sorted(what: &str, mut list: Vec<String>) {
    list.sort();
    show(what, list.join(" "));
}

/// Runs `child` in a child process, waits, and prints how it ended.
pub fn in_child(what: &str, child: impl FnOnce() -> i32) {
    let ended = fork(child).and_then(Child::wait);
    value(what, ended.map(describe));
}

/// Runs `child`, which may print, in a child process; says so only if the child ends badly.
pub fn aside(what: &str, child: impl FnOnce()) {
    let ended = fork(|| {
        child();
        0
    });
    match ended.and_then(Child::wait) {
        Ok(ended) if ended.success() => {}
        other => show(what, other.map_or_else(|error| error_name(&error), describe)),
    }
}

/// A child that waits until it is killed.
pub fn sleeper() -> Child {
    fork(|| sleep()).expect("fork")
}

/// Waits until it is killed.
pub fn sleep() -> ! {
    loop {
        let _ = sys!(SYS_pause);
    }
}

/// Has SIGALRM come again and again, to interrupt what waits: the first may come before the wait.
pub fn alarms() {
    let often = [0_i64, 30_000, 0, 30_000];
    let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, often.as_ptr(), 0);
}

/// How a process ended, in words.
pub fn describe(ended: Ended) -> String {
    match ended {
        Ended::Exited(status) => format!("exited {status}"),
        Ended::Killed(signal) => format!("killed by {}", signal_name(signal)),
    }
}

/// A wait status in words.
pub fn describe_status(status: i32) -> String {
    if libc::WIFCONTINUED(status) {
        "continued".into()
    } else if libc::WIFSTOPPED(status) {
        format!("stopped by {}", signal_name(libc::WSTOPSIG(status)))
    } else if libc::WIFSIGNALED(status) {
        // Whether a core was dumped depends on limits and the working folder; leave it out.
        format!("killed by {}", signal_name(libc::WTERMSIG(status)))
    } else {
        format!("exited {}", libc::WEXITSTATUS(status))
    }
}

/// The name of a signal.
pub fn signal_name(signal: i32) -> String {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let name = usize::try_from(signal - 1).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {signal}"), |name| format!("SIG{name}"))
}

/// A path for a system call. The caller keeps it alive over the call.
pub fn path(text: &str) -> std::ffi::CString {
    std::ffi::CString::new(text).expect("no NUL in a path")
}

/// The events that poll(2) tells, in words.
pub fn event_names(events: i16) -> String {
    let known = [
        (libc::POLLIN, "IN"),
        (libc::POLLPRI, "PRI"),
        (libc::POLLOUT, "OUT"),
        (libc::POLLERR, "ERR"),
        (libc::POLLHUP, "HUP"),
        (libc::POLLNVAL, "NVAL"),
        (libc::POLLRDHUP, "RDHUP"),
        (libc::POLLRDBAND, "RDBAND"),
        (libc::POLLWRBAND, "WRBAND"),
    ];
    let set: Vec<&str> = known.iter().filter(|(bit, _)| events & bit != 0).map(|(_, name)| *name).collect();
    set.join("|")
}
