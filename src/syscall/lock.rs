//! Advisory locks: flock(2), and the record locks of fcntl(2).

use fs::FileType;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::user_memory::{self, SysResult};
use crate::{
    file::{
        File,
        lock::{Extent, Owner, Record, Request},
    },
    process::Caller,
};

/// A flag of flock(2) for locks that no Linux has any more; asking for one does nothing (`<asm-generic/fcntl.h>`).
const LOCK_MAND: u32 = 32;

pub async fn flock(caller: &Caller, fd: i32, operation: u32) -> SysResult {
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    let exclusive = match operation & !linux::LOCK_NB {
        linux::LOCK_SH => Some(false),
        linux::LOCK_EX => Some(true),
        linux::LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = caller.files.get_open(fd)?;
    if exclusive.is_some() && file.check_readable().is_err() && file.check_writable().is_err() {
        return Err(Errno::EBADF);
    }
    let wait = operation & linux::LOCK_NB == 0;
    file.locks().lock_whole(caller, file.address(), exclusive, wait).await?;
    Ok(0)
}

/// `struct flock`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RecordLock {
    kind: i16,
    whence: i16,
    pad: u32,
    start: i64,
    len: i64,
    pid: i32,
    pad_at_end: u32,
}

/// Whether a command of fcntl(2) is about record locks.
pub fn is_command(command: u32) -> bool {
    matches!(
        command,
        linux::F_GETLK
            | linux::F_SETLK
            | linux::F_SETLKW
            | linux::F_OFD_GETLK
            | linux::F_OFD_SETLK
            | linux::F_OFD_SETLKW
    )
}

/// The commands of fcntl(2) for record locks, of the process or of the open file.
pub async fn fcntl(caller: &Caller, fd: i32, command: u32, argument: usize) -> SysResult {
    let file = caller.files.get_open(fd)?;
    let asked: RecordLock = user_memory::read(caller, argument).await?;
    let of_file = matches!(command, linux::F_OFD_GETLK | linux::F_OFD_SETLK | linux::F_OFD_SETLKW);
    let kind = asked.kind as u32;
    let gets = matches!(command, linux::F_GETLK | linux::F_OFD_GETLK);
    if gets && kind != linux::F_RDLCK && kind != linux::F_WRLCK {
        return Err(Errno::EINVAL);
    }
    let extent = extent(&file, &asked).await?;
    let exclusive = kind == linux::F_WRLCK;
    match kind {
        linux::F_UNLCK => {}
        linux::F_RDLCK | linux::F_WRLCK if gets => {}
        linux::F_RDLCK => file.check_readable()?,
        linux::F_WRLCK => file.check_writable()?,
        _ => return Err(Errno::EINVAL),
    }
    if of_file && asked.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let (owner, pid) = if of_file {
        (Owner::File(file.address()), -1)
    } else {
        (caller.files.owner(), caller.process().pid as i32)
    };
    let record = Record { owner, extent, exclusive, pid };
    if gets {
        let found = file.locks().conflict(&record);
        user_memory::write(caller, argument, found.map_or_else(|| asked.free(), |found| describe(&found)))
            .await?;
        return Ok(0);
    }
    let wait = matches!(command, linux::F_SETLKW | linux::F_OFD_SETLKW);
    let locks = file.locks();
    let request = if kind == linux::F_UNLCK { Request::Unlock(owner, extent) } else { Request::Lock(record) };
    locks.set(caller, request, wait).await?;
    // Another thread may have closed the descriptor meanwhile, too early to take this lock with it. An open file's locks go
    // with the open file.
    if kind != linux::F_UNLCK
        && !of_file
        && !caller.files.get(fd).is_ok_and(|now| now.address() == file.address())
    {
        locks.set(caller, Request::Unlock(owner, extent), false).await?;
        return Err(Errno::EBADF);
    }
    Ok(0)
}

/// The bytes that a request is about.
async fn extent(file: &File, asked: &RecordLock) -> Result<Extent, Errno> {
    let base = match asked.whence as u32 {
        linux::SEEK_SET => 0,
        linux::SEEK_CUR => *file.offset.lock().await as i64,
        linux::SEEK_END => match file.inode() {
            Some(inode) if inode.attributes().kind == FileType::Regular => inode.attributes().size() as i64,
            _ => 0,
        },
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(asked.start).ok_or(Errno::EOVERFLOW)?;
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let (first, last) = match asked.len {
        0 => (start, i64::MAX),
        len @ 1.. => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        // The bytes before the start.
        len => (start.checked_add(len).filter(|first| *first >= 0).ok_or(Errno::EINVAL)?, start - 1),
    };
    Ok(Extent { first: first as u64, last: last as u64 })
}

impl RecordLock {
    /// The answer when nothing stands in the way: all as it was asked, but for the kind.
    fn free(self) -> Self {
        Self { kind: linux::F_UNLCK as i16, ..self }
    }
}

/// The answer that shows a lock that stands in the way.
fn describe(record: &Record) -> RecordLock {
    let Extent { first, last } = record.extent;
    let len = if last == i64::MAX as u64 { 0 } else { last - first + 1 };
    RecordLock {
        kind: if record.exclusive { linux::F_WRLCK } else { linux::F_RDLCK } as i16,
        whence: linux::SEEK_SET as i16,
        pad: 0,
        start: first as i64,
        len: len as i64,
        pid: record.pid,
        pad_at_end: 0,
    }
}
