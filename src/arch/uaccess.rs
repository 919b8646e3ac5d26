//! User memory, as the active address space maps it.
//!
//! The kernel reads and writes user addresses directly; the instructions that may do so are listed in an
//! exception table (a section that the linker gathers). When one of them faults, [`super::entry`] looks it up here
//! and continues at the fix-up, and the function returns a [`Fault`] with the address. The caller has the page
//! brought in, which may mean waiting, and calls again. Nothing is ever lost or done twice: `copied` bytes are
//! exactly what was moved.
//!
//! With SMAP the processor refuses such accesses except between `stac` and `clac`, which stand directly around
//! them.

use super::asm::{
    copy_blocks, copy_small, copy_wide_blocks, ex_range, fill_blocks, keep_upper, restore_upper, smap,
};
use super::cpu::State;
use super::layout::USER_END;
use super::mem::IS_WIDE;
use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;
use zerocopy::FromBytes;

/// A user address could not be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes moved before, all of them from the start of the range.
    pub copied: usize,
    /// The address that faulted; `USER_END` or above if the range leaves user space.
    pub address: usize,
}

/// Why [`strncpy_from_user`] has no string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringError {
    /// No NUL within the destination's length.
    TooLong,
    /// The string's memory could not be read; `copied` is how much of it is known to be readable.
    Fault(Fault),
}

impl From<Fault> for StringError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An entry of the exception table: a fault between `start` and `end` continues at `target`.
#[repr(C)]
struct Entry {
    start: usize,
    end: usize,
    target: usize,
}

unsafe extern "C" {
    static __ex_table_start: Entry;
    static __ex_table_end: Entry;
    static __smap_sites_start: usize;
    static __smap_sites_end: usize;
}

/// Where to continue after a fault at `rip`, if that is an instruction that may fault. In rax the routine gets what
/// [`faulted`] says.
pub(super) fn fixup(rip: usize) -> Option<usize> {
    let start = &raw const __ex_table_start;
    let count = (&raw const __ex_table_end as usize - start as usize) / size_of::<Entry>();
    // SAFETY: the linker gathered `count` entries between the two symbols.
    let entries = unsafe { core::slice::from_raw_parts(start, count) };
    entries.iter().find(|entry| (entry.start..entry.end).contains(&rip)).map(|entry| entry.target)
}

/// Replaces each `stac` and `clac` by a no-op, for a processor without SMAP.
///
/// # Safety
/// Once, while kernel code is mapped writable and only this CPU runs.
pub(super) unsafe fn patch_smap() {
    const NOP: [u8; 3] = [0x0f, 0x1f, 0x00];
    let start = &raw const __smap_sites_start;
    let count = (&raw const __smap_sites_end as usize - start as usize) / size_of::<usize>();
    // SAFETY: the linker gathered `count` addresses of three-byte instructions between the two symbols; the caller
    // says that they may be written.
    unsafe {
        for site in core::slice::from_raw_parts(start, count) {
            (*site as *mut [u8; 3]).write_volatile(NOP);
        }
    }
}

/// Set in rax beside the address that faulted: it tells a fault, even one at address 0, from none. No user address has the
/// bit.
pub(super) const FAULTED: usize = 1 << 63;

/// What rax holds when a fix-up runs after a fault at `address`.
pub(super) fn faulted(address: usize) -> u64 {
    (address | FAULTED) as u64
}

