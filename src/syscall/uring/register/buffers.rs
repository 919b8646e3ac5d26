//! Registered buffers.

use alloc::{sync::Arc, vec::Vec};

use syscalls::Errno;

use super::check;
use crate::{
    file::uring::{Ring, registered::Buffers},
    memory,
    process::Caller,
    user_memory::{self, IoVec, SysResult},
};

/// The most buffers that can be registered, and bytes of one.
const BUFFERS_MAX: u32 = 1 << 14;
const BUFFER_MAX: usize = 1 << 30;

/// Brings in the pages of a range; EFAULT, ENOMEM.
pub async fn bring_in(caller: &Caller, range: IoVec) -> Result<(), Errno> {
    let end = range.base.checked_add(range.len).ok_or(Errno::EOVERFLOW)?;
    user_memory::UserBuffer::new(range.base, range.len)?;
    let first = range.base & !(memory::PAGE_SIZE - 1);
    caller.space.populate(first..end, true).await.map_err(|errno| match errno {
        Errno::ENOMEM if memory::is_short() => Errno::ENOMEM,
        _ => Errno::EFAULT,
    })
}

/// A range of memory to register, with its pages brought in.
async fn range_to_register(caller: &Caller, range: IoVec) -> Result<IoVec, Errno> {
    if range.base == 0 && range.len == 0 {
        return Ok(range);
    }
    if range.base == 0 || range.len == 0 || range.len > BUFFER_MAX {
        return Err(Errno::EFAULT);
    }
    bring_in(caller, range).await?;
    Ok(range)
}

/// Registers buffers by an array of ranges, or as many places for buffers.
pub async fn register_buffers(
    caller: &Caller,
    ring: &Ring,
    ranges: usize,
    count: u32,
    is_sparse: bool,
) -> SysResult {
    if ring.registered.lock().buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    check(count > 0 && count <= BUFFERS_MAX)?;
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count as usize {
        let range = match is_sparse {
            true => IoVec { base: 0, len: 0 },
            false => user_memory::read(caller, ranges.wrapping_add(index * size_of::<IoVec>())).await?,
        };
        list.push(range_to_register(caller, range).await?);
    }
    let buffers = Buffers { space: Arc::downgrade(&caller.space), ranges: list };
    let mut registered = ring.registered.lock();
    if registered.buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    registered.buffers = Some(Arc::new(buffers));
    Ok(0)
}

/// Puts buffers in places of the registered ones; as [`update_files`].
pub async fn update_buffers(caller: &Caller, ring: &Ring, from: u32, ranges: usize, count: u32) -> SysResult {
    let before = ring.registered.lock().buffers.clone().ok_or(Errno::ENXIO)?;
    let end = from.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    check(end as usize <= before.ranges.len())?;
    check(before.space.as_ptr() == Arc::as_ptr(&caller.space))?;
    let mut list = Vec::new();
    list.try_reserve_exact(before.ranges.len()).map_err(|_| Errno::ENOMEM)?;
    list.extend_from_slice(&before.ranges);
    for index in 0..count as usize {
        let range = user_memory::read(caller, ranges.wrapping_add(index * size_of::<IoVec>())).await?;
        list[from as usize + index] = range_to_register(caller, range).await?;
    }
    let buffers = Buffers { space: before.space.clone(), ranges: list };
    ring.registered.lock().buffers = Some(Arc::new(buffers));
    Ok(count as usize)
}
