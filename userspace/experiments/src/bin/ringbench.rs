//! `ringbench`: a batch of reads, one by one and by way of a ring, and operations that do nothing (io_uring(7)).
//!
//! The parallelism paper's "system calls from a single process": a kernel that carries a batch out on all its CPUs is faster
//! with more of them, though the program has one thread.

use experiments::rings::{BATCH, Reads, nulls};
use std::io;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "ringbench [--batches N (500)] [--rounds N (3)] [--in FOLDER (/tmp)]";

/// Sizes of reads, KiB.
const SIZES: [usize; 3] = [4, 16, 64];

fn main() {
    let mut options = Options::parse(USAGE);
    let batches = options.value("--batches", 500);
    let rounds: u64 = options.value("--rounds", 3);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    if let Err(error) = run(&folder, batches, rounds) {
        fail("ringbench", &error);
    }
}

fn run(folder: &str, batches: u64, rounds: u64) -> io::Result<()> {
    let count = batches * u64::from(BATCH);
    report::per_operation("ring_null", nulls(batches, BATCH)?, count);
    report::per_operation("ring_null_alone", nulls(count / 4, 1)?, count / 4);
    for kib in SIZES {
        let mut reads = Reads::new(folder, kib << 10)?;
        // All pages are there, and so are the files'.
        reads.one_by_one(1)?;
        reads.by_ring(1)?;
        let batches = (batches / kib as u64 * 4).max(1);
        for _ in 0..rounds {
            let count = batches * u64::from(BATCH);
            report::per_operation(&format!("reads_{kib}k_one_by_one"), reads.one_by_one(batches)?, count);
            report::per_operation(&format!("reads_{kib}k_by_ring"), reads.by_ring(batches)?, count);
        }
    }
    Ok(())
}
