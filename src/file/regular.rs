//! Reading and writing files that have contents of their own.

use alloc::sync::Arc;

use fs::{FileType, Inode, Position, Writing};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, bulk, direct, disk};
use crate::{
    memory,
    process::Caller,
    user_memory::{SysResult, UserBuffer},
};

/// Reads up to the end of `into` or of the file; returns the bytes read. For the kernel's own use.
pub async fn read_exact_at(inode: &dyn Inode, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < into.len() {
        let mut rest = &mut into[done..];
        let read = inode.read_at(offset + done as u64, &mut rest).await?;
        if read == 0 {
            break;
        }
        done += read;
    }
    Ok(done)
}

/// Reads at `offset` of an open file into user memory, bringing in missing pages of the buffer as it goes.
#[inline]
pub async fn read_at(
    caller: &Caller,
    file: &File,
    inode: &Arc<dyn Inode>,
    offset: u64,
    buffer: &mut UserBuffer,
) -> SysResult {
    if let Some(unit) = direct::unit(file) {
        return memory::pinned(direct::read_at(caller, inode, unit, offset, &[buffer.vector()]))?.await;
    }
    let mut total = 0;
    loop {
        if buffer.remaining() >= bulk::LARGE {
            let moved = match memory::pinned(read_large(caller, inode, offset + total as u64, buffer)) {
                Ok(reading) => reading.await,
                Err(_) => 0,
            };
            buffer.skip(moved);
            total += moved;
            if caller.thread.is_killed() {
                return Ok(total);
            }
        }
        let mut part = buffer.front(bulk::PIECE);
        let wanted = part.remaining();
        let failure = match inode.read_at(offset + total as u64, &mut part).await {
            Ok(read) => {
                buffer.skip(read);
                total += read;
                if !part.faulted() && (read < wanted || buffer.remaining() == 0) {
                    return Ok(total);
                }
                None
            }
            Err(errno) if !part.faulted() => Some(errno),
            Err(_) => None,
        };
        if let Some(errno) = failure.or(part.resolve(caller).await.err()) {
            return if total > 0 { Ok(total) } else { Err(errno) };
        }
    }
}

/// The part of a read that is large enough to be done in pieces; 0 if there is none.
async fn read_large(caller: &Caller, inode: &Arc<dyn Inode>, offset: u64, buffer: &UserBuffer) -> usize {
    let left = inode.attributes().size().saturating_sub(offset);
    let len = buffer.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
    if len < bulk::LARGE {
        return 0;
    }
    let inode = inode.clone();
    let step =
        move |at: usize, part: &mut UserBuffer| inode.read_at(offset + at as u64, part).ready().ok()?.ok();
    bulk::in_pieces(caller, buffer, len, step).await.count
}

/// Writes user memory at `position` of an open file; returns the bytes written and where the last one ended. No other write comes in
/// between, where the file system offers that.
#[inline]
pub async fn write_at(
    caller: &Caller,
    file: &File,
    inode: &Arc<dyn Inode>,
    position: Position,
    buffer: &mut UserBuffer,
) -> Result<(usize, u64), Errno> {
    if let Some(unit) = direct::unit(file) {
        return memory::pinned(direct::write_at(caller, inode, unit, position, &[buffer.vector()]))?.await;
    }
    // Where the end is, only a write that keeps the others out can tell.
    if let Position::At(offset) = position
        && inode.attributes().kind != FileType::Block
    {
        buffer.limit(limit_size(caller, offset, buffer.remaining())?);
    }
    if buffer.remaining() > 0 {
        fs::file::strip_privileges(&**inode, &caller.credentials.fs).await?;
    }
    match inode.clone().begin_write().await? {
        Some(writing) => memory::pinned(write_steps(caller, inode, writing, position, buffer))?.await,
        None => write_parts(caller, &**inode, position, buffer).await,
    }
}

/// How often in a row a write waits for memory.
const PATIENCE: usize = 16;

/// Waits until there is memory again, which caches may have; false if there is none for it.
async fn memory_comes_back(caller: &Caller, refused: &mut usize) -> bool {
    *refused += 1;
    *refused <= PATIENCE && !caller.thread.is_killed() && memory::check_pressure().await.is_ok()
}

/// A write in steps, which ends with this, wherever that comes.
struct Steps {
    writing: Arc<dyn Writing>,
    at: u64,
    done: usize,
    touched: usize,
}

impl Drop for Steps {
    fn drop(&mut self) {
        let touched = if self.touched > 0 { self.at + self.touched as u64 } else { 0 };
        self.writing.end(self.at + self.done as u64, touched);
    }
}

