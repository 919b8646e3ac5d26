//! Errors, lost interrupts, time-outs, devices that break down or come back as others.

use std::sync::Arc;
use std::time::Duration;

use drivers::block::{BlockError, Request};
use drivers::virtio::SetUpError;
use drivers::virtio_blk::BringUpError;
use executor::sim::random;
use executor::{Instant, JoinSet, sleep};

use crate::bench::Bench;
use crate::device::{Defect, Device};
use crate::disk::memory::Memory;
use crate::disk::{SECTOR, micros, simulate};
use crate::requests::{EVENT_INDEX, INDIRECT, Model, SEG_MAX, SIZE_MAX, VERSION_1};

/// Those whose queues work differently.
fn kinds() -> [Model; 2] {
    [Model::default(), Model::without(INDIRECT | EVENT_INDEX)]
}

/// As many reads of 8 sectors as fit, all at once; the outcome of each.
pub async fn read_all(bench: &Arc<Bench>) -> Vec<(u64, Result<Vec<u8>, BlockError>)> {
    let mut readers = JoinSet::new();
    for sector in (0..400u64).step_by(8) {
        let bench = bench.clone();
        readers
            .spawn(async move { (sector, bench.memory.load(&bench.disk, sector, 8 * SECTOR, 4096).await) });
    }
    readers.join_all().await
}

#[test]
fn a_bad_sector_fails_its_own_request_and_no_other() {
    for model in kinds() {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, model).await);
                bench.device.disk(|disk| {
                    disk.faults.bad = [77, 200, 201].into();
                    disk.faults.slowness = 500_000;
                });
                let resets = bench.device.with(|state| state.resets);
                for (sector, outcome) in read_all(&bench).await {
                    if [72, 200].contains(&sector) {
                        assert_eq!(outcome, Err(BlockError::Device), "sector {sector}");
                    } else {
                        let image = bench.device.disk(|disk| disk.store.content().to_vec());
                        let at = sector as usize * SECTOR;
                        assert!(outcome.expect("well") == image[at..at + 8 * SECTOR], "sector {sector}");
                    }
                }
                assert_eq!(bench.disk.statistics().errors, 2);
                assert_eq!(bench.device.with(|state| state.resets), resets, "an error is no trouble");
            }
        });
    }
}

#[test]
fn what_the_disk_does_not_know_is_unsupported_and_not_tried_again() {
    simulate(5, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, Model::default()).await);
        bench.device.disk(|disk| disk.faults.refusals = 1);
        assert_eq!(bench.disk.submit(Request::flush()).await.0, Err(BlockError::Unsupported));
        for (_, outcome) in read_all(&bench).await {
            assert_eq!(outcome, Err(BlockError::Unsupported));
        }
        assert_eq!(bench.disk.statistics().retries, 0);
        bench.device.disk(|disk| disk.faults.refusals = 0);
        assert!(bench.memory.load(&bench.disk, 0, SECTOR, SECTOR).await.is_ok());
    });
}

#[test]
fn failed_commands_are_tried_again() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, Model::default()).await);
        bench.device.disk(|disk| disk.faults.errors = 10);
        for (_, outcome) in read_all(&bench).await {
            assert!(matches!(outcome, Ok(_) | Err(BlockError::Device)));
        }
        bench.device.disk(|disk| disk.faults.errors = 0);
        assert!(bench.memory.load(&bench.disk, 0, SECTOR, SECTOR).await.is_ok());
    });
}

#[test]
fn lost_interrupts_cost_time_only() {
    for model in kinds() {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, model).await);
                bench.device.disk(|disk| disk.faults.loses = 3);
                let resets = bench.device.with(|state| state.resets);
                for _ in 0..10 {
                    for (_, outcome) in read_all(&bench).await {
                        assert!(outcome.is_ok());
                    }
                }
                let statistics = bench.disk.statistics();
                assert_eq!((statistics.retries, statistics.errors), (0, 0));
                assert_eq!(bench.device.with(|state| state.resets), resets, "it looked before it reset");
            }
        });
    }
}

#[test]
fn a_command_that_hangs_is_tried_again_after_a_reset() {
    for model in kinds() {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, model).await);
                let began = Instant::now();
                bench.device.disk(|disk| disk.faults.hang_next = 2);
                for (_, outcome) in read_all(&bench).await {
                    assert!(outcome.is_ok());
                }
                let took = began.elapsed();
                assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(70), "{took:?}");
                assert!(bench.device.with(|state| state.resets) > 1);
                assert!(!bench.disk.is_gone());
            }
        });
    }
}

#[test]
fn a_disk_that_never_answers_again_is_given_up() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, Model::default()).await);
        bench.device.disk(|disk| disk.faults.hangs = 1);
        for (_, outcome) in read_all(&bench).await {
            assert!(matches!(outcome, Err(BlockError::Timeout | BlockError::Gone)));
        }
        // Each is given up by itself; the disk is after some.
        for _ in 0..3 {
            let _ = bench.memory.load(&bench.disk, 0, SECTOR, SECTOR).await;
        }
        assert_eq!(bench.memory.load(&bench.disk, 0, SECTOR, SECTOR).await, Err(BlockError::Gone));
        assert!(bench.disk.is_gone());
    });
}

