//! The per-CPU block: what belongs to one CPU, one instruction away.
//!
//! While the kernel runs, the GS base points to the CPU's block; fields are read and written by `gs:[offset]`, so
//! that neither the CPU's number nor a pointer is needed. In user mode the base is the program's, and `swapgs`
//! exchanges them at the boundary (`super::entry`). A task stays on its CPU for the length of a poll, so what a
//! function reads here is its own CPU's until it awaits.

use super::answers::{self, Answers};
use super::cpu::MAX_CPUS;
use super::user::Scratch;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{GsBase, KernelGsBase};

/// One CPU's block. Offsets are used by assembly in `super::entry`; only its own CPU touches it.
#[repr(C, align(64))]
pub struct PerCpu {
    /// The block's own address.
    pub(super) this: *const PerCpu,
    /// The CPU's number.
    pub(super) cpu: usize,
    /// The stack pointer with which `user::enter` left; traps from user mode continue there.
    pub(super) kernel_stack: usize,
    /// The `UserContext` that runs in user mode; a trap saves the registers there.
    pub(super) user_context: usize,
    /// The user's stack pointer for the few instructions of system-call entry that have no register for it.
    pub(super) user_stack: usize,
    /// Set by each interrupt that arrives in kernel mode; `user::enter` returns at once when it finds it set.
    pub(super) interrupted: u8,
    /// Whether an interrupt handler runs.
    pub(super) in_handler: u8,
    /// Whether the x87 unit, the upper halves and the segment bases are a user thread's that has not been suspended.
    pub(super) holds_user: u8,
    /// Slots for other rooms, in the order of the accessors below.
    thread: usize,
    /// The thread's [`Answers`], for the entry code.
    pub(super) answers: usize,
    /// Calls with lower numbers are looked up there: [`answers::NUMBERS`], or 0 while a watched thread is in user mode.
    pub(super) answered: usize,
    worker: usize,
    magazines: usize,
    address_space: usize,
    /// Where [`scratch`] is.
    scratch: Scratch,
}

/// The blocks of all CPUs.
#[repr(transparent)]
struct Blocks(UnsafeCell<[PerCpu; MAX_CPUS]>);

// SAFETY: each block is touched by its own CPU only, after that CPU's `init`.
unsafe impl Sync for Blocks {}

static BLOCKS: Blocks = Blocks(UnsafeCell::new(
    [const {
        PerCpu {
            this: core::ptr::null(),
            cpu: 0,
            kernel_stack: 0,
            user_context: 0,
            user_stack: 0,
            interrupted: 0,
            in_handler: 0,
            holds_user: 0,
            thread: 0,
            answers: 0,
            answered: answers::NUMBERS,
            worker: 0,
            magazines: 0,
            address_space: 0,
            scratch: Scratch::ZERO,
        }
    }; MAX_CPUS],
));

/// The address of CPU `cpu`'s block.
pub(super) fn block(cpu: usize) -> *mut PerCpu {
    assert!(cpu < MAX_CPUS);
    // SAFETY: in bounds of the static; only an address is computed.
    unsafe { BLOCKS.0.get().cast::<PerCpu>().add(cpu) }
}

/// Makes this CPU number `cpu` and points GS to its block.
pub(super) fn init(cpu: usize) {
    let block = block(cpu);
    // SAFETY: this CPU is the only one with this number, and nothing reads the block before GS points to it. The
    // user's GS base starts as 0.
    unsafe {
        (*block).this = block;
        (*block).cpu = cpu;
        GsBase::write(VirtAddr::from_ptr(block));
        KernelGsBase::write(VirtAddr::zero());
    }
}

/// This CPU's number.
#[inline(always)]
pub(super) fn cpu() -> usize {
    let value;
    // SAFETY: GS points to this CPU's block, whose field never changes: hence `pure, nomem`.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) value, const offset_of!(PerCpu, cpu),
            options(pure, nomem, nostack, preserves_flags));
    }
    value
}

/// This CPU's room for an area of XSAVE.
#[inline(always)]
pub(super) fn scratch() -> *mut Scratch {
    let this: *mut PerCpu;
    // SAFETY: GS points to this CPU's block, whose field never changes; only an address is computed.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) this, const offset_of!(PerCpu, this),
            options(pure, nomem, nostack, preserves_flags));
        &raw mut (*this).scratch
    }
}

