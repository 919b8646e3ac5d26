//! Several pieces in one call, readv, writev and their kin: as [attempts](super::attempt) of files with contents and of pipes, and
//! through a pipe as a whole.
//!
//! What is large, has many pieces, or is of another kind of file goes the [general way](super::read_write::vectored).

use alloc::{boxed::Box, vec::Vec};
use core::ptr;

use executor::sync::Events;
use fs::pipe::{Call, Pipe};
use linux_raw_sys::general::*;
use syscalls::Errno;
use zerocopy::FromZeros;

use super::{
    attempt::{Attempt, Pause, copy_in_all, read_at, write_at},
    read_write::{Direction, check_direction},
};
use crate::{
    arch::user::{Access, UserContext},
    file::{File, Object, bulk},
    process::{Caller, between_attempts, run::Restart, signal::send},
    user_memory::{self, IoVec, SysResult, UserBuffer, UserVectors},
};

/// The most pieces.
const PIECES: usize = 8;

/// Serves one of the calls. `moved` counts the bytes that have gone through a pipe.
#[inline(never)]
pub fn attempt(caller: &mut Caller, context: &UserContext, moved: &mut usize) -> Attempt {
    let kept = kept(caller, *moved);
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
    let pipe = match file.object() {
        Object::Inode(..) => None,
        Object::Stream(stream, _) if at.is_none() => Some(stream.pipe().ok_or(Pause::General)?),
        _ => return Err(Pause::General),
    };
    if let Some(vectors) = kept {
        return match pipe {
            Some(pipe) => attempt_through_pipe(caller, &file, pipe, direction, &vectors, moved),
            // Something else has this descriptor now.
            None => Ok(*moved),
        };
    }
    let mut vectors = <[IoVec; PIECES]>::new_zeroed();
    let vectors = &mut vectors[..count];
    copy_in_all(vectors, context.rsi as usize)?;
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
    match pipe {
        None => with_contents(caller, &file, direction, at, vectors, all),
        Some(pipe) => attempt_through_pipe(caller, &file, pipe, direction, vectors, moved),
    }
}

/// Takes the pieces of a call that goes on. What tells of them in the program's memory may be another by now: a thread may have
/// written there, or the call itself.
pub fn kept(caller: &mut Caller, moved: usize) -> Option<Vec<IoVec>> {
    let is_of_call = |restart: &mut Box<Restart>| matches!(**restart, Restart::Pieces(_, at) if at == moved);
    let restart = caller.restart.take_if(is_of_call)?;
    if let Restart::Pieces(vectors, _) = *restart { Some(vectors) } else { None }
}

/// Forgets them: the call does not go on.
pub fn forget(caller: &mut Caller) {
    drop(caller.restart.take_if(|restart| matches!(**restart, Restart::Pieces(..))));
}

/// Keeps them for the next attempt, as so many bytes have been moved; false without memory.
fn keep(caller: &mut Caller, vectors: &[IoVec], moved: usize) -> bool {
    let mut all = Vec::new();
    let has_room = all.try_reserve_exact(vectors.len()).is_ok();
    if has_room {
        all.extend_from_slice(vectors);
        caller.restart = Some(Box::new(Restart::Pieces(all, moved)));
    }
    has_room
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

/// Moves pieces through a pipe, as one transfer: what fits into it as a whole is not mixed with what others write. Whatever has to
/// wait goes the general way from there on.
fn attempt_through_pipe(
    caller: &mut Caller,
    file: &File,
    pipe: &Pipe,
    direction: Direction,
    vectors: &[IoVec],
    moved: &mut usize,
) -> Attempt {
    // The thread has no other call meanwhile.
    let number = ptr::from_ref(caller).addr();
    let pause = match go_on_through(file, pipe, direction, vectors, number, moved) {
        Ok(Progress::All) => return Ok(note(file, direction, *moved)),
        Ok(Progress::Missing(address, access)) => Pause::Fault(address, access),
        Ok(Progress::Some) | Err(_) => Pause::General,
    };
    // What has been put into a piece counts only when all of it is there, and may have been put over the pieces.
    let goes_on = *moved > 0 || matches!(pause, Pause::Fault(..));
    match goes_on && !keep(caller, vectors, *moved) {
        false => Err(pause),
        true if *moved == 0 => Err(Pause::Failed(Errno::ENOMEM)),
        true => Ok(note(file, direction, *moved)),
    }
}

/// The same, waiting for whatever it takes; all that has been moved, with what an attempt has.
pub async fn through_pipe(
    caller: &Caller,
    file: &File,
    pipe: &Pipe,
    direction: Direction,
    vectors: &[IoVec],
    mut moved: usize,
) -> SysResult {
    let (events, readiness) = match direction {
        Direction::Read => (Events::IN, pipe.reader()),
        Direction::Write => (Events::OUT, pipe.writer()),
    };
    let number = (&raw const moved).addr();
    loop {
        let progress = go_on_through(file, pipe, direction, vectors, number, &mut moved);
        let failure = match progress {
            Ok(Progress::All) => break,
            Ok(Progress::Some) => {
                executor::make_way().await;
                continue;
            }
            Ok(Progress::Missing(address, access)) => {
                executor::make_way().await;
                user_memory::fault_in(caller, address, access).await.err()
            }
            Err(Errno::EAGAIN) if !file.is_nonblocking() && (direction == Direction::Write || moved == 0) => {
                between_attempts(&caller.thread, readiness.wait(events)).await.err()
            }
            Err(errno) => Some(errno),
        };
        match failure {
            None => {}
            Some(_) if moved > 0 => break,
            Some(errno) => {
                if errno == Errno::EPIPE {
                    send::broken_pipe(&caller.thread);
                }
                return Err(errno);
            }
        }
    }
    Ok(note(file, direction, moved))
}

/// How far pieces have come.
enum Progress {
    /// A read is over, or all has been written.
    All,
    /// There was no room for more.
    Some,
    /// As far as to a page that is missing.
    Missing(usize, Access),
}

/// Moves what comes behind the first `moved` bytes, as much as goes at once. The number is one of [`Call`].
#[inline]
fn go_on_through(
    file: &File,
    pipe: &Pipe,
    direction: Direction,
    vectors: &[IoVec],
    number: usize,
    moved: &mut usize,
) -> Result<Progress, Errno> {
    let mut rest = UserVectors::new(vectors);
    rest.skip(*moved);
    let wanted = fs::Sink::remaining(&rest);
    let count = match direction {
        Direction::Read => pipe.try_read(&mut rest, Call { number, so_far: *moved })?,
        Direction::Write if file.flags() & O_DIRECT != 0 => pipe.try_write_packets(&mut rest)?,
        Direction::Write => pipe.try_write(&mut rest)?,
    };
    *moved += count;
    Ok(match rest.missing() {
        Some((address, access)) => Progress::Missing(address, access),
        None if direction == Direction::Read || count == wanted => Progress::All,
        None => Progress::Some,
    })
}

/// Tells who watches the file of a transfer; its bytes.
fn note(file: &File, direction: Direction, moved: usize) -> usize {
    match direction {
        Direction::Read => file.note_read(Ok(moved)),
        Direction::Write => file.note_written(Ok(moved)),
    }
    moved
}
