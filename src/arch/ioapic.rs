//! The I/O APICs: which CPU gets a device's interrupt line, and with which vector. Source: Intel 82093AA data
//! sheet.

use super::acpi::{self, IoApic};
use super::apic;
use super::interrupts::{self, Error, Handler, Source, Wiring};
use super::layout::phys_to_virt;
use spin::Mutex;
use x86_64::instructions::port::Port;

const VERSION: u32 = 0x01;
const REDIRECTION_TABLE: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// Held while an index and a data register are used as a pair. Never taken in handlers.
static REGISTERS: Mutex<()> = Mutex::new(());

fn read(io: &IoApic, register: u32) -> u32 {
    let base = phys_to_virt(io.address) as *mut u32;
    // SAFETY: the I/O APIC's index and data registers, mapped uncached in the direct map.
    unsafe {
        base.write_volatile(register);
        base.byte_add(0x10).read_volatile()
    }
}

fn write(io: &IoApic, register: u32, value: u32) {
    let base = phys_to_virt(io.address) as *mut u32;
    // SAFETY: as in `read`; callers write redirection entries only.
    unsafe {
        base.write_volatile(register);
        base.byte_add(0x10).write_volatile(value);
    }
}

/// Lines that an I/O APIC has.
fn lines(io: &IoApic) -> u32 {
    (read(io, VERSION) >> 16 & 0xff) + 1
}

/// Masks every line, and the legacy interrupt controllers altogether.
pub(super) fn init() {
    // SAFETY: the two legacy controllers: initialised so that a spurious interrupt of theirs has a vector of its
    // own (0x20 to 0x2f), then all lines masked.
    unsafe {
        for (port, value) in [
            (0x20, 0x11_u8),
            (0xa0, 0x11),
            (0x21, 0x20),
            (0xa1, 0x28),
            (0x21, 0x04),
            (0xa1, 0x02),
            (0x21, 0x01),
            (0xa1, 0x01),
            (0x21, 0xff),
            (0xa1, 0xff),
        ] {
            Port::new(port).write(value);
        }
    }
    let _guard = REGISTERS.lock();
    for io in acpi::machine().io_apics.iter() {
        for line in 0..lines(io) {
            write(io, REDIRECTION_TABLE + 2 * line, MASKED);
        }
    }
}

/// Routes ISA interrupt `irq` (4 is the first serial port) of the device `name` to `handler` on the CPU that calls this;
/// returns the vector.
///
/// # Errors
/// When no vector is free or no I/O APIC has the line.
pub fn route_isa(irq: u8, name: &'static str, handler: Handler) -> Result<u8, Error> {
    let special = acpi::machine().overrides.iter().find(|special| special.irq == irq);
    let (line, flags) = special.map_or((u32::from(irq), 0), |special| (special.line, special.flags));
    const POLARITY_LOW: u16 = 3;
    const TRIGGER_LEVEL: u16 = 3 << 2;
    let wiring = Wiring::Line { line, is_level: flags & (3 << 2) == TRIGGER_LEVEL };
    let polarity = if flags & 3 == POLARITY_LOW { ACTIVE_LOW } else { 0 };
    let _guard = REGISTERS.lock();
    let io = acpi::machine()
        .io_apics
        .iter()
        .find(|io| (io.first_line..io.first_line + lines(io)).contains(&line))
        .ok_or(Error::NoSuchLine)?;
    let vector = interrupts::register_any(Source { wiring, name }, handler)?;
    let register = REDIRECTION_TABLE + 2 * (line - io.first_line);
    let trigger = if matches!(wiring, Wiring::Line { is_level: true, .. }) { LEVEL } else { 0 };
    write(io, register + 1, apic::id() << 24);
    write(io, register, u32::from(vector) | polarity | trigger);
    Ok(vector)
}