macro_rules! byte {
    ($(#[$doc:meta])* $get:ident, $set:ident, $field:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $get() -> bool {
            let value: u8;
            // SAFETY: GS points to this CPU's block.
            unsafe {
                asm!("mov {}, gs:[{}]", out(reg_byte) value, const offset_of!(PerCpu, $field),
                    options(readonly, nostack, preserves_flags));
            }
            value != 0
        }

        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $set(value: bool) {
            // SAFETY: GS points to this CPU's block.
            unsafe {
                asm!("mov gs:[{}], {}", const offset_of!(PerCpu, $field), in(reg_byte) u8::from(value),
                    options(nostack, preserves_flags));
            }
        }
    };
}

byte!(
    /// Whether an interrupt handler runs on this CPU.
    in_handler,
    set_in_handler,
    in_handler
);

byte!(
    /// Whether this CPU holds registers of a user thread.
    holds_user,
    set_holds_user,
    holds_user
);

/// Whether an interrupt has come to this CPU in kernel mode since user mode was last entered. In a handler: whether its
/// interrupt has, as user mode is not entered before the mark is taken away.
#[inline(always)]
pub(super) fn interrupted() -> bool {
    let value: u8;
    // SAFETY: GS points to this CPU's block.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg_byte) value, const offset_of!(PerCpu, interrupted),
            options(readonly, nostack, preserves_flags));
    }
    value != 0
}

/// The base of the `UserContext` that was in user mode last.
#[inline(always)]
pub(super) fn user_context() -> *const () {
    let value;
    // SAFETY: GS points to this CPU's block.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) value, const offset_of!(PerCpu, user_context),
            options(readonly, nostack, preserves_flags));
    }
    value
}

macro_rules! slot {
    ($(#[$doc:meta])* $get:ident, $set:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $get() -> *const () {
            let value;
            // SAFETY: GS points to this CPU's block.
            unsafe {
                asm!("mov {}, gs:[{}]", out(reg) value, const offset_of!(PerCpu, $get),
                    options(readonly, nostack, preserves_flags));
            }
            value
        }

        $(#[$doc])*
        #[inline(always)]
        pub fn $set(value: *const ()) {
            // SAFETY: GS points to this CPU's block.
            unsafe {
                asm!("mov gs:[{}], {}", const offset_of!(PerCpu, $get), in(reg) value,
                    options(nostack, preserves_flags));
            }
        }
    };
}

slot!(
    /// The user thread whose future is polled on this CPU, or null.
    thread, set_thread
);
slot!(
    /// This CPU's executor worker, or null before it runs.
    worker, set_worker
);
slot!(
    /// The kernel heap's magazines of this CPU.
    magazines, set_magazines
);
slot!(
    /// The address space that is loaded on this CPU; null means the kernel's own.
    address_space, set_address_space
);

/// Sets whether the entry code answers calls on this CPU. Else all of them end user mode.
pub(super) fn set_answering(answers: bool) {
    let numbers = if answers { answers::NUMBERS } else { 0 };
    // SAFETY: GS points to this CPU's block.
    unsafe {
        asm!("mov gs:[{}], {}", const offset_of!(PerCpu, answered), in(reg) numbers,
            options(nostack, preserves_flags));
    }
}

/// This CPU's executor worker; none before it runs.
#[inline(always)]
pub fn worker_of_this_cpu() -> Option<&'static executor::Worker> {
    // SAFETY: the slot is null or was filled by `set_worker_of_this_cpu` with a reference that lives for ever.
    unsafe { worker().cast::<executor::Worker>().as_ref() }
}

/// Notes this CPU's executor worker.
pub fn set_worker_of_this_cpu(worker: &'static executor::Worker) {
    set_worker(core::ptr::from_ref(worker).cast());
}

/// Notes what the entry code answers to that thread. The reference is good until the next is noted, or user mode is
/// never entered again on this CPU.
#[inline(always)]
pub fn set_answers(answers: &Answers) {
    // SAFETY: GS points to this CPU's block.
    unsafe {
        asm!("mov gs:[{}], {}", const offset_of!(PerCpu, answers), in(reg) answers,
            options(nostack, preserves_flags));
    }
}
