//! Physical memory, and what is in it when the kernel starts.

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind, Optional};
use std::sync::OnceLock;

/// Bytes of physical memory.
const MEMORY: usize = 16 << 20;
/// Where the archive of files is.
const ARCHIVE: usize = 14 << 20;

/// Where things are.
pub mod layout {
    pub const USER_END: usize = 0x0000_7fff_ffff_f000;
    pub const PAGE: usize = 4096;
    pub const LARGE_PAGE: usize = 2 << 20;
    pub const SCATTERED: usize = 0xffff_d000_0000_0000;
    pub const DEVICES: usize = 0xffff_e000_0000_0000;

    /// Where this process has the simulated memory.
    pub fn phys_to_virt(physical: u64) -> usize {
        super::base() + physical as usize
    }
}

/// Whole pages.
pub mod mem {
    /// # Safety
    /// As the kernel's.
    pub unsafe fn clear_page(page: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { page.write_bytes(0, 4096) }
    }

    /// # Safety
    /// As the kernel's.
    pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
        // SAFETY: the caller's promise.
        unsafe { to.copy_from_nonoverlapping(from, 4096) }
    }
}

/// Address of the simulated memory.
fn base() -> usize {
    static BASE: OnceLock<usize> = OnceLock::new();
    *BASE.get_or_init(|| {
        let layout = std::alloc::Layout::from_size_align(MEMORY, 2 << 20).expect("a valid layout");
        // SAFETY: not empty.
        unsafe { std::alloc::alloc_zeroed(layout) }.expose_provenance()
    })
}

/// What a boot loader hands over, with this archive of files. Once in a process.
pub fn boot(archive: &[u8]) -> &'static mut BootInfo {
    assert!(archive.len() <= MEMORY - ARCHIVE, "the archive is too large");
    let start = layout::phys_to_virt(ARCHIVE as u64);
    // SAFETY: it fits, and nobody else knows the memory yet.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<u8>(start)
            .copy_from_nonoverlapping(archive.as_ptr(), archive.len());
    }
    let region = |start, end, kind| MemoryRegion { start, end, kind };
    let map = Box::leak(Box::new([
        region(1 << 20, ARCHIVE as u64, MemoryRegionKind::Usable),
        region(ARCHIVE as u64, MEMORY as u64, MemoryRegionKind::Bootloader),
    ]));
    let mut info = BootInfo::new(map.as_mut_slice().into());
    info.ramdisk_addr = Optional::Some(start as u64);
    info.ramdisk_len = archive.len() as u64;
    Box::leak(Box::new(info))
}
