//! Memory mappings: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), msync(2), mlock(2), mincore(2), brk(2).

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::attempt::{Attempt, Pause};
use crate::{
    arch::{layout::USER_END, user::UserContext},
    file::mapping,
    memory::{Backing, Mapping, PAGE_SIZE, RegionFlags},
    process::{Caller, credentials::capability},
    user_memory::{self, SysResult},
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
        if len == 0 {
            // Before what the file says.
            return Err(Errno::EINVAL);
        }
        let shared = matches!(flags & linux::MAP_TYPE, linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE);
        mapping::of_file(&file, offset as u64, shared, prot, &caller.space).await?
    };
    if flags & linux::MAP_LOCKED != 0 {
        check_lock(caller, 0)?;
        check_more_locked(caller, len).await?;
    }
    let privileged = may_map_lowest(caller);
    let mapping = Mapping { hint, len, prot, flags, backing, privileged, extra: RegionFlags::empty() };
    // Where all that is mapped is locked, that has to wait.
    if let Some(done) = caller.space.map_now(&mapping) {
        return done;
    }
    if flags & linux::MAP_LOCKED == 0 && caller.space.locks_future().await {
        check_more_locked(caller, len).await?;
    }
    caller.space.map(mapping).await
}

/// Whether the caller may map below `vm.mmap_min_addr`.
#[inline]
fn may_map_lowest(caller: &Caller) -> bool {
    caller.credentials.has(capability::SYS_RAWIO)
}

/// Anonymous memory, as most want it, where that need not wait.
pub fn map_now(caller: &Caller, context: &UserContext) -> Attempt {
    let (len, prot, flags) = (context.rsi as usize, context.rdx as u32, context.r10 as u32);
    if flags & linux::MAP_ANONYMOUS == 0
        || flags & linux::MAP_LOCKED != 0
        || !(context.r9 as usize).is_multiple_of(PAGE_SIZE)
    {
        return Err(Pause::General);
    }
    let privileged = may_map_lowest(caller);
    let mapping = Mapping { hint: context.rdi as usize, flags, privileged, ..Mapping::anonymous(len, prot) };
    Ok(caller.space.map_now(&mapping).ok_or(Pause::General)??)
}

/// What was never touched.
pub fn unmap_now(caller: &Caller, context: &UserContext) -> Attempt {
    caller.space.unmap_now(context.rdi as usize, context.rsi as usize).ok_or(Pause::General)??;
    Ok(0)
}

/// Where that need not wait.
pub fn brk_now(caller: &Caller, context: &UserContext) -> Attempt {
    caller.space.brk_now(context.rdi as usize).ok_or(Pause::General)
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
    let more = pages(new_len).saturating_sub(pages(old_len));
    if more > 0 && !may_lock_any(caller) && caller.space.is_locked(start).await {
        check_more_locked(caller, more.saturating_mul(PAGE_SIZE)).await?;
    }
    caller.space.remap(start, old_len, new_len, flags, target).await
}

/// remap_file_pages(2). The rights stay as they are, and so have to be given as 0.
pub async fn remap_file_pages(
    caller: &Caller,
    start: usize,
    len: usize,
    prot: u32,
    page: usize,
    flags: u32,
) -> SysResult {
    if prot != 0 {
        return Err(Errno::EINVAL);
    }
    caller.space.remap_pages(start, len, page, flags & linux::MAP_NONBLOCK == 0).await?;
    Ok(0)
}

pub async fn madvise(caller: &Caller, start: usize, len: usize, advice: u32) -> SysResult {
    caller.space.advise(start, len, advice).await?;
    Ok(0)
}

pub async fn msync(caller: &Caller, start: usize, len: usize, flags: u32) -> SysResult {
    caller.space.sync(start, len, flags).await?;
    Ok(0)
}

/// Whether no limit binds the caller.
fn may_lock_any(caller: &Caller) -> bool {
    caller.credentials.has(capability::IPC_LOCK)
}

/// EPERM for who may lock nothing, ENOMEM for who may not lock `wanted` bytes in all.
fn check_lock(caller: &Caller, wanted: usize) -> Result<(), Errno> {
    let limit = caller.process().limits.soft(linux::RLIMIT_MEMLOCK);
    match wanted as u64 {
        _ if may_lock_any(caller) => Ok(()),
        _ if limit == 0 => Err(Errno::EPERM),
        wanted if wanted > limit => Err(Errno::ENOMEM),
        _ => Ok(()),
    }
}