// Each returns 0, or what [`faulted`] makes of the address, in rax. System V calling convention, but that `user_copy` leaves r11
// and the XMM registers from xmm4 on alone.
global_asm!(
    ".pushsection .text.mem, \"ax\"",
    // rdi, rsi, rdx = to, from, length. Ascending, except for overlapping blocks at the end.
    ".balign 64",
    ".global user_copy",
    "user_copy:",
    ".cfi_startproc",
    smap!("stac"),
    "user_copy_start:",
    copy_small!("jmp 9f", "2f"),
    "2:",
    "mov rcx, rdx",
    "and rcx, -1024",
    "jz 4f",
    "add rdi, rcx",
    "add rsi, rcx",
    "neg rcx",
    "cmp byte ptr [rip + {is_wide}], 0",
    "jne user_copy_wide",
    "user_copy_narrow:",
    "3:",
    copy_blocks!("rdi + rcx", "rsi + rcx", "0, 64, 128, 192, 256, 320, 384, 448"),
    copy_blocks!("rdi + rcx + 512", "rsi + rcx + 512", "0, 64, 128, 192, 256, 320, 384, 448"),
    "add rcx, 1024",
    "jnz 3b",
    "user_copy_rest:",
    "4:",
    "and edx, 1023",
    "jz 9f",
    "add rsi, rdx",
    "add rdi, rdx",
    "neg rdx",
    "cmp edx, -64",
    "jge 6f",
    "5:",
    copy_blocks!("rdi + rdx", "rsi + rdx", "0"),
    "add rdx, 64",
    "cmp edx, -64",
    "jl 5b",
    // At most 64 bytes are left, and 64 or more were copied before.
    "6:",
    copy_blocks!("rdi", "rsi", "-64"),
    "9:",
    smap!("clac"),
    "xor eax, eax",
    "ret",
    "user_copy_end:",
    ex_range!("user_copy_start", "user_copy_end", "user_fault"),
    "user_fault:",
    smap!("clac"),
    "ret",
    ".cfi_endproc",
    // The KiB of a long copy, by the YMM registers: half as many moves. Their upper halves are the program's. Mostly it has
    // nothing there, and gets nothing back; else four of them are kept meanwhile.
    ".balign 64",
    "user_copy_wide:",
    ".cfi_startproc",
    "mov r8, rdx",
    "mov r9, rcx",
    "mov ecx, 1",
    "xgetbv",
    "mov rdx, r8",
    // These moves would also clear what is above the YMM registers.
    "test al, {upper_zmm}",
    "jnz 5f",
    "mov r10d, eax",
    "test al, {upper_ymm}",
    "jz 2f",
    keep_upper!("0, 1, 2, 3"),
    "user_copy_wide_start:",
    "2:",
    copy_wide_blocks!("rdi + r9", "rsi + r9", "0, 128, 256, 384, 512, 640, 768, 896"),
    "add r9, 1024",
    "jnz 2b",
    "user_copy_wide_end:",
    "test r10b, {upper_ymm}",
    "jz 3f",
    restore_upper!("0, 1, 2, 3"),
    "jmp user_copy_rest",
    "3:",
    "vzeroupper",
    "jmp user_copy_rest",
    "5:",
    "mov rcx, r9",
    "jmp user_copy_narrow",
    ex_range!("user_copy_wide_start", "user_copy_wide_end", "user_fault_wide"),
    "user_fault_wide:",
    "test r10b, {upper_ymm}",
    "jz 4f",
    restore_upper!("0, 1, 2, 3"),
    "jmp user_fault",
    "4:",
    "vzeroupper",
    "jmp user_fault",
    ".cfi_endproc",
    // rdi, rsi = to, length. Ascending.
    ".balign 64",
    ".global user_zero",
    "user_zero:",
    ".cfi_startproc",
    smap!("stac"),
    "user_zero_start:",
    "pxor xmm0, xmm0",
    "mov rcx, rsi",
    "and rcx, -256",
    "jz 3f",
    "add rdi, rcx",
    "neg rcx",
    "2:",
    fill_blocks!("rdi + rcx", "0, 64, 128, 192"),
    "add rcx, 256",
    "jnz 2b",
    "3:",
    "and esi, 255",
    "jz 7f",
    "sub esi, 16",
    "jb 5f",
    "4:",
    "movups [rdi], xmm0",
    "add rdi, 16",
    "sub esi, 16",
    "jae 4b",
    "5:",
    "add esi, 16",
    "jz 7f",
    "6:",
    "mov byte ptr [rdi], 0",
    "inc rdi",
    "dec esi",
    "jnz 6b",
    "7:",
    smap!("clac"),
    "xor eax, eax",
    "ret",
    "user_zero_end:",
    ex_range!("user_zero_start", "user_zero_end", "user_fault"),
    ".cfi_endproc",
    // rdi, rsi, rdx = to, from, most bytes. rax = 0 or the fault; rdx = bytes before the NUL, or the
    // most if there is none; on a fault, bytes known to be readable and not NUL.
    ".balign 64",
    ".global user_string",
    "user_string:",
    ".cfi_startproc",
    "mov r8, rdx",
    "xor edx, edx",
    "pxor xmm1, xmm1",
    smap!("stac"),
    "user_string_start:",
    // One unaligned block first, if it stays in the page; then aligned blocks, which always do.
    "cmp r8, 32",
    "jb 6f",
    "mov eax, esi",
    "and eax, 4095",
    "cmp eax, 4080",
    "ja 6f",
    "movups xmm0, [rsi]",
    "movups [rdi], xmm0",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb eax, xmm0",
    "test eax, eax",
    "jnz 5f",
    "mov edx, esi",
    "and edx, 15",
    "neg edx",
    "add edx, 16",
    "2:",
    "lea rcx, [rdx + 16]",
    "cmp rcx, r8",
    "ja 6f",
    "movaps xmm0, [rsi + rdx]",
    "movups [rdi + rdx], xmm0",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb eax, xmm0",
    "test eax, eax",
    "jnz 5f",
    "mov rdx, rcx",
    "jmp 2b",
    "5:",
    "bsf eax, eax",
    "add rdx, rax",
    "jmp 8f",
    // Byte by byte: near the end of a page that the first block would leave, and near the end of the destination.
    "6:",
    "cmp rdx, r8",
    "jae 8f",
    "mov al, [rsi + rdx]",
    "mov [rdi + rdx], al",
    "test al, al",
    "jz 8f",
    "inc rdx",
    "lea rax, [rsi + rdx]",
    "test al, 15",
    "jnz 6b",
    "jmp 2b",
    "8:",
    smap!("clac"),
    "xor eax, eax",
    "ret",
    "user_string_end:",
    ex_range!("user_string_start", "user_string_end", "user_fault"),
    ".cfi_endproc",
    ".popsection",
    is_wide = sym IS_WIDE,
    upper_ymm = const State::AVX,
    upper_zmm = const State::ZMM,
);

