//! Wrong descriptors, pointers, lengths and flags: the error each call gives.

use crate::check::{BAD, KERNEL, NON_CANONICAL, USER_END, outcome, path, show, sys};
use std::io;
use support::pipe::pipe;

const FUTEX_WAIT: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;

/// Prints the outcome of a table of calls.
macro_rules! table {
    ($($name:literal => $call:expr;)*) => { $(outcome($name, $call);)* };
}

pub fn run() {
    descriptors();
    pointers();
    lengths();
    flags();
    unknown_calls();
    crate::rest::run();
}

/// Calls on a descriptor that is not open, and on one of the wrong kind.
fn descriptors() {
    let byte = [0_u8; 64];
    let at = byte.as_ptr();
    let empty = path("");
    table! {
        "read closed" => sys!(SYS_read, 99, at, 1);
        "read -1" => sys!(SYS_read, -1, at, 1);
        "write closed" => sys!(SYS_write, 99, at, 1);
        "close closed" => sys!(SYS_close, 99);
        "close huge" => sys!(SYS_close, i32::MAX);
        "lseek closed" => sys!(SYS_lseek, 99, 0, 0);
        "fstat closed" => sys!(SYS_fstat, 99, BAD);
        "dup closed" => sys!(SYS_dup, 99);
        "dup2 from closed" => sys!(SYS_dup2, 99, 5);
        "dup2 to -1" => sys!(SYS_dup2, 0, -1);
        "dup2 to huge" => sys!(SYS_dup2, 0, 1 << 30);
        "dup3 same" => sys!(SYS_dup3, 0, 0, 0);
        "dup3 flags" => sys!(SYS_dup3, 0, 5, 1);
        "fcntl closed" => sys!(SYS_fcntl, 99, libc::F_GETFD);
        "fcntl unknown" => sys!(SYS_fcntl, 0, 9999);
        "fcntl dup too high" => sys!(SYS_fcntl, 0, libc::F_DUPFD, 1 << 30);
        "ioctl closed" => sys!(SYS_ioctl, 99, libc::TCGETS, at);
        "fsync closed" => sys!(SYS_fsync, 99);
        "ftruncate closed" => sys!(SYS_ftruncate, 99, 0);
        "getdents closed" => sys!(SYS_getdents64, 99, at, 64);
        "fchdir closed" => sys!(SYS_fchdir, 99);
        "fchmod closed" => sys!(SYS_fchmod, 99, 0);
        "openat closed" => sys!(SYS_openat, 99, path("x").as_ptr(), 0);
        "openat absolute ignores descriptor" => sys!(SYS_openat, 99, path("/").as_ptr(), 0).map(close);
        "mmap closed" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_PRIVATE, 99, 0);
        "readv closed" => sys!(SYS_readv, 99, at, 1);
        "pread closed" => sys!(SYS_pread64, 99, at, 1, 0);
        "fstatat empty without flag" => sys!(SYS_newfstatat, 0, empty.as_ptr(), at, 0);
        "sendfile closed" => sys!(SYS_sendfile, 99, 98, 0, 1);
    }
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (raw(&pipe.reader), raw(&pipe.writer));
    table! {
        "read from writing end" => sys!(SYS_read, writer, at, 1);
        "write to reading end" => sys!(SYS_write, reader, at, 1);
        "lseek pipe" => sys!(SYS_lseek, reader, 0, 0);
        "pread pipe" => sys!(SYS_pread64, reader, at, 1, 0);
        "ftruncate pipe" => sys!(SYS_ftruncate, writer, 0);
        "getdents pipe" => sys!(SYS_getdents64, reader, at, 64);
        "fchdir pipe" => sys!(SYS_fchdir, reader);
        "fsync pipe" => sys!(SYS_fsync, reader);
        "tty ioctl on pipe" => sys!(SYS_ioctl, reader, libc::TCGETS, at);
        "mmap pipe" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_PRIVATE, reader, 0);
        "openat below pipe" => sys!(SYS_openat, reader, path("x").as_ptr(), 0);
    }
    let folder = open("/", libc::O_RDONLY | libc::O_DIRECTORY).expect("the root");
    table! {
        "read folder" => sys!(SYS_read, folder, at, 1);
        "pread folder" => sys!(SYS_pread64, folder, at, 1, 0);
        "write folder" => sys!(SYS_write, folder, at, 1);
        "ftruncate folder" => sys!(SYS_ftruncate, folder, 0);
        "mmap folder" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_PRIVATE, folder, 0);
    }
    close(folder);
    let null = open("/dev/null", libc::O_RDWR).expect("/dev/null");
    table! {
        "lseek null" => sys!(SYS_lseek, null, 5, 0);
        "ftruncate null" => sys!(SYS_ftruncate, null, 0);
        "tty ioctl on null" => sys!(SYS_ioctl, null, libc::TCGETS, at);
        "getdents null" => sys!(SYS_getdents64, null, at, 64);
        "read null to bad pointer" => sys!(SYS_read, null, BAD, 1);
    }
    close(null);
}

