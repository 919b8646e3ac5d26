//! A driver on a model, in the simulator.

use std::sync::Arc;

use drivers::virtio::Transport;
use drivers::virtio_blk::{BringUpError, Driver};
use executor::sync::oneshot;
use executor::{Builder, JoinHandle, Lane};

use crate::device::{Device, NOTIFY_MULTIPLIER, Part, Window};
use crate::disk::BlockDisk;
use crate::disk::memory::{Memory, Piece};
use crate::requests::Model;

pub struct Bench {
    pub memory: Memory,
    pub device: Device,
    pub disk: Arc<BlockDisk>,
    task: Option<JoinHandle<()>>,
}

impl Bench {
    /// A disk that works.
    pub async fn start(cpus: usize, model: Model) -> Self {
        let memory = Memory::new(0x1_2345_6000);
        let device = Device::new(memory.clone(), cpus, model);
        Self::drive(memory, device).await.expect("the model is sound")
    }

    /// Starts the driver.
    pub async fn drive(memory: Memory, device: Device) -> Result<Self, BringUpError> {
        let window = |part| Window { device: device.clone(), part };
        let (common, notify, disk) = (window(Part::Common), window(Part::Notify), window(Part::Disk));
        let transport = Transport::new(common, notify, NOTIFY_MULTIPLIER, disk);
        let (driver, interrupt) = Driver::new(transport, memory.clone());
        device.connect(move || interrupt.raise());
        let (found, outcome) = oneshot::channel();
        let run = async move {
            driver.run::<Piece>(move |outcome| drop(found.send(outcome))).await;
        };
        let task = Builder::new().name("virtio disk").lane(Lane::Driver).spawn(run);
        let disk = outcome.await.expect("it tells")?;
        Ok(Self { memory, device, disk, task: Some(task) })
    }

    /// The driver is dropped.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.cancel();
        }
    }
}
