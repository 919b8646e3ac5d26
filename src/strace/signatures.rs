//! Which call has which arguments.

#![allow(non_upper_case_globals, reason = "the numbers have the names that Linux's headers give them")]

use linux_raw_sys::general::*;

use super::words::{self, Words};

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A signed number of 32 bits: a process, a count.
    Int,
    /// A signed number of 64 bits: an offset.
    Long,
    /// A length.
    Size,
    /// An address, or what nothing more is known of.
    Hex,
    /// Permission bits.
    Mode,
    /// Permission bits, if the flags in that argument say that a file is made.
    NewMode(u8),
    /// A descriptor.
    Fd,
    /// A directory's descriptor, or `AT_FDCWD`.
    At,
    /// Words.
    Words(&'static Words),
    /// What clone(2) shares, and the signal of the end.
    Cloning,
    /// A signal.
    Signal,
    /// The address of a string that the call reads.
    Text,
    /// That of so many bytes as another argument says, which the call reads.
    Input(u8),
    /// That of the bytes that the call has written, as many as it returns.
    Output,
    /// That of an array of strings.
    Strings,
    /// The same, of which only the number is shown.
    StringCount,
    /// That of as many pieces of memory as another argument says, which the call reads.
    Pieces(u8),
    /// That of a set of signals, which the call reads.
    Signals,
    /// The same, which it writes.
    SignalsOut,
    /// That of a `timespec` that the call reads.
    Time,
    /// The same, which it writes.
    TimeOut,
    /// That of two, an interval and the first time.
    Interval,
    /// That of a socket's address, as long as another argument says.
    Name(u8),
    /// The same, which it writes, with its length.
    NameOut(u8),
    /// That of two descriptors that it writes.
    Pair,
    /// That of a wait status that it writes.
    Status,
    /// That of as many `pollfd` as another argument says.
    Polled(u8),
}

/// What a call returns when it succeeds.
#[derive(Clone, Copy)]
pub enum Returns {
    Number,
    Address,
}

impl Kind {
    /// Whether it is memory that the call reads, and might change: it is shown as it was at the beginning.
    pub fn is_read_by_call(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Text | Input(_)
                | Strings
                | StringCount
                | Pieces(_)
                | Signals
                | Time
                | Interval
                | Name(_)
                | Polled(_)
        )
    }

    /// What is to be shown once the call has ended, or cannot be: what a call that failed was to write is an address.
    pub fn after(self, succeeded: bool) -> Self {
        use Kind::*;
        match self {
            Output | SignalsOut | TimeOut | NameOut(_) | Pair | Status if !succeeded => Hex,
            // Else it would have been shown at the beginning.
            kind if kind.is_read_by_call() => Hex,
            kind => kind,
        }
    }
}

/// The kinds of a call's arguments, and of its result.
pub fn of(number: u64) -> (&'static [Kind], Returns) {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let returns = match number {
        __NR_mmap | __NR_brk | __NR_mremap | __NR_shmat => Returns::Address,
        _ => Returns::Number,
    };
    (arguments(number), returns)
}