/// Copies ascending. Returns 0, or what [`faulted`] makes of the address that faulted.
///
/// By a call that changes few registers, so that the caller need not push those that it goes on with.
///
/// # Safety
/// One range is in user space, the other the caller's; they do not overlap.
#[inline(always)]
unsafe fn user_copy(to: usize, from: usize, len: usize) -> usize {
    let fault;
    // SAFETY: the caller's promise, and the routine touches the registers that are named here and no others.
    unsafe {
        asm!("call user_copy",
            inout("rdi") to => _, inout("rsi") from => _, inout("rdx") len => _, out("rax") fault,
            out("rcx") _, out("r8") _, out("r9") _, out("r10") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _);
    }
    fault
}

unsafe extern "C" {
    fn user_zero(to: usize, len: usize) -> usize;
    fn user_string();
}

/// Blocks are moved in ascending order, at most this many bytes of them unfinished when one faults.
const UNFINISHED: usize = 512;

/// A range that is wholly in user space.
#[derive(Clone, Copy)]
pub struct UserRange {
    address: usize,
    len: usize,
}

impl UserRange {
    /// The fault of a range that leaves user space is not that of any page.
    #[inline(always)]
    pub fn new(address: usize, len: usize) -> Result<Self, Fault> {
        if address.saturating_add(len) <= USER_END {
            Ok(Self { address, len })
        } else {
            Err(Fault { copied: 0, address: address.max(USER_END) })
        }
    }

    /// Copies `from` to the range's beginning; as [`copy_to_user`].
    ///
    /// # Panics
    /// If the range is shorter.
    #[inline(always)]
    pub fn write(self, from: &[u8]) -> Result<(), Fault> {
        #[cold]
        #[inline(never)]
        fn finish_to_user(to: usize, base: usize, fault: usize) -> Fault {
            // SAFETY: part of the range.
            finish(to, fault, |a, b| unsafe { user_copy(to + a, base + a, b - a) })
        }
        assert!(from.len() <= self.len);
        let base = from.as_ptr() as usize;
        // SAFETY: reads stay in `from`; writes are in user space and may fault.
        match unsafe { user_copy(self.address, base, from.len()) } {
            0 => Ok(()),
            fault => Err(finish_to_user(self.address, base, fault)),
        }
    }
}

/// Refuses a range that is not wholly in user space.
#[inline(always)]
pub(super) fn check(address: usize, len: usize) -> Result<(), Fault> {
    UserRange::new(address, len).map(drop)
}

/// After a fault in a range from `start` on: moves what lies before it, so that `copied` is exact. `redo(from, to)` moves
/// the bytes with these indices and returns a fault or 0.
fn finish(start: usize, mut fault: usize, redo: impl Fn(usize, usize) -> usize) -> Fault {
    loop {
        let address = fault & !FAULTED;
        let copied = address.saturating_sub(start);
        fault = redo(copied.saturating_sub(UNFINISHED), copied);
        // The range before the fault can itself have been unmapped meanwhile.
        if fault == 0 {
            return Fault { copied, address };
        }
    }
}

/// Copies from user memory at `from`. On a fault the first `copied` bytes of `to` are valid.
///
/// Where the length is known to be 4 or 8 when this is compiled, one instruction does it.
#[inline(always)]
pub fn copy_from_user(to: &mut [u8], from: usize) -> Result<(), Fault> {
    if let Ok(word) = <&mut [u8; 8]>::try_from(&mut *to) {
        if let Ok(value) = read_user::<u64>(from) {
            *word = value.to_ne_bytes();
            return Ok(());
        }
    } else if let Ok(word) = <&mut [u8; 4]>::try_from(&mut *to)
        && let Ok(value) = read_user::<u32>(from)
    {
        *word = value.to_ne_bytes();
        return Ok(());
    }
    copy_bytes_from_user(to, from)
}

