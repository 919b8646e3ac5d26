//! Errors, lost interrupts, time-outs, disks that are pulled out, registers full of nonsense.

use std::sync::Arc;
use std::time::Duration;

use drivers::block::{BlockError, Request};
use executor::sim::random;
use executor::{Instant, JoinSet, sleep};

use crate::ata::{Disk, Model};
use crate::bench::Bench;
use crate::disk::memory::Memory;
use crate::disk::{BlockDisk, SECTOR, micros, simulate};

/// As many reads of 8 sectors as fit, all at once; the outcome of each.
async fn read_all(bench: &Arc<Bench>, disk: &Arc<BlockDisk>) -> Vec<(u64, Result<Vec<u8>, BlockError>)> {
    let mut readers = JoinSet::new();
    for sector in (0..400u64).step_by(8) {
        let (bench, disk) = (bench.clone(), disk.clone());
        readers.spawn(async move { (sector, bench.memory.load(&disk, sector, 8 * SECTOR, 4096).await) });
    }
    readers.join_all().await
}

#[test]
fn a_bad_sector_fails_its_own_request_and_no_other() {
    let silent = Model { has_error_log: false, ..Model::default() };
    for model in [Model::default(), silent, Model::old()] {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, &[model]).await);
                let disk = bench.attached(0).await;
                bench.hba.disk(0, |disk| {
                    disk.faults.bad = [77, 200, 201].into();
                    disk.faults.slowness = 500_000;
                });
                for (sector, outcome) in read_all(&bench, &disk).await {
                    if [72, 200].contains(&sector) {
                        assert_eq!(outcome, Err(BlockError::Medium), "sector {sector}");
                    } else {
                        let image = bench.hba.disk(0, |disk| disk.store.content().to_vec());
                        let at = sector as usize * SECTOR;
                        assert!(outcome.expect("well") == image[at..at + 8 * SECTOR], "sector {sector}");
                    }
                }
                assert!(!disk.is_gone());
                assert_eq!(disk.statistics().errors, 2);
            }
        });
    }
}

#[test]
fn aborted_commands_are_tried_again() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.aborts = 20);
        for (_, outcome) in read_all(&bench, &disk).await {
            assert!(matches!(outcome, Ok(_) | Err(BlockError::Device)));
        }
        bench.hba.disk(0, |disk| disk.faults.aborts = 0);
        assert!(bench.memory.load(&disk, 0, SECTOR, SECTOR).await.is_ok());
    });
}

#[test]
fn lost_interrupts_cost_time_only() {
    for model in [Model::default(), Model::old()] {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, &[model]).await);
                let disk = bench.attached(0).await;
                bench.hba.with(|state| state.loses = 3);
                let resets = bench.hba.with(|state| state.ports[0].resets);
                for (_, outcome) in read_all(&bench, &disk).await {
                    assert!(outcome.is_ok());
                }
                let statistics = disk.statistics();
                assert_eq!((statistics.retries, statistics.errors), (0, 0));
                assert_eq!(
                    bench.hba.with(|state| state.ports[0].resets),
                    resets,
                    "it looked before it reset"
                );
            }
        });
    }
}

#[test]
fn a_command_that_hangs_is_tried_again_after_a_reset() {
    for model in [Model::default(), Model::old()] {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, &[model]).await);
                let disk = bench.attached(0).await;
                let began = Instant::now();
                bench.hba.disk(0, |disk| disk.faults.hang_next = 2);
                for (_, outcome) in read_all(&bench, &disk).await {
                    assert!(outcome.is_ok());
                }
                assert!(
                    began.elapsed() >= Duration::from_secs(15) && began.elapsed() < Duration::from_secs(40)
                );
                assert!(bench.hba.with(|state| state.ports[0].resets) > 1);
                assert!(!disk.is_gone());
            }
        });
    }
}

#[test]
fn a_disk_that_never_answers_again_is_given_up() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.hangs = 1);
        for (_, outcome) in read_all(&bench, &disk).await {
            assert!(matches!(outcome, Err(BlockError::Timeout | BlockError::Gone)));
        }
        assert_eq!(bench.memory.load(&disk, 0, SECTOR, SECTOR).await, Err(BlockError::Gone));
        assert!(disk.is_gone());
    });
}

#[test]
fn a_link_that_hiccups_does_no_harm() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.slowness = 300_000);
        let hba = bench.hba.clone();
        let trouble = executor::spawn(async move {
            for _ in 0..3 {
                sleep(micros(random(400))).await;
                hba.disturb(0);
            }
            sleep(micros(random(20_000))).await;
            // Out and in at once: the same disk, so nothing happened.
            let disk = hba.unplug(0).expect("plugged");
            sleep(micros(random(1_000))).await;
            hba.plug(0, disk);
        });
        let outcomes = read_all(&bench, &disk).await;
        assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Ok(_) | Err(BlockError::Device))));
        trouble.await.expect("ended");
        sleep(Duration::from_secs(1)).await;
        assert!(bench.memory.load(&disk, 8, SECTOR, SECTOR).await.is_ok(), "{:?}", disk.statistics());
    });
}

