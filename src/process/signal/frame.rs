//! The frame that a signal handler runs on, laid out as Linux lays it out on x86_64
//! (`struct rt_sigframe`, `asm/sigcontext.h`, `asm/ucontext.h`).
//!
//! ```text
//!   higher addresses   interrupted stack
//!                      128 bytes red zone
//!                      floating-point state (64-byte aligned): what XSAVE writes
//!                      siginfo (128)
//!                      ucontext (304): flags, alternate stack, registers, signal mask
//!   rsp ──►            return address: the C library's restorer
//! ```

use core::mem::{MaybeUninit, offset_of};

use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Action, SigInfo, SignalSet, info::RawSigInfo};
use crate::{
    arch::{
        uaccess::Fault,
        user::{Access, UserContext, fpu},
    },
    process::Caller,
    syscall::attempt::{Pause, copy_into, copy_out},
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
struct Machine {
    numbered: [u64; 8],
    others: [u64; 10],
    segments: [u16; 4],
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
    fp_state: u64,
    reserved: [u64; 8],
}

/// `struct ucontext`: what the handler's return restores.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Interrupted {
    flags: u64,
    link: usize,
    stack: AlternateStack,
    machine: Machine,
    mask: SignalSet,
}

/// `struct rt_sigframe` up to the floating-point state.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    return_address: usize,
    interrupted: Interrupted,
    info: RawSigInfo,
}

const RED_ZONE: u64 = 128;
const USER_CS: u16 = 0x33;
const USER_SS: u16 = 0x2b;
/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 2 | 4;
/// `UC_FP_XSTATE`: the floating-point state is more than FXSAVE writes.
const UC_FP_XSTATE: u64 = 1;

/// The most room on a stack that a frame takes, bytes (`AT_MINSIGSTKSZ`): what is in it, and what alignment costs.
pub fn max_size() -> usize {
    size_of::<Frame>() + fpu::frame_size() + (64 + 16 + 8)
}

/// Pushes a frame for `action` and points the context at the handler. If a page of the stack is missing, nothing has
/// been changed.
pub fn push(
    caller: &mut Caller,
    context: &mut UserContext,
    info: &SigInfo,
    action: &Action,
    mask: SignalSet,
) -> Result<(), Pause> {
    let stack = caller.alternate_stack;
    let mut on_alternate = stack.contains(context.rsp);
    let mut top = context.rsp.wrapping_sub(RED_ZONE);
    if action.has(linux::SA_ONSTACK) && stack.flags & linux::SS_DISABLE == 0 && !on_alternate {
        top = (stack.base + stack.size) as u64;
        on_alternate = true;
    }
    let fp_state = top.wrapping_sub(fpu::frame_size() as u64) & !63;
    // The handler starts as if called: rsp + 8 is a multiple of 16.
    let address = (fp_state.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    if on_alternate && !stack.contains(address) {
        return Err(Pause::Failed(Errno::EFAULT));
    }
    let missing = |Fault { address, .. }| Pause::Fault(address, Access::Write);
    context.save_fpu(fp_state as usize).map_err(missing)?;
    let (numbered, others) = context.registers();
    let mut frame = MaybeUninit::<Frame>::uninit();
    let at = frame.as_mut_ptr();
    // Set in place: a nested literal would be built and then copied.
    // SAFETY: these are all fields of a frame, of which `at` is the place.
    let frame = unsafe {
        (&raw mut (*at).return_address).write(action.restorer);
        (&raw mut (*at).info).write(info.to_raw());
        let interrupted = &raw mut (*at).interrupted;
        let flags = if fpu::frame_is_extended() { UC_FLAGS | UC_FP_XSTATE } else { UC_FLAGS };
        (&raw mut (*interrupted).flags).write(flags);
        (&raw mut (*interrupted).link).write(0);
        (&raw mut (*interrupted).stack).write(stack);
        (&raw mut (*interrupted).mask).write(mask);
        let machine = &raw mut (*interrupted).machine;
        (&raw mut (*machine).numbered).write(*numbered);
        (&raw mut (*machine).others).write(*others);
        (&raw mut (*machine).segments).write([USER_CS, 0, 0, USER_SS]);
        (&raw mut (*machine).error).write(0);
        (&raw mut (*machine).trap).write(0);
        (&raw mut (*machine).old_mask).write(mask.0);
        (&raw mut (*machine).cr2).write(0);
        (&raw mut (*machine).fp_state).write(fp_state);
        (&raw mut (*machine).reserved).write([0; 8]);
        frame.assume_init_ref()
    };
    copy_out(address as usize, frame)?;
    if stack.flags & SS_AUTODISARM != 0 {
        caller.alternate_stack = AlternateStack::DISABLED;
    }
    context.reset_fpu();
    context.divert(action.handler as u64);
    context.rsp = address;
    context.rax = 0;
    context.rdi = u64::from(info.signal);
    context.rsi = address + offset_of!(Frame, info) as u64;
    context.rdx = address + offset_of!(Frame, interrupted) as u64;
    Ok(())
}

/// `SS_AUTODISARM`: the alternate stack is off while a handler runs on it.
pub const SS_AUTODISARM: u32 = 1 << 31;

/// `rt_sigreturn`: takes everything back from the frame that the handler was given; returns the signal mask in it. If
/// a page of the stack is missing, the call is to be repeated.
pub fn pop(caller: &mut Caller, context: &mut UserContext) -> Result<SignalSet, Pause> {
    let mut frame = MaybeUninit::uninit();
    // The handler's return has taken the return address.
    let Interrupted { stack, machine, mask, .. } = copy_into(&mut frame, context.rsp as usize)?;
    if machine.fp_state == 0 {
        context.reset_fpu();
    } else {
        let missing = |Fault { address, .. }| Pause::Fault(address, Access::Read);
        context.restore_fpu(machine.fp_state as usize).map_err(missing)?;
    }
    context.set_registers(&machine.numbered, &machine.others);
    context.orig_rax = u64::MAX;
    caller.alternate_stack = checked_stack(stack);
    Ok(mask.minus(SignalSet::UNBLOCKABLE))
}

/// The alternate stack that a frame restores; nonsense in it disables the stack instead of failing the return.
fn checked_stack(stack: &AlternateStack) -> AlternateStack {
    let known = linux::SS_ONSTACK | linux::SS_DISABLE | SS_AUTODISARM;
    if stack.flags & linux::SS_DISABLE != 0 || stack.flags & !known != 0 || stack.size == 0 {
        AlternateStack::DISABLED
    } else {
        AlternateStack { flags: stack.flags & !linux::SS_ONSTACK, ..*stack }
    }
}
