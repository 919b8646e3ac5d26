//! What is on the PCI buses.

use alloc::vec::Vec;

use conquer_once::spin::OnceCell;
use drivers::pci::{self, Bar, Function, HeaderType};

use crate::{
    arch::pci::{self as access, ConfigSpace},
    memory::Registers,
};

/// The buses of the machine.
pub struct Bus {
    config: ConfigSpace<Registers>,
    functions: Vec<Function>,
}

static BUS: OnceCell<Bus> = OnceCell::uninit();

/// Looks at all of them. Once, before there are drivers and other CPUs.
pub(super) fn scan() {
    let memory = access::in_memory().and_then(|(address, len)| Registers::map(address, len));
    let config = ConfigSpace::new(memory);
    let functions = pci::scan(&config, config.buses());
    log::info!("pci: {} functions", functions.len());
    let _ = BUS.try_init_once(|| Bus { config, functions });
}

/// The buses; None before they were looked at.
pub fn get() -> Option<&'static Bus> {
    BUS.get()
}

impl Bus {
    /// The way to configuration space.
    pub fn config(&self) -> &ConfigSpace<Registers> {
        &self.config
    }

    /// All functions, by address.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Maps `len` bytes of a function's registers, `offset` bytes behind where one of its base address registers leads. None if
    /// they are not there, or cannot be mapped.
    pub fn registers(function: &Function, bar: usize, offset: u64, len: usize) -> Option<Registers> {
        match function.bars.get(bar)?.as_ref()? {
            Bar::Memory { address: address @ 1.., size, .. } if offset.checked_add(len as u64)? <= *size => {
                Registers::map(address.checked_add(offset)?, len)
            }
            _ => None,
        }
    }

    /// The bridge that a function is behind.
    pub fn bridge_to(&self, function: &Function) -> Option<&Function> {
        self.functions.iter().find(|bridge| {
            bridge.kind == HeaderType::PciPciBridge
                && bridge.address != function.address
                && self.word(bridge, 0x18) >> 8 & 0xff == u32::from(function.address.bus())
        })
    }

    /// Bytes of configuration space that each function has.
    pub fn config_len(&self) -> usize {
        self.config.len()
    }

    /// A word of a function's configuration space.
    pub fn word(&self, function: &Function, offset: u16) -> u32 {
        self.config.word(function.address, offset)
    }
}
