//! The floating-point half of a context: the x87 unit with MXCSR, and the area in which FXSAVE and FXRSTOR exchange it.
//!
//! The XMM registers are in the context itself, where every crossing saves them; the unit stays in the processor.

use super::UserContext;
use crate::arch::asm::{ex_range, load_xmm, save_xmm, smap};
use crate::arch::percpu::PerCpu;
use crate::arch::uaccess::{self, Fault};
use alloc::boxed::Box;
use core::arch::asm;
use core::mem::{MaybeUninit, offset_of};

/// MXCSR as a program starts: all exceptions masked, round to nearest.
pub const MXCSR_DEFAULT: u32 = 0x1f80;
/// Bytes that FXSAVE and FXRSTOR claim.
const FXSAVE_SIZE: usize = 512;
/// The x87 control word as a program starts: all exceptions masked, 64-bit precision.
pub(super) const X87_CONTROL_DEFAULT: u16 = 0x37f;

/// The part of the FXSAVE area (Intel SDM volume 1, table 10-2) before the XMM registers, in units of 16 bytes: control,
/// status and tag words and address of the last operation; address of its operand, MXCSR; ST0 to ST7.
pub(super) type X87 = [u128; 10];

/// The FXSAVE area: that, the XMM registers, and what is reserved.
#[repr(C, align(16))]
pub(in crate::arch) struct FxArea {
    x87: X87,
    xmm: [u128; 16],
    reserved: [u128; 6],
}

impl FxArea {
    /// Nothing in it.
    pub(in crate::arch) const ZERO: Self = Self { x87: [0; 10], xmm: [0; 16], reserved: [0; 6] };
    /// Where the control word and MXCSR are.
    const CONTROL: usize = 0;
    const MXCSR: usize = 24;
}

impl UserContext {
    /// Writes the floating-point state to user memory at `to`, a multiple of 16, as FXSAVE does: 512 bytes, of which the
    /// last 96 are reserved and left alone.
    pub fn save_fpu(&mut self, to: usize) -> Result<(), Fault> {
        uaccess::check(to, FXSAVE_SIZE)?;
        if self.state & Self::UNLOADED != 0 {
            self.load_x87();
        }
        let fault: usize;
        // SAFETY: loads from the context; then a store to user space whose fault continues at label 3 with the address
        // in rax. The unit holds this thread's state, or what was loaded above, which nobody else needs there.
        unsafe {
            asm!(load_xmm!("{xmm} + 0"), "xor eax, eax", smap!("stac"), "2: fxsave64 [{to}]",
                "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                xmm = in(reg) &raw const self.xmm, to = in(reg) to, out("rax") fault,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nostack));
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Loads a floating-point state from user memory, as FXRSTOR does; an address or a content that it refuses counts as
    /// a fault. After a fault the state is a valid one, but which is unspecified.
    pub fn restore_fpu(&mut self, from: usize) -> Result<(), Fault> {
        uaccess::check(from, FXSAVE_SIZE)?;
        let fault: usize;
        // SAFETY: a load from user space whose fault continues at label 3 with the address in rax; then stores to the
        // context.
        unsafe {
            asm!("xor eax, eax", smap!("stac"), "2: fxrstor64 [{from}]", "3:", smap!("clac"),
                ex_range!("2b", "3b", "3b"), save_xmm!("{xmm} + 0"),
                xmm = in(reg) &raw mut self.xmm, from = in(reg) from, out("rax") fault,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        if self.state & Self::UNLOADED != 0 {
            // The unit is not where it stays.
            self.sync_x87();
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Copies the x87 unit's state and MXCSR, which the processor holds.
    #[inline(always)]
    pub(super) fn sync_x87(&mut self) {
        /// Status and tags and the address of the last operation: all zero if there has been none, or the unit is as
        /// new. (Its opcode means nothing alone.) Registers without a tag are empty.
        const USED: u128 = !0xffff_ff00_0000_ffff;
        let mut area = MaybeUninit::<FxArea>::uninit();
        // SAFETY: an aligned area of the size that FXSAVE64 writes; the kernel computes nothing with x87, so the
        // unit holds this thread's state. XMM registers hold the kernel's values here and are not taken.
        let words = unsafe {
            asm!("fxsave64 [{}]", in(reg) area.as_mut_ptr(), options(nostack, preserves_flags));
            &(*area.as_ptr()).x87
        };
        self.x87_control = words[0] as u16;
        self.mxcsr = (words[1] >> 64) as u32;
        if words[0] & USED != 0 || self.x87.is_some() {
            self.keep_x87(words);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_x87(&mut self, words: &X87) {
        **self.x87.get_or_insert_with(|| Box::new(*words)) = *words;
    }

    /// Puts the x87 unit's state and MXCSR into the processor. XMM registers are clobbered.
    #[inline(always)]
    pub(super) fn load_x87(&self) {
        if let Some(words) = &self.x87 {
            return Self::load_used_x87(words);
        }
        // SAFETY: this CPU's block has an aligned area of FXRSTOR64's size, for this use only. MXCSR came from the
        // processor, or is the default.
        unsafe {
            asm!("mov gs:[{area} + {at_control}], {control:x}",
                "mov gs:[{area} + {at_mxcsr}], {mxcsr:e}",
                "fxrstor64 gs:[{area}]",
                area = const offset_of!(PerCpu, new_x87),
                at_control = const FxArea::CONTROL,
                at_mxcsr = const FxArea::MXCSR,
                control = in(reg) self.x87_control,
                mxcsr = in(reg) self.mxcsr,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags));
        }
    }

    /// Loads an x87 unit that is not as new.
    #[cold]
    #[inline(never)]
    fn load_used_x87(words: &X87) {
        let area = FxArea { x87: *words, ..FxArea::ZERO };
        // SAFETY: the area is aligned and FXRSTOR64's size, and its x87 part came from the processor, MXCSR included.
        unsafe {
            asm!("fxrstor64 [{}]", in(reg) &raw const area,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags, readonly));
        }
    }
}
