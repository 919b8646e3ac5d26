//! The registers of devices: physical addresses that are no memory, mapped uncached.
//!
//! They have a window of their own, in which addresses are given out once and upwards: devices come when the machine starts
//! and stay. The window's top-level entry is filled at start, so all address spaces see what is mapped later.

use super::{frame, words::Words};
use crate::arch::layout::{DEVICES, LARGE_PAGE};
use crate::arch::paging::{self, Entry, Flags, PAGE, PageTable, index, kernel_root, phys_to_virt};
use alloc::vec::Vec;
use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use core::ops::Range;
use core::ptr::NonNull;
use executor::sync::SpinMutex;

/// Bytes of the window.
const WINDOW_BYTES: usize = 512 << 30;
const FLAGS: Flags = Flags::PRESENT
    .union(Flags::WRITABLE)
    .union(Flags::NO_EXECUTE)
    .union(Flags::GLOBAL)
    .union(Flags::UNCACHED);

struct Window {
    /// The first address that has not been given out.
    next: usize,
    /// Where memory is: no device has registers there.
    memory: Vec<Range<u64>>,
}

/// Held while its page tables change.
static WINDOW: SpinMutex<Window> = SpinMutex::new(Window { next: DEVICES, memory: Vec::new() });

/// Makes the window's first table. Once, before there are address spaces.
///
/// # Panics
/// If there is no memory for it: a machine without memory.
pub(super) fn init(boot: &BootInfo) {
    let usable = boot.memory_regions.iter().filter(|region| region.kind == MemoryRegionKind::Usable);
    WINDOW.lock().memory = usable.map(|region| region.start..region.end).collect();
    let table = cleared_frame().expect("memory for a page table");
    // SAFETY: the kernel's root, whose entry for the window is empty, and a cleared frame of our own.
    unsafe {
        PageTable::at(kernel_root())
            .set(index(DEVICES, 3), Entry::new(table, Flags::PRESENT | Flags::WRITABLE));
    }
}

fn cleared_frame() -> Option<u64> {
    let physical = u64::from(frame::alloc_run(1)?) * PAGE as u64;
    // SAFETY: just allocated, and shown by the direct map.
    unsafe { core::ptr::write_bytes(phys_to_virt(physical) as *mut u8, 0, PAGE) };
    Some(physical)
}

/// Registers of a device.
#[derive(Debug)]
pub struct Registers(Words);

impl Registers {
    /// Maps `len` bytes from the physical address on, which a device or the firmware has named. `None` if there is memory, and
    /// without memory for page tables, or without addresses.
    pub fn map(physical: u64, len: usize) -> Option<Self> {
        let mut window = WINDOW.lock();
        let last = physical.checked_add(len.checked_sub(1)? as u64)?;
        if window.memory.iter().any(|range| range.start <= last && physical < range.end) {
            return None;
        }
        let large = len >= LARGE_PAGE && physical.is_multiple_of(LARGE_PAGE as u64);
        let (level, page) = if large { (1, LARGE_PAGE) } else { (0, PAGE) };
        let first = window.next.next_multiple_of(page);
        let offset = physical as usize % page;
        let end = len.checked_add(offset)?.checked_next_multiple_of(page)?.checked_add(first)?;
        if end > DEVICES + WINDOW_BYTES {
            return None;
        }
        window.next = end;
        let physical = physical - offset as u64;
        for at in (0..end - first).step_by(page) {
            // SAFETY: the window's entries are changed under its lock only, these addresses are nobody's yet, and what they
            // lead to is no memory.
            let mapped = unsafe {
                paging::map(kernel_root(), first + at, physical + at as u64, level, FLAGS, cleared_frame)
            };
            if !mapped {
                return None;
            }
        }
        let first = NonNull::new(core::ptr::with_exposed_provenance_mut(first + offset))?;
        // SAFETY: just mapped, for as long as the kernel runs, and no memory.
        Some(Registers(unsafe { Words::new(first, len) }))
    }
}

impl drivers::dma::Mmio for Registers {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.0.read(offset)
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        self.0.write(offset, value);
    }
}

impl drivers::dma::NarrowMmio for Registers {
    #[inline]
    fn read8(&self, offset: usize) -> u8 {
        self.0.read(offset)
    }

    #[inline]
    fn read16(&self, offset: usize) -> u16 {
        self.0.read(offset)
    }

    #[inline]
    fn write8(&self, offset: usize, value: u8) {
        self.0.write(offset, value);
    }

    #[inline]
    fn write16(&self, offset: usize, value: u16) {
        self.0.write(offset, value);
    }
}
