//! The floating-point and vector half of a context, and its place in a signal frame.
//!
//! The XMM registers are in the context itself, where every crossing saves them. The x87 unit, MXCSR and what AVX and
//! AVX-512 add to the registers stay in the processor while the kernel works for the thread: it computes nothing with
//! x87, and its own vector instructions are those of SSE in their old encoding, which leave upper halves as they are.
//! When another thread is to run they are taken out, and take no room as long as they are what a program starts with:
//! few programs compute with x87, and the C library's routines clear the upper halves that they have used.

use super::UserContext;
use super::area::{self, Area, MXCSR_DEFAULT};
use crate::arch::asm::{ex_range, load_xmm, save_xmm, smap};
use crate::arch::cpu::{self, State};
use crate::arch::uaccess::{self, Fault};
use core::arch::asm;

/// Where a frame's legacy part says what else there is (Linux's `struct _fpx_sw_bytes`).
pub(super) const SOFTWARE: usize = 464;
/// Where the header begins, and where it ends.
pub(super) const HEADER: usize = 512;
pub(super) const EXTENDED: usize = 576;
/// `FP_XSTATE_MAGIC1`, in those bytes, and `FP_XSTATE_MAGIC2`, behind the area.
const MAGIC_1: u32 = 0x4650_5853;
const MAGIC_2: u32 = 0x4650_5845;

/// Bytes of a signal frame that hold this state (`fpstate`), at a multiple of 64.
pub fn frame_size() -> usize {
    let State { components, size } = cpu::features().state;
    if components == 0 { size } else { size + size_of::<u32>() }
}

/// Whether a frame holds more than FXSAVE writes.
pub fn frame_is_extended() -> bool {
    cpu::features().state.components != 0
}

