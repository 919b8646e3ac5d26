//! The way in: 256 stubs, and what they share.
//!
//! ```text
//!            vector stub (pushes error code, vector)
//!                          |
//!      #DB #NMI #MC #DF    |   everything else
//!          |               v
//!          |        from user mode? --yes--> save in UserContext, switch to the kernel stack where
//!          |               | no              `user::enter` called, run a device's handler there,
//!          v               v                 return from `enter` with the trap's number
//!      paranoid   vector < 32? --yes--> save all, kernel_exception(frame), iretq
//!    (GS from the          | no
//!     stack itself)        +--> save what calls clobber, dispatch(vector), iretq
//! ```
//!
//! Every vector arrives on a stack of the interrupt stack table with interrupts off. Kernel code uses SSE, so the
//! kernel-mode paths save XMM registers, too. The user-mode path is `super::user`'s other half.
//!
//! GS: from user mode, `swapgs`. From kernel mode it is right already, except in the few instructions around
//! `swapgs` at the boundary, which only the four paranoid vectors can hit; they take the per-CPU block's address
//! from the top of their stack (which belongs to one CPU) and put the old base back at the end. This does not
//! rely on what the base looks like: with FSGSBASE a program may set its own to a kernel address.

use super::asm::{cfi_push_all, context_asm, load_xmm, pop_all, push_all, save_registers, save_xmm, smap};
use super::layout::USER_END;
use super::{interrupts, panic, uaccess};
use core::arch::asm;

/// Page fault.
pub(super) const PAGE_FAULT: u64 = 14;
const GENERAL_PROTECTION: u64 = 13;
const DEBUG: u64 = 1;
const NON_MASKABLE: u64 = 2;
const SIMD: u64 = 19;

/// What kernel-mode exceptions save, in memory order: our pushes, then the processor's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are the registers of the same names")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// Whether it was user mode that trapped.
    pub fn is_user(&self) -> bool {
        self.cs & 3 != 0
    }
}

