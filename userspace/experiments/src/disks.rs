//! Transfers from and to a disk of what no cache has.

use crate::Measured;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::thread;
use support::clock::{Count, Stopwatch};
use support::memory::Anonymous;

/// Bytes of a transfer.
const PAGE: u64 = 4096;
/// Pages from one transfer of a thread to its next: nobody reads ahead so far.
const STRIDE: u64 = 17;

/// How pages are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the disk, by way of the page cache.
    ReadThroughCache,
    /// From the disk, past it (`O_DIRECT`).
    Read,
    /// To the disk, past it.
    Write,
}

/// Time that a CPU is busy while `threads` threads move `count` pages, each another one, one after the other. For machines with
/// one CPU.
pub fn move_pages(path: &str, way: Way, threads: u64, count: u64) -> Measured {
    let flags = if way == Way::ReadThroughCache { 0 } else { libc::O_DIRECT };
    let disk = OpenOptions::new().read(true).write(way == Way::Write).custom_flags(flags).open(path)?;
    let disk = Arc::new(disk);
    let mut last = Anonymous::map(PAGE as usize)?;
    disk.read_exact_at(last.bytes(), (count * STRIDE - 1) * PAGE)?;
    let watch = Stopwatch::start(Count::Busy)?;
    let movers: Vec<_> = (0..threads)
        .map(|number| {
            let disk = disk.clone();
            thread::spawn(move || {
                let mut memory = Anonymous::map(PAGE as usize)?;
                memory.touch();
                let mut mine = (number..count).step_by(threads as usize);
                mine.try_for_each(|page| match way {
                    Way::Write => disk.write_all_at(memory.bytes(), page * STRIDE * PAGE),
                    _ => disk.read_exact_at(memory.bytes(), page * STRIDE * PAGE),
                })
            })
        })
        .collect();
    for mover in movers {
        mover.join().expect("none panics")?;
    }
    watch.read()
}