impl UserContext {
    /// Writes the state to user memory at `to`, a multiple of 64, as Linux does: what XSAVE writes, with notes on its size
    /// for whoever reads it; [`frame_size`] bytes in all. Without XSAVE, what FXSAVE writes.
    pub fn save_fpu(&mut self, to: usize) -> Result<(), Fault> {
        uaccess::check(to, frame_size())?;
        if self.state & Self::UNLOADED != 0 {
            self.load_extended();
        }
        let State { components, size } = cpu::features().state;
        let fault: usize;
        // SAFETY: loads from the context; then stores to user space whose fault continues at label 3 with the address
        // in rax. The unit holds this thread's state, or what was loaded above, which nobody else needs there.
        unsafe {
            if components == 0 {
                asm!(load_xmm!("{xmm} + 0"), "xor eax, eax", smap!("stac"), "2: fxsave64 [{to}]",
                    "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                    xmm = in(reg) &raw const self.xmm, to = in(reg) to, out("rax") fault,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nostack));
            } else {
                // XSAVE writes the header's first word only, and adds to it. As on Linux, readers that know no more
                // than FXRSTOR find its part to be in use.
                asm!(load_xmm!("{xmm} + 0"), "xor edx, edx", smap!("stac"),
                    "2:", ".irp n, 0, 8, 16, 24, 32, 40, 48, 56\nmov [{to} + {header} + \\n], rdx\n.endr",
                    "xsave64 [{to}]",
                    "or dword ptr [{to} + {header}], {legacy}",
                    "mov dword ptr [{to} + {software}], {magic_1}",
                    "mov [{to} + {software} + 4], {extended_size:e}",
                    "mov [{to} + {software} + 8], rax",
                    "mov [{to} + {software} + 16], {size}",
                    ".irp n, 24, 32, 40\nmov [{to} + {software} + \\n], rdx\n.endr",
                    "mov dword ptr [{to} + {size}], {magic_2}",
                    "xor eax, eax",
                    "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                    xmm = in(reg) &raw const self.xmm, to = in(reg) to, size = in(reg) size,
                    extended_size = in(reg) frame_size(), inout("rax") components => fault, out("rdx") _,
                    header = const HEADER, legacy = const State::X87 | State::SSE, software = const SOFTWARE,
                    magic_1 = const MAGIC_1, magic_2 = const MAGIC_2,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nostack));
            }
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Loads a state from user memory as `save_fpu` writes it, or as FXSAVE does; the rest of it is then as a program
    /// starts with. An address or a content that the processor refuses counts as a fault. After a fault the state is a
    /// valid one, but which is unspecified.
    pub fn restore_fpu(&mut self, from: usize) -> Result<(), Fault> {
        uaccess::check(from, HEADER)?;
        let all = cpu::features().state.components;
        let extended = if all == 0 { None } else { extended_components(from)? };
        if all != 0 && extended != Some(all) {
            area::reset(all & !extended.unwrap_or(0));
        }
        let fault: usize;
        // SAFETY: a load from user space whose fault continues at label 3 with the address in rax; then stores to the
        // context.
        unsafe {
            asm!("test ecx, ecx", "jnz 4f",
                smap!("stac"), "2: fxrstor64 [{from}]", "3:", smap!("clac"),
                ex_range!("2b", "3b", "3b"), "jmp 7f",
                "4:", smap!("stac"), "5: xrstor64 [{from}]", "xor eax, eax", "6:", smap!("clac"),
                ex_range!("5b", "6b", "6b"),
                "7:", save_xmm!("{xmm} + 0"),
                xmm = in(reg) &raw mut self.xmm, from = in(reg) from,
                inout("rax") extended.unwrap_or(0) => fault, in("edx") 0, in("ecx") u32::from(extended.is_some()),
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        if self.state & Self::UNLOADED != 0 {
            // The unit is not where it stays.
            self.sync_extended();
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Has the state be as a program starts with.
    pub fn reset_fpu(&mut self) {
        self.xmm = [0; 16];
        self.mxcsr = MXCSR_DEFAULT;
        self.extended = None;
        self.state &= !Self::LOST;
        if self.state & Self::UNLOADED == 0 {
            self.load_extended();
        }
    }

    /// The legacy part of the state of a suspended context, as FXSAVE writes it.
    pub fn fpu(&self) -> [u128; HEADER / 16] {
        /// What of MXCSR a program may set.
        const MXCSR_MASK: u128 = 0xffff;
        let mut image = [0; HEADER / 16];
        image[..10].copy_from_slice(match &self.extended {
            None => &area::NEW_X87,
            Some(area) => area.x87(),
        });
        image[1] = image[1] & u128::from(u64::MAX) | u128::from(self.mxcsr) << 64 | MXCSR_MASK << 96;
        image[10..26].copy_from_slice(&self.xmm);
        image
    }

    /// Sets that part; false, and nothing done, if MXCSR may not be so, or there is no memory.
    pub fn set_fpu(&mut self, image: &[u128; HEADER / 16]) -> bool {
        let mxcsr = (image[1] >> 64) as u32;
        if mxcsr > 0xffff {
            return false;
        }
        let mut x87 = [0; 10];
        x87.copy_from_slice(&image[..10]);
        let Some(area) = self.area() else { return false };
        area.set_x87(&x87);
        self.mxcsr = mxcsr;
        self.xmm.copy_from_slice(&image[10..26]);
        true
    }

    /// The area of a suspended context; one as a program starts with if it had none. None if there is no memory for it.
    pub(super) fn area(&mut self) -> Option<&mut Area> {
        if self.extended.is_none() {
            self.extended = Area::as_new();
        }
        self.extended.as_mut()
    }

    /// Copies the state but for the XMM registers, which the processor holds.
    #[inline(always)]
    pub(super) fn sync_extended(&mut self) {
        // SAFETY: a store to the context.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut self.mxcsr, options(nostack, preserves_flags));
        }
        let has_changed = match &mut self.extended {
            None => !area::is_new(),
            Some(area) => area.save(),
        };
        if has_changed {
            self.change_extended();
        }
    }

    /// The state has begun to be worth keeping, or is no more.
    #[cold]
    #[inline(never)]
    fn change_extended(&mut self) {
        if self.extended.take().is_none() {
            self.extended = Area::new();
            if self.extended.is_none() {
                self.state |= Self::LOST;
            }
        }
    }

    /// Puts the state into the processor. XMM registers are clobbered.
    #[inline(always)]
    pub(super) fn load_extended(&self) {
        match &self.extended {
            None => area::load_new(),
            Some(area) => area.load(),
        }
        // SAFETY: MXCSR came from the processor, or is the default.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const self.mxcsr, options(nostack, preserves_flags, readonly));
        }
    }
}

/// The components that a frame says to hold. None if it holds no more than FXSAVE writes, or nonsense.
#[inline(always)]
fn extended_components(from: usize) -> Result<Option<u64>, Fault> {
    let State { components, size } = cpu::features().state;
    let [magic_and_size, held, area_size]: [u64; 3] = uaccess::copy_value_from_user(from + SOFTWARE)?;
    let (magic, extended_size) = (magic_and_size as u32, (magic_and_size >> 32) as usize);
    let area_size = area_size as u32 as usize;
    let is_sane = (EXTENDED..=size).contains(&area_size) && area_size <= extended_size;
    if magic != MAGIC_1 || !is_sane || uaccess::read_user::<u32>(from + area_size)? != MAGIC_2 {
        return Ok(None);
    }
    uaccess::check(from, size)?;
    Ok(Some(held & components))
}
