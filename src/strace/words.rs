//! The names of flags, commands and signals.

use core::fmt::{self, Display, Write};

use linux_raw_sys::{general::*, ioctl::*, net::*, prctl::*, ptrace as tracing};

use crate::process::signal::{
    SI_KERNEL, SI_TKILL, SI_USER, SigInfo,
    numbers::{SIGCHLD, SIGSEGV},
};

/// The words of an argument: a field of its bits that has one value of several, and flags beside it.
pub struct Words {
    /// The bits of the field.
    mask: u64,
    /// Its values.
    field: &'static [(u64, &'static str)],
    flags: &'static [(u64, &'static str)],
}

/// Makes a list of constants and their names.
macro_rules! words {
    ($($word:ident)*) => { &[$(($word as u64, stringify!($word))),*] };
}

/// Flags alone.
const fn flags(flags: &'static [(u64, &'static str)]) -> Words {
    Words { mask: 0, field: &[], flags }
}

/// One of several values.
const fn one(field: &'static [(u64, &'static str)]) -> Words {
    Words { mask: u32::MAX as u64, field, flags: &[] }
}

/// One of several values in these bits, and flags.
const fn mixed(
    mask: u32,
    field: &'static [(u64, &'static str)],
    flags: &'static [(u64, &'static str)],
) -> Words {
    Words { mask: mask as u64, field, flags }
}

impl Words {
    /// Writes a value in words; what has none as a number.
    pub fn write(&self, out: &mut dyn Write, value: u64) -> fmt::Result {
        let value = u64::from(value as u32);
        let mut separator = "";
        let (field, mut rest) = (value & self.mask, value & !self.mask);
        match self.field.iter().find(|(known, _)| known & self.mask == field) {
            Some((_, name)) => {
                out.write_str(name)?;
                separator = "|";
            }
            None => rest = value,
        }
        for (flag, name) in self.flags {
            if *flag != 0 && rest & flag == *flag {
                write!(out, "{separator}{name}")?;
                separator = "|";
                rest &= !flag;
            }
        }
        if rest != 0 || separator.is_empty() {
            let radix = if rest < 10 { "" } else { "0x" };
            write!(out, "{separator}{radix}{rest:x}")?;
        }
        Ok(())
    }
}

pub const OPEN: &Words = &mixed(
    O_ACCMODE,
    words![O_RDONLY O_WRONLY O_RDWR],
    // Those of several bits before those whose bits they have.
    &[
        (O_SYNC as u64, "O_SYNC"),
        ((__O_TMPFILE | O_DIRECTORY) as u64, "O_TMPFILE"),
        (O_CREAT as u64, "O_CREAT"),
        (O_EXCL as u64, "O_EXCL"),
        (O_NOCTTY as u64, "O_NOCTTY"),
        (O_TRUNC as u64, "O_TRUNC"),
        (O_APPEND as u64, "O_APPEND"),
        (O_NONBLOCK as u64, "O_NONBLOCK"),
        (O_DSYNC as u64, "O_DSYNC"),
        (FASYNC as u64, "O_ASYNC"),
        (O_DIRECT as u64, "O_DIRECT"),
        (O_LARGEFILE as u64, "O_LARGEFILE"),
        (O_DIRECTORY as u64, "O_DIRECTORY"),
        (O_NOFOLLOW as u64, "O_NOFOLLOW"),
        (O_NOATIME as u64, "O_NOATIME"),
        (O_CLOEXEC as u64, "O_CLOEXEC"),
        (O_PATH as u64, "O_PATH"),
    ],
);
/// Those that go with making a descriptor.
pub const DESCRIPTOR: &Words = &flags(words![O_CLOEXEC O_NONBLOCK O_DIRECT]);
pub const PROTECTION: &Words =
    &mixed(7, words![PROT_NONE], words![PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP]);
pub const MAPPING: &Words = &mixed(
    MAP_TYPE,
    words![MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE],
    words![MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_NORESERVE
        MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE],
);
pub const REMAPPING: &Words = &flags(words![MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP]);
pub const SYNCING: &Words = &flags(words![MS_ASYNC MS_INVALIDATE MS_SYNC]);
pub const ADVICE: &Words = &one(words![
    MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE MADV_DONTFORK
    MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP
    MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE]);
/// What clone(2) shares; the signal of the end lies in the lowest byte.
pub const CLONING: &Words = &flags(words![
    CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT CLONE_THREAD
    CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED
    CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID
    CLONE_NEWNET CLONE_IO]);
pub const AT: &Words = &flags(words![
    AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_STATX_FORCE_SYNC
    AT_STATX_DONT_SYNC]);
/// Those of faccessat2(2), of which one has the value of `AT_REMOVEDIR`.
pub const ACCESS_AT: &Words = &flags(words![AT_SYMLINK_NOFOLLOW AT_EACCESS AT_EMPTY_PATH]);
pub const ACCESS: &Words = &mixed(7, words![F_OK], words![R_OK W_OK X_OK]);
pub const WHENCE: &Words = &one(words![SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE]);
pub const WAITING: &Words =
    &flags(words![WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE]);
pub const WAITED: &Words = &one(words![P_ALL P_PID P_PGID P_PIDFD]);
pub const CONTROL: &Words = &one(words![
    F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG
    F_SETOWN_EX F_GETOWN_EX F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY
    F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS]);
