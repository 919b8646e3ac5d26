//! What the tests of all drivers of disks have in common: memory that knows who owns it, what a disk holds, and random work
//! that is compared with it; all in the executor's simulator. A failure prints its seed; `SEED=n` repeats it.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod memory;
pub mod store;
pub mod workload;

use std::ops::Range;
use std::time::Duration;

use drivers::block::{self, BlockError, Request};
use executor::sim::Simulation;

use memory::{Memory, Piece};

pub const SECTOR: usize = 512;

pub type BlockDisk = block::Disk<Piece>;

/// Seeds to be tried: `SEED=n` tries one, `SEEDS=n` the first n.
pub fn chosen(usually: u64) -> Range<u64> {
    let number = |name| Some(std::env::var(name).ok()?.parse().expect("SEED and SEEDS are numbers"));
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(usually),
    }
}

/// Runs a test under many seeds, on 1 to 3 CPUs.
pub fn simulate<F>(seeds: u64, test: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for seed in chosen(seeds) {
        let cpus = 1 + seed as usize % 3;
        Simulation::new(seed, cpus).max_switches(100_000_000).run(test(cpus));
    }
}

pub fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

pub fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8 ^ salt).collect()
}

impl Memory {
    /// Reads from a disk into pieces of `cut` bytes.
    pub async fn load(
        &self,
        disk: &BlockDisk,
        sector: u64,
        bytes: usize,
        cut: usize,
    ) -> Result<Vec<u8>, BlockError> {
        let buffers = self.filled(&vec![0xee; bytes], cut);
        let (result, buffers) = disk.submit(Request::read(sector, buffers)).await;
        result.map(|()| buffers.iter().flat_map(Piece::content).collect())
    }

    /// Writes to a disk.
    pub async fn store(&self, disk: &BlockDisk, sector: u64, bytes: &[u8]) -> Result<(), BlockError> {
        disk.submit(Request::write(sector, self.filled(bytes, 4096))).await.0
    }
}
