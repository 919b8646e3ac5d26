//! The stacks of each CPU, with an unmapped guard page below every one.
//!
//! A CPU has one stack for its executor, on which all tasks are polled, and a few that the processor switches to
//! by itself on interrupts and exceptions (the TSS's interrupt stack table): compiled code uses the red zone below
//! its stack pointer, so nothing may push there.
//!
//! ```text
//! STACKS + cpu * SLOT:  | guard | main | guard | interrupt | guard | exception | guard | debug | ...
//! ```
//!
//! The topmost 16 bytes of the switched-to stacks hold the address of the CPU's per-CPU block, where entry code
//! finds it when GS cannot be trusted (`super::entry`).

use super::layout::{PAGE, STACKS, phys_to_virt};
use super::paging::{self, Flags};
use super::percpu;

/// Address space per CPU.
pub(super) const SLOT: usize = 512 << 10;
/// Bytes of the stack on which tasks are polled.
pub const MAIN_STACK: usize = 64 << 10;
/// Bytes of each stack of the interrupt stack table.
const INTERRUPT_STACK: usize = 16 << 10;

/// The stacks of the interrupt stack table. Vectors that can interrupt one another have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Device and inter-processor interrupts; handlers run with interrupts off, so they do not nest.
    Interrupt = 1,
    /// Exceptions that instructions cause.
    Exception = 2,
    /// #DB, which can hit inside the entry code.
    Debug = 3,
    /// Non-maskable interrupts, which can hit anywhere.
    NonMaskable = 4,
    /// #MC, likewise.
    MachineCheck = 5,
    /// #DF: an exception could not be delivered.
    DoubleFault = 6,
}

impl Stack {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Interrupt,
        Self::Exception,
        Self::Debug,
        Self::NonMaskable,
        Self::MachineCheck,
        Self::DoubleFault,
    ];

    /// The number in a gate, from 1.
    pub const fn ist(self) -> u8 {
        self as u8
    }

    /// The stack on which `vector` is handled.
    pub const fn of_vector(vector: usize) -> Self {
        match vector {
            1 => Self::Debug,
            2 => Self::NonMaskable,
            8 => Self::DoubleFault,
            18 => Self::MachineCheck,
            0..32 => Self::Exception,
            _ => Self::Interrupt,
        }
    }

    fn bottom(self, cpu: usize) -> usize {
        let before = PAGE + MAIN_STACK + (self as usize - 1) * (PAGE + INTERRUPT_STACK);
        STACKS + cpu * SLOT + before + PAGE
    }
}

/// Where the boot CPU's main stack begins to grow down; those of the others follow at distances of [`SLOT`].
pub(super) const FIRST_MAIN_STACK_TOP: usize = STACKS + PAGE + MAIN_STACK;

fn main_bottom(cpu: usize) -> usize {
    STACKS + cpu * SLOT + PAGE
}

/// Where CPU `cpu`'s main stack begins to grow down.
pub fn main_stack_top(cpu: usize) -> usize {
    main_bottom(cpu) + MAIN_STACK
}

/// What the TSS holds for `stack`: below the slot with the per-CPU block's address.
pub(super) fn interrupt_stack_top(cpu: usize, stack: Stack) -> usize {
    stack.bottom(cpu) + INTERRUPT_STACK - 16
}

/// Maps CPU `cpu`'s stacks into the kernel's table `root`.
pub(super) fn map(root: u64, cpu: usize, mut frame: impl FnMut() -> u64) {
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE | Flags::GLOBAL;
    let stacks = [(main_bottom(cpu), MAIN_STACK)]
        .into_iter()
        .chain(Stack::ALL.map(|stack| (stack.bottom(cpu), INTERRUPT_STACK)));
    for (bottom, size) in stacks {
        let mut last = 0;
        for address in (bottom..bottom + size).step_by(PAGE) {
            last = frame();
            // SAFETY: the window is used for nothing else, and the frame is ours from now on.
            let mapped = unsafe { paging::map(root, address, last, 0, flags, || Some(frame())) };
            assert!(mapped, "early frames do not run out");
        }
        // SAFETY: the last 16 bytes of the stack's last frame, which nobody uses yet.
        unsafe {
            let top = phys_to_virt(last) + PAGE - 16;
            (top as *mut [usize; 2]).write([percpu::block(cpu) as usize, 0]);
        }
    }
}

/// A stack that an address belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    /// Whose.
    pub cpu: usize,
    /// The stack's name.
    pub name: &'static str,
    /// The stack's lowest address.
    pub bottom: usize,
    /// The address behind it.
    pub top: usize,
    /// Whether the address is in the guard page below the stack.
    pub guard: bool,
}

/// Finds the stack that `address` belongs to.
pub fn locate(address: usize) -> Option<Location> {
    let offset = address.checked_sub(STACKS)?;
    let cpu = offset / SLOT;
    if cpu >= super::cpu::MAX_CPUS {
        return None;
    }
    let named = [
        ("main", main_bottom(cpu), MAIN_STACK),
        ("interrupt", Stack::Interrupt.bottom(cpu), INTERRUPT_STACK),
        ("exception", Stack::Exception.bottom(cpu), INTERRUPT_STACK),
        ("debug", Stack::Debug.bottom(cpu), INTERRUPT_STACK),
        ("NMI", Stack::NonMaskable.bottom(cpu), INTERRUPT_STACK),
        ("machine-check", Stack::MachineCheck.bottom(cpu), INTERRUPT_STACK),
        ("double-fault", Stack::DoubleFault.bottom(cpu), INTERRUPT_STACK),
    ];
    named.into_iter().find(|&(_, bottom, size)| (bottom - PAGE..bottom + size).contains(&address)).map(
        |(name, bottom, size)| Location { cpu, name, bottom, top: bottom + size, guard: address < bottom },
    )
}
