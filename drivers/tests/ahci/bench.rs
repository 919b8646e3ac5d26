//! A driver on a model, in the simulator.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drivers::ahci::{self, Attachment};
use drivers::block::{self, BlockError, Request};
use executor::sim::Simulation;
use executor::{Builder, Lane, sleep};

use crate::ata::{Disk, Model};
use crate::memory::{Memory, Piece};
use crate::model::Hba;

pub type BlockDisk = block::Disk<Piece>;

/// What was found at a port, as text, and the disk if it was one.
pub type Found = (String, Option<Arc<BlockDisk>>);

pub struct Bench {
    pub memory: Memory,
    pub hba: Hba,
    /// All that was found, by port.
    found: Arc<Mutex<BTreeMap<u32, Vec<Found>>>>,
    tasks: Vec<executor::JoinHandle<()>>,
}

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

impl Bench {
    /// An HBA with these disks.
    pub async fn start(cpus: usize, models: &[Model]) -> Self {
        let bench = Self::assemble(cpus, models, Memory::new(0x1_2345_6000));
        bench.drive().await
    }

    pub fn assemble(cpus: usize, models: &[Model], memory: Memory) -> Self {
        let hba = Hba::new(memory.clone(), cpus, models.len());
        for (port, model) in models.iter().enumerate() {
            hba.with(|state| state.ports[port].disk = Some(Disk::new(model.clone())));
        }
        Self { memory, hba, found: Arc::default(), tasks: Vec::new() }
    }

    /// Starts the driver.
    pub async fn drive(mut self) -> Self {
        let driver =
            ahci::Hba::start(self.hba.clone(), self.memory.clone()).await.expect("the model is sound");
        let driver = Arc::new(driver);
        let handler = driver.clone();
        self.hba.connect(move || {
            handler.on_interrupt();
        });
        for port in driver.ports() {
            let (driver, found) = (driver.clone(), self.found.clone());
            let note = move |attachment| {
                let entry = match attachment {
                    Attachment::Disk(disk) => ("disk".into(), Some(disk)),
                    Attachment::Empty => ("empty".into(), None),
                    Attachment::Other(kind) => (kind.to_string(), None),
                    Attachment::Broken(error) => (error.to_string(), None),
                };
                found.lock().expect("whole").entry(port).or_default().push(entry);
            };
            let task = async move { driver.run::<Piece>(port, note).await };
            self.tasks.push(Builder::new().name("ahci").lane(Lane::Driver).spawn(task));
        }
        self
    }

    /// The drivers are dropped.
    pub fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.cancel();
        }
    }

    /// What was found at a port the `number`th time.
    pub async fn found(&self, port: u32, number: usize) -> Found {
        loop {
            let found = self.found.lock().expect("whole").get(&port).and_then(|all| all.get(number)).cloned();
            match found {
                Some(found) => return found,
                None => sleep(micros(100)).await,
            }
        }
    }

    /// The first disk at a port.
    pub async fn attached(&self, port: u32) -> Arc<BlockDisk> {
        let (what, disk) = self.found(port, 0).await;
        disk.unwrap_or_else(|| panic!("no disk: {what}"))
    }

    /// Reads.
    pub async fn read(
        &self,
        disk: &BlockDisk,
        sector: u64,
        bytes: usize,
        cut: usize,
    ) -> Result<Vec<u8>, BlockError> {
        let buffers = self.memory.filled(&vec![0xee; bytes], cut);
        let (result, buffers) = disk.submit(Request::read(sector, buffers)).await;
        result.map(|()| buffers.iter().flat_map(Piece::content).collect())
    }

    /// Writes.
    pub async fn write(&self, disk: &BlockDisk, sector: u64, bytes: &[u8]) -> Result<(), BlockError> {
        disk.submit(Request::write(sector, self.memory.filled(bytes, 4096))).await.0
    }
}