async fn write_steps(
    caller: &Caller,
    inode: &Arc<dyn Inode>,
    writing: Arc<dyn Writing>,
    position: Position,
    buffer: &mut UserBuffer,
) -> Result<(usize, u64), Errno> {
    let at = match position {
        Position::At(offset) => offset,
        Position::End => inode.attributes().size(),
    };
    let mut steps = Steps { writing, at, done: 0, touched: 0 };
    if matches!(position, Position::End) {
        buffer.limit(limit_size(caller, at, buffer.remaining())?);
    }
    let room = fs::file::SIZE_MAX.saturating_sub(at);
    if room == 0 && buffer.remaining() > 0 {
        return Err(Errno::EFBIG);
    }
    buffer.limit(usize::try_from(room).unwrap_or(usize::MAX));
    let (mut in_pieces, mut refused) = (true, 0);
    loop {
        let offset = at + steps.done as u64;
        if in_pieces && buffer.remaining() >= bulk::LARGE {
            let writing = steps.writing.clone();
            let step = move |at: usize, part: &mut UserBuffer| writing.fill(offset + at as u64, part).ok();
            let moved = bulk::in_pieces(caller, buffer, buffer.remaining(), step).await;
            buffer.skip(moved.count);
            steps.touched = steps.touched.max(steps.done + moved.touched);
            steps.done += moved.count;
            if caller.thread.is_killed() {
                break;
            }
        }
        let mut part = buffer.front(bulk::PIECE);
        let wanted = part.remaining();
        let failure = match steps.writing.fill(at + steps.done as u64, &mut part) {
            Ok(moved) => {
                buffer.skip(moved);
                refused = 0;
                steps.done += moved;
                steps.touched = steps.touched.max(steps.done);
                if !part.faulted() && (moved < wanted || buffer.remaining() == 0) {
                    break;
                }
                None
            }
            Err(errno) if !part.faulted() => Some(errno),
            Err(_) => None,
        };
        if failure == Some(Errno::ENOMEM) && memory_comes_back(caller, &mut refused).await {
            continue;
        }
        if failure == Some(Errno::ENOSPC) && steps.touched > steps.done {
            // The room may be where pieces behind the gap are.
            steps.writing.give_up(at + steps.done as u64, at + steps.touched as u64);
            steps.touched = steps.done;
            in_pieces = false;
            continue;
        }
        if let Some(errno) = failure.or(part.resolve(caller).await.err()) {
            if steps.done == 0 {
                return Err(errno);
            }
            break;
        }
    }
    Ok((steps.done, at + steps.done as u64))
}

/// A write to a file whose file system takes each part as a write of its own.
async fn write_parts(
    caller: &Caller,
    inode: &dyn Inode,
    position: Position,
    buffer: &mut UserBuffer,
) -> Result<(usize, u64), Errno> {
    let mut total = 0;
    let mut end = 0;
    let mut position = position;
    if matches!(position, Position::End) {
        buffer.limit(limit_size(caller, inode.attributes().size(), buffer.remaining())?);
    }
    let mut refused = 0;
    loop {
        match inode.write_at(position, buffer).await {
            Ok(written) => {
                refused = 0;
                total += written.count;
                end = written.at + written.count as u64;
                if !matches!(position, Position::End) {
                    position = Position::At(end);
                }
            }
            Err(Errno::ENOMEM) if !buffer.faulted() && memory_comes_back(caller, &mut refused).await => {
                continue;
            }
            Err(errno) if total == 0 && !buffer.faulted() => return Err(errno),
            Err(_) => {}
        }
        if !buffer.faulted() {
            return Ok((total, end));
        }
        if let Err(errno) = buffer.resolve(caller).await {
            return if total > 0 { Ok((total, end)) } else { Err(errno) };
        }
    }
}

/// The position that a `write` at the file's offset takes. Nothing can be appended to a disk, and the flag says nothing there.
pub fn write_position(file: &File, offset: u64) -> Position {
    if file.flags() & linux::O_APPEND != 0 && disk::of(file).is_none() {
        Position::End
    } else {
        Position::At(offset)
    }
}

/// How much of a write fits below `RLIMIT_FSIZE`; EFBIG (and SIGXFSZ) when nothing does.
#[inline(always)]
pub fn limit_size(caller: &Caller, offset: u64, len: usize) -> Result<usize, Errno> {
    let limit = caller.process().limits.soft(linux::RLIMIT_FSIZE);
    if offset.saturating_add(len as u64) <= limit { Ok(len) } else { cut_size(caller, offset, len, limit) }
}

#[cold]
fn cut_size(caller: &Caller, offset: u64, len: usize, limit: u64) -> Result<usize, Errno> {
    use crate::process::signal::{SigInfo, numbers::SIGXFSZ, send};
    if offset >= limit && len > 0 {
        let _ = send::to_thread(&caller.thread, SigInfo::kernel(SIGXFSZ));
        return Err(Errno::EFBIG);
    }
    Ok((limit - offset) as usize)
}
