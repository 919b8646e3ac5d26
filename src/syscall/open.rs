//! Opening and sizing files: open(2), creat(2), openat2(2), truncate(2), fallocate(2), fsync(2).

use fs::{
    Access, FallocateFlags, FileType, Inode, LookupFlags,
    watch::{self, Happening},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    attempt::{Attempt, Pause},
    descriptor,
};
use crate::{
    device::disk,
    file::{self, File, Reservation, lookup, regular},
    process::Caller,
    root,
    user_memory::{self, SysResult},
};

/// The descriptor that an open of `name` is to have: set aside before anything is looked for, made or emptied.
#[inline(always)]
pub fn begin<'a>(caller: &'a Caller, name: &[u8]) -> Result<Reservation<'a>, Errno> {
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    descriptor::reserve(caller)
}

#[inline]
pub async fn openat(caller: &Caller, directory: i32, path: usize, flags: u32, mode: u32) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    open_named(caller, directory, &name, flags, mode, LookupFlags::empty()).await
}

/// Opens the file of a name that has been read.
#[inline]
pub async fn open_named(
    caller: &Caller,
    directory: i32,
    name: &[u8],
    flags: u32,
    mode: u32,
    resolve: LookupFlags,
) -> SysResult {
    let descriptor = begin(caller, name)?;
    let file = file::open(caller, directory, name, flags, mode, resolve).await?;
    Ok(descriptor.fill(file, flags & linux::O_CLOEXEC != 0))
}

/// `struct open_how`.
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes)]
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// How openat2(2) opens, as its argument says.
pub struct How {
    /// `O_*`.
    pub flags: u32,
    /// Permissions of what is made.
    pub mode: u32,
    /// Where the path may not lead.
    pub resolve: LookupFlags,
}

pub async fn openat2(caller: &Caller, directory: i32, path: usize, how: usize, size: usize) -> SysResult {
    let How { flags, mode, resolve } = read_how(caller, how, size).await?;
    let name = user_memory::read_path(caller, path).await?;
    open_named(caller, directory, &name, flags, mode, resolve).await
}

/// The flags of open(2) that exist.
const VALID: u32 = linux::O_ACCMODE
    | linux::O_CREAT
    | linux::O_EXCL
    | linux::O_NOCTTY
    | linux::O_TRUNC
    | linux::O_APPEND
    | linux::O_NONBLOCK
    | linux::O_SYNC
    | linux::FASYNC
    | linux::O_DIRECT
    | linux::O_LARGEFILE
    | linux::O_DIRECTORY
    | linux::O_NOFOLLOW
    | linux::O_NOATIME
    | linux::O_CLOEXEC
    | linux::O_PATH
    | linux::__O_TMPFILE;

