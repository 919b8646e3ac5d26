//! The driver of virtio disks against a model of the device, in the executor's simulator: virtual time, interrupts and
//! completions in the middle of everything, and faults of all kinds.

mod bench;
mod device;
#[path = "../disk/mod.rs"]
mod disk;
mod faults;
mod hostile;
mod requests;
mod ring;
mod workload;

use std::sync::Arc;

use bench::Bench;
use disk::{SECTOR, micros, pattern, simulate};
use drivers::block::{BlockError, Request};
use executor::{JoinSet, sleep};
use requests::{BLK_SIZE, DISCARD, EVENT_INDEX, FLUSH, INDIRECT, Model, RO, SEG_MAX, SIZE_MAX};

fn kinds() -> Vec<Model> {
    let usual = Model::default();
    let sized = Model { offers: usual.offers | SIZE_MAX, size_max: 1001, ..usual.clone() };
    vec![
        usual.clone(),
        Model::plain(),
        Model::without(INDIRECT),
        Model::without(EVENT_INDEX),
        Model::without(INDIRECT | EVENT_INDEX),
        Model::without(FLUSH | DISCARD | BLK_SIZE),
        Model::without(SEG_MAX),
        Model { offers: sized.offers & !INDIRECT, ..sized.clone() },
        sized,
        Model { logical_sector: 4096, ..usual.clone() },
        Model { queue_size: 4, seg_max: 2, ..usual.clone() },
        Model { queue_size: 5, ..Model::without(INDIRECT) },
        Model { queue_size: 1024, seg_max: u32::MAX, ..usual.clone() },
        Model { queue_size: u16::MAX, seg_max: 0, ..usual },
    ]
}

#[test]
fn every_kind_of_disk_reads_and_writes() {
    for model in kinds() {
        simulate(6, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Bench::start(cpus, model.clone()).await;
                let (memory, disk) = (&bench.memory, &bench.disk);
                let geometry = disk.geometry();
                assert_eq!(
                    (geometry.sectors, geometry.logical_sector as usize),
                    (4096, model.logical_sector)
                );
                assert_eq!(geometry.serial, model.serial.unwrap_or_default());
                assert_eq!(geometry.write_cache, model.offers & FLUSH != 0);
                // As many pages as one request may have.
                let pieces = geometry.max_segments / 4096usize.div_ceil(geometry.max_segment);
                let bytes = pattern(4096 * pieces.min(8), 3);
                assert_eq!(memory.store(disk, 1000, &bytes).await, Ok(()));
                assert_eq!(memory.load(disk, 1000, bytes.len(), 4096).await.as_ref(), Ok(&bytes));
                let content = bench.device.disk(|disk| disk.store.content().to_vec());
                assert!(content[1000 * SECTOR..][..bytes.len()] == bytes);
                assert_eq!(disk.submit(Request::flush()).await.0, Ok(()));
                let medium = || bench.device.disk(|disk| disk.store.medium());
                assert!(medium()[1000 * SECTOR..][..bytes.len()] == bytes);
                let forced = pattern(4096, 0x55);
                let request = Request::write_through(2000, memory.filled(&forced, 4096));
                assert_eq!(disk.submit(request).await.0, Ok(()));
                assert!(medium()[2000 * SECTOR..][..forced.len()] == forced);
                let can_discard = model.offers & DISCARD != 0;
                let expected = if can_discard { Ok(()) } else { Err(BlockError::Unsupported) };
                assert_eq!(disk.submit(Request::discard(1000, 64)).await.0, expected);
                if can_discard {
                    assert_eq!(memory.load(disk, 1000, 4096, 4096).await, Ok(vec![0; 4096]));
                }
                assert_eq!((disk.statistics().retries, disk.statistics().errors), (0, 0));
            }
        });
    }
}