/// Addresses that are not the program's.
fn pointers() {
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (raw(&pipe.reader), raw(&pipe.writer));
    support::pipe::write(&pipe.writer, b"data").expect("room in a new pipe");
    let name = path("/tmp");
    for (kind, bad) in [
        ("first page", BAD),
        ("kernel", KERNEL),
        ("end of user space", USER_END),
        ("non-canonical", NON_CANONICAL),
        ("last byte", usize::MAX),
    ] {
        let show = |what: &str, result: io::Result<i64>| outcome(&format!("{what} ({kind})"), result);
        show("read", sys!(SYS_read, reader, bad, 4));
        show("write", sys!(SYS_write, writer, bad, 4));
        show("open", sys!(SYS_open, bad, 0));
        show("stat path", sys!(SYS_stat, bad, bad));
        show("stat buffer", sys!(SYS_stat, name.as_ptr(), bad));
        show("pipe", sys!(SYS_pipe, bad));
        show("execve path", sys!(SYS_execve, bad, 0, 0));
        show("execve argv", sys!(SYS_execve, name.as_ptr(), bad, 0));
        show("getcwd", sys!(SYS_getcwd, bad, 4096));
        show("uname", sys!(SYS_uname, bad));
        show("nanosleep", sys!(SYS_nanosleep, bad, 0));
        show("clock_gettime", sys!(SYS_clock_gettime, 0, bad));
        show("rt_sigaction new", sys!(SYS_rt_sigaction, libc::SIGUSR1, bad, 0, 8));
        show("rt_sigaction old", sys!(SYS_rt_sigaction, libc::SIGUSR1, 0, bad, 8));
        show("rt_sigprocmask", sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, bad, 0, 8));
        show("poll", sys!(SYS_poll, bad, 1, 0));
        show("select", sys!(SYS_select, 1, bad, 0, 0, 0));
        show("futex", sys!(SYS_futex, bad & !3, libc::FUTEX_WAIT, 0, 0));
        show("futex wake shared", sys!(SYS_futex, bad & !3, libc::FUTEX_WAKE, 1));
        show("readv", sys!(SYS_readv, reader, bad, 1));
        show("getrlimit", sys!(SYS_getrlimit, 0, bad));
        show("sysinfo", sys!(SYS_sysinfo, bad));
        show("times", sys!(SYS_times, bad));
        show("sigaltstack", sys!(SYS_sigaltstack, bad, 0));
        show("getrandom", sys!(SYS_getrandom, bad, 16, 0));
        show("munmap", sys!(SYS_munmap, bad & !0xfff, 4096));
    }
    // A wait has already reaped the child when it finds that it cannot tell its status.
    outcome("wait4 with no child", sys!(SYS_wait4, -1, BAD, 0, 0));
    // A read that crosses from good into bad memory moves what fits.
    partial_copies();
}

