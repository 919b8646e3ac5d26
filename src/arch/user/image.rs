//! The whole floating-point and vector state of a suspended context as bytes, for tracers (`NT_X86_XSTATE`): what XSAVE
//! writes, and at the beginning of what is left to software which components there can be.

use super::UserContext;
use super::area::{MXCSR_DEFAULT, NEW_X87};
use super::fpu::{EXTENDED, HEADER, SOFTWARE};
use crate::arch::cpu::{self, State};
use alloc::vec::Vec;
use core::ops::Range;
use syscalls::Errno;
use zerocopy::IntoBytes;

/// Bytes of the legacy part: the x87 unit and MXCSR, and the XMM registers.
const X87: Range<usize> = 0..160;
const XMM: Range<usize> = 160..416;
/// Where MXCSR is in it.
const MXCSR: usize = 24;
/// The bits of MXCSR that there are.
const MXCSR_BITS: u32 = 0xffff;

impl UserContext {
    /// The state. ENODEV where there is no XSAVE, ENOMEM.
    pub fn image(&self) -> Result<Vec<u8>, Errno> {
        let state @ State { components, size } = cpu::features().state;
        if components == 0 {
            return Err(Errno::ENODEV);
        }
        let mut image = Vec::new();
        image.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        image.resize(size, 0);
        image[..HEADER].copy_from_slice(self.fpu().as_bytes());
        image[SOFTWARE..SOFTWARE + 8].copy_from_slice(&components.to_le_bytes());
        let mut in_use = State::X87 | State::SSE;
        if let Some(area) = &self.extended {
            for (component, place) in state.places() {
                if let Some(contents) = area.component(component, place.clone()) {
                    image[place].copy_from_slice(contents);
                    in_use |= component;
                }
            }
        }
        image[HEADER..HEADER + 8].copy_from_slice(&in_use.to_le_bytes());
        Ok(image)
    }

    /// Sets the state; components that the header does not name become as a program starts with.
    ///
    /// # Errors
    /// ENODEV as [`image`](Self::image), EFAULT for another length, EINVAL for what no processor would load, ENOMEM.
    pub fn set_image(&mut self, image: &[u8]) -> Result<(), Errno> {
        let state @ State { components, size } = cpu::features().state;
        if components == 0 {
            return Err(Errno::ENODEV);
        }
        if image.len() != size {
            return Err(Errno::EFAULT);
        }
        let word = |at: usize| image[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let in_use = word(HEADER);
        let has_mxcsr = in_use & (State::SSE | State::AVX) != 0;
        let mxcsr = if has_mxcsr { word(MXCSR) as u32 } else { MXCSR_DEFAULT };
        let rest_of_header = &image[HEADER + 8..EXTENDED];
        if in_use & !components != 0
            || rest_of_header.iter().any(|byte| *byte != 0)
            || mxcsr & !MXCSR_BITS != 0
        {
            return Err(Errno::EINVAL);
        }
        let mut x87 = NEW_X87;
        if in_use & State::X87 != 0 {
            x87.as_mut_bytes().copy_from_slice(&image[X87]);
        }
        x87[1] = x87[1] & u128::from(u64::MAX) | u128::from(mxcsr) << 64;
        let area = self.area().ok_or(Errno::ENOMEM)?;
        area.set_x87(&x87);
        for (component, place) in state.places() {
            let contents = (in_use & component != 0).then(|| &image[place.clone()]);
            area.set_component(component, place, contents);
        }
        self.mxcsr = mxcsr;
        self.xmm = [0; 16];
        if in_use & State::SSE != 0 {
            self.xmm.as_mut_bytes().copy_from_slice(&image[XMM]);
        }
        Ok(())
    }
}