pub const REQUEST: &Words = &one(words![
    TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP
    TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ TIOCNOTTY TIOCGSID TIOCGPTN TIOCSPTLCK TIOCGPTPEER FIONREAD
    FIONBIO FIONCLEX FIOCLEX FIOASYNC]);
pub const LOCKING: &Words = &mixed(11, words![LOCK_SH LOCK_EX LOCK_UN], words![LOCK_NB]);
pub const FUTEX: &Words = &mixed(
    !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME),
    words![FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI
        FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI
        FUTEX_CMP_REQUEUE_PI],
    words![FUTEX_PRIVATE_FLAG FUTEX_CLOCK_REALTIME],
);
pub const MASKING: &Words = &one(words![SIG_BLOCK SIG_UNBLOCK SIG_SETMASK]);
pub const CLOCK: &Words = &one(words![
    CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW
    CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM
    CLOCK_TAI]);
pub const TIMER: &Words = &flags(words![TIMER_ABSTIME]);
pub const INTERVAL: &Words = &one(words![ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF]);
pub const DOMAIN: &Words = &one(words![AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET]);
pub const SOCKET: &Words = &mixed(
    0xf,
    &[(1, "SOCK_STREAM"), (2, "SOCK_DGRAM"), (3, "SOCK_RAW"), (5, "SOCK_SEQPACKET")],
    &[(O_CLOEXEC as u64, "SOCK_CLOEXEC"), (O_NONBLOCK as u64, "SOCK_NONBLOCK")],
);
pub const MESSAGE: &Words = &flags(words![
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_NOSIGNAL
    MSG_MORE MSG_CMSG_CLOEXEC]);
pub const SHUTDOWN: &Words = &one(&[(0, "SHUT_RD"), (1, "SHUT_WR"), (2, "SHUT_RDWR")]);
pub const LEVEL: &Words = &one(words![SOL_SOCKET IPPROTO_IP IPPROTO_TCP IPPROTO_IPV6]);
pub const EPOLL: &Words = &one(words![EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD]);
pub const LIMIT: &Words = &one(words![
    RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE
    RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO
    RLIMIT_RTTIME]);
pub const USAGE: &Words = &one(words![RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD]);
pub const PROCESS: &Words = &one(words![
    PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_GET_KEEPCAPS PR_SET_KEEPCAPS
    PR_SET_NAME PR_GET_NAME PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_TIMERSLACK
    PR_GET_TIMERSLACK PR_SET_MM PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS
    PR_GET_NO_NEW_PRIVS PR_CAP_AMBIENT PR_SET_PTRACER PR_SET_VMA]);
pub const ARCHITECTURE: &Words = &one(&[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
]);
pub const RANDOM: &Words = &flags(words![GRND_NONBLOCK GRND_RANDOM GRND_INSECURE]);
pub const RENAMING: &Words = &flags(words![RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT]);
pub const MEMFD: &Words = &flags(words![MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB]);
pub const TRACE: &Words = &{
    use tracing::*;
    one(words![
        PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_PEEKUSR PTRACE_POKETEXT PTRACE_POKEDATA
        PTRACE_POKEUSR PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP PTRACE_GETREGS PTRACE_SETREGS
        PTRACE_GETFPREGS PTRACE_SETFPREGS PTRACE_ATTACH PTRACE_DETACH PTRACE_SYSCALL PTRACE_SETOPTIONS
        PTRACE_GETEVENTMSG PTRACE_GETSIGINFO PTRACE_SETSIGINFO PTRACE_GETREGSET PTRACE_SETREGSET
        PTRACE_SEIZE PTRACE_INTERRUPT PTRACE_LISTEN PTRACE_PEEKSIGINFO PTRACE_GETSIGMASK PTRACE_SETSIGMASK
        PTRACE_GET_SYSCALL_INFO])
};
pub const MOUNTING: &Words = &flags(words![
    MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_SYNCHRONOUS MS_REMOUNT MS_NOATIME MS_BIND MS_MOVE MS_REC
    MS_SILENT MS_PRIVATE MS_SLAVE MS_SHARED MS_RELATIME]);
pub const POLL: &Words = &flags(
    words![POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM POLLRDHUP],
);

/// A signal by its name; as `{:#}`, without `SIG`.
pub struct Signal(pub u8);

impl Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 31] = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
            "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
            "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
        ];
        let prefix = if f.alternate() { "" } else { "SIG" };
        match self.0 {
            0 => f.write_str("0"),
            number => match NAMES.get(usize::from(number) - 1) {
                Some(name) => write!(f, "{prefix}{name}"),
                None => write!(f, "{prefix}RT_{}", number - 32),
            },
        }
    }
}

/// What a signal's code says of where it comes from.
pub fn code(info: &SigInfo) -> &'static str {
    match (info.signal, info.code) {
        (_, SI_USER) => "SI_USER",
        (_, SI_KERNEL) => "SI_KERNEL",
        (_, SI_TKILL) => "SI_TKILL",
        (_, -1) => "SI_QUEUE",
        (_, -2) => "SI_TIMER",
        (SIGCHLD, 1) => "CLD_EXITED",
        (SIGCHLD, 2) => "CLD_KILLED",
        (SIGCHLD, 5) => "CLD_STOPPED",
        (SIGCHLD, 6) => "CLD_CONTINUED",
        (SIGSEGV, 1) => "SEGV_MAPERR",
        (SIGSEGV, 2) => "SEGV_ACCERR",
        _ => "SI_?",
    }
}