/// Transfers whose buffer ends in the middle.
fn partial_copies() {
    let pages = support::memory::Anonymous::map(8192).expect("two pages");
    let first = pages.start();
    outcome("unmap second page", sys!(SYS_munmap, first.wrapping_add(4096), 4096));
    let file = open("partial", libc::O_RDWR | libc::O_CREAT).expect("a file");
    let edge = first.wrapping_add(4096 - 10);
    for (what, result) in [
        ("write 20 with 10 readable", sys!(SYS_write, file, edge, 20)),
        ("write with none readable", sys!(SYS_write, file, edge.wrapping_add(10), 20)),
        ("size", sys!(SYS_lseek, file, 0, libc::SEEK_END)),
        ("pread 20 with 5 writable", sys!(SYS_pread64, file, edge.wrapping_add(5), 20, 0)),
        ("pread with none writable", sys!(SYS_pread64, file, edge.wrapping_add(10), 20, 0)),
    ] {
        crate::check::value(what, result);
    }
    close(file);
    // A path that ends at the edge without a NUL.
    let name = b"/tmp/unended";
    let start = first.wrapping_add(4096 - name.len());
    // SAFETY: the bytes lie in the first page, which is mapped.
    unsafe { start.copy_from(name.as_ptr(), name.len()) };
    outcome("open of path without end", sys!(SYS_open, start, 0));
    // The second page is gone already: unmapping the whole, when dropped, covers a hole, which is allowed.
    drop(pages);
}

