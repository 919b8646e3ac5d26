//! `blocked`: kernel memory that a waiting thread costs, and a waiting process.
//!
//! Makes threads that all wait for one futex and have no memory of their own in user space, and compares the free memory
//! before and after. With `--processes`, children of one process that all wait are there as well, at the same time.

use experiments::threads::start_waiting;
use std::io;
use support::arguments::{Options, fail};
use support::clock::sleep_ms;
use support::process::{Child, fork};
use support::report;

const USAGE: &str = "blocked [--threads N (4000)] [--processes N (0)]";

/// Bytes that nobody uses, as the kernel says.
fn free_memory() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = free.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| io::Error::other("no MemFree in /proc/meminfo"))? << 10)
}

/// Bytes that each of so many takes.
fn measure<T>(count: u64, mut start: impl FnMut() -> io::Result<T>) -> io::Result<(f64, Vec<T>)> {
    // What is still being put away from before must not count.
    sleep_ms(500);
    let before = free_memory()?;
    let all = (0..count).map(|_| start()).collect::<io::Result<Vec<T>>>()?;
    // By then all of them wait.
    sleep_ms(500);
    Ok((before.saturating_sub(free_memory()?) as f64 / count as f64, all))
}

fn start_waiting_process() -> io::Result<Child> {
    fork(|| {
        loop {
            // SAFETY: no memory is involved.
            unsafe { libc::pause() };
        }
    })
}

/// How many processes there are, and how many threads this one has, as `/proc` says.
fn count_all() -> io::Result<(usize, usize)> {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = std::fs::read_dir("/proc")?.collect::<io::Result<Vec<_>>>()?;
    let processes = entries.iter().filter(|entry| entry.file_name().to_str().is_some_and(is_number)).count();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
    Ok((processes, threads.ok_or_else(|| io::Error::other("no Threads in /proc/self/status"))?))
}

fn run(threads: u64, processes: u64) -> io::Result<()> {
    // First, as a process with many threads is not what is to be copied.
    let (per_process, children) = measure(processes, start_waiting_process)?;
    if processes > 0 {
        report::value("blocked_process", per_process, "bytes");
    }
    let (per_thread, _) = measure(threads, start_waiting)?;
    report::value("blocked_thread", per_thread, "bytes");
    let (found, own) = count_all()?;
    println!("{found} processes, this one with {own} threads");
    children.iter().try_for_each(|child| child.kill(libc::SIGKILL))?;
    children.iter().try_for_each(|child| child.wait().map(drop))
}

fn main() {
    let mut options = Options::parse(USAGE);
    let threads = options.value("--threads", 4000);
    let processes = options.value("--processes", 0);
    options.finish();
    if let Err(error) = run(threads, processes) {
        fail("blocked", &error);
    }
}
