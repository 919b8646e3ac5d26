//! The crossing itself, in assembly: into user mode, and back by `syscall`. Other traps come back in `arch::entry`.

use crate::arch::answers;
use crate::arch::asm::{context_asm, load_registers, load_xmm, save_registers, save_xmm};
use crate::arch::descriptors::{KERNEL_CODE, SYSRET_BASE, USER_CODE, USER_DATA};
use crate::arch::percpu::PerCpu;
use core::mem::offset_of;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{LStar, Msr, SFMask};
use x86_64::registers::rflags::RFlags;

context_asm! {
    [
        // rdi = the context's base. Returns kind, detail and error in eax, rdx and ecx, by way of a trap.
        ".balign 64",
        ".global user_enter_fast",
        "user_enter_fast:",
        "cli",
        "cmp byte ptr gs:[{interrupted}], 0",
        "jne user_enter_back",
        "mov gs:[{kernel_stack}], rsp",
        "mov gs:[{user_context}], rdi",
        load_xmm!("rdi + {xmm}"),
        load_registers!("rdi": rax rsi rdx r10 r8 r9 rbx rbp r12 r13 r14 r15),
        "mov rcx, [rdi + {rip}]",
        "mov r11, [rdi + {rflags}]",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "swapgs",
        "sysretq",

        // An interrupt came in kernel mode: let the caller look at what it brought.
        "user_enter_back:",
        "mov byte ptr gs:[{interrupted}], 0",
        "mov eax, {trap_interrupt}",
        "sti",
        "ret",

        ".balign 64",
        ".global user_enter_full",
        "user_enter_full:",
        "cli",
        "cmp byte ptr gs:[{interrupted}], 0",
        "jne user_enter_back",
        "mov gs:[{kernel_stack}], rsp",
        "mov gs:[{user_context}], rdi",
        "push {user_ss}",
        "push [rdi + {rsp}]",
        "push [rdi + {rflags}]",
        "push {user_cs}",
        "push [rdi + {rip}]",
        load_xmm!("rdi + {xmm}"),
        "test dword ptr [rdi + {state}], {full}",
        load_registers!("rdi": rax rsi rdx r10 r8 r9 rbx rbp r12 r13 r14 r15),
        // After a system call rcx and r11 are what it left in them, and the fields are older.
        "mov rcx, [rdi + {rip}]",
        "mov r11, [rdi + {rflags}]",
        "jz 2f",
        "mov rcx, [rdi + {rcx}]",
        "mov r11, [rdi + {r11}]",
        "2:",
        "mov rdi, [rdi + {rdi}]",
        "swapgs",
        "iretq",

        // The processor comes here on `syscall`: rcx = rip, r11 = rflags, flags masked by IA32_FMASK, user's stack.
        ".balign 64",
        ".global user_syscall",
        "user_syscall:",
        "swapgs",
        "mov gs:[{user_stack}], rsp",
        // What `answers` answers: rsp serves as the register that the program would not miss.
        "cmp rax, gs:[{answered}]",
        "jae 2f",
        "movzx esp, byte ptr [rax + {places}]",
        "test esp, esp",
        "jz 2f",
        "add rsp, gs:[{answers}]",
        "mov eax, [rsp - 4]",
        "mov rsp, gs:[{user_stack}]",
        "swapgs",
        "sysretq",
        "2:",
        "mov rsp, gs:[{user_context}]",
        "mov [rsp + {orig_rax}], rax",
        save_registers!("rsp": rdi rsi rdx r10 r8 r9 rbx rbp r12 r13 r14 r15),
        "mov [rsp + {rip}], rcx",
        "mov [rsp + {rflags}], r11",
        "mov rcx, gs:[{user_stack}]",
        "mov [rsp + {rsp}], rcx",
        "mov dword ptr [rsp + {state}], 0",
        save_xmm!("rsp + {xmm}"),
        "mov rsp, gs:[{kernel_stack}]",
        "xor eax, eax",
        "sti",
        "ret",
    ]
    user_cs = const USER_CODE,
    user_ss = const USER_DATA,
    answers = const offset_of!(PerCpu, answers),
    answered = const offset_of!(PerCpu, answered),
    places = sym answers::PLACES,
}

unsafe extern "C" {
    fn user_syscall();
}

/// Points this CPU's `syscall` instruction to the kernel.
pub(in crate::arch) fn init_syscalls() {
    const IA32_STAR: u32 = 0xc000_0081;
    const IA32_SYSENTER_CS: u32 = 0x174;
    let star = u64::from(SYSRET_BASE) << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: the selectors are those of `descriptors`, the entry is assembly made for it, and with SYSENTER_CS 0
    // `sysenter` is a #GP.
    unsafe {
        Msr::new(IA32_STAR).write(star);
        LStar::write(VirtAddr::from_ptr(user_syscall as *const ()));
        Msr::new(IA32_SYSENTER_CS).write(0);
    }
    // Interrupts off until the stack is the kernel's; no single-step; direction and alignment check as compiled
    // code and SMAP want them.
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK
            | RFlags::IOPL_LOW
            | RFlags::IOPL_HIGH,
    );
}