/// Lengths and counts.
fn lengths() {
    let byte = [0_u8; 16];
    let at = byte.as_ptr();
    let null = open("/dev/null", libc::O_RDWR).expect("/dev/null");
    let vectors = [libc::iovec { iov_base: at as *mut _, iov_len: usize::MAX }];
    let two = [libc::iovec { iov_base: at as *mut _, iov_len: isize::MAX as usize }; 2];
    let long = path(&"a".repeat(300));
    let longer = path(&"a/".repeat(3000));
    table! {
        "read 0 bytes at bad pointer" => sys!(SYS_read, null, BAD, 0);
        "write huge to null" => sys!(SYS_write, null, at, usize::MAX / 2);
        "writev negative length" => sys!(SYS_writev, null, vectors.as_ptr(), 1);
        "writev sum overflows" => sys!(SYS_writev, null, two.as_ptr(), 2);
        "writev 0" => sys!(SYS_writev, null, at, 0);
        "writev 1025" => sys!(SYS_writev, null, at, 1025);
        "writev -1" => sys!(SYS_writev, null, at, -1);
        "name of 300" => sys!(SYS_open, long.as_ptr(), 0);
        "path of 6000" => sys!(SYS_open, longer.as_ptr(), 0);
        "empty path" => sys!(SYS_open, path("").as_ptr(), 0);
        "getcwd 0" => sys!(SYS_getcwd, at, 0);
        "getcwd 1" => sys!(SYS_getcwd, at, 1);
        "readlink 0" => sys!(SYS_readlink, path("/proc/self/exe").as_ptr(), at, 0);
        "readlink -1" => sys!(SYS_readlink, path("/proc/self/exe").as_ptr(), at, -1);
        "mmap 0" => sys!(SYS_mmap, 0, 0, 1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        "mmap huge" => sys!(SYS_mmap, 0, 1_usize << 48, 1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        "mmap usize::MAX" => sys!(SYS_mmap, 0, usize::MAX, 1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        "munmap 0" => sys!(SYS_munmap, 0x1000, 0);
        "munmap unaligned" => sys!(SYS_munmap, 0x1001, 4096);
        "mprotect unaligned" => sys!(SYS_mprotect, 0x1001, 4096, 0);
        "mprotect 0" => sys!(SYS_mprotect, 0x1000, 0, 0);
        "mprotect nothing there" => sys!(SYS_mprotect, 0x1000, 4096, 1);
        "poll too many" => sys!(SYS_poll, at, 1 << 20, 0);
        "select -1" => sys!(SYS_select, -1, 0, 0, 0, 0);
        "ftruncate -1" => sys!(SYS_ftruncate, null, -1);
        "truncate -1" => sys!(SYS_truncate, path("/tmp").as_ptr(), -1);
        "lseek whence" => sys!(SYS_lseek, 0, 0, 99);
        "pread -1" => sys!(SYS_pread64, null, at, 1, -1);
        "rt_sigaction size" => sys!(SYS_rt_sigaction, libc::SIGUSR1, 0, 0, 4);
        "rt_sigprocmask size" => sys!(SYS_rt_sigprocmask, 0, at, 0, 16);
        "getgroups -1" => sys!(SYS_getgroups, -1, at);
        "sched_getaffinity 1" => sys!(SYS_sched_getaffinity, 0, 1, at);
        "getdents too small" => {
            let folder = open("/", libc::O_RDONLY).expect("the root");
            let result = sys!(SYS_getdents64, folder, at, 8);
            close(folder);
            result
        };
    }
    close(null);
}

/// Flags and other numbers.
fn flags() {
    let zero = [0_u8; 256];
    let at = zero.as_ptr();
    let bad_time = [0_i64, 1_000_000_000];
    let negative_time = [-1_i64, 0];
    table! {
        "pipe2 flags" => sys!(SYS_pipe2, at, 1);
        "wait4 options" => sys!(SYS_wait4, -1, 0, 0x100, 0);
        "waitid type" => sys!(SYS_waitid, 9, 0, at, libc::WEXITED, 0);
        "waitid no options" => sys!(SYS_waitid, libc::P_ALL, 0, at, 0, 0);
        "kill signal 65" => sys!(SYS_kill, 0, 65);
        "kill signal -1" => sys!(SYS_kill, 0, -1);
        "kill nobody" => sys!(SYS_kill, 0x3f_ffff, 0);
        "tgkill 0" => sys!(SYS_tgkill, 0, 0, 0);
        "tkill nobody" => sys!(SYS_tkill, 0x3f_ffff, 0);
        "rt_sigaction KILL" => sys!(SYS_rt_sigaction, libc::SIGKILL, at, 0, 8);
        "rt_sigaction STOP" => sys!(SYS_rt_sigaction, libc::SIGSTOP, at, 0, 8);
        "rt_sigaction read KILL" => sys!(SYS_rt_sigaction, libc::SIGKILL, 0, at, 8);
        "rt_sigaction 0" => sys!(SYS_rt_sigaction, 0, 0, at, 8);
        "rt_sigaction 65" => sys!(SYS_rt_sigaction, 65, 0, at, 8);
        "rt_sigprocmask how" => sys!(SYS_rt_sigprocmask, 9, at, 0, 8);
        "rt_sigprocmask how without set" => sys!(SYS_rt_sigprocmask, 9, 0, 0, 8);
        "nanosleep 10^9 ns" => sys!(SYS_nanosleep, bad_time.as_ptr(), 0);
        "nanosleep negative" => sys!(SYS_nanosleep, negative_time.as_ptr(), 0);
        "clock_gettime 99" => sys!(SYS_clock_gettime, 99, at);
        "clock_nanosleep 99" => sys!(SYS_clock_nanosleep, 99, 0, at, 0);
        "futex operation" => sys!(SYS_futex, at, 99, 0, 0);
        "futex unaligned" => sys!(SYS_futex, at.wrapping_add(1), FUTEX_WAIT, 0, 0);
        "futex bitset 0" => sys!(SYS_futex, at, libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);
        "futex bad time" => sys!(SYS_futex, at, FUTEX_WAIT, 0, bad_time.as_ptr());
        "mmap no sharing" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_ANONYMOUS, -1, 0);
        "mmap both sharings" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_ANONYMOUS | 0x10 | 3, -1, 0);
        "mmap offset unaligned" => sys!(SYS_mmap, 0, 4096, 1, libc::MAP_PRIVATE, 0, 1);
        "mmap fixed unaligned" => sys!(SYS_mmap, 0x1001, 4096, 1, libc::MAP_PRIVATE | 0x30, -1, 0);
        "mprotect unknown bit" => sys!(SYS_mprotect, 0x1000, 4096, 0x40);
        "mremap flags" => sys!(SYS_mremap, 0x1000, 4096, 8192, 0x80);
        "mremap fixed without maymove" => sys!(SYS_mremap, 0x1000, 4096, 8192, libc::MREMAP_FIXED, 0x2000);
        "mremap nothing there" => sys!(SYS_mremap, 0x1000, 4096, 8192, libc::MREMAP_MAYMOVE);
        "madvise unknown" => sys!(SYS_madvise, 0x1000, 4096, 9999);
        "madvise nothing there" => sys!(SYS_madvise, 0x1000, 4096, libc::MADV_WILLNEED);
        "msync flags" => sys!(SYS_msync, 0x1000, 4096, 0x100);
        "clone thread without sighand" => sys!(SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0);
        "clone sighand without vm" => sys!(SYS_clone, libc::CLONE_SIGHAND, 0, 0, 0, 0);
        "setpgid negative" => sys!(SYS_setpgid, 0, -1);
        "setpgid nobody" => sys!(SYS_setpgid, 0x3f_ffff, 0);
        "getpgid nobody" => sys!(SYS_getpgid, 0x3f_ffff);
        "getsid nobody" => sys!(SYS_getsid, 0x3f_ffff);
        "getrlimit 99" => sys!(SYS_getrlimit, 99, at);
        "getrusage 99" => sys!(SYS_getrusage, 99, at);
        "getpriority 9" => sys!(SYS_getpriority, 9, 0);
        "prctl 9999" => sys!(SYS_prctl, 9999, 0, 0, 0, 0);
        "arch_prctl 9999" => sys!(SYS_arch_prctl, 9999, 0);
        "arch_prctl kernel fs" => sys!(SYS_arch_prctl, 0x1002, KERNEL);
        "access mode" => sys!(SYS_access, path("/").as_ptr(), 8);
        "mkdir of root" => sys!(SYS_mkdir, path("/").as_ptr(), 0o777);
        "unlinkat flags" => sys!(SYS_unlinkat, libc::AT_FDCWD, path("x").as_ptr(), 1);
        "linkat flags" => sys!(SYS_linkat, libc::AT_FDCWD, path("x").as_ptr(), libc::AT_FDCWD, path("y").as_ptr(), 1);
        "renameat2 flags" => sys!(SYS_renameat2, -100, path("x").as_ptr(), -100, path("y").as_ptr(), 0x80);
        "utimensat flags" => sys!(SYS_utimensat, libc::AT_FDCWD, path("x").as_ptr(), 0, 1);
        "fchmodat nowhere" => sys!(SYS_fchmodat, libc::AT_FDCWD, path("nowhere").as_ptr(), 0);
        "mknod type" => sys!(SYS_mknod, path("strange").as_ptr(), 0o170_000, 0);
        "mount nowhere" => sys!(SYS_mount, 0, path("nowhere").as_ptr(), path("tmpfs").as_ptr(), 0, 0);
        "mount unknown type" => sys!(SYS_mount, 0, path("/tmp").as_ptr(), path("nofs").as_ptr(), 0, 0);
        "umount not mounted" => sys!(SYS_umount2, path("/etc").as_ptr(), 0);
        "getrandom flags" => sys!(SYS_getrandom, at, 1, 0x80);
        "reboot magic" => sys!(SYS_reboot, 0, 0, 0, 0);
        "setitimer 9" => sys!(SYS_setitimer, 9, at, 0);
        "sched_yield" => sys!(SYS_sched_yield);
        "sigaltstack too small" => {
            let stack = [at as usize, 0, 100];
            sys!(SYS_sigaltstack, stack.as_ptr(), 0)
        };
        "sigaltstack flags" => {
            let stack = [at as usize, 0x40, 65536];
            sys!(SYS_sigaltstack, stack.as_ptr(), 0)
        };
    }
}

/// Numbers that no call has.
fn unknown_calls() {
    for number in [400_i64, 500, 1000, i64::from(i32::MAX), -1] {
        outcome(&format!("system call {number}"), crate::check::call(number, &[]));
    }
    outcome("a number's upper half", crate::check::call(libc::SYS_close | 7 << 32, &[99]));
    show("still here", "yes");
}

fn raw(file: &impl std::os::fd::AsRawFd) -> i32 {
    file.as_raw_fd()
}

fn open(name: &str, flags: i32) -> io::Result<i64> {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o644)
}

fn close(file: i64) -> i64 {
    sys!(SYS_close, file).expect("an open descriptor")
}
