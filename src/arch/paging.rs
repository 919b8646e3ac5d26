//! Page tables as the processor reads them: entries, tables, CR3 and the TLB.
//!
//! Source: Intel SDM volume 3, chapter 5 ("Paging"). Who maps what is decided elsewhere: the kernel's own half in
//! `arch::boot::tables`, user address spaces in `crate::memory`.

use super::cpu;
pub use super::layout::{PAGE, phys_to_virt};
use bitflags::bitflags;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::control::{Cr4, Cr4Flags};

bitflags! {
    /// The attribute bits of a page-table entry.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        /// The entry maps something.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const WRITABLE = 1 << 1;
        /// User mode may use it.
        const USER = 1 << 2;
        /// Write-through; with `CACHE_DISABLE` it means uncached.
        const WRITE_THROUGH = 1 << 3;
        /// Not cached.
        const CACHE_DISABLE = 1 << 4;
        /// Set by the processor at the first access.
        const ACCESSED = 1 << 5;
        /// Set by the processor at the first write.
        const DIRTY = 1 << 6;
        /// The entry of a directory maps a large (or huge) page instead of a table.
        const LARGE = 1 << 7;
        /// Stays in the TLB when CR3 is loaded.
        const GLOBAL = 1 << 8;
        /// Free for the system's use: bit 9.
        const SOFT_0 = 1 << 9;
        /// Free for the system's use: bit 10.
        const SOFT_1 = 1 << 10;
        /// Free for the system's use: bit 11.
        const SOFT_2 = 1 << 11;
        /// Free for the system's use: bit 52.
        const SOFT_3 = 1 << 52;
        /// Free for the system's use: bit 53.
        const SOFT_4 = 1 << 53;
        /// Instructions are not fetched from here.
        const NO_EXECUTE = 1 << 63;
    }
}

impl Flags {
    /// Attributes of device registers.
    pub const UNCACHED: Self = Self::WRITE_THROUGH.union(Self::CACHE_DISABLE);
}

/// One entry of a page table of any level.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Maps nothing.
    pub const EMPTY: Self = Self(0);
    /// The bits that hold the physical address.
    pub const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

    /// An entry for the frame or table at `physical` (a multiple of 4 KiB).
    pub const fn new(physical: u64, flags: Flags) -> Self {
        Self(physical | flags.bits())
    }

    /// Physical address of the frame or table.
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS_MASK
    }

    /// The attribute bits.
    pub const fn flags(self) -> Flags {
        Flags::from_bits_truncate(self.0)
    }

    /// Whether the processor would use this entry.
    pub const fn is_present(self) -> bool {
        self.0 & Flags::PRESENT.bits() != 0
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x} {:?}", self.address(), self.flags())
    }
}

/// A page-table page, seen through the direct map. Entries are atomics because the processor's page walks read
/// them (and set accessed and dirty bits) at any time.
#[repr(C, align(4096))]
pub struct PageTable(pub [AtomicU64; 512]);

impl PageTable {
    /// The table in the frame at `physical`.
    ///
    /// # Safety
    /// The frame must be a page table (or zeroed memory that becomes one) for as long as `'a`.
    pub unsafe fn at<'a>(physical: u64) -> &'a Self {
        // SAFETY: the direct map shows the frame, which the caller says is a table for 'a; all bit patterns are
        // valid entries, and atomics allow the processor's own accesses.
        unsafe { &*(phys_to_virt(physical) as *const Self) }
    }

    /// Reads an entry. Relaxed: the lock of whoever owns the tables orders accesses by software.
    pub fn get(&self, index: usize) -> Entry {
        Entry(self.0[index].load(Ordering::Relaxed))
    }

    /// Writes an entry. Release: the contents of a table or frame are visible before the entry that leads there,
    /// paired with the page walk of another CPU, which follows addresses in order.
    pub fn set(&self, index: usize, entry: Entry) {
        self.0[index].store(entry.0, Ordering::Release);
    }
}

