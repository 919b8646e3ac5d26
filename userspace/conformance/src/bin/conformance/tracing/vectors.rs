//! The whole vector state of a tracee (`NT_X86_XSTATE`): what XSAVE writes.

use super::{finish, go, ptrace, tracee};
use crate::check::{outcome, show};
use std::arch::asm;
use std::io;

const NT_X86_XSTATE: usize = 0x202;
/// Where in it are: the components that there can be, the header, and the upper halves of the YMM registers.
const POSSIBLE: usize = 464;
const HEADER: usize = 512;
const UPPER: usize = 576;
/// Where the XMM registers are.
const LOWER: usize = 160;
/// The bits of the x87 unit, of the XMM registers and of what AVX adds.
const BASIC: u64 = 7;

/// Fills YMM5, has the tracer look at it, and gives back what it is then.
#[inline(never)]
fn shown(pattern: [u64; 4]) -> [u64; 4] {
    let mut found = [0; 4];
    // SAFETY: loads one array and fills the other.
    unsafe {
        asm!("vmovdqu ymm5, [{pattern}]", "int3", "vmovdqu [{found}], ymm5", "vzeroupper",
            pattern = in(reg) &raw const pattern, found = in(reg) &raw mut found, out("xmm5") _);
    }
    found
}

fn get(pid: i32, image: &mut [u8]) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: image.as_mut_ptr().cast(), iov_len: image.len() };
    ptrace(libc::PTRACE_GETREGSET, pid, NT_X86_XSTATE, &raw mut vector)?;
    Ok(vector.iov_len)
}

fn set(pid: i32, image: &[u8]) -> io::Result<i64> {
    let mut vector = libc::iovec { iov_base: image.as_ptr().cast_mut().cast(), iov_len: image.len() };
    ptrace(libc::PTRACE_SETREGSET, pid, NT_X86_XSTATE, &raw mut vector)
}

fn word(image: &[u8], at: usize) -> u64 {
    image[at..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

/// Two words.
fn pair(image: &[u8], at: usize) -> String {
    format!("{} {}", word(image, at), word(image, at + 8))
}

fn put(image: &mut [u8], at: usize, word: u64) {
    image[at..at + 8].copy_from_slice(&word.to_ne_bytes());
}

pub fn run() {
    let child =
        tracee(|| i32::from(shown([1, 2, 3, 4]) == [1, 20, 3, 40]) + 2 * i32::from(shown([5; 4]) == [0; 4]));
    go("a breakpoint", libc::PTRACE_CONT, child.pid, 0);
    let mut image = vec![0; 8192];
    let len = get(child.pid, &mut image).expect("its state");
    image.truncate(len);
    show("there is room for the upper halves", len >= UPPER + 256 && len.is_multiple_of(8));
    show("possible", word(&image, POSSIBLE) & BASIC);
    show("in use", word(&image, HEADER) & BASIC);
    show("lower half", pair(&image, LOWER + 5 * 16));
    show("upper half", pair(&image, UPPER + 5 * 16));
    let mut start = [0; 176];
    outcome("its beginning alone", get(child.pid, &mut start));
    outcome("in odd pieces", get(child.pid, &mut [0; 172]));
    put(&mut image, LOWER + 5 * 16 + 8, 20);
    put(&mut image, UPPER + 5 * 16 + 8, 40);
    for (what, at, wrong) in [
        ("a component that there is not", HEADER, 1 << 62),
        ("the compact form", HEADER + 8, 1 << 63),
        ("what is reserved", HEADER + 24, 1),
        ("a control word that there is not", 24, 1 << 31),
    ] {
        let mut spoilt = image.clone();
        let known = word(&image, at);
        put(&mut spoilt, at, known | wrong);
        outcome(what, set(child.pid, &spoilt));
    }
    outcome("a part of it", set(child.pid, &image[..len - 8]));
    outcome("other halves", set(child.pid, &image));
    go("the next", libc::PTRACE_CONT, child.pid, 0);
    put(&mut image, HEADER, 1);
    outcome("none of the vectors in use", set(child.pid, &image));
    finish("both were seen", child);
}
