//! `microbench`: every elementary operation once, each in a process of its own.
//!
//! Under `qemu -icount shift=0` a nanosecond is an instruction, and the figures are exact.

use experiments::{Measured, epoll, files, forks, null_call, page_faults, pipes, signals, sockets, threads};
use std::io;
use std::path::Path;
use std::process::exit;
use support::arguments::Options;
use support::process::{Child, Ended, fork};
use support::report::{per_operation, value};

const USAGE: &str = "microbench [NAME]...   (all without names; --list lists them)";

/// A benchmark: its name, and what it measures and prints.
type Row = (&'static str, fn() -> io::Result<()>);

const ROWS: &[Row] = &[
    ("null", || row("null_syscall", Ok(null_call::null_calls(100_000)), 100_000)),
    ("pingpong", || row("pipe_pingpong", pipes::ping_pong(20_000, 5), 20_000)),
    ("pagefault", || row("page_fault", page_faults::page_faults(1024, 20), 20 * 1024)),
    ("mmap", || row("mmap_munmap", page_faults::map_and_unmap(5000), 5000)),
    ("fork1", || fork_row("fork_1M", 1, 50)),
    ("fork64", || fork_row("fork_64M", 64, 20)),
    ("fork512", || fork_row("fork_512M", 512, 5)),
    ("vfork", || row("vfork_exit_wait", forks::vforks(200), 200)),
    ("exec", || row("fork_exec_wait", forks::execs(c"/usr/bin/nothing", 50), 50)),
    ("file", file_rows),
    ("smallfile", smallfile_rows),
    ("thread", || row("thread_create_join", threads::create_and_join(200), 200)),
    ("futex", || row("futex_pingpong", threads::futex_ping_pong(5000), 5000)),
    ("signal", || row("signal_self", signals::to_self(5000), 5000)),
    ("pipestream", || row("pipe_stream_kib", pipes::stream(16 << 20), 16 << 10)),
    ("unix", || row("unix_pingpong", sockets::unix_ping_pong(5000), 5000)),
    ("epoll", || row("epoll_100_cycle", epoll::cycle(100, 2000), 2000)),
    ("tcp", || row("tcp_pingpong", sockets::tcp_ping_pong(2000), 2000)),
    ("tcpstream", || row("tcp_stream_kib", sockets::tcp_stream(8 << 20), 8 << 10)),
    ("tcpconnect", || row("tcp_connect", sockets::tcp_connect(200), 200)),
];

/// A row of one figure.
fn row(name: &str, total: Measured, count: u64) -> io::Result<()> {
    per_operation(name, total?, count);
    Ok(())
}

fn fork_row(name: &str, mib: usize, times: u64) -> io::Result<()> {
    let elapsed = forks::forks(mib << 20, times, 0)?;
    per_operation(name, elapsed.total, times);
    per_operation(&format!("{name}_call"), elapsed.in_fork, times);
    Ok(())
}

fn file_rows() -> io::Result<()> {
    let times = files::one_file("/tmp", 2000)?;
    per_operation("pread_4k", times.read_page, times.count);
    per_operation("pwrite_4k", times.write_page, times.count);
    per_operation("pread_1", times.read_byte, times.count);
    per_operation("open_close", times.open_close, times.count);
    per_operation("stat", times.stat, times.count);
    Ok(())
}

fn smallfile_rows() -> io::Result<()> {
    let times = files::smallfile("/tmp", 100, 4)?;
    per_operation("smallfile_create", times.create, 100);
    per_operation("smallfile_read", times.read, 100);
    per_operation("smallfile_unlink", times.unlink, 100);
    Ok(())
}

fn main() {
    let wanted = Options::parse(USAGE).rest();
    if wanted.iter().any(|word| word == "--list") {
        ROWS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    if let Some(unknown) = wanted.iter().find(|word| !ROWS.iter().any(|(name, _)| name == word)) {
        eprintln!("no benchmark is called {unknown}\n{USAGE}");
        exit(2);
    }
    let failures = ROWS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name))
        .filter(|row| !run(row))
        .count();
    value("failures", failures as f64, "rows");
    exit(i32::from(failures > 0));
}

/// Runs a row in a child, so that nothing of it is left for the next; true if it succeeded.
fn run((name, measure): &Row) -> bool {
    if *name == "exec" && !Path::new("/usr/bin/nothing").exists() {
        eprintln!("microbench: exec: /usr/bin/nothing is not there; it is in the root image");
        return false;
    }
    let child = fork(|| match measure() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("microbench: {name}: {error}");
            1
        }
    });
    child.and_then(Child::wait).is_ok_and(Ended::success)
}
