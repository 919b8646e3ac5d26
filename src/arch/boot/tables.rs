//! The kernel's own page tables, built once and shared by all address spaces.
//!
//! Nothing in them is both writable and executable: code is read-only, everything else is not executable, and the
//! direct map shows the kernel's code and constants read-only, too. Kernel code and data and the direct map use
//! large pages.

use super::memory_map::MemoryMap;
use super::pvh::MapEntry;
use crate::arch::cpu;
use crate::arch::layout::{
    DIRECT_MAP, DIRECT_MAP_SIZE, HUGE_PAGE, Image, KERNEL_OFFSET, LARGE_PAGE, PAGE, phys_to_virt,
};
use crate::arch::paging::{self, Flags};
use core::ops::Range;

/// The first 4 GiB are mapped whether memory is there or not: the firmware's tables and the chipset's registers
/// are there.
const ALWAYS_MAPPED: u64 = 4 << 30;
const READ: Flags = Flags::PRESENT.union(Flags::GLOBAL);
const READ_ONLY: Flags = READ.union(Flags::NO_EXECUTE);
const READ_WRITE: Flags = READ_ONLY.union(Flags::WRITABLE);

/// Builds the tables in early frames and returns the physical address of the top-level table.
pub(super) fn build(memory: &mut MemoryMap, loader_map: &[MapEntry]) -> u64 {
    let root = memory.early_frame();
    clear(root);
    map_image(root, memory);
    map_low(root, memory, loader_map);
    map_high(root, memory, loader_map);
    root
}

fn clear(frame: u64) {
    // SAFETY: an early frame, ours alone; the early tables show it in the direct map.
    unsafe { core::ptr::write_bytes(phys_to_virt(frame) as *mut u8, 0, PAGE) };
}

/// Maps one page at `address`.
fn map(root: u64, memory: &mut MemoryMap, address: usize, physical: u64, level: u32, flags: Flags) {
    // SAFETY: the table under construction, not loaded yet; the frames for tables are the map's to give.
    let mapped = unsafe { paging::map(root, address, physical, level, flags, || Some(memory.early_frame())) };
    assert!(mapped, "early frames do not run out");
}

fn map_image(root: u64, memory: &mut MemoryMap) {
    let image = Image::current();
    let parts = [
        (image.text.0..image.rodata.0, READ),
        (image.rodata.0..image.data.0, READ_ONLY),
        (image.data.0..image.data.1, READ_WRITE),
    ];
    for (range, flags) in parts {
        for address in range.step_by(LARGE_PAGE) {
            map(root, memory, address, (address - KERNEL_OFFSET) as u64, 1, flags);
        }
    }
}

/// The direct map below 4 GiB, in pages of 2 MiB.
fn map_low(root: u64, memory: &mut MemoryMap, loader_map: &[MapEntry]) {
    let image = Image::current();
    let read_only = image.physical_start()..(image.data.0 - KERNEL_OFFSET) as u64;
    for start in (0..ALWAYS_MAPPED).step_by(LARGE_PAGE) {
        let chunk = start..start + LARGE_PAGE as u64;
        let flags = if read_only.contains(&start) {
            READ_ONLY
        } else if loader_map.iter().any(|entry| is_memory(entry) && overlaps(entry, &chunk)) {
            READ_WRITE
        } else {
            READ_WRITE | Flags::UNCACHED
        };
        map(root, memory, phys_to_virt(start), start, 1, flags);
    }
}

/// The direct map of the memory above 4 GiB, in pages of 1 GiB where that is possible.
fn map_high(root: u64, memory: &mut MemoryMap, loader_map: &[MapEntry]) {
    let (large, huge) = (LARGE_PAGE as u64, HUGE_PAGE as u64);
    for entry in loader_map.iter().filter(|entry| is_memory(entry)) {
        let end =
            entry.address.saturating_add(entry.size).next_multiple_of(large).min(DIRECT_MAP_SIZE as u64);
        let mut at = (entry.address & !(large - 1)).max(ALWAYS_MAPPED);
        while at < end {
            let level =
                if cpu::features().huge_pages && at.is_multiple_of(huge) && end - at >= huge { 2 } else { 1 };
            map(root, memory, DIRECT_MAP + at as usize, at, level, READ_WRITE);
            at += if level == 2 { huge } else { large };
        }
    }
}

/// Whether the entry is memory: usable, or with the firmware's tables in it.
fn is_memory(entry: &MapEntry) -> bool {
    const USABLE: u32 = 1;
    const ACPI_TABLES: u32 = 3;
    const ACPI_STORAGE: u32 = 4;
    matches!(entry.kind, USABLE | ACPI_TABLES | ACPI_STORAGE)
}

fn overlaps(entry: &MapEntry, range: &Range<u64>) -> bool {
    entry.address < range.end && range.start < entry.address.saturating_add(entry.size)
}
