//! Random work by many at once, compared with what a disk must then hold.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use drivers::block::{BlockError, Buffers, Request};
use executor::sim::random;
use executor::{JoinSet, sleep, timeout_after};

use crate::ata::{Faults, Model, SECTOR};
use crate::bench::{Bench, BlockDisk, micros, simulate};
use crate::memory::Piece;

/// Someone with some sectors of his own.
struct Worker {
    bench: Arc<Bench>,
    port: usize,
    disk: Arc<BlockDisk>,
    sectors: Range<u64>,
    /// What should be there.
    content: Vec<u8>,
    /// Sectors of which nothing is known, as a write to them was cancelled or failed.
    is_unknown: Vec<bool>,
    /// Errors that may happen.
    has_faults: bool,
}

impl Worker {
    fn buffers(&self, bytes: &[u8]) -> Buffers<Piece> {
        self.bench.memory.filled(bytes, [512, 1024, 4096, 6144][random(4) as usize])
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
                    let (result, _) = self.disk.submit(request(sector, self.buffers(&fresh))).await;
                    if self.is_well(result) {
                        self.content[at.clone()].copy_from_slice(&fresh);
                    } else {
                        self.is_unknown[first..first + count].fill(true);
                    }
                    if kind == 4 && result.is_ok() {
                        let medium = self.bench.hba.disk(self.port, |disk| disk.medium());
                        let bytes = sector as usize * SECTOR;
                        assert!(medium[bytes..bytes + fresh.len()] == fresh, "a forced write was not");
                    }
                }
                8 => {
                    let (result, _) = self.disk.submit(Request::flush()).await;
                    if self.is_well(result) {
                        self.check(&self.bench.hba.disk(self.port, |disk| disk.medium()), "after a flush");
                    }
                }
                9 => {
                    let transfer = self.disk.submit(Request::read(sector, self.buffers(&fresh)));
                    drop(timeout_after(transfer, micros(random(60))).await);
                }
                10 => {
                    let transfer = self.disk.submit(Request::write(sector, self.buffers(&fresh)));
                    let outcome = timeout_after(transfer, micros(random(60))).await;
                    if matches!(outcome, Ok((Ok(()), _))) {
                        self.content[at].copy_from_slice(&fresh);
                    } else {
                        self.is_unknown[first..first + count].fill(true);
                    }
                }
                _ => drop(self.disk.submit(Request::read(sector, self.buffers(&fresh)))),
            }
        }
        self
    }

    async fn read(&self, sector: u64, at: Range<usize>) {
        let (result, buffers) =
            self.disk.submit(Request::read(sector, self.buffers(&vec![0; at.len()]))).await;
        if self.is_well(result) {
            let bytes: Vec<u8> = buffers.iter().flat_map(Piece::content).collect();
            assert!(bytes == self.content[at], "read something else at sector {sector}");
        }
    }

    fn is_well(&self, result: Result<(), BlockError>) -> bool {
        assert!(result.is_ok() || self.has_faults, "{result:?}");
        assert_ne!(result, Err(BlockError::Gone));
        result.is_ok()
    }
}

/// Workers on all ports at once.
fn storm(seeds: u64, models: &[Model], faults: &Faults, loses: u64) {
    const WORKERS: u64 = 6;
    let has_faults = faults.aborts > 0 || faults.hangs > 0 || loses > 0;
    simulate(seeds, |cpus| {
        let (models, faults) = (models.to_vec(), faults.clone());
        async move {
            let bench = Arc::new(Bench::start(cpus, &models).await);
            let mut workers = JoinSet::new();
            let mut disks = Vec::new();
            for port in 0..models.len() {
                disks.push(bench.attached(port as u32).await);
            }
            let owned = bench.memory.owned();
            bench.hba.with(|state| state.loses = loses);
            for (port, disk) in disks.iter().enumerate() {
                bench.hba.disk(port, |disk| disk.faults = faults.clone());
                let image = bench.hba.disk(port, |disk| disk.content().to_vec());
                for number in 0..WORKERS {
                    let sectors = number * 100..(number + 1) * 100;
                    let worker = Worker {
                        bench: bench.clone(),
                        port,
                        disk: disk.clone(),
                        content: image[sectors.start as usize * SECTOR..sectors.end as usize * SECTOR]
                            .to_vec(),
                        sectors,
                        is_unknown: vec![false; 100],
                        has_faults,
                    };
                    workers.spawn(worker.work(40));
                }
            }
            let workers = workers.join_all().await;
            bench.hba.with(|state| state.loses = 0);
            for (port, disk) in disks.iter().enumerate() {
                bench.hba.disk(port, |disk| disk.faults = Faults::default());
                assert_eq!(disk.submit(Request::flush()).await.0, Ok(()));
            }
            for worker in &workers {
                worker.check(&bench.hba.disk(worker.port, |disk| disk.medium()), "at the end");
            }
            // Whatever was cancelled has ended, too, and left nothing behind.
            sleep(Duration::from_secs(200)).await;
            assert_eq!(bench.memory.owned(), owned, "memory was kept");
        }
    });
}

#[test]
fn queued_disks_hold_what_was_written() {
    let emulated = Model { has_fua: false, ..Model::default() };
    storm(5, &[Model::default(), emulated], &Faults::default(), 0);
}

#[test]
fn a_slow_disk_gathers_and_merges() {
    let faults = Faults { slowness: 300_000, ..Faults::default() };
    storm(5, &[Model { depth: 4, ..Model::default() }, Model::old()], &faults, 0);
}

#[test]
fn disks_with_all_faults_at_once_hold_what_was_written() {
    let silent = Model { has_error_log: false, has_fua: false, ..Model::default() };
    let faults = Faults { aborts: 40, hangs: 150, ..Faults::default() };
    storm(4, &[Model::default(), silent, Model::old()], &faults, 20);
}

#[test]
fn more_requests_than_there_is_room_for_wait_their_turn() {
    simulate(4, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        let owned = bench.memory.owned();
        let mut readers = JoinSet::new();
        for number in 0..700u64 {
            let (bench, disk) = (bench.clone(), disk.clone());
            readers.spawn(async move {
                let read = bench.read(&disk, number * 5, SECTOR, SECTOR);
                // Some change their mind, wherever they are by then.
                if number % 7 == 0 {
                    timeout_after(read, micros(random(500))).await.is_ok()
                } else {
                    read.await.is_ok()
                }
            });
        }
        let outcomes = readers.join_all().await;
        assert!(outcomes.iter().filter(|&&is_well| is_well).count() >= 600);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.memory.owned(), owned);
    });
}
