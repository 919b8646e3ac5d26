//! Ends: power off, reset, and leaving QEMU with a status.

use super::layout::phys_to_virt;
use super::{acpi, interrupts};
use ::acpi::address::AddressSpace;
use core::arch::asm;
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit` device, where the command line has one: a write of `n` ends QEMU with status 2n + 1.
const DEBUG_EXIT: u16 = 0xf4;

/// Turns the machine off (ACPI sleep state S5); stops it where that is not possible.
pub fn power_off() -> ! {
    const SLEEP_TYPE: u16 = 7 << 10;
    const SLEEP_ENABLE: u16 = 1 << 13;
    interrupts::disable();
    if let Some(off) = acpi::machine().soft_off {
        for (port, sleep_type) in [Some(off.a), off.b].into_iter().flatten() {
            let mut control = Port::<u16>::new(port);
            // SAFETY: the PM1 control register (ACPI 6.5, 4.8.3.2); the machine is to go off.
            unsafe {
                let value = control.read() & !SLEEP_TYPE | u16::from(sleep_type) << 10;
                control.write(value | SLEEP_ENABLE);
            }
        }
    }
    halt()
}

/// Resets the machine: by the ACPI reset register, else the chipset's, else the keyboard controller's, else a
/// fault that nobody can handle.
pub fn reboot() -> ! {
    interrupts::disable();
    // SAFETY: registers whose purpose is to reset the machine.
    unsafe {
        if let Some((register, value)) = acpi::machine().reset {
            match register.address_space {
                AddressSpace::SystemIo => Port::new(register.address as u16).write(value),
                AddressSpace::SystemMemory => {
                    (phys_to_virt(register.address) as *mut u8).write_volatile(value);
                }
                _ => {}
            }
        }
        Port::new(0xcf9).write(0x02_u8);
        Port::new(0xcf9).write(0x06_u8);
        Port::new(0x64).write(0xfe_u8);
        let no_table =
            x86_64::structures::DescriptorTablePointer { limit: 0, base: x86_64::VirtAddr::zero() };
        x86_64::instructions::tables::lidt(&no_table);
        asm!("ud2", options(noreturn));
    }
}

/// Ends QEMU with status `2 * value + 1` if it has an `isa-debug-exit` device at port 0xf4; otherwise nothing
/// happens.
pub fn exit_qemu(value: u8) {
    // SAFETY: the port belongs to that device or to nobody.
    unsafe { Port::new(DEBUG_EXIT).write(u32::from(value)) };
}

/// Stops this CPU.
pub fn halt() -> ! {
    loop {
        // SAFETY: nothing is expected of this CPU any more.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
