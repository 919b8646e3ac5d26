//! Floating point: programs have none. On the stack of a signal handler it has a place all the same, which is written and read
//! as the processor does: so it may be missing.

use super::UserContext;
use crate::arch::uaccess::{Fault, copy_from_user, zero_user};
use syscalls::Errno;

/// Bytes that FXSAVE writes.
const SIZE: usize = 512;

pub fn frame_size() -> usize {
    SIZE
}

pub fn frame_is_extended() -> bool {
    false
}

impl UserContext {
    pub fn save_fpu(&mut self, to: usize) -> Result<(), Fault> {
        zero_user(to, SIZE)
    }

    pub fn restore_fpu(&mut self, from: usize) -> Result<(), Fault> {
        copy_from_user(&mut [0; SIZE], from)
    }

    pub fn reset_fpu(&mut self) {}

    pub fn fpu(&self) -> [u128; SIZE / 16] {
        [0; SIZE / 16]
    }

    pub fn set_fpu(&mut self, _image: &[u128; SIZE / 16]) -> bool {
        true
    }

    /// There is no XSAVE.
    pub fn image(&self) -> Result<alloc::vec::Vec<u8>, Errno> {
        Err(Errno::ENODEV)
    }

    /// As [`image`](Self::image).
    pub fn set_image(&mut self, _image: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }
}
