//! `memcpy` and its family: the symbols that compiled code calls, and pages as wholes.
//!
//! Sixteen bytes per instruction pair, unrolled, and 32 for whole pages: that is near the best of real processors for the
//! sizes a kernel moves, and the best under QEMU's emulator, which runs `rep` instructions one element at a time. Sizes up to
//! 64 bytes are done without a loop by blocks that overlap in the middle; larger ones read the last (or first)
//! 64 bytes before the loop writes anything, so that the one routine serves `memmove`, too.

use super::asm::{
    copy_blocks, copy_small, copy_wide_blocks, fill_blocks, fill_wide_blocks, keep_upper, restore_upper,
};
use super::cpu::{self, State};
use super::layout::PAGE;
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// Does what there is of a page by the YMM registers, half as many moves, and returns; goes on at `$narrow` where that
/// cannot be. Their upper halves are the program's. Mostly it has nothing there, and gets nothing back; else those of the
/// registers that are used are kept meanwhile. What is above the YMM registers would be lost. Changes rax, rcx and rdx.
macro_rules! by_wide {
    ($narrow:literal, $registers:literal, $moves:expr) => {
        concat!(
            "cmp byte ptr [rip + {is_wide}], 0\n",
            "je ",
            $narrow,
            "\nmov ecx, 1\n",
            "xgetbv\n",
            "test al, {upper_zmm}\n",
            "jnz ",
            $narrow,
            "\ntest al, {upper_ymm}\n",
            "jz 3f\n",
            keep_upper!($registers),
            "3:\n",
            $moves,
            "\ntest al, {upper_ymm}\n",
            "jz 4f\n",
            restore_upper!($registers),
            "ret\n",
            "4:\n",
            "vzeroupper\n",
            "ret\n"
        )
    };
}

