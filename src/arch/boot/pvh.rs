//! The PVH entry: from the loader's 32-bit mode to 64-bit Rust.
//!
//! A PVH loader (QEMU's `-kernel`, Xen, cloud-hypervisor) finds the entry's physical address in an ELF note and
//! jumps there in 32-bit protected mode without paging, `ebx` pointing to the start information. Source: Xen's
//! "x86/HVM direct boot ABI" (docs/misc/pvh.pandoc) and `public/arch-x86/hvm/start_info.h`.
//!
//! The stub maps the first 4 GiB three times with large pages: at 0 (the stub itself runs there), at the direct
//! map and at the kernel's offset. These tables live only until [`super::tables`] has built the real ones; the
//! other CPUs pass through them once on their way up (`super::super::smp`).

use crate::arch::layout::{DIRECT_MAP, KERNEL_OFFSET};
use core::arch::global_asm;

/// Size of the stack on which the boot CPU runs until it has its own guarded one.
const BOOT_STACK: usize = 32 << 10;

global_asm!(
    // "Xen", type 18 = XEN_ELFNOTE_PHYS32_ENTRY: the entry's physical address.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad pvh_entry - {offset}",
    ".popsection",

    ".pushsection .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    ".global boot_pml4",
    "boot_pml4: .skip 4096",
    "boot_pdpt_low: .skip 4096",
    "boot_pdpt_high: .skip 4096",
    "boot_pd: .skip 4 * 4096",
    "boot_stack: .skip {stack}",
    "boot_stack_top:",
    ".popsection",

    ".pushsection .text.boot, \"ax\"",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "cld",
    "mov ebp, ebx",
    "lea esp, [boot_stack_top - {offset}]",
    // 2048 entries of 2 MiB: present, writable, large.
    "lea edi, [boot_pd - {offset}]",
    "mov eax, 0x83",
    "mov ecx, 2048",
    "2:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 0x200000",
    "loop 2b",
    // Four page directories under the low table; the first two also in the top 2 GiB.
    "lea edi, [boot_pdpt_low - {offset}]",
    "lea eax, [boot_pd - {offset} + 3]",
    "mov [edi], eax",
    "add eax, 0x1000",
    "mov [edi + 8], eax",
    "add eax, 0x1000",
    "mov [edi + 16], eax",
    "add eax, 0x1000",
    "mov [edi + 24], eax",
    "lea edi, [boot_pdpt_high - {offset}]",
    "lea eax, [boot_pd - {offset} + 3]",
    "mov [edi + 510 * 8], eax",
    "add eax, 0x1000",
    "mov [edi + 511 * 8], eax",
    "lea edi, [boot_pml4 - {offset}]",
    "lea eax, [boot_pdpt_low - {offset} + 3]",
    "mov [edi], eax",
    "mov [edi + {direct_slot} * 8], eax",
    "lea eax, [boot_pdpt_high - {offset} + 3]",
    "mov [edi + 511 * 8], eax",
    // CR4: PAE, OSFXSR, OSXMMEXCPT (compiled code uses SSE from its first instruction).
    "mov eax, 0x620",
    "mov cr4, eax",
    "mov cr3, edi",
    // EFER: long mode.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    // CR0: paging, write protection, numeric errors, monitor, protected mode; no emulation.
    "mov eax, 0x80010033",
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer - {offset}]",
    "push 8",
    "lea eax, [boot_long - {offset}]",
    "push eax",
    "retf",
    ".code64",
    "boot_long:",
    "mov rax, offset boot_high",
    "jmp rax",
    "boot_high:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov fs, eax",
    "mov gs, eax",
    "lea rsp, [rip + boot_stack_top]",
    "mov edi, ebp",
    "xor ebp, ebp",
    // The zero return address ends a backtrace.
    "push 0",
    "jmp {start}",
    ".balign 8",
    "boot_gdt: .quad 0, 0x00209a0000000000",
    "boot_gdt_pointer: .word 15",
    ".long boot_gdt - {offset}",
    ".popsection",
    offset = const KERNEL_OFFSET,
    stack = const BOOT_STACK,
    direct_slot = const (DIRECT_MAP >> 39) & 511,
    start = sym super::start,
);

/// `struct hvm_start_info`, version 1.
#[repr(C)]
pub struct StartInfo {
    /// [`StartInfo::MAGIC`].
    pub magic: u32,
    /// 1 where the memory map is there.
    pub version: u32,
    /// `SIF_*` flags, for Xen's first domain only.
    pub flags: u32,
    /// Entries in the module list.
    pub modules: u32,
    /// Physical address of the module list.
    pub module_list: u64,
    /// Physical address of the NUL-terminated command line, or 0.
    pub command_line: u64,
    /// Physical address of the ACPI root pointer, or 0.
    pub rsdp: u64,
    /// Physical address of the memory map.
    pub memory_map: u64,
    /// Entries in the memory map.
    pub memory_map_entries: u32,
    /// Zero.
    pub reserved: u32,
}

impl StartInfo {
    /// "xEn3" with the top bit of the E set.
    pub const MAGIC: u32 = 0x336e_c578;
}

/// `struct hvm_modlist_entry`.
#[repr(C)]
pub struct Module {
    /// Physical address of the module's first byte.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Physical address of its command line, or 0.
    pub command_line: u64,
    /// Zero.
    pub reserved: u64,
}

/// `struct hvm_memmap_table_entry`; the types are those of the BIOS call E820.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MapEntry {
    /// Physical address of the first byte.
    pub address: u64,
    /// Length in bytes.
    pub size: u64,
    /// 1 = usable memory, anything else is not.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}
