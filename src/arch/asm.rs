//! Pieces of assembly text that several modules use.
//!
//! Assembler macros would be shorter, but each `asm!` may end up in an object of its own, where another module's
//! macros are unknown; text is always there.

/// `stac` or `clac`, listed so that `uaccess::patch_smap` can make it a no-op where there is no SMAP.
macro_rules! smap {
    ($instruction:literal) => {
        concat!("77: ", $instruction, "\n.pushsection .smap_sites, \"a\"\n.quad 77b\n.popsection")
    };
}

/// Lists the code between two labels in the exception table: a fault there continues at the third.
macro_rules! ex_range {
    ($start:literal, $end:literal, $target:literal) => {
        concat!(".pushsection .ex_table, \"a\"\n.quad ", $start, ", ", $end, ", ", $target, "\n.popsection")
    };
}

/// Stores the sixteen XMM registers at an address, a multiple of 16.
macro_rules! save_xmm {
    ($address:literal) => {
        concat!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nmovaps [",
            $address,
            " + 16 * \\n], xmm\\n\n.endr"
        )
    };
}

/// Loads the sixteen XMM registers from an address, a multiple of 16.
macro_rules! load_xmm {
    ($address:literal) => {
        concat!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nmovaps xmm\\n, [",
            $address,
            " + 16 * \\n]\n.endr"
        )
    };
}

/// Loads general registers from the fields of the same names of the context at an address; in [`context_asm!`].
macro_rules! load_registers {
    ($context:literal: $($register:ident)*) => {
        concat!(
            $("mov ", stringify!($register), ", [", $context, " + {", stringify!($register), "}]\n"),*
        )
    };
}

/// Stores general registers in the fields of the same names of the context at an address; in [`context_asm!`].
macro_rules! save_registers {
    ($context:literal: $($register:ident)*) => {
        concat!(
            $("mov [", $context, " + {", stringify!($register), "}], ", stringify!($register), "\n"),*
        )
    };
}

/// `global_asm!` in `.text.entry`, for the two sides of user mode: `{rax}` and the like are the displacements of the fields
/// of a [`UserContext`](super::user::UserContext), `{user_stack}` and the like those in the per-CPU block.
macro_rules! context_asm {
    ([$($line:tt)*] $($operand:tt)*) => {
        context_asm! {
            @fields { rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags orig_rax state }
            { interrupted kernel_stack user_context user_stack }
            [$($line)*] $($operand)*
        }
    };
    (@fields { $($field:ident)* } { $($own:ident)* } [$($line:tt)*] $($operand:tt)*) => {
        core::arch::global_asm!(
            ".pushsection .text.entry, \"ax\"",
            $($line)*
            ".popsection",
            $($operand)*
            $($field = const $crate::arch::user::UserContext::offset(
                core::mem::offset_of!($crate::arch::user::UserContext, $field)
            ),)*
            $($own = const core::mem::offset_of!($crate::arch::percpu::PerCpu, $own),)*
            xmm = const $crate::arch::user::UserContext::XMM,
            full = const $crate::arch::user::UserContext::FULL,
            trap_interrupt = const $crate::arch::user::TRAP_INTERRUPT,
        );
    };
}

/// Pushes the general registers in the order of `entry::TrapFrame`, last field first.
macro_rules! push_all {
    () => {
        ".irp r, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15\npush \\r\n.endr"
    };
}

/// Tells the unwinder where `push_all`, above vector and error code, and the processor put the interrupted code's registers.
macro_rules! cfi_push_all {
    () => {
        ".cfi_offset rip, -40\n.cfi_offset rsp, -16\n.cfi_offset rax, -64\n.cfi_offset rbx, -72\n.cfi_offset rbp, -112\n\
         .cfi_offset r12, -152\n.cfi_offset r13, -160\n.cfi_offset r14, -168\n.cfi_offset r15, -176"
    };
}

/// Undoes `push_all`.
macro_rules! pop_all {
    () => {
        ".irp r, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax\npop \\r\n.endr"
    };
}

/// Copies 64 bytes at each displacement, each 64 loaded before they are stored, by way of xmm0 to xmm3.
macro_rules! copy_blocks {
    ($to:literal, $from:literal, $displacements:literal) => {
        concat!(
            ".irp d, ",
            $displacements,
            "\nmovups xmm0, [",
            $from,
            " + \\d]",
            "\nmovups xmm1, [",
            $from,
            " + \\d + 16]",
            "\nmovups xmm2, [",
            $from,
            " + \\d + 32]",
            "\nmovups xmm3, [",
            $from,
            " + \\d + 48]",
            "\nmovups [",
            $to,
            " + \\d], xmm0",
            "\nmovups [",
            $to,
            " + \\d + 16], xmm1",
            "\nmovups [",
            $to,
            " + \\d + 32], xmm2",
            "\nmovups [",
            $to,
            " + \\d + 48], xmm3",
            "\n.endr"
        )
    };
}