fn arguments(number: u32) -> &'static [Kind] {
    use Kind::{
        At, Cloning, Fd, Hex, Input, Int, Interval, Long, Mode, Name, NameOut, NewMode, Output, Pair, Pieces,
        Polled, Signal, Signals, SignalsOut, Size, Status, StringCount, Strings, Text, Time, TimeOut,
    };
    macro_rules! words {
        ($name:ident) => {
            Kind::Words(words::$name)
        };
    }
    match number {
        // Bytes.
        __NR_read => &[Fd, Output, Size],
        __NR_write => &[Fd, Input(2), Size],
        __NR_pread64 => &[Fd, Output, Size, Long],
        __NR_pwrite64 => &[Fd, Input(2), Size, Long],
        __NR_readv => &[Fd, Hex, Int],
        __NR_writev | __NR_vmsplice => &[Fd, Pieces(2), Int],
        __NR_preadv | __NR_preadv2 => &[Fd, Hex, Int, Long],
        __NR_pwritev | __NR_pwritev2 => &[Fd, Pieces(2), Int, Long],
        __NR_lseek => &[Fd, Long, words!(WHENCE)],
        __NR_sendfile => &[Fd, Fd, Hex, Size],
        __NR_copy_file_range | __NR_splice => &[Fd, Hex, Fd, Hex, Size, Hex],
        __NR_tee => &[Fd, Fd, Size, Hex],

        // Descriptors.
        __NR_open => &[Text, words!(OPEN), NewMode(1)],
        __NR_openat => &[At, Text, words!(OPEN), NewMode(2)],
        __NR_openat2 => &[At, Text, Hex, Size],
        __NR_creat => &[Text, Mode],
        __NR_close | __NR_fsync | __NR_fdatasync | __NR_syncfs | __NR_fchdir | __NR_dup => &[Fd],
        __NR_dup2 => &[Fd, Fd],
        __NR_dup3 => &[Fd, Fd, words!(DESCRIPTOR)],
        __NR_fcntl => &[Fd, words!(CONTROL), Hex],
        __NR_ioctl => &[Fd, words!(REQUEST), Hex],
        __NR_flock => &[Fd, words!(LOCKING)],
        __NR_close_range => &[Fd, Fd, Hex],
        __NR_pipe => &[Pair],
        __NR_pipe2 => &[Pair, words!(DESCRIPTOR)],
        __NR_memfd_create => &[Text, words!(MEMFD)],
        __NR_io_setup => &[Int, Hex],
        __NR_io_destroy => &[Hex],
        __NR_io_submit => &[Hex, Long, Hex],
        __NR_io_cancel => &[Hex, Hex, Hex],
        __NR_io_getevents => &[Hex, Long, Long, Hex, Time],
        __NR_io_pgetevents => &[Hex, Long, Long, Hex, Time, Hex],
        __NR_eventfd2 => &[Int, words!(DESCRIPTOR)],
        __NR_epoll_create1 | __NR_inotify_init1 => &[words!(DESCRIPTOR)],
        __NR_eventfd | __NR_epoll_create => &[Int],
        __NR_epoll_ctl => &[Fd, words!(EPOLL), Fd, Hex],
        __NR_epoll_wait => &[Fd, Hex, Int, Int],
        __NR_epoll_pwait => &[Fd, Hex, Int, Int, Signals, Size],
        __NR_epoll_pwait2 => &[Fd, Hex, Int, Time, Signals, Size],
        __NR_signalfd4 => &[Fd, Signals, Size, words!(DESCRIPTOR)],
        __NR_timerfd_create => &[words!(CLOCK), words!(DESCRIPTOR)],
        __NR_timerfd_settime => &[Fd, words!(TIMER), Interval, Hex],
        __NR_timerfd_gettime => &[Fd, Hex],
        __NR_inotify_add_watch => &[Fd, Text, Hex],
        __NR_inotify_rm_watch => &[Fd, Int],
        __NR_poll => &[Polled(1), Int, Int],
        __NR_ppoll => &[Polled(1), Int, Time, Signals, Size],
        __NR_select => &[Int, Hex, Hex, Hex, Hex],
        __NR_pselect6 => &[Int, Hex, Hex, Hex, Time, Hex],

        // Sockets.
        __NR_socket => &[words!(DOMAIN), words!(SOCKET), Int],
        __NR_socketpair => &[words!(DOMAIN), words!(SOCKET), Int, Pair],
        __NR_bind | __NR_connect => &[Fd, Name(2), Int],
        __NR_listen => &[Fd, Int],
        __NR_accept | __NR_getsockname | __NR_getpeername => &[Fd, NameOut(2), Hex],
        __NR_accept4 => &[Fd, NameOut(2), Hex, words!(SOCKET)],
        __NR_shutdown => &[Fd, words!(SHUTDOWN)],
        __NR_sendto => &[Fd, Input(2), Size, words!(MESSAGE), Name(5), Int],
        __NR_recvfrom => &[Fd, Output, Size, words!(MESSAGE), NameOut(5), Hex],
        __NR_sendmsg | __NR_recvmsg => &[Fd, Hex, words!(MESSAGE)],
        __NR_sendmmsg => &[Fd, Hex, Int, words!(MESSAGE)],
        __NR_recvmmsg => &[Fd, Hex, Int, words!(MESSAGE), Time],
        __NR_getsockopt => &[Fd, words!(LEVEL), Int, Hex, Hex],
        __NR_setsockopt => &[Fd, words!(LEVEL), Int, Hex, Int],

        // Names and attributes.
        __NR_truncate => &[Text, Long],
        __NR_ftruncate => &[Fd, Long],
        __NR_fallocate => &[Fd, Hex, Long, Long],
        __NR_fadvise64 => &[Fd, Long, Size, Int],
        __NR_mkdir | __NR_chmod => &[Text, Mode],
        __NR_mkdirat | __NR_fchmodat => &[At, Text, Mode],
        __NR_mknod => &[Text, Mode, Hex],
        __NR_mknodat => &[At, Text, Mode, Hex],
        __NR_symlink | __NR_link | __NR_rename | __NR_pivot_root => &[Text, Text],
        __NR_symlinkat => &[Text, At, Text],
        __NR_linkat => &[At, Text, At, Text, words!(AT)],
        __NR_renameat => &[At, Text, At, Text],
        __NR_renameat2 => &[At, Text, At, Text, words!(RENAMING)],
        __NR_unlink | __NR_rmdir | __NR_chdir | __NR_chroot => &[Text],
        __NR_unlinkat => &[At, Text, words!(AT)],
        __NR_readlink => &[Text, Output, Size],
        __NR_readlinkat => &[At, Text, Output, Size],
        __NR_getdents | __NR_getdents64 => &[Fd, Hex, Size],
        __NR_getcwd => &[Output, Size],
        __NR_mount => &[Text, Text, Text, words!(MOUNTING), Hex],
        __NR_umount2 => &[Text, Hex],
        __NR_stat | __NR_lstat | __NR_statfs => &[Text, Hex],
        __NR_fstat | __NR_fstatfs => &[Fd, Hex],
        __NR_newfstatat => &[At, Text, Hex, words!(AT)],
        __NR_statx => &[At, Text, words!(AT), Hex, Hex],
        __NR_access => &[Text, words!(ACCESS)],
        __NR_faccessat => &[At, Text, words!(ACCESS)],
        __NR_faccessat2 => &[At, Text, words!(ACCESS), words!(ACCESS_AT)],
        __NR_fchmod => &[Fd, Mode],
        __NR_chown | __NR_lchown => &[Text, Int, Int],
        __NR_fchown => &[Fd, Int, Int],
        __NR_fchownat => &[At, Text, Int, Int, words!(AT)],
        __NR_utime | __NR_utimes => &[Text, Hex],
        __NR_futimesat => &[At, Text, Hex],
        __NR_utimensat => &[At, Text, Hex, words!(AT)],
        __NR_getxattr | __NR_lgetxattr => &[Text, Text, Output, Size],
        __NR_fgetxattr => &[Fd, Text, Output, Size],
        __NR_setxattr | __NR_lsetxattr => &[Text, Text, Input(3), Size, Hex],
        __NR_fsetxattr => &[Fd, Text, Input(3), Size, Hex],
        __NR_listxattr | __NR_llistxattr => &[Text, Output, Size],
        __NR_flistxattr => &[Fd, Output, Size],
        __NR_removexattr | __NR_lremovexattr => &[Text, Text],
        __NR_fremovexattr => &[Fd, Text],
        __NR_umask => &[Mode],

        // Memory.
        __NR_mmap => &[Hex, Size, words!(PROTECTION), words!(MAPPING), Fd, Hex],
        __NR_munmap | __NR_mlock | __NR_munlock => &[Hex, Size],
        __NR_mprotect => &[Hex, Size, words!(PROTECTION)],
        __NR_remap_file_pages => &[Hex, Size, words!(PROTECTION), Size, words!(MAPPING)],
        __NR_mremap => &[Hex, Size, Size, words!(REMAPPING), Hex],
        __NR_madvise => &[Hex, Size, words!(ADVICE)],
        __NR_msync => &[Hex, Size, words!(SYNCING)],
        __NR_mincore => &[Hex, Size, Hex],
        __NR_brk => &[Hex],
        __NR_mlockall => &[Int],
        __NR_mbind => &[Hex, Size, Int, Hex, Size, Hex],
        __NR_set_mempolicy => &[Int, Hex, Size],
        __NR_get_mempolicy => &[Hex, Hex, Size, Hex, Hex],
        __NR_set_mempolicy_home_node => &[Hex, Size, Int, Hex],
        __NR_migrate_pages => &[Int, Size, Hex, Hex],
        __NR_move_pages => &[Int, Size, Hex, Hex, Hex, Hex],
        __NR_shmget => &[Int, Size, Hex],
        __NR_shmat => &[Int, Hex, Hex],
        __NR_shmdt => &[Hex],

        // Processes and threads.
        __NR_clone => &[Cloning, Hex, Hex, Hex, Hex],
        __NR_clone3 => &[Hex, Size],
        __NR_execve => &[Text, Strings, StringCount],
        __NR_execveat => &[At, Text, Strings, StringCount, words!(AT)],
        __NR_exit | __NR_exit_group => &[Int],
        __NR_wait4 => &[Int, Status, words!(WAITING), Hex],
        __NR_waitid => &[words!(WAITED), Int, Hex, words!(WAITING), Hex],
        __NR_kill | __NR_tkill => &[Int, Signal],
        __NR_tgkill => &[Int, Int, Signal],
        __NR_pidfd_open => &[Int, Hex],
        __NR_pidfd_send_signal => &[Fd, Signal, Hex, Hex],
        __NR_setpgid => &[Int, Int],
        __NR_getpgid | __NR_getsid | __NR_setuid | __NR_setgid | __NR_sched_getscheduler => &[Int],
        __NR_setreuid | __NR_setregid => &[Int, Int],
        __NR_setresuid | __NR_setresgid => &[Int, Int, Int],
        __NR_getresuid | __NR_getresgid => &[Hex, Hex, Hex],
        __NR_getgroups | __NR_setgroups => &[Int, Hex],
        __NR_prctl => &[words!(PROCESS), Hex, Hex, Hex, Hex],
        __NR_arch_prctl => &[words!(ARCHITECTURE), Hex],
        __NR_getrlimit | __NR_setrlimit => &[words!(LIMIT), Hex],
        __NR_prlimit64 => &[Int, words!(LIMIT), Hex, Hex],
        __NR_getrusage => &[words!(USAGE), Hex],
        __NR_ptrace => &[words!(TRACE), Int, Hex, Hex],
        __NR_futex => &[Hex, words!(FUTEX), Int, Hex, Hex, Hex],
        __NR_set_tid_address | __NR_times | __NR_sysinfo | __NR_uname | __NR_time => &[Hex],
        __NR_set_robust_list => &[Hex, Size],
        __NR_get_robust_list => &[Int, Hex, Hex],
        __NR_rseq => &[Hex, Size, Hex, Hex],
        __NR_sched_setaffinity | __NR_sched_getaffinity => &[Int, Size, Hex],
        __NR_getpriority => &[Int, Int],
        __NR_setpriority => &[Int, Int, Int],
        __NR_getcpu => &[Hex, Hex, Hex],

        // Signals.
        __NR_rt_sigaction => &[Signal, Hex, Hex, Size],
        __NR_rt_sigprocmask => &[words!(MASKING), Signals, SignalsOut, Size],
        __NR_rt_sigpending => &[SignalsOut, Size],
        __NR_rt_sigsuspend => &[Signals, Size],
        __NR_rt_sigtimedwait => &[Signals, Hex, Time, Size],
        __NR_rt_sigqueueinfo => &[Int, Signal, Hex],
        __NR_rt_tgsigqueueinfo => &[Int, Int, Signal, Hex],
        __NR_sigaltstack => &[Hex, Hex],

        // Time.
        __NR_nanosleep => &[Time, Hex],
        __NR_clock_nanosleep => &[words!(CLOCK), words!(TIMER), Time, Hex],
        __NR_clock_gettime | __NR_clock_getres => &[words!(CLOCK), TimeOut],
        __NR_clock_settime => &[words!(CLOCK), Time],
        __NR_gettimeofday | __NR_settimeofday => &[Hex, Hex],
        __NR_alarm => &[Int],
        __NR_getitimer => &[words!(INTERVAL), Hex],
        __NR_setitimer => &[words!(INTERVAL), Hex, Hex],
        __NR_timer_create => &[words!(CLOCK), Hex, Hex],
        __NR_timer_settime => &[Int, words!(TIMER), Interval, Hex],
        __NR_timer_gettime => &[Int, Hex],
        __NR_timer_getoverrun | __NR_timer_delete => &[Int],

        __NR_getrandom => &[Output, Size, words!(RANDOM)],

        // They have none.
        __NR_fork | __NR_vfork | __NR_getpid | __NR_gettid | __NR_getppid | __NR_getuid | __NR_geteuid
        | __NR_getgid | __NR_getegid | __NR_getpgrp | __NR_setsid | __NR_pause | __NR_rt_sigreturn
        | __NR_restart_syscall | __NR_sync | __NR_sched_yield | __NR_munlockall | __NR_inotify_init
        | __NR_vhangup => &[],
        // What nothing is said of here has its registers shown.
        _ => &[Hex, Hex, Hex, Hex, Hex, Hex],
    }
}
