//! PCI configuration space: in memory where the firmware says where, or else by two ports.
//!
//! Sources: PCI Express Base Specification 3.0, 7.2 (memory), PCI Local Bus Specification 3.0, 3.2.2.3.2 (ports).

use super::acpi::{self, PciConfig};
use core::ops::RangeInclusive;
use drivers::dma::Mmio;
use drivers::pci::{ConfigRegionAccess, PciAddress};
use spin::Mutex;
use x86_64::instructions::port::Port;

/// Bytes of a function's space in memory.
const SPACE: usize = 4096;

/// The way to configuration space.
pub enum ConfigSpace<M> {
    /// All of it, in memory; bus 0's, or where it would be, comes first.
    Memory(M, RangeInclusive<u8>),
    /// The first 256 bytes of each function's, by ports.
    Ports,
}

/// Held between the two ports. Never taken in handlers.
static PORTS: Mutex<()> = Mutex::new(());

/// Where it is in memory: physical address and length.
pub fn in_memory() -> Option<(u64, usize)> {
    let PciConfig { address, last_bus, .. } = acpi::machine().pci?;
    Some((address, (usize::from(last_bus) + 1) << 20))
}

impl<M: Mmio> ConfigSpace<M> {
    /// The way by the memory that [`in_memory`] names.
    pub fn new(memory: Option<M>) -> Self {
        match (memory, acpi::machine().pci) {
            (Some(memory), Some(pci)) => Self::Memory(memory, pci.first_bus..=pci.last_bus),
            _ => Self::Ports,
        }
    }

    /// The buses that it reaches.
    pub fn buses(&self) -> RangeInclusive<u8> {
        match self {
            Self::Memory(_, buses) => buses.clone(),
            Self::Ports => 0..=255,
        }
    }

    /// A word of a function's.
    pub fn word(&self, address: PciAddress, offset: u16) -> u32 {
        // SAFETY: a read has no effects, as far as the specification goes.
        unsafe { self.read(address, offset) }
    }

    /// Bytes that each function has.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(..) => SPACE,
            Self::Ports => 256,
        }
    }
}

fn in_bus(address: PciAddress) -> usize {
    usize::from(address.device()) << 3 | usize::from(address.function())
}

/// Runs `access` on the data port, which then stands for a register; None for one that has no port.
fn by_ports<T>(address: PciAddress, offset: u16, access: impl FnOnce(&mut Port<u32>) -> T) -> Option<T> {
    const ENABLE: u32 = 1 << 31;
    if offset >= 256 {
        return None;
    }
    let selected =
        ENABLE | u32::from(address.bus()) << 16 | (in_bus(address) as u32) << 8 | u32::from(offset & 0xfc);
    let _guard = PORTS.lock();
    // SAFETY: the address port selects what the data port stands for; nobody else uses the two meanwhile.
    unsafe { Port::new(0xcf8).write(selected) };
    Some(access(&mut Port::new(0xcfc)))
}

impl<M: Mmio> ConfigRegionAccess for ConfigSpace<M> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        match self {
            Self::Memory(memory, _) => memory.read32(register(address, offset)),
            // SAFETY: the caller says that it may be read.
            Self::Ports => by_ports(address, offset, |data| unsafe { data.read() }).unwrap_or(!0),
        }
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        match self {
            Self::Memory(memory, _) => memory.write32(register(address, offset), value),
            Self::Ports => {
                // SAFETY: the caller says that it may be written.
                by_ports(address, offset, |data| unsafe { data.write(value) });
            }
        }
    }
}

/// Where in memory a register is.
fn register(address: PciAddress, offset: u16) -> usize {
    usize::from(address.bus()) << 20 | in_bus(address) << 12 | usize::from(offset & 0xffc)
}
