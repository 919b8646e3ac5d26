//! Reading and writing past the page cache (`O_DIRECT`): the disk moves bytes to and from the program's own pages.
//!
//! ```text
//!   IoVecs ─► the pages that they are in, with an ownership of each ─► Inode::read_direct, write_direct
//! ```
//!
//! The pages are found as accesses of the program would find them, and then belong to the transfer as well: whatever the
//! program does with its memory meanwhile, the disk has them until it is done.

use alloc::sync::Arc;

use fs::{Direct, FileType, Inode, Memory, Position};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, regular};
use crate::{
    arch::user::Access,
    memory::PAGE_SIZE,
    process::Caller,
    user_memory::{self, IoVec, MAX_RW_COUNT, SysResult},
};

/// The unit of transfers in bytes, if they are to go past the page cache.
#[inline]
pub fn unit(file: &File) -> Option<u32> {
    if file.flags() & linux::O_DIRECT == 0 { None } else { unit_of(&**file.inode()?) }
}

#[cold]
fn unit_of(inode: &dyn Inode) -> Option<u32> {
    match inode.direct() {
        Direct::Unit(unit) => Some(unit),
        Direct::Cached | Direct::Refused => None,
    }
}

/// Whether all that is asked for lies along the borders of units.
fn is_aligned(offset: u64, vectors: &[IoVec], unit: u32) -> bool {
    let all = vectors.iter().fold(offset as usize, |all, vector| all | vector.base | vector.len);
    all.is_multiple_of(unit as usize)
}

fn length(vectors: &[IoVec]) -> usize {
    vectors.iter().fold(0_usize, |sum, vector| sum.saturating_add(vector.len)).min(MAX_RW_COUNT)
}

/// Reads at `offset` into user memory, all of it in one go.
pub async fn read_at(
    caller: &Caller,
    inode: &Arc<dyn Inode>,
    unit: u32,
    offset: u64,
    vectors: &[IoVec],
) -> SysResult {
    let left = inode.attributes().size().saturating_sub(offset);
    let len = length(vectors);
    if left == 0 || len == 0 {
        return Ok(0);
    }
    // Behind the end of the file there is nothing; whether that matters, the file system says of what is not aligned.
    let most = if is_aligned(offset, vectors, unit) {
        len.min(usize::try_from(left).unwrap_or(len).saturating_add(PAGE_SIZE) & !(PAGE_SIZE - 1))
    } else {
        len
    };
    let memory = borrow(caller, vectors, most, Access::Write).await?;
    inode.clone().read_direct(offset, memory).await
}

/// Writes user memory at `position`, all of it in one go; returns the bytes written and where the last one ended.
pub async fn write_at(
    caller: &Caller,
    inode: &Arc<dyn Inode>,
    unit: u32,
    position: Position,
    vectors: &[IoVec],
) -> Result<(usize, u64), Errno> {
    let offset = match position {
        Position::At(offset) => offset,
        Position::End => inode.attributes().size(),
    };
    let mut len = length(vectors);
    if len == 0 {
        return Ok((0, offset));
    }
    if inode.attributes().kind != FileType::Block {
        len = regular::limit_size(caller, offset, len)?;
    }
    // Where the end is when it comes to that, the file system knows.
    let known = if matches!(position, Position::End) { 0 } else { offset };
    if !is_aligned(known | len as u64, vectors, unit) {
        return Err(Errno::EINVAL);
    }
    fs::file::strip_privileges(&**inode, &caller.credentials.fs).await?;
    let memory = borrow(caller, vectors, len, Access::Read).await?;
    let written = inode.clone().write_direct(position, memory).await?;
    Ok((written.count, written.at + written.count as u64))
}

/// The pages that the first `most` bytes of user memory are in, as `access` finds them.
async fn borrow(caller: &Caller, vectors: &[IoVec], most: usize, access: Access) -> Result<Memory, Errno> {
    let mut memory = Memory::new();
    for vector in vectors {
        let mut range = vector.base..vector.base + vector.len.min(most - memory.len());
        while !range.is_empty() {
            let missing = caller.space.lend(&mut range, access, &mut memory).await?;
            executor::make_way().await;
            if missing {
                user_memory::fault_in(caller, range.start, access).await?;
            }
        }
    }
    Ok(memory)
}
