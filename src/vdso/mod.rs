//! The vDSO.
use crate::memory::AddressSpace;
use alloc::sync::Arc;
use syscalls::Errno;
/// Maps it.
pub async fn map(_space: &Arc<AddressSpace>) -> Result<usize, Errno> {
    Ok(0)
}
