//! Random work by many at once.

use std::sync::Arc;
use std::time::Duration;

use drivers::block::Request;
use executor::{JoinSet, sleep};

use crate::bench::Bench;
use crate::disk::simulate;
use crate::disk::workload::Subject;
use crate::requests::{EVENT_INDEX, FLUSH, Faults, INDIRECT, LIES, Model};

fn storm(seeds: u64, models: &[Model], faults: &Faults) {
    let has_faults = faults.errors > 0 || faults.hangs > 0 || faults.lies > 0;
    for model in models {
        simulate(seeds, |cpus| {
            let (model, faults) = (model.clone(), faults.clone());
            async move {
                let bench = Bench::start(cpus, model).await;
                let (owned, device) = (bench.memory.owned(), bench.device.clone());
                bench.device.disk(|disk| disk.faults = faults);
                let medium = Arc::new(move || device.disk(|disk| disk.store.medium()));
                let (memory, disk) = (bench.memory.clone(), bench.disk.clone());
                let mut workers = JoinSet::new();
                Subject { memory, disk, medium, has_faults }.begin(&mut workers);
                let workers = workers.join_all().await;
                bench.device.disk(|disk| disk.faults = Faults::default());
                assert_eq!(bench.disk.submit(Request::flush()).await.0, Ok(()));
                for worker in &workers {
                    worker.check_at_end();
                }
                // Whatever was cancelled has ended, too, and left nothing behind.
                sleep(Duration::from_secs(200)).await;
                assert_eq!(bench.memory.owned(), owned, "memory was kept");
            }
        });
    }
}

#[test]
fn disks_hold_what_was_written() {
    let few = Model { queue_size: 32, ..Model::default() };
    let models = [Model::default(), Model::without(INDIRECT | EVENT_INDEX), Model::without(FLUSH), few];
    storm(6, &models, &Faults::default());
}

#[test]
fn a_slow_disk_gathers_and_merges() {
    let faults = Faults { slowness: 300_000, ..Faults::default() };
    storm(5, &[Model::default(), Model { queue_size: 32, ..Model::without(INDIRECT) }], &faults);
}

#[test]
fn disks_with_all_faults_at_once_hold_what_was_written() {
    let faults = Faults {
        errors: 40,
        hangs: 150,
        loses: 20,
        lies: 100,
        repertoire: LIES.to_vec(),
        ..Faults::default()
    };
    storm(5, &[Model::default(), Model::without(INDIRECT | EVENT_INDEX)], &faults);
}
