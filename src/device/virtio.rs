//! Virtio disks, a task for each.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use drivers::{
    block::Disk as DrivenDisk,
    pci::Function,
    virtio::{Layout, Transport, Window},
    virtio_blk::{self, Driver},
};
use executor::{Builder, Lane, sync::oneshot};

use super::{bus::Bus, disk, message};
use crate::memory::{DmaMemory, DmaPiece, Registers};

/// What becomes of a device: a disk, or why it is none.
type Outcome = Result<Arc<DrivenDisk<DmaPiece>>, String>;

/// Starts the drivers of all disks, and makes the disks known in the order of their addresses.
pub(super) async fn start(bus: &'static Bus) {
    let disks = bus.functions().iter().filter(|function| virtio_blk::is_disk(function));
    let started: Vec<_> = disks.map(|function| (function, start_disk(bus, function))).collect();
    for (function, answer) in started {
        let outcome = match answer {
            Ok(answer) => answer.await.unwrap_or_else(|_| Err(String::from("its driver has ended"))),
            Err(why) => Err(why),
        };
        match outcome {
            Ok(driven) => disk::make_known(&disk::VIRTIO, driven).await,
            Err(why) => log::warn!("virtio-blk {}: {why}", function.address),
        }
    }
}

/// Starts a disk's task, which will tell what it has found.
fn start_disk(bus: &Bus, function: &Function) -> Result<oneshot::Receiver<Outcome>, String> {
    let layout = Layout::find(function, bus.config()).ok_or("it has no interface of version 1")?;
    let map = |window: Window| {
        let registers: Option<Registers> = Bus::registers(function, window.bar, window.offset, window.len);
        registers.ok_or("its registers cannot be mapped")
    };
    let (common, notify, device) = (map(layout.common)?, map(layout.notify)?, map(layout.device)?);
    function.enable(bus.config());
    let transport = Transport::new(common, notify, layout.notify_multiplier, device);
    let (driver, interrupt) = Driver::new(transport, DmaMemory);
    let name = format!("virtio-blk[{}]", function.address);
    message::attach(bus, function, name, move || interrupt.raise()).map_err(|error| format!("{error}"))?;
    let (first, answer) = oneshot::channel();
    let found = move |outcome: Result<_, _>| {
        let _ = first.send(outcome.map_err(|error: virtio_blk::BringUpError| format!("{error}")));
    };
    let task = async move { driver.run::<DmaPiece>(found).await };
    Builder::new().name("virtio disk").lane(Lane::Driver).spawn(task).detach();
    Ok(answer)
}