/// How many pages so many bytes begin.
fn pages(len: usize) -> usize {
    len.div_ceil(PAGE_SIZE)
}

/// EAGAIN for who may not lock so many bytes beside those that are.
async fn check_more_locked(caller: &Caller, more: usize) -> Result<(), Errno> {
    if may_lock_any(caller) {
        return Ok(());
    }
    let others = caller.space.locked_outside(0..0).await?;
    let whole = more.checked_next_multiple_of(PAGE_SIZE).unwrap_or(usize::MAX);
    check_lock(caller, others.saturating_add(whole)).map_err(|_| Errno::EAGAIN)
}

pub async fn mlock(caller: &Caller, start: usize, len: usize) -> SysResult {
    let first = start & !(PAGE_SIZE - 1);
    let end = start.saturating_add(len).checked_next_multiple_of(PAGE_SIZE).unwrap_or(first);
    let others = caller.space.locked_outside(first..end.max(first)).await?;
    check_lock(caller, others + end.saturating_sub(first))?;
    caller.space.lock_pages(start, len, true).await?;
    Ok(0)
}

pub async fn munlock(caller: &Caller, start: usize, len: usize) -> SysResult {
    caller.space.lock_pages(start, len, false).await?;
    Ok(0)
}

/// As mlock, whose pages are in memory at once, where the caller would wait for each.
pub async fn mlock2(caller: &Caller, start: usize, len: usize, flags: u32) -> SysResult {
    if flags & !linux::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    mlock(caller, start, len).await
}

pub async fn mlockall(caller: &Caller, flags: u32) -> SysResult {
    const KNOWN: u32 = linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT;
    if flags & !KNOWN != 0 || flags == 0 || flags == linux::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    let now = flags & linux::MCL_CURRENT != 0;
    let mapped = if now { caller.space.usage().mapped } else { 0 };
    check_lock(caller, mapped)?;
    let wait = flags & linux::MCL_ONFAULT == 0;
    caller.space.lock_all(now.then_some(true), flags & linux::MCL_FUTURE != 0, wait).await?;
    Ok(0)
}

pub async fn munlockall(caller: &Caller) -> SysResult {
    caller.space.lock_all(Some(false), false, false).await?;
    Ok(0)
}

/// Protection keys, as on a CPU without them: there is none to be had.
pub fn pkey_alloc(flags: usize, rights: usize) -> SysResult {
    const RIGHTS: usize = (linux::PKEY_DISABLE_ACCESS | linux::PKEY_DISABLE_WRITE) as usize;
    if flags != 0 || rights & !RIGHTS != 0 { Err(Errno::EINVAL) } else { Err(Errno::ENOSPC) }
}

/// mprotect, with the one key that stands for none.
pub async fn pkey_mprotect(caller: &Caller, start: usize, len: usize, prot: u32, key: i32) -> SysResult {
    if key != -1 {
        return Err(Errno::EINVAL);
    }
    mprotect(caller, start, len, prot).await
}

pub async fn mincore(caller: &Caller, start: usize, len: usize, vector: usize) -> SysResult {
    /// Pages that are looked at together.
    const PART: usize = 256;
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if start.checked_add(len).is_none_or(|end| end > USER_END) {
        return Err(Errno::ENOMEM);
    }
    let pages = len.div_ceil(PAGE_SIZE);
    if vector.checked_add(pages).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT);
    }
    for first in (0..pages).step_by(PART) {
        let part = start + first * PAGE_SIZE..start + pages.min(first + PART) * PAGE_SIZE;
        let present = caller.space.presence(part).await?;
        user_memory::copy_out(caller, vector.wrapping_add(first), &present).await?;
        executor::make_way().await;
    }
    Ok(0)
}

pub async fn brk(caller: &Caller, wanted: usize) -> SysResult {
    if caller.space.locks_future().await {
        let end = caller.space.brk(0).await;
        let more = pages(wanted).saturating_sub(pages(end)).saturating_mul(PAGE_SIZE);
        if more > 0 && check_more_locked(caller, more).await.is_err() {
            return Ok(end);
        }
    }
    Ok(caller.space.brk(wanted).await)
}
