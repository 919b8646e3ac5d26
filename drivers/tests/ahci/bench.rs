//! A driver on a model, in the simulator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use drivers::ahci::{self, Attachment};
use executor::{Builder, Lane, sleep};

use crate::ata::{Disk, Model};
use crate::disk::memory::{Memory, Piece};
use crate::disk::{BlockDisk, micros};
use crate::model::Hba;

/// What was found at a port, as text, and the disk if it was one.
pub type Found = (String, Option<Arc<BlockDisk>>);

pub struct Bench {
    pub memory: Memory,
    pub hba: Hba,
    /// All that was found, by port.
    found: Arc<Mutex<BTreeMap<u32, Vec<Found>>>>,
    tasks: Vec<executor::JoinHandle<()>>,
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
}
