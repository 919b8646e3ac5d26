//! Rusk: an operating-system kernel whose every activity is an async task.
#![no_std]
#![no_main]

mod arch;

use bootloader_api::BootInfo;

/// Where `arch::boot` hands over: on the boot CPU, with interrupts on.
pub fn kernel_main(boot: &'static mut BootInfo, _command_line: &'static str) -> ! {
    for region in boot.memory_regions.iter() {
        log::info!("memory: {:#012x}..{:#012x} {:?}", region.start, region.end, region.kind);
    }
    arch::power::power_off()
}
