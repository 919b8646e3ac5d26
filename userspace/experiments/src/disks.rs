//! Reads of a disk that no cache has.

use crate::Measured;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use support::clock::now;

/// Bytes of a read.
const PAGE: u64 = 4096;
/// Pages from one read of a thread to its next: nobody reads ahead so far.
const STRIDE: u64 = 17;

/// Nanoseconds that all CPUs together have been idle, in hundredths of a second.
fn idle() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds: Option<f64> = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    seconds.map(|seconds| (seconds * 1e9) as u64).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Time that a CPU is busy while `threads` threads read `reads` pages of a disk, each another one, one after the other. For
/// machines with one CPU.
pub fn read_pages(path: &str, threads: u64, reads: u64) -> Measured {
    let disk = Arc::new(File::open(path)?);
    let mut last = [0; PAGE as usize];
    disk.read_exact_at(&mut last, (reads * STRIDE - 1) * PAGE)?;
    let (began, idle_before) = (now(), idle()?);
    let readers: Vec<_> = (0..threads)
        .map(|number| {
            let disk = disk.clone();
            thread::spawn(move || {
                let mut bytes = [0; PAGE as usize];
                let mut mine = (number..reads).step_by(threads as usize);
                mine.try_for_each(|read| disk.read_exact_at(&mut bytes, read * STRIDE * PAGE))
            })
        })
        .collect();
    for reader in readers {
        reader.join().expect("no reader panics")?;
    }
    Ok((now() - began).saturating_sub(idle()? - idle_before))
}