global_asm!(
    ".pushsection .text.mem, \"ax\"",
    ".global memcpy",
    ".type memcpy, @function",
    ".global memmove",
    ".type memmove, @function",
    ".balign 64",
    "memmove:",
    ".cfi_startproc",
    "mov rax, rdi",
    "sub rax, rsi",
    "cmp rax, rdx",
    "jb 5f",
    "memcpy:",
    "mov rax, rdi",
    copy_small!("ret", "31f"),
    // Forward. xmm4 to xmm7 take the last 64 bytes now.
    "31:",
    "movups xmm4, [rsi + rdx - 64]",
    "movups xmm5, [rsi + rdx - 48]",
    "movups xmm6, [rsi + rdx - 32]",
    "movups xmm7, [rsi + rdx - 16]",
    "lea r8, [rdi + rdx - 64]",
    "mov rcx, rdx",
    "and rcx, -256",
    "jz 3f",
    "add rdi, rcx",
    "add rsi, rcx",
    "neg rcx",
    "2:",
    copy_blocks!("rdi + rcx", "rsi + rcx", "0, 64, 128, 192"),
    "add rcx, 256",
    "jnz 2b",
    "3:",
    "and edx, 255",
    "sub edx, 64",
    "jbe 4f",
    "6:",
    copy_blocks!("rdi", "rsi", "0"),
    "add rdi, 64",
    "add rsi, 64",
    "sub edx, 64",
    "ja 6b",
    "4:",
    "movups [r8], xmm4",
    "movups [r8 + 16], xmm5",
    "movups [r8 + 32], xmm6",
    "movups [r8 + 48], xmm7",
    "ret",
    // Backward, for a destination inside the source's bytes. xmm4 to xmm7 take the first 64 bytes now.
    "5:",
    "mov rax, rdi",
    copy_small!("ret", "7f"),
    "7:",
    "movups xmm4, [rsi]",
    "movups xmm5, [rsi + 16]",
    "movups xmm6, [rsi + 32]",
    "movups xmm7, [rsi + 48]",
    "8:",
    copy_blocks!("rdi + rdx", "rsi + rdx", "-64"),
    "sub rdx, 64",
    "cmp rdx, 64",
    "ja 8b",
    "movups [rdi], xmm4",
    "movups [rdi + 16], xmm5",
    "movups [rdi + 32], xmm6",
    "movups [rdi + 48], xmm7",
    "ret",
    ".cfi_endproc",
    ".global memset",
    ".type memset, @function",
    ".balign 64",
    "memset:",
    ".cfi_startproc",
    "mov rax, rdi",
    "movzx esi, sil",
    "mov r8, 0x0101010101010101",
    "imul rsi, r8",
    "cmp rdx, 16",
    "jb 4f",
    "movq xmm0, rsi",
    "punpcklqdq xmm0, xmm0",
    "mov rcx, rdx",
    "and rcx, -256",
    "jz 2f",
    "add rdi, rcx",
    "neg rcx",
    "31:",
    fill_blocks!("rdi + rcx", "0, 64, 128, 192"),
    "add rcx, 256",
    "jnz 31b",
    "and edx, 255",
    "jz 9f",
    "2:",
    "sub edx, 16",
    "jbe 3f",
    "5:",
    "movups [rdi], xmm0",
    "add rdi, 16",
    "sub edx, 16",
    "ja 5b",
    // edx is now between -15 and 0: the last 16 bytes end where the area ends.
    "3:",
    "movsxd rdx, edx",
    "movups [rdi + rdx], xmm0",
    "9:",
    "ret",
    "4:",
    "cmp edx, 8",
    "jb 6f",
    "mov [rdi], rsi",
    "mov [rdi + rdx - 8], rsi",
    "ret",
    "6:",
    "cmp edx, 4",
    "jb 7f",
    "mov [rdi], esi",
    "mov [rdi + rdx - 4], esi",
    "ret",
    "7:",
    "test edx, edx",
    "jz 8f",
    "mov [rdi], sil",
    "mov [rdi + rdx - 1], sil",
    "shr edx, 1",
    "mov [rdi + rdx], sil",
    "8:",
    "ret",
    ".cfi_endproc",
    // The sign of the first difference. bcmp only promises zero or not.
    ".global memcmp",
    ".type memcmp, @function",
    ".global bcmp",
    ".type bcmp, @function",
    ".balign 64",
    "memcmp:",
    "bcmp:",
    ".cfi_startproc",
    "cmp rdx, 16",
    "jb 3f",
    "31:",
    "movups xmm0, [rdi]",
    "movups xmm1, [rsi]",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb eax, xmm0",
    "xor eax, 0xffff",
    "jnz 2f",
    "add rdi, 16",
    "add rsi, 16",
    "sub rdx, 16",
    "cmp rdx, 16",
    "jae 31b",
    "3:",
    "cmp edx, 8",
    "jb 4f",
    "mov rax, [rdi]",
    "mov rcx, [rsi]",
    "cmp rax, rcx",
    "jne 5f",
    "mov rax, [rdi + rdx - 8]",
    "mov rcx, [rsi + rdx - 8]",
    "cmp rax, rcx",
    "jne 5f",
    "xor eax, eax",
    "ret",
    "4:",
    "cmp edx, 4",
    "jb 8f",
    "mov eax, [rdi]",
    "mov ecx, [rsi]",
    "cmp eax, ecx",
    "jne 9f",
    "mov eax, [rdi + rdx - 4]",
    "mov ecx, [rsi + rdx - 4]",
    "cmp eax, ecx",
    "jne 9f",
    "xor eax, eax",
    "ret",
    "8:",
    "test edx, edx",
    "jz 6f",
    "movzx eax, byte ptr [rdi]",
    "movzx ecx, byte ptr [rsi]",
    "sub eax, ecx",
    "jnz 7f",
    "inc rdi",
    "inc rsi",
    "dec edx",
    "jmp 8b",
    // The first byte that differs decides.
    "2:",
    "bsf ecx, eax",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx ecx, byte ptr [rsi + rcx]",
    "sub eax, ecx",
    "ret",
    // As big-endian numbers, the first byte is the highest.
    "5:",
    "bswap rax",
    "bswap rcx",
    "cmp rax, rcx",
    "sbb eax, eax",
    "or eax, 1",
    "ret",
    "9:",
    "bswap eax",
    "bswap ecx",
    "cmp eax, ecx",
    "sbb eax, eax",
    "or eax, 1",
    "ret",
    "6:",
    "xor eax, eax",
    "7:",
    "ret",
    ".cfi_endproc",
    ".global strlen",
    ".type strlen, @function",
    ".balign 64",
    "strlen:",
    ".cfi_startproc",
    // Aligned blocks, which never reach into a page that the string does not.
    "mov rax, rdi",
    "and rax, -16",
    "mov ecx, edi",
    "and ecx, 15",
    "pxor xmm1, xmm1",
    "movaps xmm0, [rax]",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb edx, xmm0",
    "shr edx, cl",
    "test edx, edx",
    "jz 31f",
    "bsf eax, edx",
    "ret",
    "31:",
    "add rax, 16",
    "movaps xmm0, [rax]",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb edx, xmm0",
    "test edx, edx",
    "jz 31b",
    "bsf edx, edx",
    "add rax, rdx",
    "sub rax, rdi",
    "ret",
    ".cfi_endproc",
    ".global clear_page",
    ".type clear_page, @function",
    ".balign 64",
    "clear_page:",
    ".cfi_startproc",
    "add rdi, 4096",
    "mov r8, -4096",
    by_wide!(
        "6f",
        "0",
        concat!(
            "vxorps ymm0, ymm0, ymm0\n",
            "5:\n",
            fill_wide_blocks!("rdi + r8", "0, 64, 128, 192, 256, 320, 384, 448"),
            "\nadd r8, 512\n",
            "jnz 5b"
        )
    ),
    "6:",
    "pxor xmm0, xmm0",
    "mov rax, r8",
    "2:",
    fill_blocks!("rdi + rax", "0, 64, 128, 192, 256, 320, 384, 448"),
    "add rax, 512",
    "jnz 2b",
    "ret",
    ".cfi_endproc",
    ".global copy_page",
    ".type copy_page, @function",
    ".balign 64",
    "copy_page:",
    ".cfi_startproc",
    "add rdi, 4096",
    "add rsi, 4096",
    "mov r8, -4096",
    by_wide!(
        "6f",
        "0, 1, 2, 3",
        concat!(
            "5:\n",
            copy_wide_blocks!("rdi + r8", "rsi + r8", "0, 128, 256, 384"),
            "\nadd r8, 512\n",
            "jnz 5b"
        )
    ),
    "6:",
    "mov rax, r8",
    "2:",
    copy_blocks!("rdi + rax", "rsi + rax", "0, 64, 128, 192, 256, 320, 384, 448"),
    "add rax, 512",
    "jnz 2b",
    "ret",
    ".cfi_endproc",
    ".popsection",
    is_wide = sym IS_WIDE,
    upper_ymm = const State::AVX,
    upper_zmm = const State::ZMM,
);

