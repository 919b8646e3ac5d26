//! Devices that say what cannot be: in the queue, in registers, at any time.

use std::sync::Arc;
use std::time::Duration;

use drivers::block::BlockError;
use executor::sleep;

use crate::bench::Bench;
use crate::device::Device;
use crate::disk::memory::Memory;
use crate::disk::{SECTOR, simulate};
use crate::faults::read_all;
use crate::requests::{EVENT_INDEX, INDIRECT, LIES, Model};

#[test]
fn whatever_is_in_the_queue_requests_end_and_the_disk_goes_on() {
    for lie in LIES {
        for model in [Model::default(), Model::without(INDIRECT | EVENT_INDEX)] {
            simulate(3, move |cpus| {
                let model = model.clone();
                async move {
                    let bench = Arc::new(Bench::start(cpus, model).await);
                    bench.device.disk(|disk| {
                        disk.faults.repertoire = vec![lie];
                        disk.faults.lies = 30;
                    });
                    let owned = bench.memory.owned();
                    for _ in 0..3 {
                        for (sector, outcome) in read_all(&bench).await {
                            let Ok(bytes) = outcome else {
                                let is_known =
                                    matches!(outcome, Err(BlockError::Device | BlockError::Timeout));
                                assert!(is_known, "{lie:?}: {outcome:?}");
                                continue;
                            };
                            let image = bench.device.disk(|disk| disk.store.content().to_vec());
                            assert!(bytes == image[sector as usize * SECTOR..][..bytes.len()], "{lie:?}");
                        }
                    }
                    bench.device.disk(|disk| disk.faults.lies = 0);
                    assert!(!bench.disk.is_gone(), "{lie:?}");
                    for (_, outcome) in read_all(&bench).await {
                        assert!(outcome.is_ok(), "{lie:?}: {:?}", bench.disk.statistics());
                    }
                    sleep(Duration::from_secs(200)).await;
                    assert_eq!(bench.memory.owned(), owned, "memory was kept");
                }
            });
        }
    }
}

#[test]
fn a_device_that_only_lies_is_given_up() {
    for lie in LIES {
        simulate(3, move |cpus| async move {
            let bench = Arc::new(Bench::start(cpus, Model::default()).await);
            bench.device.disk(|disk| {
                disk.faults.repertoire = vec![lie];
                disk.faults.lies = 1;
            });
            for _ in 0..5 {
                // Of an answer that came early, the real one may have been in time.
                read_all(&bench).await;
            }
            bench.device.disk(|disk| disk.faults.lies = 0);
            let outcome = bench.memory.load(&bench.disk, 0, SECTOR, SECTOR).await;
            assert!(matches!(outcome, Ok(_) | Err(BlockError::Gone)), "{lie:?}: {outcome:?}");
        });
    }
}

#[test]
fn whatever_registers_say_the_driver_comes_to_an_end() {
    let mut came_up = 0;
    for noise in [1, 2, 5, 20, 60] {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = count.clone();
        simulate(15, move |cpus| {
            let count = counter.clone();
            async move {
                let memory = Memory::new(0x1_0000);
                let device = Device::new(memory.clone(), cpus, Model::default());
                device.with(|state| state.noise = noise);
                let Ok(bench) = Bench::drive(memory, device.clone()).await else { return };
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let bench = Arc::new(bench);
                device.disk(|disk| {
                    disk.faults.hangs = 20;
                    disk.faults.errors = 20;
                });
                for _ in 0..2 {
                    read_all(&bench).await;
                }
            }
        });
        came_up += count.load(std::sync::atomic::Ordering::Relaxed);
    }
    assert!(came_up > 0, "only the way up was tried");
}
