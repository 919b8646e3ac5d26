//! read, write and their kin (read(2), pread(2), readv(2), lseek(2)).

use alloc::sync::Arc;

use fs::{Inode, Position, Seek};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    attempt::{Attempt, Pause},
    socket::message,
    vectored,
};
use crate::{
    file::{File, Object, direct, disk, events::counter, io, regular},
    process::Caller,
    user_memory::{self, IoVec, MAX_RW_COUNT, SysResult, UserBuffer},
};

#[inline]
pub async fn read(caller: &Caller, fd: i32, address: usize, len: usize) -> SysResult {
    let file = caller.files.get(fd)?;
    io::read(caller, &file, &mut UserBuffer::new(address, len)?).await
}

#[inline]
pub async fn write(caller: &Caller, fd: i32, address: usize, len: usize) -> SysResult {
    let file = caller.files.get(fd)?;
    io::write(caller, &file, &mut UserBuffer::new(address, len)?).await
}

/// The offset of a positioned call: EINVAL for a negative one, before anything else is looked at.
fn checked_offset(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// EINVAL for a transfer that would end beyond the largest offset there is.
fn check_end(offset: u64, len: usize) -> Result<(), Errno> {
    let end = (offset as i64).checked_add_unsigned(len as u64);
    if end.is_some() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether a positioned call may be made on the file: ESPIPE for a stream.
pub(super) fn check_positioned(file: &File) -> Result<(), Errno> {
    match file.object() {
        Object::Inode(..) => Ok(()),
        Object::Stream(stream, _) if stream.is_seekable() => Ok(()),
        Object::Stream(..) | Object::Terminal(..) | Object::Socket(_) => Err(Errno::ESPIPE),
        Object::Place(_) => Err(Errno::EBADF),
    }
}

async fn read_at(caller: &Caller, file: &File, offset: u64, buffer: &mut UserBuffer) -> SysResult {
    let Some(inode) = file.inode() else { return io::read(caller, file, buffer).await };
    let read = regular::read_at(caller, file, inode, offset, buffer).await?;
    file.note_read(Ok(read));
    Ok(read)
}

async fn write_at(caller: &Caller, file: &File, offset: u64, buffer: &mut UserBuffer) -> SysResult {
    let Some(inode) = file.inode() else { return io::write(caller, file, buffer).await };
    // Linux appends here too when the file is open with O_APPEND (pwrite(2), "Bugs").
    let position = regular::write_position(file, offset);
    let (written, _) = regular::write_at(caller, file, inode, position, buffer).await?;
    io::sync_if_asked(file).await?;
    file.note_written(Ok(written));
    Ok(written)
}

/// Reads into a buffer, as the operations of rings do: at an offset, or without one, or where there are none, what comes
/// next.
pub async fn read_file(
    caller: &Caller,
    file: &File,
    at: Option<i64>,
    (address, len): (usize, usize),
    flags: u32,
) -> SysResult {
    file.check_readable()?;
    check_flags(flags)?;
    let mut buffer = UserBuffer::new(address, len)?;
    match at {
        Some(offset) => {
            let offset = checked_offset(offset)?;
            check_end(offset, len)?;
            read_at(caller, file, offset, &mut buffer).await
        }
        None => io::read(caller, file, &mut buffer).await,
    }
}

/// Writes a buffer; as [`read_file`].
pub async fn write_file(
    caller: &Caller,
    file: &File,
    at: Option<i64>,
    (address, len): (usize, usize),
    flags: u32,
) -> SysResult {
    file.check_writable()?;
    check_flags(flags)?;
    let mut buffer = UserBuffer::new(address, len)?;
    let at = at.map(checked_offset).transpose()?;
    check_end(at.unwrap_or(0), len)?;
    write_flagged(caller, file, at, &mut buffer, flags).await
}

#[inline]
pub async fn pread64(caller: &Caller, fd: i32, address: usize, len: usize, offset: i64) -> SysResult {
    let offset = checked_offset(offset)?;
    let file = caller.files.get(fd)?;
    check_positioned(&file)?;
    file.check_readable()?;
    let mut buffer = UserBuffer::new(address, len)?;
    check_end(offset, len)?;
    read_at(caller, &file, offset, &mut buffer).await
}

#[inline]
pub async fn pwrite64(caller: &Caller, fd: i32, address: usize, len: usize, offset: i64) -> SysResult {
    let offset = checked_offset(offset)?;
    let file = caller.files.get(fd)?;
    check_positioned(&file)?;
    file.check_writable()?;
    let mut buffer = UserBuffer::new(address, len)?;
    check_end(offset, len)?;
    write_at(caller, &file, offset, &mut buffer).await
}

/// Which way a vectored call moves bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into user memory.
    Read,
    /// Out of it.
    Write,
}

/// The flags of preadv2(2) (`<linux/fs.h>`) but for `RWF_NOWAIT`: as with the Linux that Rusk follows, no file here can
/// tell before a transfer whether it would wait.
const RWF_KNOWN: u32 = linux::RWF_HIPRI | linux::RWF_DSYNC | linux::RWF_SYNC | linux::RWF_APPEND;

/// EOPNOTSUPP for other flags than these.
pub fn check_flags(flags: u32) -> Result<(), Errno> {
    if flags & !RWF_KNOWN != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

/// Writes one piece as the flags of pwritev2(2) say: at an offset or, without one, at the file's own, or at the end.
async fn write_flagged(
    caller: &Caller,
    file: &File,
    at: Option<u64>,
    buffer: &mut UserBuffer,
    flags: u32,
) -> SysResult {
    let written = match (file.inode(), at) {
        (Some(inode), _) if flags & linux::RWF_APPEND != 0 => {
            let mut offset = file.offset.lock().await;
            let (written, end) = regular::write_at(caller, file, inode, Position::End, buffer).await?;
            if at.is_none() && written > 0 {
                *offset = end;
            }
            file.note_written(Ok(written));
            written
        }
        (_, Some(offset)) => write_at(caller, file, offset, buffer).await?,
        (_, None) => io::write(caller, file, buffer).await?,
    };
    if flags & (linux::RWF_SYNC | linux::RWF_DSYNC) != 0
        && let Some(inode) = file.inode()
    {
        inode.fsync(flags & linux::RWF_SYNC == 0).await?;
    }
    Ok(written)
}

/// readv, writev, preadv, pwritev and the `2` forms: one call's worth of bytes in several pieces, of which an attempt has moved
/// some. An offset of −1 stands for the file's own. The flags are `RWF_*`.
pub async fn vectored(
    caller: &mut Caller,
    fd: i32,
    (vectors, count, moved): (usize, u32, usize),
    offset: i64,
    flags: u32,
    direction: Direction,
) -> SysResult {
    let file = caller.files.get(fd)?;
    let at = match offset {
        -1 => None,
        offset => {
            check_positioned(&file)?;
            Some(offset)
        }
    };
    let vectors = match vectored::kept(caller, moved) {
        Some(vectors) => vectors,
        None => user_memory::read_iovecs(caller, vectors, count).await?,
    };
    vectored_file(caller, &file, (&vectors, moved), at, flags, direction).await
}

/// EBADF unless the file is open for moving bytes this way.
pub fn check_direction(file: &File, direction: Direction) -> Result<(), Errno> {
    match direction {
        Direction::Read => file.check_readable(),
        Direction::Write => file.check_writable(),
    }
}

/// The same for an open file and pieces that have been read; an offset is ignored where there are none. Only through a pipe has an
/// attempt moved bytes.
pub async fn vectored_file(
    caller: &Caller,
    file: &File,
    (vectors, moved): (&[IoVec], usize),
    at: Option<i64>,
    flags: u32,
    direction: Direction,
) -> SysResult {
    let mut at = at.map(checked_offset).transpose()?;
    check_direction(file, direction)?;
    check_flags(flags)?;
    if let Some(offset) = at
        && file.inode().is_some()
    {
        let all = vectors.iter().fold(0_usize, |sum, vector| sum.saturating_add(vector.len));
        check_end(offset, all.min(MAX_RW_COUNT))?;
    }
    if file.socket().is_some() {
        // All of them together are one message; no bytes at all are none.
        return match direction {
            _ if vectors.iter().all(|vector| vector.len == 0) => Ok(0),
            Direction::Read => message::read(caller, file, vectors).await,
            Direction::Write => message::write(caller, file, vectors).await,
        };
    }
    if let Some(pipe) = file.stream().and_then(|stream| stream.pipe()) {
        return vectored::through_pipe(caller, file, pipe, direction, vectors, moved).await;
    }
    if direction == Direction::Read
        && let Some(result) = counter::read_pieces(caller, file, vectors).await
    {
        return result;
    }
    if let Some(inode) = file.inode()
        && let Some(unit) = direct::unit(file)
    {
        return vectored_direct(caller, file, (inode, unit), vectors, at, flags, direction).await;
    }
    let mut total = 0;
    for vector in vectors {
        executor::make_way().await;
        if vector.len == 0 {
            continue;
        }
        let result = match UserBuffer::new(vector.base, vector.len.min(MAX_RW_COUNT - total)) {
            Err(errno) => Err(errno),
            Ok(mut buffer) => match (at, direction) {
                (None, Direction::Read) => io::read(caller, file, &mut buffer).await,
                (Some(offset), Direction::Read) => read_at(caller, file, offset, &mut buffer).await,
                (at, Direction::Write) => write_flagged(caller, file, at, &mut buffer, flags).await,
            },
        };
        match result {
            Ok(moved) => {
                total += moved;
                at = at.map(|offset| offset + moved as u64);
                // A stream that has given what it had must not be waited on for the next piece.
                if moved < vector.len || total == MAX_RW_COUNT || is_drained(file, direction) {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// The same past the page cache: all pieces are one transfer.
async fn vectored_direct(
    caller: &Caller,
    file: &File,
    (inode, unit): (&Arc<dyn Inode>, u32),
    vectors: &[IoVec],
    at: Option<u64>,
    flags: u32,
    direction: Direction,
) -> SysResult {
    let mut own = match at {
        Some(_) => None,
        None => Some(file.offset.lock().await),
    };
    let offset = at.or(own.as_deref().copied()).unwrap_or(0);
    let (moved, end) = match direction {
        Direction::Read => {
            let read = direct::read_at(caller, inode, unit, offset, vectors).await?;
            file.note_read(Ok(read));
            (read, offset + read as u64)
        }
        Direction::Write => {
            let appends = flags & linux::RWF_APPEND != 0;
            let position = if appends { Position::End } else { regular::write_position(file, offset) };
            let (written, end) = direct::write_at(caller, inode, unit, position, vectors).await?;
            file.note_written(Ok(written));
            (written, end)
        }
    };
    if moved > 0
        && let Some(own) = &mut own
    {
        **own = end;
    }
    drop(own);
    if direction == Direction::Write {
        sync_flagged(file, flags).await?;
    }
    Ok(moved)
}

/// Brings what was written to stable storage, if the open file's flags or those of pwritev2(2) say so.
async fn sync_flagged(file: &File, flags: u32) -> Result<(), Errno> {
    io::sync_if_asked(file).await?;
    match file.inode() {
        Some(inode) if flags & (linux::RWF_SYNC | linux::RWF_DSYNC) != 0 => {
            inode.fsync(flags & linux::RWF_SYNC == 0).await
        }
        _ => Ok(()),
    }
}

/// preadv and pwritev: a negative offset is EINVAL.
pub async fn vectored_at(
    caller: &mut Caller,
    fd: i32,
    pieces: (usize, u32, usize),
    offset: i64,
    direction: Direction,
) -> SysResult {
    if offset < 0 {
        return Err(Errno::EINVAL);
    }
    vectored(caller, fd, pieces, offset, 0, direction).await
}

/// preadv2 and pwritev2: an offset of −1 stands for the file's own.
pub async fn vectored_with(
    caller: &mut Caller,
    fd: i32,
    pieces: (usize, u32, usize),
    (offset, flags): (i64, u32),
    direction: Direction,
) -> SysResult {
    if offset < -1 {
        return Err(Errno::EINVAL);
    }
    vectored(caller, fd, pieces, offset, flags, direction).await
}

fn is_drained(file: &File, direction: Direction) -> bool {
    use executor::sync::Events;
    let Some(readiness) = file.stream().and_then(|stream| stream.readiness()) else { return false };
    direction == Direction::Read && !readiness.events().contains(Events::IN)
}

pub async fn lseek(caller: &Caller, fd: i32, offset: i64, whence: usize) -> SysResult {
    let file = caller.files.get(fd)?;
    let whence = whence as u32;
    let disk = disk::of(&file);
    let last = match disk {
        // Where a directory ends is not known before it is read.
        None if file.is_directory() => linux::SEEK_CUR,
        None => linux::SEEK_HOLE,
        Some(_) => linux::SEEK_END,
    };
    if whence > last {
        return Err(Errno::EINVAL);
    }
    let inode = match file.object() {
        Object::Inode(path, contents) => contents.as_ref().unwrap_or(path.inode()),
        Object::Stream(stream, _) if stream.is_seekable() => return Ok(0),
        Object::Stream(..) | Object::Terminal(..) | Object::Socket(_) => return Err(Errno::ESPIPE),
        Object::Place(_) => return Err(Errno::EBADF),
    };
    let mut position = file.offset.lock().await;
    let size = || inode.attributes().size() as i64;
    let target = match whence {
        linux::SEEK_DATA | linux::SEEK_HOLE if offset < 0 => return Err(Errno::ENXIO),
        linux::SEEK_DATA => Some(inode.seek(offset as u64, Seek::Data).await? as i64),
        linux::SEEK_HOLE => Some(inode.seek(offset as u64, Seek::Hole).await? as i64),
        _ => seek_from(whence, *position, size, offset),
    };
    // Disks do not grow.
    let most = if disk.is_some() { size() } else { i64::MAX };
    let target = target.filter(|target| (0..=most).contains(target)).ok_or(Errno::EINVAL)?;
    *position = target as u64;
    Ok(target as usize)
}

/// Where an offset is from the beginning of a file, from its own position or from its end.
fn seek_from(whence: u32, position: u64, size: impl FnOnce() -> i64, offset: i64) -> Option<i64> {
    match whence {
        linux::SEEK_SET => Some(offset),
        linux::SEEK_CUR => (position as i64).checked_add(offset),
        _ => size().checked_add(offset),
    }
}

/// [`lseek`] of a file with contents, where nobody else is at its position.
#[inline(never)]
pub fn lseek_now(caller: &Caller, fd: i32, offset: i64, whence: usize) -> Attempt {
    let (file, whence) = (caller.files.get(fd)?, whence as u32);
    let Object::Inode(path, None) = file.object() else { return Err(Pause::General) };
    if whence > linux::SEEK_END || file.is_directory() || disk::of(&file).is_some() {
        return Err(Pause::General);
    }
    let Some(mut position) = file.offset.try_lock() else { return Err(Pause::General) };
    let size = || path.dentry().attributes().size() as i64;
    let target = seek_from(whence, *position, size, offset).and_then(|target| u64::try_from(target).ok());
    *position = target.ok_or(Errno::EINVAL)?;
    Ok(*position as usize)
}