/// Copies 128 bytes at each displacement by way of ymm0 to ymm3. Under QEMU a load right before its store takes three times
/// as long as one of four before four stores: each goes through memory there.
macro_rules! copy_wide_blocks {
    ($to:literal, $from:literal, $displacements:literal) => {
        concat!(
            ".irp d, ",
            $displacements,
            "\nvmovups ymm0, [",
            $from,
            " + \\d]",
            "\nvmovups ymm1, [",
            $from,
            " + \\d + 32]",
            "\nvmovups ymm2, [",
            $from,
            " + \\d + 64]",
            "\nvmovups ymm3, [",
            $from,
            " + \\d + 96]",
            "\nvmovups [",
            $to,
            " + \\d], ymm0",
            "\nvmovups [",
            $to,
            " + \\d + 32], ymm1",
            "\nvmovups [",
            $to,
            " + \\d + 64], ymm2",
            "\nvmovups [",
            $to,
            " + \\d + 96], ymm3",
            "\n.endr"
        )
    };
}

/// Keeps the upper halves of some YMM registers, by their numbers from 0 on, in the red zone.
macro_rules! keep_upper {
    ($registers:literal) => {
        concat!(".irp r, ", $registers, "\nvextractf128 [rsp - 16 - 16 * \\r], ymm\\r, 1\n.endr\n")
    };
}

/// Gives them back what [`keep_upper`] has kept.
macro_rules! restore_upper {
    ($registers:literal) => {
        concat!(".irp r, ", $registers, "\nvinsertf128 ymm\\r, ymm\\r, [rsp - 16 - 16 * \\r], 1\n.endr\n")
    };
}

/// Stores ymm0 at each displacement and the 32 bytes behind it.
macro_rules! fill_wide_blocks {
    ($to:literal, $displacements:literal) => {
        concat!(
            ".irp d, ",
            $displacements,
            "\nvmovups [",
            $to,
            " + \\d], ymm0",
            "\nvmovups [",
            $to,
            " + \\d + 32], ymm0",
            "\n.endr"
        )
    };
}

/// Stores xmm0 at each displacement and the 48 bytes behind it.
macro_rules! fill_blocks {
    ($to:literal, $displacements:literal) => {
        concat!(
            ".irp d, ",
            $displacements,
            "\nmovups [",
            $to,
            " + \\d], xmm0",
            "\nmovups [",
            $to,
            " + \\d + 16], xmm0",
            "\nmovups [",
            $to,
            " + \\d + 32], xmm0",
            "\nmovups [",
            $to,
            " + \\d + 48], xmm0",
            "\n.endr"
        )
    };
}

/// Copies rdx bytes from rsi to rdi, all loads before the first store, and then does `$end`; more than 64 it leaves to what is
/// at `$large`.
macro_rules! copy_small {
    ($end:literal, $large:literal) => {
        concat!(
            "cmp rdx, 16\njb 21f\ncmp rdx, 64\nja ",
            $large,
            "\ncmp edx, 32\nja 20f",
            "\nmovups xmm0, [rsi]\nmovups xmm1, [rsi + rdx - 16]",
            "\nmovups [rdi], xmm0\nmovups [rdi + rdx - 16], xmm1\n",
            $end,
            "\n20:",
            "\nmovups xmm0, [rsi]\nmovups xmm1, [rsi + 16]",
            "\nmovups xmm2, [rsi + rdx - 32]\nmovups xmm3, [rsi + rdx - 16]",
            "\nmovups [rdi], xmm0\nmovups [rdi + 16], xmm1",
            "\nmovups [rdi + rdx - 32], xmm2\nmovups [rdi + rdx - 16], xmm3\n",
            $end,
            "\n21:\ncmp edx, 8\njb 22f",
            "\nmov rcx, [rsi]\nmov r8, [rsi + rdx - 8]",
            "\nmov [rdi], rcx\nmov [rdi + rdx - 8], r8\n",
            $end,
            "\n22:\ncmp edx, 4\njb 23f",
            "\nmov ecx, [rsi]\nmov r8d, [rsi + rdx - 4]",
            "\nmov [rdi], ecx\nmov [rdi + rdx - 4], r8d\n",
            $end,
            "\n23:\ntest edx, edx\njz 24f",
            // One to three bytes: the first, the last, and the middle of three.
            "\nmovzx ecx, byte ptr [rsi]\nmovzx r8d, byte ptr [rsi + rdx - 1]\ncmp edx, 3\njb 25f",
            "\nmovzx r10d, byte ptr [rsi + 1]\nmov [rdi + 1], r10b",
            "\n25:\nmov [rdi], cl\nmov [rdi + rdx - 1], r8b",
            "\n24:\n",
            $end
        )
    };
}

pub(super) use {
    cfi_push_all, context_asm, copy_blocks, copy_small, copy_wide_blocks, ex_range, fill_blocks,
    fill_wide_blocks, keep_upper, load_registers, load_xmm, pop_all, push_all, restore_upper, save_registers,
    save_xmm, smap,
};
