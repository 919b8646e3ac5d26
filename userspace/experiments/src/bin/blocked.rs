//! `blocked`: kernel memory that a waiting thread costs.
//!
//! Makes threads that all wait for one futex and have no memory of their own in user space, and compares the free memory
//! before and after.

use experiments::threads::start_waiting;
use std::io;
use support::arguments::{Options, fail};
use support::clock::sleep_ms;
use support::report;

const USAGE: &str = "blocked [--threads N (4000)]";

/// Bytes that nobody uses, as the kernel says.
fn free_memory() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = free.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| io::Error::other("no MemFree in /proc/meminfo"))? << 10)
}

/// Bytes per thread. The threads end with the process.
fn measure(threads: u64) -> io::Result<f64> {
    // What is still being put away from before must not count.
    sleep_ms(500);
    let before = free_memory()?;
    for _ in 0..threads {
        start_waiting()?;
    }
    // By then all of them wait.
    sleep_ms(500);
    Ok(before.saturating_sub(free_memory()?) as f64 / threads as f64)
}

fn main() {
    let mut options = Options::parse(USAGE);
    let threads = options.value("--threads", 4000);
    options.finish();
    match measure(threads) {
        Ok(bytes) => report::value("blocked_thread", bytes, "bytes"),
        Err(error) => fail("blocked", &error),
    }
}