#[test]
fn a_deep_queue_is_used_and_answers_in_any_order() {
    for (model, depth) in [(Model::default(), 64), (Model::without(INDIRECT | EVENT_INDEX), 8)] {
        simulate(10, move |cpus| {
            let model = model.clone();
            async move {
                let bench = Arc::new(Bench::start(cpus, model).await);
                bench.device.disk(|disk| disk.faults.slowness = 5_000_000);
                let mut readers = JoinSet::new();
                for number in 0..128u64 {
                    let bench = bench.clone();
                    readers.spawn(async move {
                        let sector = number * 30;
                        let read = bench.memory.load(&bench.disk, sector, 4096, 4096).await.expect("read");
                        let expected = |index| ((sector as usize * SECTOR + index) / 256) as u8;
                        assert!((0..4096).all(|index| read[index] == expected(index)));
                    });
                }
                readers.join_all().await;
                assert_eq!(bench.device.with(|state| state.deepest), depth);
                assert_eq!(bench.disk.statistics().reads, 128);
            }
        });
    }
}

#[test]
fn what_adjoins_goes_out_as_one() {
    simulate(10, |cpus| async move {
        // One request at a time, so that the others gather.
        let bench = Bench::start(cpus, Model { queue_size: 16, ..Model::without(INDIRECT) }).await;
        let (memory, disk) = (&bench.memory, &bench.disk);
        let content = pattern(64 * SECTOR, 1);
        let first = disk.submit(Request::read(0, memory.filled(&[0; SECTOR], SECTOR)));
        while disk.statistics().commands == 0 {
            sleep(micros(1)).await;
        }
        let mut order: Vec<u64> = (0..64).collect();
        for index in 0..64 {
            order.swap(index, executor::sim::random(64) as usize);
        }
        let writes: Vec<_> = order
            .iter()
            .map(|&number| {
                let bytes = &content[number as usize * SECTOR..][..SECTOR];
                disk.submit(Request::write(100 + number, memory.filled(bytes, SECTOR)))
            })
            .collect();
        for write in writes {
            assert_eq!(write.await.0, Ok(()));
        }
        assert_eq!(first.await.0, Ok(()));
        let commands = bench.device.disk(|disk| disk.carried_out[&1]);
        assert!(commands < 40, "{commands} commands for 64 sectors in a row");
        let statistics = disk.statistics();
        assert_eq!(statistics.commands + statistics.merged, 65);
        let mut read = Vec::new();
        for at in (0..64).step_by(8) {
            read.extend(memory.load(disk, 100 + at, 8 * SECTOR, SECTOR).await.expect("read"));
        }
        assert!(read == content);
    });
}

#[test]
fn impossible_requests_are_refused() {
    simulate(1, |cpus| async move {
        let small = Model { seg_max: 8, ..Model::default() };
        let read_only = Model { offers: small.offers | RO, logical_sector: 4096, ..small.clone() };
        let (small, read_only) = (Bench::start(cpus, small).await, Bench::start(cpus, read_only).await);
        let buffers = |bench: &Bench, bytes: usize| bench.memory.filled(&vec![0; bytes], 4096);
        let (invalid, outside, unsupported) =
            (BlockError::Invalid, BlockError::OutOfRange, BlockError::Unsupported);
        for (bench, request, error) in [
            (&small, Request::read(0, buffers(&small, 0)), invalid),
            (&small, Request::read(0, buffers(&small, 513)), invalid),
            (&small, Request::read(0, buffers(&small, 9 * 4096)), invalid),
            (&small, Request::write(4095, buffers(&small, 1024)), outside),
            (&small, Request::discard(0, 4097), invalid),
            (&read_only, Request::read(1, buffers(&read_only, 4096)), invalid),
            (&read_only, Request::write(0, buffers(&read_only, 4096)), unsupported),
            (&read_only, Request::write_through(0, buffers(&read_only, 4096)), unsupported),
            (&read_only, Request::discard(0, 8), unsupported),
        ] {
            let owned = request.buffers.len();
            let (result, buffers) = bench.disk.submit(request).await;
            assert_eq!((result, buffers.len()), (Err(error), owned));
        }
        assert!(read_only.disk.geometry().read_only && !small.disk.geometry().read_only);
        assert!(read_only.memory.load(&read_only.disk, 8, 4096, 4096).await.is_ok());
    });
}
