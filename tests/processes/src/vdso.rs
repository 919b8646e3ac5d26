//! There is no vDSO: its code is for a processor that there is not. Programs get no address of it.

use crate::memory::AddressSpace;
use syscalls::Errno;

/// Bytes of address space that it takes.
pub const SIZE: usize = crate::memory::PAGE_SIZE;

pub fn publish_wall_clock() {}

pub async fn map(_space: &AddressSpace, _data: usize) -> Result<usize, Errno> {
    Ok(0)
}
