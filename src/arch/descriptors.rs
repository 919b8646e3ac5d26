//! Segments, task-state segments and the interrupt table: GDT, TSS and IDT.
//!
//! The selectors have Linux's numbers, because user programs can see them (in signal frames and in CS itself).

use super::cpu::MAX_CPUS;
use super::entry;
use super::stacks::{self, Stack};
use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, SS, Segment};
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Kernel code.
pub const KERNEL_CODE: u16 = 0x10;
/// Kernel data, for SS.
pub const KERNEL_DATA: u16 = 0x18;
/// User data, with privilege level 3.
pub const USER_DATA: u16 = 0x2b;
/// User 64-bit code, with privilege level 3.
pub const USER_CODE: u16 = 0x33;
/// What IA32_STAR's upper half holds: `sysret` takes CS = this + 16 and SS = this + 8.
pub const SYSRET_BASE: u16 = 0x23;
const TASK_STATE: u16 = 0x38;

/// One CPU's tables. The TSS names the CPU's stacks; the GDT must be per CPU because it names the TSS.
#[repr(C, align(64))]
struct Tables {
    gdt: [u64; 9],
    tss: TaskStateSegment,
}

#[repr(transparent)]
struct AllTables(UnsafeCell<[Tables; MAX_CPUS]>);

// SAFETY: each element is written by its own CPU in `init` and afterwards only read by that processor.
unsafe impl Sync for AllTables {}

static TABLES: AllTables =
    AllTables(UnsafeCell::new([const { Tables { gdt: [0; 9], tss: TaskStateSegment::new() } }; MAX_CPUS]));

/// A gate of the interrupt table (Intel SDM volume 3, figure 6-8). The x86_64 crate's type wants handlers of the
/// unstable `x86-interrupt` ABI; ours are assembly.
#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    attributes: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

impl Gate {
    const EMPTY: Self = Self {
        offset_low: 0,
        selector: 0,
        stack: 0,
        attributes: 0,
        offset_middle: 0,
        offset_high: 0,
        reserved: 0,
    };

    /// An interrupt gate (interrupts off on entry) to `handler` on `stack`, which `int n` in user mode may use
    /// if `user`.
    fn new(handler: usize, stack: Stack, user: bool) -> Self {
        const PRESENT_INTERRUPT_GATE: u8 = 0x8e;
        Self {
            offset_low: handler as u16,
            selector: KERNEL_CODE,
            stack: stack.ist(),
            attributes: PRESENT_INTERRUPT_GATE | if user { 3 << 5 } else { 0 },
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

#[repr(C, align(4096))]
struct Idt(UnsafeCell<[Gate; 256]>);

// SAFETY: written by the boot CPU before any CPU loads it, then only read by processors.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([Gate::EMPTY; 256]));

/// Fills the interrupt table that all CPUs share. Once, on the boot CPU.
pub(super) fn init_idt() {
    const BREAKPOINT: usize = 3;
    const OVERFLOW: usize = 4;
    // SAFETY: the boot CPU is alone, and no CPU has loaded the table yet.
    let gates = unsafe { &mut *IDT.0.get() };
    for (vector, gate) in gates.iter_mut().enumerate() {
        // `int3` and `into` are instructions that user programs may use; any other `int n` is a #GP there.
        let user = matches!(vector, BREAKPOINT | OVERFLOW);
        *gate = Gate::new(entry::stub(vector), Stack::of_vector(vector), user);
    }
}

/// Loads this CPU's GDT and TSS and the shared IDT.
pub(super) fn load(cpu: usize) {
    // SAFETY: this CPU's element (`cpu` is in bounds), touched by nobody else.
    let tables = unsafe { &mut (*TABLES.0.get())[cpu] };
    for stack in Stack::ALL {
        let top = stacks::interrupt_stack_top(cpu, stack);
        tables.tss.interrupt_stack_table[usize::from(stack.ist()) - 1] = VirtAddr::new(top as u64);
    }
    // SAFETY: the TSS is in a static.
    let Descriptor::SystemSegment(low, high) =
        (unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) })
    else {
        unreachable!("a TSS descriptor takes two entries")
    };
    tables.gdt = [
        0,
        0,
        DescriptorFlags::KERNEL_CODE64.bits(),
        DescriptorFlags::KERNEL_DATA.bits(),
        // 32-bit user code: there is none. `sysret` computes its selectors from this entry's.
        0,
        DescriptorFlags::USER_DATA.bits(),
        DescriptorFlags::USER_CODE64.bits(),
        low,
        high,
    ];
    let gdt = DescriptorTablePointer {
        limit: (size_of_val(&tables.gdt) - 1) as u16,
        base: VirtAddr::from_ptr(tables.gdt.as_ptr()),
    };
    let idt = DescriptorTablePointer {
        limit: (size_of::<Idt>() - 1) as u16,
        base: VirtAddr::from_ptr(IDT.0.get()),
    };
    // SAFETY: the tables are statics and hold what the selectors say; GS is left alone, its base is set by
    // `percpu::init`.
    unsafe {
        lgdt(&gdt);
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(KERNEL_DATA));
        DS::set_reg(SegmentSelector(0));
        ES::set_reg(SegmentSelector(0));
        FS::set_reg(SegmentSelector(0));
        lidt(&idt);
        load_tss(SegmentSelector(TASK_STATE));
    }
}
