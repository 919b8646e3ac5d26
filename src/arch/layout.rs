//! Where things are in the kernel's half of the address space.
//!
//! ```text
//! 0x0000_0000_0000_0000 .. USER_END   user space, per process
//! DIRECT_MAP    0xffff_8000_0000_0000  all physical memory, readable and writable, never executable
//! STACKS        0xffff_c000_0000_0000  one slot of stacks with guard pages per CPU
//! SCATTERED     0xffff_d000_0000_0000  large objects of the heap whose frames are not in a row
//! DEVICES       0xffff_e000_0000_0000  registers of devices, uncached
//! KERNEL_OFFSET 0xffff_ffff_8000_0000  the kernel's image, at its physical address plus this
//! ```
//!
//! Each of these begins at a top-level page-table entry of its own, and those entries are filled once at start:
//! an address space copies the upper half of the kernel's top-level table and sees every later change below it.

/// Bytes in a page.
pub const PAGE: usize = 4096;
/// Bytes in a large page (one entry of a page directory).
pub const LARGE_PAGE: usize = 2 << 20;
/// Bytes in a huge page (one entry of a page-directory-pointer table).
pub const HUGE_PAGE: usize = 1 << 30;

/// First address that user space may not use. The last page below the canonical hole stays free: a `syscall`
/// instruction at its end would make the processor return to a non-canonical address.
pub const USER_END: usize = 0x0000_7fff_ffff_f000;
/// Where physical address 0 is mapped.
pub const DIRECT_MAP: usize = 0xffff_8000_0000_0000;
/// Size of the direct map's window; physical memory above is not used.
pub const DIRECT_MAP_SIZE: usize = 0x4000_0000_0000;
/// Window for the CPUs' stacks.
pub const STACKS: usize = 0xffff_c000_0000_0000;
/// Window for the kernel's large objects whose frames are not in a row: what one top-level entry leads to.
pub const SCATTERED: usize = 0xffff_d000_0000_0000;
/// Window for the registers of devices: what one top-level entry leads to.
pub const DEVICES: usize = 0xffff_e000_0000_0000;
/// Virtual minus physical address of the kernel's image (`linker.ld` has the same).
pub const KERNEL_OFFSET: usize = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __data_start: u8;
}

/// The parts of the kernel's image, as virtual address ranges that begin on large pages.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Code: readable and executable.
    pub text: (usize, usize),
    /// Constants: readable.
    pub rodata: (usize, usize),
    /// Variables, zeroed ones included: readable and writable.
    pub data: (usize, usize),
}

impl Image {
    /// The running kernel's image.
    pub fn current() -> Self {
        Self {
            text: (&raw const __text_start as usize, &raw const __text_end as usize),
            rodata: (&raw const __rodata_start as usize, &raw const __data_start as usize),
            data: (&raw const __data_start as usize, &raw const __image_end as usize),
        }
    }

    /// Physical address of its first byte.
    pub fn physical_start(&self) -> u64 {
        (self.text.0 - KERNEL_OFFSET) as u64
    }

    /// Physical address behind its last byte, a whole page.
    pub fn physical_end(&self) -> u64 {
        (self.data.1 - KERNEL_OFFSET) as u64
    }

    /// Whether `address` lies in code.
    pub fn is_text(&self, address: usize) -> bool {
        (self.text.0..self.text.1).contains(&address)
    }
}

/// The address of the image's first byte, to which the symbol table's offsets refer.
pub fn image_start() -> usize {
    &raw const __image_start as usize
}

/// Where the direct map shows `physical`.
pub const fn phys_to_virt(physical: u64) -> usize {
    DIRECT_MAP + physical as usize
}