/// Whether YMM registers are there, and XGETBV tells whether a program has anything in their upper halves. Relaxed: set
/// while one CPU runs.
pub(super) static IS_WIDE: AtomicBool = AtomicBool::new(false);

/// Chooses the way of long copies. Once, on the boot CPU, when its control registers are set up; any other CPU sets up its
/// own before it does anything else.
pub(super) fn init() {
    let features = cpu::features();
    IS_WIDE.store(features.xgetbv_in_use && features.state.components & State::AVX != 0, Ordering::Relaxed);
}

mod symbols {
    unsafe extern "C" {
        pub(super) fn clear_page(page: *mut u8);
        pub(super) fn copy_page(to: *mut u8, from: *const u8);
    }
}

/// Zeroes a page: 128 stores, or 256 where there are no YMM registers, and a loop of eight rounds around them.
///
/// # Safety
/// `page` must be a page-aligned address of 4096 bytes that the caller may write.
#[inline]
pub unsafe fn clear_page(page: *mut u8) {
    debug_assert!(page.addr().is_multiple_of(PAGE));
    // SAFETY: the caller's promise.
    unsafe { symbols::clear_page(page) }
}

/// Copies a page.
///
/// # Safety
/// `to` and `from` must be page-aligned addresses of different pages; the caller may write the first and read the
/// second.
#[inline]
pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
    debug_assert!(to.addr().is_multiple_of(PAGE) && from.addr().is_multiple_of(PAGE));
    // SAFETY: the caller's promise.
    unsafe { symbols::copy_page(to, from) }
}
