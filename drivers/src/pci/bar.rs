//! Base address registers: where a function's registers are.

use super::{ConfigRegionAccess, PciAddress};
use pci_types::{CommandRegister, HeaderType, PciHeader};

/// Most base address registers that a function has.
pub const BARS: usize = 6;

/// The configuration register of the first one.
const FIRST: u16 = 0x10;

/// A window of addresses that a function listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Memory addresses.
    Memory {
        /// The first one; zero if the firmware has given none.
        address: u64,
        /// How many, a power of two.
        size: u64,
        /// Whether it may be anywhere, or below 4 GiB only.
        is_wide: bool,
        /// Whether reading has no effects.
        is_prefetchable: bool,
    },
    /// I/O ports.
    Ports {
        /// The first one.
        first: u32,
        /// How many, a power of two.
        count: u32,
    },
}

/// Reads all of a function's. It listens to nothing meanwhile, so nobody may be using it.
pub(super) fn read_all<A: ConfigRegionAccess>(
    access: &A,
    address: PciAddress,
    kind: HeaderType,
) -> [Option<Bar>; BARS] {
    let slots = match kind {
        HeaderType::Endpoint => BARS,
        HeaderType::PciPciBridge => 2,
        _ => 0,
    };
    let mut bars = [None; BARS];
    let mut header = PciHeader::new(address);
    let before = header.command(access);
    header.update_command(access, |command| {
        command - (CommandRegister::IO_ENABLE | CommandRegister::MEMORY_ENABLE)
    });
    let mut slot = 0;
    while slot < slots {
        let (bar, taken) = read(access, address, slot, slots);
        bars[slot] = bar;
        slot += taken;
    }
    header.update_command(access, |_| before);
    bars
}

/// What a register says, and what it answers to all ones: the bits that it decodes.
fn probe<A: ConfigRegionAccess>(access: &A, address: PciAddress, slot: usize) -> (u32, u32) {
    let register = FIRST + 4 * slot as u16;
    // SAFETY: a base address register of a function that listens to nothing; its value is put back.
    unsafe {
        let value = access.read(address, register);
        access.write(address, register, !0);
        let mask = access.read(address, register);
        access.write(address, register, value);
        (value, mask)
    }
}

/// The window that begins with a register, and how many registers it takes.
fn read<A: ConfigRegionAccess>(
    access: &A,
    address: PciAddress,
    slot: usize,
    slots: usize,
) -> (Option<Bar>, usize) {
    let (value, mask) = probe(access, address, slot);
    if value & 1 != 0 {
        // Devices may leave the upper half out, as there are 65,536 ports.
        let decoded = mask & !0b11 | 0xffff_0000;
        let bar =
            (mask & 0xfffc != 0).then(|| Bar::Ports { first: value & !0b11, count: decoded.wrapping_neg() });
        return (bar, 1);
    }
    let (mut base, mut decoded) = (u64::from(value & !0xf), u64::from(mask & !0xf));
    let is_wide = match value >> 1 & 0b11 {
        0b00 => false,
        0b10 if slot + 1 < slots => true,
        // Below 1 MiB, of old; or reserved; or half a wide one. Nobody has such.
        _ => return (None, 1),
    };
    if is_wide {
        let (value, mask) = probe(access, address, slot + 1);
        base |= u64::from(value) << 32;
        decoded |= u64::from(mask) << 32;
    } else {
        decoded |= 0xffff_ffff_0000_0000;
    }
    let size = decoded.wrapping_neg();
    let is_there = mask != 0 && size.is_power_of_two();
    let is_prefetchable = value & 0b1000 != 0;
    let bar = is_there.then_some(Bar::Memory { address: base, size, is_wide, is_prefetchable });
    (bar, 1 + usize::from(is_wide))
}
