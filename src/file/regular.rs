//! Reading and writing files that have contents of their own.

use fs::{Inode, Position};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::File;
use crate::{
    process::Caller,
    syscall::user::{SysResult, UserBuffer},
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

/// Reads at `offset` into user memory, bringing in missing pages of the buffer as it goes.
#[inline]
pub async fn read_at(caller: &Caller, inode: &dyn Inode, offset: u64, buffer: &mut UserBuffer) -> SysResult {
    let mut total = 0;
    loop {
        let read = inode.read_at(offset + total as u64, buffer).await;
        match read {
            Ok(read) => total += read,
            Err(errno) if total == 0 && !buffer.faulted() => return Err(errno),
            Err(_) => {}
        }
        if !buffer.faulted() {
            return Ok(total);
        }
        if let Err(errno) = buffer.resolve(caller).await {
            return if total > 0 { Ok(total) } else { Err(errno) };
        }
    }
}

/// Writes user memory at `position`; returns the bytes written and where the last one ended.
#[inline]
pub async fn write_at(
    caller: &Caller,
    inode: &dyn Inode,
    position: Position,
    buffer: &mut UserBuffer,
) -> Result<(usize, u64), Errno> {
    let credentials = &caller.credentials.fs;
    let mut total = 0;
    let mut end = 0;
    let mut position = position;
    loop {
        match fs::file::write(inode, credentials, position, buffer).await {
            Ok(written) => {
                total += written.count;
                end = written.at + written.count as u64;
                if !matches!(position, Position::End) {
                    position = Position::At(end);
                }
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

/// The position that a `write` at the file's offset takes.
pub fn write_position(file: &File, offset: u64) -> Position {
    if file.flags() & linux::O_APPEND != 0 { Position::End } else { Position::At(offset) }
}

/// How much of a write fits below `RLIMIT_FSIZE`; EFBIG (and SIGXFSZ) when nothing does.
#[inline]
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
