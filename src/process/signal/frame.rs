//! The frame that a signal handler runs on, laid out as Linux lays it out on x86_64
//! (`struct rt_sigframe`, `asm/sigcontext.h`, `asm/ucontext.h`).
//!
//! ```text
//!   higher addresses   interrupted stack
//!                      128 bytes red zone
//!                      floating-point state (512 bytes, 64-byte aligned)
//!                      siginfo (128)
//!                      ucontext (304): flags, alternate stack, registers, signal mask
//!   rsp ──►            return address: the C library's restorer
//! ```

use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Action, SigInfo, SignalSet, info::RawSigInfo};
use crate::{
    arch::user::UserContext,
    process::Caller,
    syscall::attempt::{Pause, copy_in, copy_out},
};

/// `stack_t`: the alternate signal stack.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct AlternateStack {
    /// Lowest address.
    pub base: usize,
    /// `SS_*` flags.
    pub flags: u32,
    pad: u32,
    /// Bytes.
    pub size: usize,
}

impl AlternateStack {
    /// None set.
    pub const DISABLED: Self = Self { base: 0, flags: linux::SS_DISABLE, pad: 0, size: 0 };

    /// Whether a stack pointer lies on it.
    pub fn contains(&self, rsp: u64) -> bool {
        self.flags & linux::SS_DISABLE == 0
            && (rsp as usize).wrapping_sub(self.base) <= self.size
            && self.size > 0
    }
}

/// `struct sigcontext`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Registers {
    r8_to_r15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    segments: [u16; 4],
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
    fp_state: usize,
    reserved: [u64; 8],
}

/// `struct rt_sigframe` up to the floating-point state.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    return_address: usize,
    flags: u64,
    link: usize,
    stack: AlternateStack,
    registers: Registers,
    mask: SignalSet,
    info: RawSigInfo,
}

const RED_ZONE: u64 = 128;
/// Bytes of the state that FXSAVE writes.
const FP_STATE: u64 = 512;
const USER_CS: u16 = 0x33;
const USER_SS: u16 = 0x2b;
/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 2 | 4;
/// The flags that a program may set: CF PF AF ZF SF TF DF OF NT RF AC (asm/sigcontext handling, `FIX_EFLAGS`).
const USER_FLAGS: u64 = 0x0005_4dd5;
/// Trap and direction flag are clear when a handler starts.
const CLEARED_FOR_HANDLER: u64 = 0x500;

/// Pushes a frame for `action` and points the context at the handler. If a page of the stack is missing, nothing has
/// been changed.
pub fn push(
    caller: &mut Caller,
    context: &mut UserContext,
    info: SigInfo,
    action: &Action,
    mask: SignalSet,
) -> Result<(), Pause> {
    let stack = caller.alternate_stack;
    let on_alternate = stack.contains(context.rsp);
    let mut top = context.rsp.wrapping_sub(RED_ZONE);
    if action.has(linux::SA_ONSTACK) && stack.flags & linux::SS_DISABLE == 0 && !on_alternate {
        top = (stack.base + stack.size) as u64;
    }
    let fp_address = top.wrapping_sub(FP_STATE) & !63;
    // The handler starts as if called: rsp + 8 is a multiple of 16.
    let frame_address = (fp_address.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    if on_alternate && !stack.contains(frame_address) {
        return Err(Pause::Failed(Errno::EFAULT));
    }
    copy_out(fp_address as usize, &context.fpu())?;
    let frame = Frame {
        return_address: action.restorer,
        flags: UC_FLAGS,
        link: 0,
        stack,
        registers: save(context, mask, fp_address as usize),
        mask,
        info: info.to_raw(),
    };
    copy_out(frame_address as usize, &frame)?;
    if stack.flags & SS_AUTODISARM != 0 {
        caller.alternate_stack = AlternateStack::DISABLED;
    }
    context.set_rip(action.handler as u64);
    context.rsp = frame_address;
    context.rax = 0;
    context.rdi = u64::from(info.signal);
    context.rsi = frame_address + core::mem::offset_of!(Frame, info) as u64;
    context.rdx = frame_address + core::mem::offset_of!(Frame, flags) as u64;
    context.set_rflags(context.rflags() & !CLEARED_FOR_HANDLER);
    Ok(())
}

/// `SS_AUTODISARM`: the alternate stack is off while a handler runs on it.
pub const SS_AUTODISARM: u32 = 1 << 31;

fn save(context: &UserContext, mask: SignalSet, fp_state: usize) -> Registers {
    Registers {
        r8_to_r15: [
            context.r8,
            context.r9,
            context.r10,
            context.r11(),
            context.r12,
            context.r13,
            context.r14,
            context.r15,
        ],
        rdi: context.rdi,
        rsi: context.rsi,
        rbp: context.rbp,
        rbx: context.rbx,
        rdx: context.rdx,
        rax: context.rax,
        rcx: context.rcx(),
        rsp: context.rsp,
        rip: context.rip(),
        rflags: context.rflags(),
        segments: [USER_CS, 0, 0, USER_SS],
        error: 0,
        trap: 0,
        old_mask: mask.0,
        cr2: 0,
        fp_state,
        reserved: [0; 8],
    }
}

/// `rt_sigreturn`: takes everything back from the frame that the handler was given; returns the signal mask in it. If
/// a page of the stack is missing, nothing has been changed.
pub fn pop(caller: &mut Caller, context: &mut UserContext) -> Result<SignalSet, Pause> {
    let address = context.rsp.wrapping_sub(8) as usize;
    let frame: Frame = copy_in(address)?;
    let registers = &frame.registers;
    if registers.fp_state != 0 {
        let state: [u8; FP_STATE as usize] = copy_in(registers.fp_state)?;
        context.set_fpu(&state);
    }
    let r11;
    [context.r8, context.r9, context.r10, r11, context.r12, context.r13, context.r14, context.r15] =
        registers.r8_to_r15;
    context.set_r11(r11);
    context.rdi = registers.rdi;
    context.rsi = registers.rsi;
    context.rbp = registers.rbp;
    context.rbx = registers.rbx;
    context.rdx = registers.rdx;
    context.rax = registers.rax;
    context.set_rcx(registers.rcx);
    context.rsp = registers.rsp;
    context.set_rip(registers.rip);
    context.set_rflags(registers.rflags & USER_FLAGS | context.rflags() & !USER_FLAGS);
    context.orig_rax = u64::MAX;
    caller.alternate_stack = checked_stack(frame.stack);
    Ok(frame.mask.minus(SignalSet::UNBLOCKABLE))
}

/// The alternate stack that a frame restores; nonsense in it disables the stack instead of failing the return.
fn checked_stack(stack: AlternateStack) -> AlternateStack {
    let known = linux::SS_ONSTACK | linux::SS_DISABLE | SS_AUTODISARM;
    if stack.flags & linux::SS_DISABLE != 0 || stack.flags & !known != 0 || stack.size == 0 {
        AlternateStack::DISABLED
    } else {
        AlternateStack { flags: stack.flags & !linux::SS_ONSTACK, ..stack }
    }
}