/// Copies a value of a plain type from user memory at `from`.
#[inline(always)]
pub fn copy_value_from_user<T: FromBytes>(from: usize) -> Result<T, Fault> {
    let mut slot = MaybeUninit::uninit();
    copy_into_from_user(&mut slot, from)?;
    // SAFETY: it has been filled.
    Ok(unsafe { slot.assume_init() })
}

/// As [`copy_value_from_user`], to where the value is used.
///
/// Where the length is known to be 4 or 8 when this is compiled, one instruction does it.
#[inline(always)]
pub fn copy_into_from_user<T: FromBytes>(slot: &mut MaybeUninit<T>, from: usize) -> Result<&mut T, Fault> {
    let base = slot.as_mut_ptr();
    // SAFETY: all bytes of the value are written, in which any values are a valid T. Reads are in user space and may
    // fault; then the value is not used.
    unsafe {
        match size_of::<T>() {
            8 => base.cast::<u64>().write_unaligned(read_user(from)?),
            4 => base.cast::<u32>().write_unaligned(read_user(from)?),
            len => {
                check(from, len)?;
                let address = user_copy(base as usize, from, len);
                if address != 0 {
                    return Err(Fault { copied: 0, address });
                }
            }
        }
        Ok(slot.assume_init_mut())
    }
}

/// Copies to user memory at `to`. On a fault `copied` bytes have arrived.
///
/// Where the length is known to be 4 or 8 when this is compiled, one instruction does it.
#[inline(always)]
pub fn copy_to_user(to: usize, from: &[u8]) -> Result<(), Fault> {
    if let Ok(word) = <[u8; 8]>::try_from(from) {
        if write_user(to, u64::from_ne_bytes(word)).is_ok() {
            return Ok(());
        }
    } else if let Ok(word) = <[u8; 4]>::try_from(from)
        && write_user(to, u32::from_ne_bytes(word)).is_ok()
    {
        return Ok(());
    }
    copy_bytes_to_user(to, from)
}

/// As [`copy_from_user`], where the length is not known when this is compiled.
#[inline(always)]
pub fn copy_bytes_from_user(to: &mut [u8], from: usize) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn finish_from_user(base: usize, from: usize, fault: usize) -> Fault {
        // SAFETY: part of the range that the caller checked.
        finish(from, fault, |a, b| unsafe { user_copy(base + a, from + a, b - a) })
    }
    check(from, to.len())?;
    let base = to.as_mut_ptr() as usize;
    // SAFETY: writes stay in `to`; reads are in user space and may fault.
    match unsafe { user_copy(base, from, to.len()) } {
        0 => Ok(()),
        fault => Err(finish_from_user(base, from, fault)),
    }
}

/// Appends `len` bytes of user memory at `from` to `to`, which has room for them. On a fault nothing is appended.
#[inline(always)]
pub fn append_from_user(to: &mut Vec<u8>, from: usize, len: usize) -> Result<(), Fault> {
    check(from, len)?;
    assert!(len <= to.capacity() - to.len());
    // SAFETY: writes stay in the vector's spare room; reads are in user space and may fault. All of the bytes that are
    // appended have been written.
    unsafe {
        let address = user_copy(to.as_mut_ptr().add(to.len()) as usize, from, len);
        if address != 0 {
            return Err(Fault { copied: 0, address: address & !FAULTED });
        }
        to.set_len(to.len() + len);
    }
    Ok(())
}

/// As [`copy_to_user`], where the length is not known when this is compiled.
#[inline(always)]
pub fn copy_bytes_to_user(to: usize, from: &[u8]) -> Result<(), Fault> {
    UserRange::new(to, from.len())?.write(from)
}

/// Zeroes user memory at `to`. On a fault `copied` bytes are zero.
pub fn zero_user(to: usize, len: usize) -> Result<(), Fault> {
    check(to, len)?;
    // SAFETY: writes are in user space and may fault.
    match unsafe { user_zero(to, len) } {
        0 => Ok(()),
        // SAFETY: as above.
        fault => Err(finish(to, fault, |a, b| unsafe { user_zero(to + a, b - a) })),
    }
}

