//! Rings of buffers in a program's memory, for requests to choose from.

use alloc::sync::Arc;

use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::{buffers::bring_in, check};
use crate::{
    file::uring::{
        Ring,
        provided::{Provided, SharedRing},
    },
    memory::PAGE_SIZE,
    process::Caller,
    user_memory::{self, IoVec, SysResult},
};

/// `struct io_uring_buf_reg`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Registration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

impl Registration {
    async fn read(caller: &Caller, argument: usize) -> Result<Self, Errno> {
        let asked: Self = user_memory::read(caller, argument).await?;
        check(asked.flags == 0 && asked.reserved == [0; 3])?;
        Ok(asked)
    }
}

/// Makes a group of a ring of buffers.
pub async fn register(caller: &Caller, ring: &Ring, argument: usize) -> SysResult {
    let Registration { address, entries, group, .. } = Registration::read(caller, argument).await?;
    let address = address as usize;
    if address == 0 {
        return Err(Errno::EFAULT);
    }
    check(address.is_multiple_of(PAGE_SIZE) && entries.is_power_of_two())?;
    let mask = u16::try_from(entries - 1).map_err(|_| Errno::EINVAL)?;
    check(mask < u16::MAX)?;
    bring_in(caller, IoVec { base: address, len: entries as usize * size_of::<Provided>() }).await?;
    let shared = SharedRing { space: Arc::downgrade(&caller.space), address, mask, head: 0 };
    ring.share(group, shared)?;
    Ok(0)
}

/// Does away with such a group.
pub async fn unregister(caller: &Caller, ring: &Ring, argument: usize) -> SysResult {
    let Registration { group, .. } = Registration::read(caller, argument).await?;
    ring.unshare(group)?;
    Ok(0)
}
