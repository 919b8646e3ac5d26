//! Operations on an open file's contents that need to know who asks.

use crate::{
    Credentials, FallocateFlags, FileType, Inode, Position, Result, SetAttributes, Source, Written,
    permission::{change_rights, lost_privileges},
    xattr,
};
use syscalls::Errno;

/// The largest offset behind a byte of a file: what a signed 64-bit offset can say.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// Takes away what a change of contents by the caller takes away: set-id bits, and capabilities, whoever it is.
pub async fn strip_privileges(inode: &dyn Inode, credentials: &Credentials) -> Result<()> {
    xattr::drop_capabilities(inode).await?;
    let decide = |_| {
        let left = lost_privileges(inode.attributes(), credentials);
        Ok(left.map(|permissions| SetAttributes { permissions: Some(permissions), ..Default::default() }))
    };
    change_rights(inode, decide).await.map(drop)
}

/// Writes; as [`Inode::write_at`], and takes away [privileges](strip_privileges).
#[inline]
pub async fn write(
    inode: &dyn Inode,
    credentials: &Credentials,
    position: Position,
    source: &mut dyn Source,
) -> Result<Written> {
    if inode.attributes().is_privileged() && source.remaining() > 0 {
        strip_privileges(inode, credentials).await?;
    }
    inode.write_at(position, source).await
}

/// Sets the size (ftruncate(2)); the caller has checked that the file may be written.
pub async fn truncate(inode: &dyn Inode, credentials: &Credentials, size: u64) -> Result<()> {
    match inode.attributes().kind {
        FileType::Regular => (),
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    if size > SIZE_MAX {
        return Err(Errno::EINVAL);
    }
    strip_privileges(inode, credentials).await?;
    inode.truncate(size).await
}

/// Allocates, punches or zeroes a range (fallocate(2)); the caller has checked that the file may be written.
pub async fn fallocate(
    inode: &dyn Inode,
    credentials: &Credentials,
    flags: FallocateFlags,
    offset: u64,
    len: u64,
) -> Result<()> {
    if offset > SIZE_MAX || len == 0 || len > SIZE_MAX {
        return Err(Errno::EINVAL);
    }
    let known = FallocateFlags::all().bits();
    let exclusive = flags & !FallocateFlags::KEEP_SIZE;
    if flags.bits() & !known != 0
        || exclusive.bits().count_ones() > 1
        || flags.contains(FallocateFlags::PUNCH_HOLE) && !flags.contains(FallocateFlags::KEEP_SIZE)
    {
        return Err(Errno::EOPNOTSUPP);
    }
    match inode.attributes().kind {
        FileType::Regular => (),
        FileType::Directory => return Err(Errno::EISDIR),
        FileType::Fifo => return Err(Errno::ESPIPE),
        _ => return Err(Errno::ENODEV),
    }
    if offset.checked_add(len).is_none_or(|end| end > SIZE_MAX) {
        return Err(Errno::EFBIG);
    }
    inode.fallocate(flags, offset, len).await?;
    strip_privileges(inode, credentials).await
}
