//! Finding everything that is on the buses.

use super::{ConfigRegionAccess, Function, HeaderType, PciAddress};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use pci_types::{PciHeader, PciPciBridgeHeader};

const DEVICES: u8 = 32;
const FUNCTIONS: u8 = 8;

/// All functions on the first of `buses` and behind its bridges, as far as `buses` goes; sorted by address. Nobody may be
/// using any of them.
pub fn scan<A: ConfigRegionAccess>(access: &A, buses: RangeInclusive<u8>) -> Vec<Function> {
    let mut found = Vec::new();
    // Each bus once, whatever the bridges say.
    let mut is_known = [false; 256];
    let mut waiting = Vec::from([*buses.start()]);
    while let Some(bus) = waiting.pop() {
        if !buses.contains(&bus) || core::mem::replace(&mut is_known[usize::from(bus)], true) {
            continue;
        }
        for device in 0..DEVICES {
            for function in 0..functions(access, bus, device) {
                let address = PciAddress::new(0, bus, device, function);
                let Some(function) = Function::read(access, address) else { continue };
                waiting.extend(bus_behind(access, &function));
                found.push(function);
            }
        }
    }
    found.sort_unstable_by_key(|function| function.address);
    found
}

/// How many functions a device may have.
fn functions<A: ConfigRegionAccess>(access: &A, bus: u8, device: u8) -> u8 {
    let first = PciHeader::new(PciAddress::new(0, bus, device, 0));
    match first.id(access) {
        (0xffff, _) => 0,
        _ if first.has_multiple_functions(access) => FUNCTIONS,
        _ => 1,
    }
}

fn bus_behind<A: ConfigRegionAccess>(access: &A, function: &Function) -> Option<u8> {
    if function.kind != HeaderType::PciPciBridge {
        return None;
    }
    let bridge = PciPciBridgeHeader::from_header(PciHeader::new(function.address), access)?;
    Some(bridge.secondary_bus_number(access))
}
