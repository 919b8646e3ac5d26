//! readv, writev and their kin of files with contents and of pipes, as [attempts](super::attempt).
//!
//! What is large, has many pieces, or is of another kind of file goes the [general way](super::read_write::vectored).

use linux_raw_sys::general::*;
use zerocopy::{FromZeros, IntoBytes};

use super::{
    attempt::{Attempt, Pause, check_fault, read_at, write_at},
    read_write::{Direction, check_direction},
    user::{IoVec, UserBuffer},
};
use crate::{
    arch::{
        uaccess::{self, Fault},
        user::{Access, UserContext},
    },
    file::{File, Object, bulk},
    process::Caller,
};

/// The most pieces.
const PIECES: usize = 8;

/// Serves one of the calls. `moved` counts the bytes that have gone through a pipe.
#[inline(never)]
pub fn attempt(caller: &Caller, context: &UserContext, moved: &mut usize) -> Attempt {
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
    if count > PIECES {
        return Err(Pause::General);
    }
    let has_contents = match file.object() {
        Object::Inode(..) => true,
        Object::Stream(stream, _) if stream.pipe().is_some() && at.is_none() => false,
        _ => return Err(Pause::General),
    };
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
    check_direction(&file, direction)?;
    if all >= bulk::LARGE {
        return Err(Pause::General);
    }
    if has_contents {
        with_contents(caller, &file, direction, at, vectors, all)
    } else {
        through_pipe(caller, &file, direction, vectors, moved)
    }
}

/// Moves pieces from or to a file with contents, at an offset or at its own. What a missing page has stopped goes the general
/// way as a whole: to move the same bytes once more changes nothing.
fn with_contents(
    caller: &Caller,
    file: &File,
    direction: Direction,
    at: Option<i64>,
    vectors: &[IoVec],
    all: usize,
) -> Attempt {
    let mut own = match at {
        Some(_) => None,
        None => Some(file.offset.try_lock().ok_or(Pause::General)?),
    };
    let start = at.or(own.as_deref().map(|own| *own as i64)).unwrap_or(-1);
    // What is wrong with an offset, or with the end, depends on the file.
    if start | start.wrapping_add(all as i64) < 0 {
        return Err(Pause::General);
    }
    let mut total = 0;
    for vector in vectors.iter().filter(|vector| vector.len > 0) {
        let offset = start + total as i64;
        let moved = match direction {
            Direction::Read => read_at(file, vector.base, vector.len, offset),
            Direction::Write => write_at(caller, file, vector.base, vector.len, offset),
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

/// Moves pieces through a pipe. Whatever has to wait goes the general way from there on.
fn through_pipe(
    caller: &Caller,
    file: &File,
    direction: Direction,
    vectors: &[IoVec],
    moved: &mut usize,
) -> Attempt {
    let Some(stream) = file.stream() else { return Err(Pause::General) };
    // Of a pipe of packets, each read takes one.
    if file.flags() & O_DIRECT != 0 {
        return Err(Pause::General);
    }
    let mut skip = *moved;
    for vector in vectors {
        if vector.len <= skip {
            skip -= vector.len;
            continue;
        }
        let mut buffer = UserBuffer::new(vector.base, vector.len)?;
        buffer.skip(core::mem::take(&mut skip));
        let result = match direction {
            Direction::Read => stream.try_read(caller, &mut buffer),
            Direction::Write => stream.try_write(caller, &mut buffer),
        };
        let waits = direction == Direction::Write && !file.is_nonblocking();
        match result {
            Ok(count) => *moved += count,
            Err(_) if *moved > 0 && !waits => break,
            Err(_) => return Err(Pause::General),
        }
        check_fault(&buffer)?;
        if buffer.remaining() > 0 {
            if waits {
                return Err(Pause::General);
            }
            break;
        }
    }
    match direction {
        Direction::Read => file.note_read(Ok(*moved)),
        Direction::Write => file.note_written(Ok(*moved)),
    }
    Ok(*moved)
}
