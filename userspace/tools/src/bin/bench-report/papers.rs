//! Figures from the two papers Rusk carries on from, and Rusk's own goals.
//!
//! *Extracting parallelism in OS kernels using type-safe languages* (Cutler, Kaashoek, Morris, Zeldovich): its figures 4
//! and 5 and its section 4.3, on 8 logical CPUs. *The benefits and costs of writing a POSIX kernel in a high-level
//! language* (Cutler, Kaashoek, Morris, OSDI 2018): its section 8.7. What Biscuit's last commit needs on its own disk file
//! system was measured in the same QEMU.

/// Instructions per operation that Rusk set out to need, by the name of the figure.
pub const GOALS: &[(&str, &str, f64)] = &[
    ("null_syscall", "null system call", 110.0),
    ("pipe_pingpong", "pipe ping-pong, 5 bytes, round trip", 2200.0),
    ("page_fault", "page fault, with its share of mmap and munmap", 900.0),
    ("mmap_munmap", "mmap and munmap, 64 KiB untouched", 1500.0),
    ("fork_1M", "fork, exit and wait, 1 MiB", 20_000.0),
    ("fork_64M_call", "fork call, 64 MiB", 20_000.0),
    ("fork_64M", "fork, exit and wait, 64 MiB", 60_000.0),
    ("fork_512M", "fork, exit and wait, 512 MiB", 200_000.0),
    ("vfork_exit_wait", "vfork, exit and wait", 10_000.0),
    ("fork_exec_wait", "fork, exec, exit and wait", 90_000.0),
    ("thread_create_join", "thread create and join", 9000.0),
    ("futex_pingpong", "futex ping-pong, round trip", 2000.0),
    ("signal_self", "signal to self, handled", 900.0),
    ("pread_4k", "pread of 4 KiB, cached", 700.0),
    ("pread_1", "pread of 1 byte, cached", 350.0),
    ("pwrite_4k", "pwrite of 4 KiB, cached", 900.0),
    ("open_close", "open and close", 1200.0),
    ("stat", "stat", 700.0),
    ("smallfile_create", "small file: create, write, close", 5000.0),
    ("smallfile_read", "small file: open, read, close", 2000.0),
    ("smallfile_unlink", "small file: unlink", 2500.0),
    ("pipe_stream_kib", "pipe stream, per KiB", 350.0),
    ("unix_pingpong", "Unix stream ping-pong, 64 bytes", 2500.0),
    ("epoll_100_cycle", "epoll of 100 pipes: write, wait, read", 1100.0),
    ("tcp_pingpong", "TCP loopback ping-pong, 64 bytes", 9000.0),
    ("tcp_stream_kib", "TCP loopback stream, per KiB", 500.0),
    ("tcp_connect", "TCP loopback connect, accept, close", 30_000.0),
];

/// Instructions per pipe round trip of Biscuit (Go) and of a Linux trimmed to the same code path (OSDI 2018, 8.7.1).
pub const PING_PONG: [(&str, f64); 2] = [("Biscuit", 5259.0), ("trimmed Linux 4.9", 4540.0)];

/// Live kernel objects and millions of cycles per fork on Biscuit (figure 5).
pub const BMGC: [(u64, f64); 4] =
    [(100_000, 56.5), (1_000_000, 67.7), (10_000_000, 80.2), (50_000_000, 87.9)];

/// Millions of cycles for smallfile's phases on xv6 and on Biscuit, with a log on disk (figure 4).
pub const SMALLFILE: [(&str, &str, f64, f64); 3] = [
    ("smallfile_create", "create", 2066.0, 1742.0),
    ("smallfile_read", "read", 36.0, 37.0),
    ("smallfile_unlink", "unlink", 1014.0, 956.0),
];

/// Instructions per operation of Biscuit's last commit on its disk file system, with one CPU: a title, the setting that Rusk
/// and Linux are measured in, the name of the figure, and the instructions.
pub const BISCUIT_DISK: [(&str, &str, &str, f64); 12] = [
    (
        "create, write 100 bytes, close: 1,000 files in one directory",
        "icount, 1",
        "smallfile_create",
        53_526.0,
    ),
    ("open, read, close", "icount, 1", "smallfile_read", 18_798.0),
    ("unlink", "icount, 1", "smallfile_unlink", 35_092.0),
    (
        "create, write 100 bytes, close: 1,000 files in ten directories",
        "icount, 10",
        "smallfile_create",
        76_450.0,
    ),
    ("open, read, close", "icount, 10", "smallfile_read", 22_360.0),
    ("unlink", "icount, 10", "smallfile_unlink", 36_518.0),
    ("append of 4 KiB", "icount, 1", "append_4k", 24_692.0),
    ("write of 4 KiB over what is there", "icount", "pwrite_4k", 12_600.0),
    ("read of 4 KiB in memory", "icount", "pread_4k", 6_064.0),
    ("read of a byte in memory", "icount", "pread_1", 4_791.0),
    ("open and close", "icount", "open_close", 9_607.0),
    ("stat", "icount", "stat", 6_042.0),
];

/// Millions of cycles of a fork of 4 GiB on 8 CPUs, serial and parallel (section 4.3).
pub const PARALLEL_FORK: (f64, f64) = (525.0, 70.0);