/// Copies the NUL-terminated string at `from`, and returns its length without the NUL. Without a NUL in the first
/// `to.len()` bytes it is too long. `to`'s contents behind the NUL are unspecified.
pub fn strncpy_from_user(to: &mut [u8], from: usize) -> Result<usize, StringError> {
    check(from, 0)?;
    let room = to.len().min(USER_END - from);
    let (fault, len): (usize, usize);
    // SAFETY: writes stay within `room` bytes of `to`; reads are in user space and may fault. The routine touches
    // the registers of the calling convention only.
    unsafe {
        asm!("call {}", sym user_string,
            inout("rdi") to.as_mut_ptr() => _, inout("rsi") from => _, inout("rdx") room => len,
            out("rax") fault, clobber_abi("sysv64"));
    }
    if fault != 0 {
        Err(Fault { copied: len, address: fault & !FAULTED }.into())
    } else if len < room {
        Ok(len)
    } else if room < to.len() {
        Err(Fault { copied: len, address: USER_END }.into())
    } else {
        Err(StringError::TooLong)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An integer that one instruction reads or writes.
pub trait Word: Copy + sealed::Sealed {
    /// Reads the word at a user address that has been checked; `Err` holds the faulting address.
    #[doc(hidden)]
    unsafe fn read(address: usize) -> Result<Self, usize>;
    /// Writes the word at a user address that has been checked.
    #[doc(hidden)]
    unsafe fn write(self, address: usize) -> Result<(), usize>;
}

macro_rules! word {
    ($type:ty, $size:literal, $class:ident, $modifier:literal) => {
        impl sealed::Sealed for $type {}
        impl Word for $type {
            #[inline(always)]
            unsafe fn read(address: usize) -> Result<Self, usize> {
                let (value, fault): ($type, usize);
                // SAFETY: a load from user space whose fault continues at label 3 and is in rax.
                unsafe {
                    asm!("xor eax, eax", smap!("stac"),
                        concat!("2: mov {value", $modifier, "}, ", $size, " ptr [{address}]"),
                        "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                        value = out($class) value, address = in(reg) address, out("rax") fault,
                        options(nostack, readonly));
                }
                if fault == 0 { Ok(value) } else { Err(fault & !FAULTED) }
            }

            #[inline(always)]
            unsafe fn write(self, address: usize) -> Result<(), usize> {
                let fault: usize;
                // SAFETY: a store to user space whose fault continues at label 3 and is in rax.
                unsafe {
                    asm!("xor eax, eax", smap!("stac"),
                        concat!("2: mov ", $size, " ptr [{address}], {value", $modifier, "}"),
                        "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                        value = in($class) self, address = in(reg) address, out("rax") fault,
                        options(nostack));
                }
                if fault == 0 { Ok(()) } else { Err(fault & !FAULTED) }
            }
        }
    };
}

word!(u8, "byte", reg_byte, "");
word!(u16, "word", reg, ":x");
word!(u32, "dword", reg, ":e");
word!(u64, "qword", reg, ":r");

/// Reads a word of user memory.
#[inline(always)]
pub fn read_user<T: Word>(address: usize) -> Result<T, Fault> {
    check(address, size_of::<T>())?;
    // SAFETY: the range is in user space.
    unsafe { T::read(address) }.map_err(|address| Fault { copied: 0, address })
}

/// Writes a word of user memory.
#[inline(always)]
pub fn write_user<T: Word>(address: usize, value: T) -> Result<(), Fault> {
    check(address, size_of::<T>())?;
    // SAFETY: the range is in user space.
    unsafe { value.write(address) }.map_err(|address| Fault { copied: 0, address })
}

/// Replaces the 32-bit word at `address`, a multiple of 4, by `new` if it is `old`; returns what it was. One locked
/// instruction, so it is atomic for programs on all CPUs.
pub fn cmpxchg_user_u32(address: usize, old: u32, new: u32) -> Result<u32, Fault> {
    check(address, 4)?;
    let (previous, fault): (u32, usize);
    // SAFETY: a locked access to user space. A fault continues at label 3 and is in rax, which replaces
    // the zero only then; the old value is kept in another register.
    unsafe {
        asm!("xor {fault:e}, {fault:e}", smap!("stac"),
            "2: lock cmpxchg dword ptr [{address}], {new:e}",
            "jmp 4f",
            "3: mov {fault}, rax",
            "4:", smap!("clac"), ex_range!("2b", "3b", "3b"),
            address = in(reg) address, new = in(reg) new, fault = out(reg) fault,
            inout("eax") old => previous, options(nostack));
    }
    if fault == 0 { Ok(previous) } else { Err(Fault { copied: 0, address: fault & !FAULTED }) }
}
