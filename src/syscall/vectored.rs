//! readv, writev and their kin of files with contents, as [attempts](super::attempt).
//!
//! What is large, has many pieces, or is of another kind of file goes the [general
//! way](super::read_write::vectored). So does what a missing page has stopped: to move the same bytes once more changes nothing.

use linux_raw_sys::general::*;
use zerocopy::{FromZeros, IntoBytes};

use super::{
    attempt::{Attempt, Pause, read_at, write_at},
    read_write::{Direction, check_direction},
    user::{IoVec, UserBuffer},
};
use crate::{
    arch::{
        uaccess::{self, Fault},
        user::{Access, UserContext},
    },
    file::{Object, bulk},
    process::Caller,
};

/// The most pieces.
const PIECES: usize = 8;

/// Serves one of the calls.
#[inline(never)]
pub fn attempt(caller: &Caller, context: &UserContext) -> Attempt {
    let number = context.orig_rax as u32;
    let (offset, flags) = (context.r10 as i64, context.r9 as u32);
    let at = match number {
        __NR_readv | __NR_writev => None,
        __NR_preadv2 | __NR_pwritev2 if flags != 0 => return Err(Pause::General),
        __NR_preadv2 | __NR_pwritev2 if offset == -1 => None,
        _ if offset < 0 => return Err(Pause::General),
        _ => Some(offset),
    };
    let direction = match number {
        __NR_readv | __NR_preadv | __NR_preadv2 => Direction::Read,
        _ => Direction::Write,
    };
    let file = caller.files.get(context.rdi as i32)?;
    let count = context.rdx as u32 as usize;
    if count > PIECES || !matches!(file.object(), Object::Inode(..)) {
        return Err(Pause::General);
    }
    check_direction(&file, direction)?;
    let mut vectors = <[IoVec; PIECES]>::new_zeroed();
    let vectors = &mut vectors[..count];
    uaccess::copy_from_user(vectors.as_mut_bytes(), context.rsi as usize)
        .map_err(|Fault { address, .. }| Pause::Fault(address, Access::Read))?;
    // Nothing is moved if one of them is wrong.
    let mut all = 0_usize;
    for vector in &*vectors {
        UserBuffer::new(vector.base, vector.len)?;
        all = all.saturating_add(vector.len);
    }
    let mut own = match at {
        Some(_) => None,
        None => Some(file.offset.try_lock().ok_or(Pause::General)?),
    };
    let start = at.or(own.as_deref().map(|own| *own as i64)).unwrap_or(-1);
    // What is wrong with an offset, or with the end, depends on the file.
    if all >= bulk::LARGE || start | start.wrapping_add(all as i64) < 0 {
        return Err(Pause::General);
    }
    let mut total = 0;
    for vector in &*vectors {
        if vector.len == 0 {
            continue;
        }
        let offset = start + total as i64;
        let moved = match direction {
            Direction::Read => read_at(&file, vector.base, vector.len, offset),
            Direction::Write => write_at(caller, &file, vector.base, vector.len, offset),
        };
        let moved = moved.map_err(|pause| if total == 0 { pause } else { Pause::General })?;
        total += moved;
        if moved < vector.len {
            break;
        }
    }
    if let Some(own) = &mut own {
        **own += total as u64;
    }
    Ok(total)
}
