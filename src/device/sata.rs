//! SATA disks: host bus adapters that speak AHCI, and a task for each of their ports.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use drivers::{
    ahci::{Attachment, Hba},
    block::Disk as DrivenDisk,
    pci::{Bar, Class, Function},
};
use executor::{Builder, Lane, sync::oneshot};

use super::{bus::Bus, disk, message};
use crate::memory::{DmaMemory, DmaPiece, Registers};

/// Mass storage, SATA, AHCI 1.0.
const AHCI: Class = Class { base: 1, sub: 6, interface: 1 };
/// The base address register of an HBA's registers (AHCI 2.1.11).
const REGISTERS: usize = 5;

type Adapter = Hba<Registers, DmaMemory>;
type FoundDisk = Arc<DrivenDisk<DmaPiece>>;

/// Starts the drivers of all adapters, and makes the disks known that are plugged in now, in the order of the ports.
pub(super) async fn start(bus: &'static Bus) {
    let mut ports = Vec::new();
    for function in bus.functions().iter().filter(|function| function.class == AHCI) {
        match start_adapter(bus, function).await {
            Ok(adapter) => ports.extend(adapter.ports().map(|port| run_port(&adapter, port))),
            Err(why) => log::warn!("ahci {}: {why}", function.address),
        }
    }
    for first in ports {
        if let Ok(Some(disk)) = first.await {
            disk::make_known(&disk::SCSI, disk).await;
        }
    }
}

async fn start_adapter(bus: &'static Bus, function: &Function) -> Result<Arc<Adapter>, String> {
    let Some(Bar::Memory { address: address @ 1.., size, .. }) = function.bars[REGISTERS] else {
        return Err(String::from("it has no registers"));
    };
    let registers = Registers::map(address, size as usize).ok_or("its registers cannot be mapped")?;
    function.enable(bus.config());
    let adapter = Hba::start(registers, DmaMemory).await.map_err(|error| format!("{error}"))?;
    let adapter = Arc::new(adapter);
    let heard = adapter.clone();
    let name = format!("ahci[{}]", function.address);
    let handler = move || {
        heard.on_interrupt();
    };
    message::attach(bus, function, name, handler).map_err(|error| format!("{error}"))?;
    Ok(adapter)
}

/// Starts a port's task. What it gives is the disk that is there from the start, if there is one.
fn run_port(adapter: &Arc<Adapter>, port: u32) -> oneshot::Receiver<Option<FoundDisk>> {
    let (first, answer) = oneshot::channel();
    let mut first = Some(first);
    let found = move |attachment: Attachment<DmaPiece>| {
        // The driver itself tells of what it does not drive.
        let disk = match attachment {
            Attachment::Disk(disk) => Some(disk),
            Attachment::Empty | Attachment::Other(_) | Attachment::Broken(_) => None,
        };
        match (first.take(), disk) {
            (Some(first), disk) => drop(first.send(disk)),
            // Plugged in later.
            (None, Some(disk)) => {
                let _ = executor::try_spawn(disk::make_known(&disk::SCSI, disk))
                    .map(executor::JoinHandle::detach);
            }
            (None, None) => {}
        }
    };
    let adapter = adapter.clone();
    Builder::new()
        .name("ahci port")
        .lane(Lane::Driver)
        .spawn(async move { adapter.run::<DmaPiece>(port, found).await })
        .detach();
    answer
}