#[test]
fn pulling_a_disk_out_gives_errors_and_another_can_be_plugged_in() {
    simulate(12, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default(), Model::default()]).await);
        let (disk, other) = (bench.attached(0).await, bench.attached(1).await);
        bench.hba.disk(0, |disk| disk.faults.slowness = 2_000_000);
        let hba = bench.hba.clone();
        let puller = executor::spawn(async move {
            sleep(micros(random(3_000))).await;
            hba.unplug(0);
        });
        for (_, outcome) in read_all(&bench, &disk).await {
            assert!(matches!(outcome, Ok(_) | Err(BlockError::Gone)));
        }
        puller.await.expect("pulled");
        while !disk.is_gone() {
            sleep(micros(1000)).await;
        }
        assert_eq!(bench.memory.load(&disk, 0, SECTOR, SECTOR).await, Err(BlockError::Gone));
        assert!(
            bench.memory.load(&other, 0, SECTOR, SECTOR).await.is_ok(),
            "the other port is none the worse"
        );
        let model = Model { serial: "RUSK0002", sectors: 2048, ..Model::default() };
        bench.hba.plug(0, Disk::new(model));
        let mut number = 1;
        let replaced = loop {
            if let (_, Some(disk)) = bench.found(0, number).await {
                break disk;
            }
            number += 1;
        };
        assert_eq!(replaced.geometry().serial, "RUSK0002");
        assert!(bench.memory.load(&replaced, 2000, SECTOR, SECTOR).await.is_ok());
        assert!(disk.is_gone());
    });
}

#[test]
fn memory_that_a_stuck_port_may_write_to_is_never_used_again() {
    simulate(5, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.hangs = 1);
        bench.hba.with(|state| state.ports[0].is_stuck = true);
        let before = bench.memory.owned();
        let request = Request::read(0, bench.memory.filled(&[0; 4 * SECTOR], SECTOR));
        let (result, buffers) = disk.submit(request).await;
        assert_eq!((result, buffers.len()), (Err(BlockError::Gone), 0));
        assert_eq!(bench.memory.owned(), before + 4);
    });
}

#[test]
fn a_dropped_driver_stops_the_port_and_ends_all_requests() {
    simulate(10, |cpus| async move {
        let mut bench = Bench::start(cpus, &[Model::default()]).await;
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.slowness = 2_000_000);
        let requests: Vec<_> = (0..100)
            .map(|number| disk.submit(Request::read(number * 9, bench.memory.filled(&[0; SECTOR], SECTOR))))
            .collect();
        sleep(micros(random(2_000))).await;
        bench.stop();
        for request in requests {
            let (result, buffers) = request.await;
            assert!(matches!(result, Ok(()) | Err(BlockError::Gone)));
            assert_eq!(buffers.len(), 1);
        }
        sleep(micros(10_000)).await;
        assert_eq!(bench.memory.owned(), 0);
    });
}

#[test]
fn devices_that_are_no_disks_are_named_and_left_alone() {
    simulate(3, |cpus| async move {
        let signatures = [0xeb14_0101, 0x9669_0101, 0xc33c_0101, 0xdead_beef];
        let bench = Bench::assemble(cpus, &vec![Model::default(); 6], Memory::new(0x1000));
        bench.hba.with(|state| {
            for (port, signature) in signatures.into_iter().enumerate() {
                state.ports[port].disk = None;
                state.ports[port].signature = Some(signature);
            }
            state.ports[4].disk = None;
        });
        let bench = bench.drive().await;
        let names = [
            "a packet device",
            "a port multiplier",
            "an enclosure",
            "a device with signature 0xdeadbeef",
            "empty",
        ];
        for (port, name) in names.into_iter().enumerate() {
            assert_eq!(bench.found(port as u32, 0).await.0, name);
        }
        assert!(bench.attached(5).await.geometry().sectors > 0);
    });
}

#[test]
fn an_hba_of_32_bits_gets_memory_that_it_can_reach() {
    simulate(3, |cpus| async move {
        for (base, works) in [(0x1000, true), (0xffff_8000, false)] {
            let bench = Bench::assemble(cpus, &[Model::default()], Memory::new(base));
            bench.hba.with(|state| state.is_64_bit = false);
            let bench = bench.drive().await;
            let (what, disk) = bench.found(0, 0).await;
            assert_eq!(what, if works { "disk" } else { "no memory for it" });
            if let Some(disk) = disk {
                assert!(bench.memory.load(&disk, 0, SECTOR, SECTOR).await.is_ok());
                let high = Memory::new(1 << 32);
                let request = Request::read(0, high.filled(&[0; SECTOR], SECTOR));
                assert_eq!(disk.submit(request).await.0, Err(BlockError::Invalid));
            }
        }
    });
}
