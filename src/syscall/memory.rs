//! Memory mappings: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), msync(2), mlock(2), mincore(2), brk(2).

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::user::{self, SysResult};
use crate::{
    file::mapping,
    memory::{Backing, Mapping, PAGE_SIZE, RegionFlags},
    process::{Caller, credentials::capability},
};

#[inline]
pub async fn mmap(
    caller: &Caller,
    hint: usize,
    len: usize,
    prot: u32,
    flags: u32,
    fd: i32,
    offset: usize,
) -> SysResult {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let backing = if flags & linux::MAP_ANONYMOUS != 0 {
        Backing::Anonymous
    } else {
        let file = caller.files.get_open(fd)?;
        let shared = matches!(flags & linux::MAP_TYPE, linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE);
        mapping::of_file(&file, offset as u64, shared, prot, &caller.space).await?
    };
    let privileged = may_map_lowest(caller);
    let mapping = Mapping { hint, len, prot, flags, backing, privileged, extra: RegionFlags::empty() };
    caller.space.map(mapping).await
}

/// Whether the caller may map below `vm.mmap_min_addr`.
#[inline]
fn may_map_lowest(caller: &Caller) -> bool {
    caller.credentials.has(capability::SYS_RAWIO)
}

/// Anonymous memory, as most want it, where that need not wait; else None, and nothing is done.
#[inline]
pub fn map_now(
    caller: &Caller,
    hint: usize,
    len: usize,
    prot: u32,
    flags: u32,
    offset: usize,
) -> Option<SysResult> {
    if flags & linux::MAP_ANONYMOUS == 0 || !offset.is_multiple_of(PAGE_SIZE) {
        return None;
    }
    let privileged = may_map_lowest(caller);
    caller.space.map_now(&Mapping { hint, flags, privileged, ..Mapping::anonymous(len, prot) })
}

/// What was never touched; else None, and nothing is done.
#[inline]
pub fn unmap_now(caller: &Caller, start: usize, len: usize) -> Option<SysResult> {
    Some(caller.space.unmap_now(start, len)?.map(|()| 0))
}

#[inline]
pub async fn munmap(caller: &Caller, start: usize, len: usize) -> SysResult {
    caller.space.unmap(start, len).await?;
    Ok(0)
}

pub async fn mprotect(caller: &Caller, start: usize, len: usize, prot: u32) -> SysResult {
    caller.space.protect(start, len, prot).await?;
    Ok(0)
}

pub async fn mremap(
    caller: &Caller,
    start: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    target: usize,
) -> SysResult {
    caller.space.remap(start, old_len, new_len, flags, target).await
}

pub async fn madvise(caller: &Caller, start: usize, len: usize, advice: u32) -> SysResult {
    caller.space.advise(start, len, advice).await?;
    Ok(0)
}

pub async fn msync(caller: &Caller, start: usize, len: usize, flags: u32) -> SysResult {
    caller.space.sync(start, len, flags).await?;
    Ok(0)
}

pub async fn mlock(caller: &Caller, start: usize, len: usize, lock: bool) -> SysResult {
    caller.space.lock_pages(start, len, lock).await?;
    Ok(0)
}

pub async fn mincore(caller: &Caller, start: usize, len: usize, vector: usize) -> SysResult {
    let present = caller.space.presence(start, len).await?;
    user::copy_out(caller, vector, &present).await?;
    Ok(0)
}

pub async fn brk(caller: &Caller, wanted: usize) -> SysResult {
    Ok(caller.space.brk(wanted).await)
}