/// The index of `address` in its table of `level` (0 = page table, 3 = top level).
pub const fn index(address: usize, level: u32) -> usize {
    (address >> (12 + 9 * level)) & 511
}

/// Maps one page of the size that `level` says (0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB), making tables as needed.
///
/// `frame` supplies a frame for a table and is not called when the tables are there; its contents are cleared
/// here. Returns false when it has none.
///
/// # Safety
/// `root` must be the physical address of a top-level table that nobody else changes meanwhile, and mapping
/// `physical` there must break nothing that relies on what was mapped before.
pub unsafe fn map(
    root: u64,
    address: usize,
    physical: u64,
    level: u32,
    flags: Flags,
    mut frame: impl FnMut() -> Option<u64>,
) -> bool {
    let mut table = root;
    for depth in (level + 1..4).rev() {
        // SAFETY: `table` is the root or was read from a present entry of a table under it.
        let page = unsafe { PageTable::at(table) };
        let slot = index(address, depth);
        let entry = page.get(slot);
        table = if entry.is_present() {
            entry.address()
        } else {
            let Some(new) = frame() else { return false };
            // SAFETY: a frame that was just handed to us, one page long, seen through the direct map.
            unsafe { core::ptr::write_bytes(phys_to_virt(new) as *mut u8, 0, PAGE) };
            page.set(slot, Entry::new(new, Flags::PRESENT | Flags::WRITABLE));
            new
        };
    }
    let large = if level == 0 { Flags::empty() } else { Flags::LARGE };
    // SAFETY: as in the loop.
    let page = unsafe { PageTable::at(table) };
    page.set(index(address, level), Entry::new(physical, flags | large));
    true
}

/// Physical address of the kernel's own top-level table: its upper half is part of every address space, its
/// lower half is empty.
pub(super) static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);

/// Physical address of the kernel's own top-level table. An address space starts as a copy of its upper half.
pub fn kernel_root() -> u64 {
    // Relaxed: written once before the other CPUs start.
    KERNEL_ROOT.load(Ordering::Relaxed)
}

/// Records the kernel's table; once, during start-up.
pub(super) fn set_kernel_root(root: u64) {
    KERNEL_ROOT.store(root, Ordering::Relaxed);
}

/// The kernel's own address space, no user part.
pub fn activate_kernel() {
    // SAFETY: the kernel's table maps everything that the kernel uses.
    unsafe { load_root(kernel_root(), 0, false) }
}

/// Loads a top-level table. `pcid` tags its TLB entries (0 where the CPU has no PCIDs or the kernel's table is
/// meant); with `keep`, entries tagged so from an earlier load stay valid. Without PCIDs all but global entries go.
///
/// # Safety
/// The table's upper half must be a copy of the kernel's. With `keep`, whoever changed the tables since must have
/// flushed this tag here.
#[inline]
pub unsafe fn load_root(root: u64, pcid: u16, keep: bool) {
    let mut value = root | u64::from(pcid);
    if keep && cpu::features().pcid {
        value |= 1 << 63;
    }
    // SAFETY: the caller's promise; kernel code and data stay where they are.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// The physical address and tag in CR3.
#[inline]
pub fn loaded_root() -> u64 {
    let value: u64;
    // SAFETY: reading CR3 has no side effects.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Forgets one page of the active address space on this CPU.
#[inline]
pub fn flush_page(address: usize) {
    // SAFETY: dropping a cached translation is always allowed.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Forgets everything but global entries of the active address space on this CPU.
#[inline]
pub fn flush_all() {
    let root = loaded_root();
    // SAFETY: the same table again; bit 63 is clear when read, so the load flushes.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// Forgets everything on this CPU: global entries, too, and those of all tags (Intel SDM volume 3, section 5.10.4.1).
pub fn flush_everything() {
    let flags = Cr4::read();
    // SAFETY: the flag says whether global entries outlive a load of CR3, and is as before at the end.
    unsafe {
        Cr4::write(flags - Cr4Flags::PAGE_GLOBAL);
        Cr4::write(flags);
    }
}
