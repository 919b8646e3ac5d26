//! The area in which XSAVE and XRSTOR, or FXSAVE and FXRSTOR, exchange the x87 unit and the upper parts of the vector
//! registers with memory: its layout (Intel SDM volume 1, 13.4), and one on the heap.
//!
//! The XMM registers have a place in it that is not used: they are in the context, where every crossing saves them.

use crate::arch::cpu::{self, State};
use crate::arch::percpu;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;

/// MXCSR as a program starts: all exceptions masked, round to nearest.
pub const MXCSR_DEFAULT: u32 = 0x1f80;
/// The x87 control word as a program starts: all exceptions masked, 64-bit precision.
const X87_CONTROL_DEFAULT: u128 = 0x37f;

/// The x87 unit, and MXCSR, as a program starts.
pub(super) const NEW_X87: [u128; 10] =
    [X87_CONTROL_DEFAULT, (MXCSR_DEFAULT as u128) << 64, 0, 0, 0, 0, 0, 0, 0, 0];

/// What is at the same place in the area of every processor.
#[repr(C, align(64))]
pub(super) struct Contents {
    /// Control, status and tag words and address of the last operation; address of its operand, MXCSR; ST0 to ST7.
    x87: [u128; 10],
    xmm: [u128; 16],
    reserved: [u128; 6],
    /// The components that are not in their initial state; FXSAVE does not write it.
    in_use: u64,
    header: [u64; 7],
    /// The upper halves of the YMM registers.
    upper: [u128; 16],
}

/// What a program starts with. XRSTOR reads nothing of components that are not in use.
static NEW: Contents =
    Contents { x87: NEW_X87, xmm: [0; 16], reserved: [0; 6], in_use: 0, header: [0; 7], upper: [0; 16] };

/// Room for the area of any processor: what XSAVE has found is looked at here. XRSTOR never loads from it.
#[repr(C, align(64))]
pub(in crate::arch) struct Scratch([u8; State::LARGEST]);

impl Scratch {
    /// Nothing in it.
    pub(in crate::arch) const ZERO: Self = Self([0; State::LARGEST]);
}

/// Whether all that this CPU holds, but for the XMM registers and MXCSR, is as a program starts with.
#[inline(always)]
pub(super) fn is_new() -> bool {
    // SAFETY: there is room, and it is this CPU's.
    unsafe { save(percpu::scratch().cast()) }
}

/// Puts what a program starts with into this CPU, but for the XMM registers, which are clobbered or left alone.
#[inline(always)]
pub(super) fn load_new() {
    // SAFETY: NEW is a static, aligned to 64 bytes, whose header names no component: XRSTOR puts all into their initial state.
    unsafe { load(&raw const NEW) }
}

/// Puts into this CPU what a program starts with, of the components in `components`.
#[inline(always)]
pub(super) fn reset(components: u64) {
    // SAFETY: as above; components that this processor does not have are ignored.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) &raw const NEW, in("eax") components as u32, in("edx") 0,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            options(nostack, preserves_flags, readonly));
    }
}

/// An area of this processor's size on the heap.
pub(super) struct Area(NonNull<Contents>);

// SAFETY: it owns what it points to, which is plain data.
unsafe impl Send for Area {}
// SAFETY: as above, and it changes only through `&mut`.
unsafe impl Sync for Area {}

impl Area {
    fn layout() -> Layout {
        let size = cpu::features().state.size;
        Layout::from_size_align(size, align_of::<Contents>()).expect("CPUID reports a sane size")
    }

