//! Random work by many at once, compared with what a disk must then hold.

use std::ops::Range;
use std::sync::Arc;

use drivers::block::{BlockError, Buffers, Request};
use executor::sim::random;
use executor::{JoinSet, timeout_after};

use super::memory::{Memory, Piece};
use super::{BlockDisk, SECTOR, micros};

/// Workers on a disk.
const WORKERS: u64 = 6;
/// Sectors that each has.
const SECTORS: u64 = 100;

/// A disk that is worked on.
#[derive(Clone)]
pub struct Subject {
    pub memory: Memory,
    pub disk: Arc<BlockDisk>,
    /// What is on its medium now.
    pub medium: Arc<dyn Fn() -> Vec<u8> + Send + Sync>,
    /// Errors that may happen.
    pub has_faults: bool,
}

impl Subject {
    /// Starts work on all of it; nothing has been written to it yet.
    pub fn begin(&self, workers: &mut JoinSet<Worker>) {
        let image = (self.medium)();
        for number in 0..WORKERS {
            let sectors = number * SECTORS..(number + 1) * SECTORS;
            let bytes = sectors.start as usize * SECTOR..sectors.end as usize * SECTOR;
            let worker = Worker {
                subject: self.clone(),
                sectors,
                content: image[bytes].to_vec(),
                is_unknown: vec![false; SECTORS as usize],
            };
            workers.spawn(worker.work(40));
        }
    }
}

/// Someone with some sectors of his own.
pub struct Worker {
    subject: Subject,
    sectors: Range<u64>,
    /// What should be there.
    content: Vec<u8>,
    /// Sectors of which nothing is known, as a write to them was cancelled or failed.
    is_unknown: Vec<bool>,
}

impl Worker {
    fn buffers(&self, bytes: &[u8]) -> Buffers<Piece> {
        self.subject.memory.filled(bytes, [512, 1024, 4096, 6144][random(4) as usize])
    }

    /// What is known of his sectors is on the medium.
    pub fn check_at_end(&self) {
        self.check(&(self.subject.medium)(), "at the end");
    }

    /// The sectors of his that are known are those of `image`.
    fn check(&self, image: &[u8], what: &str) {
        for (index, sector) in self.content.chunks(SECTOR).enumerate() {
            let at = (self.sectors.start as usize + index) * SECTOR;
            assert!(
                self.is_unknown[index] || image[at..at + SECTOR] == *sector,
                "{what}: sector {}",
                at / SECTOR
            );
        }
    }

    async fn work(mut self, rounds: usize) -> Self {
        for _ in 0..rounds {
            let count = 1 + random(16) as usize;
            let first = random(self.is_unknown.len() as u64 - count as u64) as usize;
            let (sector, at) = (self.sectors.start + first as u64, first * SECTOR..(first + count) * SECTOR);
            if self.is_unknown[first..first + count].contains(&true) {
                continue;
            }
            let salt = random(256) as u8;
            let fresh: Vec<u8> =
                (0..count * SECTOR).map(|index| (index * 7 + index / 255) as u8 ^ salt).collect();
            match random(12) {
                0..4 => self.read(sector, at).await,
                kind @ 4..8 => {
                    let request = if kind == 4 { Request::write_through } else { Request::write };
                    let (result, _) = self.subject.disk.submit(request(sector, self.buffers(&fresh))).await;
                    if self.is_well(result) {
                        self.content[at.clone()].copy_from_slice(&fresh);
                    } else {
                        self.is_unknown[first..first + count].fill(true);
                    }
                    if kind == 4 && result.is_ok() {
                        let medium = (self.subject.medium)();
                        let bytes = sector as usize * SECTOR;
                        assert!(medium[bytes..bytes + fresh.len()] == fresh, "a forced write was not");
                    }
                }
                8 => {
                    let (result, _) = self.subject.disk.submit(Request::flush()).await;
                    if self.is_well(result) {
                        self.check(&(self.subject.medium)(), "after a flush");
                    }
                }
                9 => {
                    let transfer = self.subject.disk.submit(Request::read(sector, self.buffers(&fresh)));
                    drop(timeout_after(transfer, micros(random(60))).await);
                }
                10 => {
                    let transfer = self.subject.disk.submit(Request::write(sector, self.buffers(&fresh)));
                    let outcome = timeout_after(transfer, micros(random(60))).await;
                    if matches!(outcome, Ok((Ok(()), _))) {
                        self.content[at].copy_from_slice(&fresh);
                    } else {
                        self.is_unknown[first..first + count].fill(true);
                    }
                }
                _ => drop(self.subject.disk.submit(Request::read(sector, self.buffers(&fresh)))),
            }
        }
        self
    }

    async fn read(&self, sector: u64, at: Range<usize>) {
        let (result, buffers) =
            self.subject.disk.submit(Request::read(sector, self.buffers(&vec![0; at.len()]))).await;
        if self.is_well(result) {
            let bytes: Vec<u8> = buffers.iter().flat_map(Piece::content).collect();
            assert!(bytes == self.content[at], "read something else at sector {sector}");
        }
    }

    fn is_well(&self, result: Result<(), BlockError>) -> bool {
        assert!(result.is_ok() || self.subject.has_faults, "{result:?}");
        assert_ne!(result, Err(BlockError::Gone));
        result.is_ok()
    }
}