#[test]
fn a_device_that_breaks_down_is_reset_and_goes_on() {
    for model in kinds() {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, model).await);
                bench.device.disk(|disk| disk.faults.slowness = 300_000);
                let (device, began) = (bench.device.clone(), Instant::now());
                let trouble = executor::spawn(async move {
                    for _ in 0..2 {
                        sleep(micros(random(600))).await;
                        device.break_down();
                    }
                });
                for (_, outcome) in read_all(&bench).await {
                    assert!(outcome.is_ok());
                }
                trouble.await.expect("ended");
                assert!(bench.memory.load(&bench.disk, 8, SECTOR, SECTOR).await.is_ok());
                assert!(began.elapsed() < Duration::from_secs(12), "long before a command is late");
                assert!(bench.device.with(|state| state.resets) >= 2);
            }
        });
    }
}

#[test]
fn a_disk_that_comes_back_as_another_is_gone() {
    type Change = fn(&mut Model);
    let changes: [(Change, bool); 6] = [
        (|model| model.serial = Some("RUSK0002"), false),
        (|model| model.sectors = 4095, false),
        (|model| model.offers &= !EVENT_INDEX, false),
        (|model| model.queue_size = 128, false),
        // It has grown, or become slower.
        (|model| model.sectors = 5000, true),
        (|_| (), true),
    ];
    for (change, stays) in changes {
        simulate(5, move |cpus| async move {
            let bench = Arc::new(Bench::start(cpus, Model::default()).await);
            bench.device.disk(|disk| change(&mut disk.model));
            bench.device.break_down();
            let outcomes = read_all(&bench).await;
            if stays {
                assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
            } else {
                assert!(outcomes.iter().all(|(_, outcome)| *outcome == Err(BlockError::Gone)));
            }
            assert_eq!(bench.disk.is_gone(), !stays);
            assert_eq!(bench.disk.geometry().sectors, 4096);
        });
    }
}

#[test]
fn memory_that_a_stuck_device_may_write_to_is_never_used_again() {
    simulate(2, |cpus| async move {
        let bench = Bench::start(cpus, Model::default()).await;
        bench.device.disk(|disk| disk.faults.hangs = 1);
        bench.device.with(|state| state.is_stuck = true);
        let before = bench.memory.owned();
        let request = Request::read(0, bench.memory.filled(&[0; 4 * SECTOR], SECTOR));
        let (result, buffers) = bench.disk.submit(request).await;
        assert_eq!((result, buffers.len()), (Err(BlockError::Gone), 0));
        sleep(Duration::from_secs(100)).await;
        assert_eq!(bench.memory.owned(), before + 4);
    });
}

#[test]
fn a_dropped_driver_resets_the_device_and_ends_all_requests() {
    simulate(10, |cpus| async move {
        let mut bench = Bench::start(cpus, Model::default()).await;
        bench.device.disk(|disk| disk.faults.slowness = 2_000_000);
        let disk = bench.disk.clone();
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
fn a_device_that_does_not_come_up_is_told_why() {
    use BringUpError::{NoAnswer, Nonsense, SetUp};
    use SetUpError::{Broken, Features, Messages, Old, Queue, Reset, Unsteady};
    let usual = Model::default;
    let sound: [(Model, Option<Defect>, BringUpError); 13] = [
        (Model { offers: !VERSION_1, ..usual() }, None, SetUp(Old)),
        (usual(), Some(Defect::RefusesFeatures), SetUp(Features)),
        (usual(), Some(Defect::HasNoVectors), SetUp(Messages)),
        (usual(), Some(Defect::HasNoQueue), SetUp(Queue)),
        (usual(), Some(Defect::DoorbellElsewhere), SetUp(Queue)),
        (usual(), Some(Defect::Changes), SetUp(Unsteady)),
        (usual(), Some(Defect::BreaksDown), SetUp(Broken)),
        (usual(), Some(Defect::NeverAnswers), NoAnswer),
        (Model { queue_size: 2, ..usual() }, None, Nonsense),
        (Model { sectors: 0, ..usual() }, None, Nonsense),
        (Model { logical_sector: 1000, ..usual() }, None, Nonsense),
        (Model { offers: VERSION_1 | SIZE_MAX, size_max: 512, ..usual() }, None, Nonsense),
        (Model { offers: VERSION_1 | SIZE_MAX | SEG_MAX, size_max: 1, ..usual() }, None, Nonsense),
    ];
    simulate(3, move |cpus| {
        let cases = sound.clone();
        async move {
            for (model, defect, error) in cases {
                let memory = Memory::new(0x1_0000);
                let device = Device::new(memory.clone(), cpus, model.clone());
                device.with(|state| state.defect = defect);
                let outcome = Bench::drive(memory.clone(), device).await.err();
                assert_eq!(outcome, Some(error), "{model:?} {defect:?}");
                sleep(Duration::from_secs(1)).await;
                assert_eq!(memory.owned(), 0);
            }
            let memory = Memory::new(0x1_0000);
            let device = Device::new(memory.clone(), cpus, Model::default());
            device.with(|state| state.is_stuck = true);
            assert_eq!(Bench::drive(memory, device).await.err(), Some(SetUp(Reset)));
        }
    });
}
