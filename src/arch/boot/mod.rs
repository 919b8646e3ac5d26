//! From the loader to `kernel_main`.
//!
//! ```text
//! loader ─▶ pvh (32-bit stub, early tables) ─▶ start: memory map, page tables, descriptor tables
//!        ─▶ on the guarded stack: ACPI, interrupt controllers, clocks ─▶ crate::kernel_main(boot info, command line)
//! ```
//!
//! The hand-off is `bootloader_api::BootInfo`, so that another loader's entry can join at the same place.

mod memory_map;
mod pvh;
mod tables;

use super::layout::{DIRECT_MAP, Image, PAGE, phys_to_virt};
use super::{
    acpi, apic, clock, console, cpu, descriptors, ioapic, mem, paging, percpu, smp, stacks, timer, uaccess,
    user,
};
use crate::command_line::Options;
use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegions, Optional};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use memory_map::MemoryMap;
use pvh::{MapEntry, Module, StartInfo};

/// The longest command line that is kept, as Linux's.
const COMMAND_LINE: usize = 2048;

/// What is known about the machine while it starts.
struct Boot {
    memory: MemoryMap,
    command_line: [u8; COMMAND_LINE],
    command_line_len: usize,
    rsdp: Option<u64>,
    ramdisk: Option<(u64, u64)>,
    info: MaybeUninit<BootInfo>,
}

/// Touched by the boot CPU only, one function at a time.
struct Static(UnsafeCell<Boot>);

// SAFETY: other CPUs do not exist yet when this is used.
unsafe impl Sync for Static {}

static BOOT: Static = Static(UnsafeCell::new(Boot {
    memory: MemoryMap::new(),
    command_line: [0; COMMAND_LINE],
    command_line_len: 0,
    rsdp: None,
    ramdisk: None,
    info: MaybeUninit::uninit(),
}));

/// The first Rust function: on the early stack and page tables, `start_info` being the physical address of the
/// loader's information.
unsafe extern "sysv64" fn start(start_info: u32) -> ! {
    console::init();
    cpu::detect();
    // A panic says on which CPU it is.
    percpu::init(0);
    // SAFETY: only the boot CPU runs, and nothing else holds a reference yet.
    let boot = unsafe { &mut *BOOT.0.get() };
    // SAFETY: the loader's structures lie below 4 GiB, which the early tables show in the direct map; nothing has
    // overwritten them.
    let loader_map = unsafe { read_start_info(boot, start_info) };
    if !cpu::features().smap {
        // SAFETY: once, alone, and the early tables map code writable.
        unsafe { uaccess::patch_smap() };
    }
    cpu::init_efer();
    let root = tables::build(&mut boot.memory, loader_map);
    stacks::map(root, 0, || boot.memory.early_frame());
    paging::set_kernel_root(root);
    paging::activate_kernel();
    descriptors::init_idt();
    init_cpu(0);
    mem::init();
    // SAFETY: the stack was just mapped; nothing on the old one is used again.
    unsafe {
        asm!("mov rsp, {stack}", "xor ebp, ebp", "push 0", "jmp {continue_}",
            stack = in(reg) stacks::main_stack_top(0), continue_ = sym start_on_guarded_stack, options(noreturn));
    }
}

/// What each CPU sets up for itself, on the kernel's page tables.
pub(super) fn init_cpu(cpu: usize) {
    percpu::init(cpu);
    descriptors::load(cpu);
    cpu::init_efer();
    cpu::init_control_registers();
    cpu::init_number(cpu);
    user::init_syscalls();
}

/// The second half, with all exceptions reported.
unsafe extern "sysv64" fn start_on_guarded_stack() -> ! {
    // SAFETY: `start` is done with its reference.
    let boot = unsafe { &mut *BOOT.0.get() };
    // SAFETY: written by `start`, not changed again.
    let command_line: &'static str =
        str_prefix(unsafe { core::slice::from_raw_parts(boot.command_line.as_ptr(), boot.command_line_len) });
    // First of all: they say what is printed.
    let options = Options::new(command_line);
    options.apply_early();
    log::info!("command line: {command_line}");

    acpi::init(boot.rsdp);
    apic::init();
    ioapic::init();
    clock::init();
    timer::init();
    for cpu in 1..smp::plan(options.cpus().unwrap_or(cpu::MAX_CPUS)) {
        stacks::map(paging::kernel_root(), cpu, || boot.memory.early_frame());
    }

    let image = Image::current();
    let regions: &'static mut [MemoryRegion] = boot.memory.finish();
    let mut info = BootInfo::new(MemoryRegions::from(regions));
    info.physical_memory_offset = Optional::Some(DIRECT_MAP as u64);
    info.rsdp_addr = boot.rsdp.into();
    // As bootloaders do, the ramdisk's address is virtual: where the direct map shows it.
    info.ramdisk_addr = boot.ramdisk.map(|(address, _)| phys_to_virt(address) as u64).into();
    info.ramdisk_len = boot.ramdisk.map_or(0, |(_, len)| len);
    info.kernel_addr = image.physical_start();
    info.kernel_len = image.physical_end() - image.physical_start();
    info.kernel_image_offset = image.text.0 as u64;
    info.kernel_stack_bottom = (stacks::main_stack_top(0) - stacks::MAIN_STACK) as u64;
    info.kernel_stack_len = stacks::MAIN_STACK as u64;
    super::interrupts::enable();
    crate::kernel_main(boot.info.write(info), options)
}

/// Takes over what the loader left and returns its memory map.
///
/// # Safety
/// `address` must be what a PVH loader passed, and the memory it describes unchanged.
unsafe fn read_start_info(boot: &mut Boot, address: u32) -> &'static [MapEntry] {
    // SAFETY: the caller's promise.
    let info = unsafe { &*(phys_to_virt(u64::from(address)) as *const StartInfo) };
    assert_eq!(info.magic, StartInfo::MAGIC, "not started by a PVH loader");
    assert!(info.version >= 1 && info.memory_map_entries > 0, "the loader gives no memory map");
    // SAFETY: the caller's promise; the loader says how many entries there are.
    let map: &'static [MapEntry] = unsafe {
        core::slice::from_raw_parts(
            phys_to_virt(info.memory_map) as *const MapEntry,
            info.memory_map_entries as usize,
        )
    };
    boot.memory.add_all(map);
    // Never handed out: address 0 means "nothing" in too many places, and the BIOS's data is there.
    boot.memory.reserve(0..PAGE as u64);
    let image = Image::current();
    boot.memory.reserve(image.physical_start()..image.physical_end());
    if info.modules > 0 {
        // SAFETY: the caller's promise; the first module is the initial ramdisk.
        let module = unsafe { &*(phys_to_virt(info.module_list) as *const Module) };
        boot.memory.reserve(module.address..module.address + module.size);
        boot.ramdisk = Some((module.address, module.size));
    }
    smp::set_start_page(boot.memory.reserve_low_page());
    boot.rsdp = (info.rsdp != 0).then_some(info.rsdp);
    if info.command_line != 0 {
        let text = phys_to_virt(info.command_line) as *const u8;
        while boot.command_line_len < COMMAND_LINE {
            // SAFETY: the caller's promise: the text ends with a NUL, which has not come yet.
            match unsafe { *text.add(boot.command_line_len) } {
                0 => break,
                byte => boot.command_line[boot.command_line_len] = byte,
            }
            boot.command_line_len += 1;
        }
    }
    map
}

/// The longest prefix of `bytes` that is text.
fn str_prefix(bytes: &'static [u8]) -> &'static str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