// The stubs: 16 bytes each, so that a vector's stub is found by multiplication.
context_asm! {
    [
        ".balign 16",
        ".global trap_stubs",
        "trap_stubs:",
        ".set vector, 0",
        ".rept 256",
        ".balign 16",
        // The processor pushes an error code for these (SDM volume 3, table 6-1).
        ".if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21 && vector != 29 && vector != 30",
        "push 0",
        ".endif",
        "push vector",
        ".if vector == 2 || vector == 8 || vector == 18",
        "jmp trap_paranoid",
        ".elseif vector == 1",
        "jmp trap_debug",
        ".elseif vector < 32",
        "jmp trap_exception",
        ".else",
        "jmp trap_interrupt",
        ".endif",
        ".set vector, vector + 1",
        ".endr",

        // Stack: vector, error code, rip, cs, rflags, rsp, ss.
        "trap_debug:",
        "test byte ptr [rsp + 24], 3",
        "jz trap_paranoid",
        "trap_exception:",
        "test byte ptr [rsp + 24], 3",
        "jnz trap_user",
        ".cfi_startproc simple",
        ".cfi_signal_frame",
        // The interrupted code's registers, for the backtrace.
        ".cfi_def_cfa rsp, 176",
        cfi_push_all!(),
        push_all!(),
        "cld",
        smap!("clac"),
        "mov rdi, rsp",
        // 22 words below a 16-byte boundary: aligned again.
        "sub rsp, 256",
        ".cfi_adjust_cfa_offset 256",
        save_xmm!("rsp + 0"),
        "call {kernel_exception}",
        load_xmm!("rsp + 0"),
        "add rsp, 256",
        ".cfi_adjust_cfa_offset -256",
        pop_all!(),
        "add rsp, 16",
        "iretq",
        ".cfi_endproc",

        "trap_interrupt:",
        "test byte ptr [rsp + 24], 3",
        "jnz trap_user",
        ".cfi_startproc simple",
        ".cfi_signal_frame",
        ".cfi_def_cfa rsp, 384",
        ".cfi_offset rip, -40",
        ".cfi_offset rsp, -16",
        ".cfi_same_value rbx",
        ".cfi_same_value rbp",
        ".cfi_same_value r12",
        ".cfi_same_value r13",
        ".cfi_same_value r14",
        ".cfi_same_value r15",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "sub rsp, 256",
        save_xmm!("rsp + 0"),
        "cld",
        smap!("clac"),
        "mov byte ptr gs:[{interrupted}], 1",
        "mov edi, [rsp + 256 + 72]",
        "call {dispatch}",
        load_xmm!("rsp + 0"),
        "add rsp, 256",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "add rsp, 16",
        "iretq",
        ".cfi_endproc",

        "trap_paranoid:",
        ".cfi_startproc simple",
        ".cfi_signal_frame",
        ".cfi_def_cfa rsp, 448",
        cfi_push_all!(),
        push_all!(),
        "cld",
        smap!("clac"),
        "mov rdi, rsp",
        "sub rsp, 272",
        save_xmm!("rsp + 16"),
        // The old GS base to the stack, the per-CPU block's address (behind the frame of 22 words) into GS.
        "mov ecx, {gs_base}",
        "rdmsr",
        "mov [rsp], eax",
        "mov [rsp + 4], edx",
        "mov eax, [rdi + 22 * 8]",
        "mov edx, [rdi + 22 * 8 + 4]",
        "wrmsr",
        "call {paranoid_exception}",
        "mov ecx, {gs_base}",
        "mov eax, [rsp]",
        "mov edx, [rsp + 4]",
        "wrmsr",
        load_xmm!("rsp + 16"),
        "add rsp, 272",
        pop_all!(),
        "add rsp, 16",
        "iretq",
        ".cfi_endproc",

        // From user mode. The context takes the registers; then this is the return from `user::enter`.
        "trap_user:",
        "swapgs",
        "mov gs:[{user_stack}], rax",
        "mov rax, gs:[{user_context}]",
        "mov [rax + {rbx}], rbx",
        "mov rbx, gs:[{user_stack}]",
        "mov [rax + {rax}], rbx",
        save_registers!("rax": rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15),
        "mov rbx, [rsp + 16]",
        "mov [rax + {rip}], rbx",
        "mov rbx, [rsp + 32]",
        "mov [rax + {rflags}], rbx",
        "mov rbx, [rsp + 40]",
        "mov [rax + {rsp}], rbx",
        "mov qword ptr [rax + {orig_rax}], -1",
        "mov dword ptr [rax + {state}], {full}",
        save_xmm!("rax + {xmm}"),
        "cld",
        smap!("clac"),
        "mov edi, [rsp]",
        "mov ecx, [rsp + 8]",
        "mov rsp, gs:[{kernel_stack}]",
        "cmp edi, 32",
        "jae 2f",
        "mov rdx, rdi",
        "mov eax, {trap_exception}",
        "cmp edi, 14",
        "jne 3f",
        "mov rdx, cr2",
        "mov eax, {trap_page_fault}",
        "3:",
        "sti",
        "ret",
        "2:",
        // The stack is as `enter`'s call left it: 8 below a 16-byte boundary.
        "sub rsp, 8",
        "call {dispatch}",
        "add rsp, 8",
        "mov eax, {trap_interrupt}",
        "sti",
        "ret",
    ]
    kernel_exception = sym kernel_exception,
    paranoid_exception = sym paranoid_exception,
    dispatch = sym interrupts::dispatch,
    gs_base = const 0xc000_0101_u32,
    trap_page_fault = const super::user::TRAP_PAGE_FAULT,
    trap_exception = const super::user::TRAP_EXCEPTION,
}

unsafe extern "C" {
    static trap_stubs: u8;
}

/// The address of the stub for `vector`.
pub(super) fn stub(vector: usize) -> usize {
    &raw const trap_stubs as usize + vector * 16
}

/// The address that caused the last page fault on this CPU.
pub(super) fn fault_address() -> usize {
    let address;
    // SAFETY: reading CR2 has no side effects.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// An exception in kernel mode: either a user-memory routine met a bad address and continues where its
/// exception-table entry says, or the kernel is broken.
extern "C" fn kernel_exception(frame: &mut TrapFrame) {
    let fault = match frame.vector {
        PAGE_FAULT => fault_address(),
        // A program's floating-point state that cannot be loaded: as bad as no memory at all.
        GENERAL_PROTECTION => USER_END - 1,
        _ => USER_END,
    };
    if fault < USER_END
        && let Some(target) = uaccess::fixup(frame.rip as usize)
    {
        frame.rip = target as u64;
        frame.rax = uaccess::faulted(fault);
        return;
    }
    if frame.vector == SIMD {
        // The program's MXCSR stays loaded in the kernel, and it had unmasked an exception that a computation
        // of the kernel now raised. Nothing was computed yet: mask all and do it again.
        let masked: u32 = super::user::MXCSR_DEFAULT;
        // SAFETY: a valid MXCSR value.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const masked, options(nostack, readonly)) };
        return;
    }
    panic::exception(frame)
}

/// One of the vectors that can hit anywhere, with GS made right by the entry code.
extern "C" fn paranoid_exception(frame: &mut TrapFrame) {
    match frame.vector {
        DEBUG => {
            // A single step that began in user mode and ended in kernel mode (as after `mov ss` before `syscall`).
            const TRAP_FLAG: u64 = 1 << 8;
            frame.rflags &= !TRAP_FLAG;
        }
        NON_MASKABLE => panic::non_maskable(frame),
        _ => panic::exception(frame),
    }
}
