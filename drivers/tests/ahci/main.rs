//! The AHCI driver against a model of the HBA and its disks, in the executor's simulator: virtual time, interrupts and
//! completions in the middle of everything, and faults of all kinds.

mod ata;
mod bench;
#[path = "../disk/mod.rs"]
mod disk;
mod faults;
mod model;
mod workload;

use std::sync::Arc;

use ata::Model;
use bench::Bench;
use disk::{SECTOR, micros, pattern, simulate};
use drivers::block::{BlockError, Request};
use executor::{JoinSet, sleep};

#[test]
fn every_kind_of_disk_reads_and_writes() {
    let large = Model { logical_sector: 4096, sectors: 512, ..Model::default() };
    let plain = Model { has_ncq: false, has_fua: false, has_cache: false, ..Model::default() };
    let models = [Model::default(), Model::old(), large, plain];
    simulate(10, |cpus| {
        let models = models.clone();
        async move {
            let bench = Bench::start(cpus, &models).await;
            for port in 0..models.len() as u32 {
                let disk = bench.attached(port).await;
                let geometry = disk.geometry().clone();
                assert_eq!(geometry.sectors, 4096);
                assert_eq!(geometry.logical_sector as usize, models[port as usize].logical_sector);
                assert_eq!((&*geometry.model, &*geometry.serial), ("RUSK MODEL DISK", "RUSK0001"));
                assert_eq!(geometry.queue_depth, if models[port as usize].has_ncq { 32 } else { 1 });
                let bytes = pattern(64 * SECTOR, port as u8);
                assert_eq!(bench.memory.store(&disk, 1000, &bytes).await, Ok(()));
                assert_eq!(bench.memory.load(&disk, 1000, bytes.len(), 1536).await, Ok(bytes.clone()));
                let image = bench.hba.disk(port as usize, |disk| disk.store.content().to_vec());
                assert_eq!(image[1000 * SECTOR..][..bytes.len()], bytes);
                assert_eq!(disk.submit(Request::flush()).await.0, Ok(()));
                let medium = bench.hba.disk(port as usize, |disk| disk.store.medium());
                assert_eq!(medium[1000 * SECTOR..][..bytes.len()], bytes);
                let forced = pattern(8 * SECTOR, 0x55);
                let request = Request::write_through(2000, bench.memory.filled(&forced, 4096));
                assert_eq!(disk.submit(request).await.0, Ok(()));
                let medium = bench.hba.disk(port as usize, |disk| disk.store.medium());
                assert_eq!(medium[2000 * SECTOR..][..forced.len()], forced);
                let expected =
                    if models[port as usize].has_trim { Ok(()) } else { Err(BlockError::Unsupported) };
                assert_eq!(disk.submit(Request::discard(1000, 64)).await.0, expected);
            }
        }
    });
}

#[test]
fn a_deep_queue_is_used_and_answers_in_any_order() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::default()]).await);
        let disk = bench.attached(0).await;
        bench.hba.disk(0, |disk| disk.faults.slowness = 5_000_000);
        let mut readers = JoinSet::new();
        for number in 0..64u64 {
            let (bench, disk) = (bench.clone(), disk.clone());
            readers.spawn(async move {
                let sector = number * 60;
                let read = bench.memory.load(&disk, sector, 4096, 4096).await.expect("read");
                assert!(
                    (0..4096).all(|index| read[index] == ((sector as usize * SECTOR + index) / 256) as u8)
                );
            });
        }
        readers.join_all().await;
        assert_eq!(bench.hba.with(|state| state.ports[0].deepest), 32);
        assert_eq!(disk.statistics().reads, 64);
    });
}

#[test]
fn what_adjoins_goes_out_as_one() {
    simulate(10, |cpus| async move {
        let bench = Arc::new(Bench::start(cpus, &[Model::old()]).await);
        let disk = bench.attached(0).await;
        let content = pattern(64 * SECTOR, 1);
        // While this is under way, the others gather.
        let first = disk.submit(Request::read(0, bench.memory.filled(&[0; SECTOR], SECTOR)));
        while bench.hba.disk(0, |disk| disk.carried_out.get(&0xc8).copied()).is_none()
            && disk.statistics().commands == 0
        {
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
                disk.submit(Request::write(100 + number, bench.memory.filled(bytes, SECTOR)))
            })
            .collect();
        for write in writes {
            assert_eq!(write.await.0, Ok(()));
        }
        assert_eq!(first.await.0, Ok(()));
        let commands = bench.hba.disk(0, |disk| disk.carried_out[&0xca]);
        assert!(commands < 32, "{commands} commands for 64 sectors in a row");
        let statistics = disk.statistics();
        assert_eq!(statistics.commands + statistics.merged, 65);
        assert_eq!(bench.memory.load(&disk, 100, content.len(), 4096).await, Ok(content));
    });
}

#[test]
fn impossible_requests_are_refused() {
    simulate(1, |cpus| async move {
        let large = Model { logical_sector: 4096, sectors: 512, has_trim: false, ..Model::default() };
        let bench = Bench::start(cpus, &[Model::default(), large]).await;
        let (disk, large) = (bench.attached(0).await, bench.attached(1).await);
        let buffers = |bytes: usize| bench.memory.filled(&vec![0; bytes], 4096);
        let (invalid, outside) = (BlockError::Invalid, BlockError::OutOfRange);
        for (disk, request, error) in [
            (&disk, Request::read(0, buffers(0)), invalid),
            (&disk, Request::read(0, buffers(100)), invalid),
            (&disk, Request::read(0, buffers(513)), invalid),
            (&disk, Request::read(0, buffers(4096 * 300)), invalid),
            (&disk, Request::read(4096, buffers(512)), outside),
            (&disk, Request::write(4095, buffers(1024)), outside),
            (&disk, Request::write(u64::MAX, buffers(1024)), outside),
            (&disk, Request::discard(4000, 97), outside),
            (&disk, Request::discard(0, 0), invalid),
            (&large, Request::read(1, buffers(4096)), invalid),
            (&large, Request::read(0, buffers(512)), invalid),
            (&large, Request::discard(0, 8), BlockError::Unsupported),
        ] {
            let owned = request.buffers.len();
            let (result, buffers) = disk.submit(request).await;
            assert_eq!((result, buffers.len()), (Err(error), owned));
        }
        let request = Request { buffers: buffers(512), ..Request::flush() };
        assert_eq!(disk.submit(request).await.0, Err(invalid));
    });
}