/// Reads and checks an argument of openat2(2) of this size.
pub async fn read_how(caller: &Caller, how: usize, size: usize) -> Result<How, Errno> {
    if size < size_of::<OpenHow>() {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let asked: OpenHow = user_memory::read(caller, how).await?;
    let rest: alloc::vec::Vec<u8> = user_memory::read_array(caller, how + 24, size - 24).await?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    // What openat(2) would ignore.
    let beside_path = linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC | linux::O_PATH;
    let flags = asked.flags as u32;
    if flags & !VALID != 0 || flags & linux::O_PATH != 0 && flags & !beside_path != 0 {
        return Err(Errno::EINVAL);
    }
    let creates = flags & (linux::O_CREAT | linux::__O_TMPFILE) != 0;
    if asked.flags >> 32 != 0 || asked.mode & !0o7777 != 0 || !creates && asked.mode != 0 {
        return Err(Errno::EINVAL);
    }
    let mut resolve = LookupFlags::empty();
    for (bit, flag) in [
        (linux::RESOLVE_NO_XDEV, LookupFlags::NO_CROSSING),
        (linux::RESOLVE_NO_MAGICLINKS, LookupFlags::NO_MAGIC_LINKS),
        (linux::RESOLVE_NO_SYMLINKS, LookupFlags::NO_SYMLINKS),
        (linux::RESOLVE_BENEATH, LookupFlags::BENEATH),
        (linux::RESOLVE_IN_ROOT, LookupFlags::IN_ROOT),
    ] {
        resolve.set(flag, asked.resolve & u64::from(bit) != 0);
    }
    if asked.resolve > 0x3f || resolve.contains(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    Ok(How { flags, mode: asked.mode as u32, resolve })
}

/// Longest name of memfd_create(2), with the NUL: what it is led in by counts, too.
const MEMFD_NAME_MAX: usize = fs::NAME_MAX - "memfd:".len() + 1;

pub async fn memfd_create(caller: &Caller, name: usize, flags: u32) -> SysResult {
    if flags & linux::MFD_HUGETLB != 0 {
        // There are no huge pages for files.
        return Err(Errno::ENOSYS);
    }
    if flags & !(linux::MFD_CLOEXEC | linux::MFD_ALLOW_SEALING) != 0 {
        return Err(Errno::EINVAL);
    }
    let too_long = |errno| if errno == Errno::E2BIG { Errno::EINVAL } else { errno };
    let name = user_memory::read_string(caller, name, MEMFD_NAME_MAX).await.map_err(too_long)?;
    let descriptor = descriptor::reserve(caller)?;
    let file = file::nameless::create(caller, &name, flags & linux::MFD_ALLOW_SEALING != 0).await?;
    Ok(descriptor.fill(file, flags & linux::MFD_CLOEXEC != 0))
}

pub async fn truncate(caller: &Caller, path: usize, size: i64) -> SysResult {
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW).await?;
    fs::check_at(&place, &caller.credentials.fs, Access::WRITE)?;
    check_growth(caller, &**place.inode(), size as u64)?;
    let _writing = place.inode().attributes().write_access()?;
    fs::file::truncate(&**place.inode(), &caller.credentials.fs, size as u64).await?;
    watch::changed(place.dentry(), Happening::MODIFY);
    Ok(0)
}

/// EFBIG, and SIGXFSZ, for a file that would get larger than `RLIMIT_FSIZE`.
fn check_growth(caller: &Caller, inode: &dyn Inode, size: u64) -> Result<(), Errno> {
    if size <= inode.attributes().size() {
        return Ok(());
    }
    regular::limit_size(caller, size - 1, 1).map(drop)
}

pub async fn ftruncate(caller: &Caller, fd: i32, size: i64) -> SysResult {
    let file = caller.files.get_open(fd)?;
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    file.check_writable().map_err(|_| Errno::EINVAL)?;
    check_growth(caller, &**inode, size as u64)?;
    fs::file::truncate(&**inode, &caller.credentials.fs, size as u64).await?;
    file.note(Happening::MODIFY);
    Ok(0)
}

pub async fn fallocate(caller: &Caller, fd: i32, mode: u32, offset: i64, len: i64) -> SysResult {
    fallocate_file(caller, &*caller.files.get_open(fd)?, mode, offset, len).await
}

pub async fn fallocate_file(caller: &Caller, file: &File, mode: u32, offset: i64, len: i64) -> SysResult {
    if offset < 0 || len <= 0 {
        return Err(Errno::EINVAL);
    }
    file.check_writable()?;
    let inode = match file.inode() {
        Some(inode) => inode,
        None if file.stream().is_some_and(|stream| stream.pipe().is_some()) => return Err(Errno::ESPIPE),
        None => return Err(Errno::ENODEV),
    };
    let flags = FallocateFlags::from_bits_retain(mode);
    let makes_room = FallocateFlags::KEEP_SIZE.contains(flags);
    if makes_room && inode.attributes().kind == FileType::Regular {
        check_growth(caller, &**inode, offset as u64 + len as u64)?;
    }
    fs::file::fallocate(&**inode, &caller.credentials.fs, flags, offset as u64, len as u64).await?;
    file.note(Happening::MODIFY);
    Ok(0)
}

/// `fsync` and `fdatasync` of a file that is on no disk.
pub fn fsync_now(caller: &Caller, fd: i32, data_only: bool) -> Attempt {
    let file = caller.files.get_open(fd)?;
    match file.inode().ok_or(Errno::EINVAL)?.fsync(data_only).ready() {
        Ok(done) => Ok(done.map(|()| 0)?),
        // Nothing of it has begun.
        Err(_) => Err(Pause::General),
    }
}

pub async fn fsync(caller: &Caller, fd: i32, data_only: bool) -> SysResult {
    fsync_file(&*caller.files.get_open(fd)?, data_only).await
}

pub async fn fsync_file(file: &File, data_only: bool) -> SysResult {
    file.inode().ok_or(Errno::EINVAL)?.fsync(data_only).await?;
    Ok(0)
}

/// Writes back everything: each mounted file system, and what was written to disks themselves.
pub async fn sync() -> SysResult {
    for place in root::namespace().mounts() {
        let _ = place.mount().superblock().file_system().sync().await;
    }
    disk::sync_all().await;
    Ok(0)
}

pub async fn syncfs(caller: &Caller, fd: i32) -> SysResult {
    let file = caller.files.get(fd)?;
    if file.flags() & linux::O_PATH != 0 {
        return Err(Errno::EBADF);
    }
    // A pipe is on no disk.
    if let Some(place) = file.path() {
        place.mount().superblock().file_system().sync().await?;
    }
    Ok(0)
}

/// Says what will be done with a file, or a part of it; without a length, up to the end.
pub async fn fadvise64(caller: &Caller, fd: i32, offset: i64, len: i64, advice: u32) -> SysResult {
    fadvise_file(&*caller.files.get_open(fd)?, offset, len, advice).await
}

pub async fn fadvise_file(file: &File, offset: i64, len: i64, advice: u32) -> SysResult {
    if file.stream().is_some_and(|stream| stream.pipe().is_some()) {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > linux::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    let start = offset as u64;
    let end = if len == 0 { u64::MAX } else { start.saturating_add(len as u64) };
    match (file.inode(), advice) {
        (Some(inode), linux::POSIX_FADV_WILLNEED) => inode.read_ahead(start..end),
        (Some(inode), linux::POSIX_FADV_DONTNEED) => inode.forget_pages(start..end).await,
        _ => {}
    }
    Ok(0)
}

/// Has a part of a file read into memory, without waiting for it.
pub fn readahead(caller: &Caller, fd: i32, offset: i64, count: usize) -> SysResult {
    let file = caller.files.get_open(fd)?;
    file.check_readable()?;
    let inode = file.inode().filter(|_| !file.is_directory()).ok_or(Errno::EINVAL)?;
    inode.read_ahead(offset as u64..(offset as u64).saturating_add(count as u64));
    Ok(0)
}

/// The flags of sync_file_range(2) (`<linux/fs.h>`): what to wait for before, what to write, and what to wait for after.
const SYNC_RANGE_KNOWN: u32 = 7;

/// Brings data to stable storage, more than is asked for: all of the file.
pub async fn sync_file_range(caller: &Caller, fd: i32, offset: i64, len: i64, flags: u32) -> SysResult {
    sync_range_of_file(&*caller.files.get_open(fd)?, offset, len, flags).await
}

pub async fn sync_range_of_file(file: &File, offset: i64, len: i64, flags: u32) -> SysResult {
    let end = offset.checked_add(len);
    if flags & !SYNC_RANGE_KNOWN != 0 || offset < 0 || end.is_none_or(|end| end < offset) {
        return Err(Errno::EINVAL);
    }
    let inode = file.inode().ok_or(Errno::ESPIPE)?;
    if flags != 0 {
        inode.fsync(true).await?;
    }
    Ok(0)
}