    /// One that holds what this CPU does. None if there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: the size is not zero.
        let mut area = Self(NonNull::new(unsafe { alloc_zeroed(Self::layout()) }.cast())?);
        area.save();
        Some(area)
    }

    /// One that holds what a program starts with. None if there is no memory for it.
    pub(super) fn as_new() -> Option<Self> {
        // SAFETY: the size is not zero.
        let mut area = Self(NonNull::new(unsafe { alloc_zeroed(Self::layout()) }.cast())?);
        area.set_x87(&NEW_X87);
        Some(area)
    }

    /// The x87 unit's part.
    pub(super) fn x87(&self) -> &[u128; 10] {
        // SAFETY: it is initialised, and changes only through `&mut`.
        if self.in_use() & State::X87 == 0 { &NEW_X87 } else { unsafe { &(*self.0.as_ptr()).x87 } }
    }

    /// The components that it holds. Of others there is what was there before.
    pub(super) fn in_use(&self) -> u64 {
        // SAFETY: as in `x87`.
        if cpu::features().state.components == 0 { State::X87 } else { unsafe { (*self.0.as_ptr()).in_use } }
    }

    /// A component behind the header, at its place; None if it is as new.
    pub(super) fn component(&self, component: u64, place: Range<usize>) -> Option<&[u8]> {
        // SAFETY: all of it is initialised, and changes only through `&mut`.
        let all = unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), Self::layout().size()) };
        (self.in_use() & component != 0).then(|| &all[place])
    }

    /// Has it hold another component behind the header, or a new one; as [`set_x87`](Self::set_x87).
    pub(super) fn set_component(&mut self, component: u64, place: Range<usize>, contents: Option<&[u8]>) {
        assert!(place.start >= size_of::<Contents>() - size_of::<[u128; 16]>(), "not behind the header");
        // SAFETY: it is that long, initialised and ours; whatever is behind the header may be loaded.
        let all =
            unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>(), Self::layout().size()) };
        if let Some(contents) = contents {
            all[place].copy_from_slice(contents);
        }
        // SAFETY: where there are components, there is a header.
        unsafe {
            match contents {
                Some(_) => (*self.0.as_ptr()).in_use |= component,
                None => (*self.0.as_ptr()).in_use &= !component,
            }
        }
    }

    /// Has it hold another x87 unit. It is not in the processor, which loads all of it anew when the thread goes on.
    pub(super) fn set_x87(&mut self, x87: &[u128; 10]) {
        let State { components, .. } = cpu::features().state;
        // SAFETY: the legacy part is there in each layout, and the header where there is XSAVE.
        unsafe {
            (*self.0.as_ptr()).x87 = *x87;
            if components != 0 {
                (*self.0.as_ptr()).in_use |= State::X87;
            }
        }
    }

    /// Has it hold what this CPU does. Whether that is what a program starts with.
    #[inline(always)]
    pub(super) fn save(&mut self) -> bool {
        // SAFETY: it is that long. It changes here only, so what XSAVEOPT need not write again is still there.
        unsafe { save(self.0.as_ptr()) }
    }

    /// Puts what it holds into this CPU. The XMM registers are clobbered or left alone.
    #[inline(always)]
    pub(super) fn load(&self) {
        // SAFETY: the processor has written it, over zeros.
        unsafe { load(self.0.as_ptr()) }
    }

    /// A copy. None if there is no memory for it.
    pub(super) fn duplicate(&self) -> Option<Self> {
        let layout = Self::layout();
        // SAFETY: the size is not zero, both are that long, and the copy is another object.
        unsafe {
            let copy = NonNull::new(alloc_zeroed(layout))?;
            core::ptr::copy_nonoverlapping(self.0.as_ptr().cast(), copy.as_ptr(), layout.size());
            Some(Self(copy.cast()))
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: it came from the allocator, with this layout.
        unsafe { dealloc(self.0.as_ptr().cast(), Self::layout()) };
    }
}

/// Takes all components but the XMM registers out of the processor; [`is_new`] of them.
///
/// XSAVEOPT leaves out what has not changed since XRSTOR loaded it from the same address on this CPU.
///
/// # Safety
/// `to` is as aligned as an area, and as long. If XRSTOR has ever loaded from there, nothing else has changed it.
#[inline(always)]
unsafe fn save(to: *mut Contents) -> bool {
    /// Of the first words: control, status and tags, and the address of the last operation, which is zero if there has
    /// been none. (Its opcode means nothing alone.) Registers without a tag are empty.
    const X87_WORDS: u128 = !0xffff_ff00_0000_0000;
    let features = cpu::features();
    let components = features.state.components & !State::SSE;
    // SAFETY: the caller's promise; only what the processor has written is read. XMM registers hold the kernel's values
    // here and are not taken.
    unsafe {
        let in_use = if components == 0 {
            asm!("fxsave64 [{}]", in(reg) to, options(nostack, preserves_flags));
            State::X87
        } else {
            if features.xsaveopt {
                asm!("xsaveopt64 [{}]", in(reg) to, in("eax") components as u32, in("edx") 0,
                    options(nostack, preserves_flags));
            } else {
                asm!("xsave64 [{}]", in(reg) to, in("eax") components as u32, in("edx") 0,
                    options(nostack, preserves_flags));
            }
            (*to).in_use & components
        };
        if in_use & State::X87 != 0 && (*to).x87[0] & X87_WORDS != X87_CONTROL_DEFAULT {
            return false;
        }
        // A processor may always say "in use", as QEMU's does: the registers tell.
        match in_use & !State::X87 {
            0 => true,
            State::AVX => are_zero(&(*to).upper),
            _ => false,
        }
    }
}

/// Puts what an area holds into the processor, all components but the XMM registers, which FXRSTOR clobbers. MXCSR is to be
/// loaded afterwards.
///
/// # Safety
/// The processor has written the area, or it is [`NEW`].
#[inline(always)]
unsafe fn load(from: *const Contents) {
    let components = cpu::features().state.components & !State::SSE;
    // SAFETY: the caller's promise: neither instruction refuses what it loads.
    unsafe {
        if components == 0 {
            asm!("fxrstor64 [{}]", in(reg) from,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags, readonly));
        } else {
            asm!("xrstor64 [{}]", in(reg) from, in("eax") components as u32, in("edx") 0,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags, readonly));
        }
    }
}

#[inline(always)]
fn are_zero(registers: &[u128; 16]) -> bool {
    let are_zero: u8;
    // SAFETY: loads from there. A processor that has AVX has PTEST.
    unsafe {
        asm!("movdqa {all}, [{registers}]",
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\npor {all}, [{registers} + 16 * \\n]\n.endr",
            "ptest {all}, {all}", "setz {are_zero}",
            registers = in(reg) registers, all = out(xmm_reg) _, are_zero = out(reg_byte) are_zero,
            options(nostack, readonly, pure));
    }
    are_zero != 0
}
