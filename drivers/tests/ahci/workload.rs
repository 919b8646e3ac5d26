//! Random work on all ports at once.

use std::sync::Arc;
use std::time::Duration;

use drivers::block::Request;
use executor::sim::random;
use executor::{JoinSet, sleep, timeout_after};

use crate::ata::{Faults, Model};
use crate::bench::Bench;
use crate::disk::workload::Subject;
use crate::disk::{SECTOR, micros, simulate};

/// Workers on all ports at once.
fn storm(seeds: u64, models: &[Model], faults: &Faults, loses: u64) {
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
                let hba = bench.hba.clone();
                let medium = Arc::new(move || hba.disk(port, |disk| disk.store.medium()));
                let (memory, disk) = (bench.memory.clone(), disk.clone());
                Subject { memory, disk, medium, has_faults }.begin(&mut workers);
            }
            let workers = workers.join_all().await;
            bench.hba.with(|state| state.loses = 0);
            for (port, disk) in disks.iter().enumerate() {
                bench.hba.disk(port, |disk| disk.faults = Faults::default());
                assert_eq!(disk.submit(Request::flush()).await.0, Ok(()));
            }
            for worker in &workers {
                worker.check_at_end();
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
                let read = bench.memory.load(&disk, number * 5, SECTOR, SECTOR);
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
