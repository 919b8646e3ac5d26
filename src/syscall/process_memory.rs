//! Another process's memory: process_vm_readv(2), process_vm_writev(2).

use alloc::{sync::Arc, vec::Vec};

use syscalls::Errno;

use super::Arguments;
use crate::{
    memory::{AddressSpace, PAGE_SIZE},
    process::{Caller, tree},
    user_memory::{self, IoVec, SysResult},
};

/// Most elements of a vector (`IOV_MAX`).
const MAX_VECTORS: usize = 1024;
/// Bytes that are moved at once.
const PIECE: usize = PAGE_SIZE;

pub async fn process_vm_readv(caller: &Caller, arguments: Arguments) -> SysResult {
    let transfer = Transfer::new(caller, arguments).await?;
    transfer.run(caller, false).await
}

pub async fn process_vm_writev(caller: &Caller, arguments: Arguments) -> SysResult {
    let transfer = Transfer::new(caller, arguments).await?;
    transfer.run(caller, true).await
}

/// What is moved between the caller and the other.
struct Transfer {
    own: Vec<IoVec>,
    others: Vec<IoVec>,
    /// The other's memory; None if nothing is to be moved.
    space: Option<Arc<AddressSpace>>,
}

impl Transfer {
    /// # Errors
    /// EINVAL for flags or too many elements, EFAULT for vectors that are not there, ESRCH for no such process, EPERM for one
    /// that the caller may not look into.
    async fn new(
        caller: &Caller,
        [pid, own, own_count, others, other_count, flags]: Arguments,
    ) -> Result<Self, Errno> {
        if flags != 0 || own_count > MAX_VECTORS || other_count > MAX_VECTORS {
            return Err(Errno::EINVAL);
        }
        let own = vectors(caller, own, own_count).await?;
        let others = vectors(caller, others, other_count).await?;
        let is_empty = |vectors: &[IoVec]| vectors.iter().all(|vector| vector.len == 0);
        if is_empty(&own) || is_empty(&others) {
            return Ok(Self { own, others, space: None });
        }
        let thread = tree::lock().thread(pid as u32).ok_or(Errno::ESRCH)?;
        let process = &thread.process;
        let by = &caller.credentials;
        if !Arc::ptr_eq(process, caller.process()) && !process.may_be_inspected(by, by.users[0], by.groups[0])
        {
            return Err(Errno::EPERM);
        }
        let space = process.space.lock().clone().ok_or(Errno::ESRCH)?;
        Ok(Self { own, others, space: Some(space) })
    }

    /// Moves as much as there is and as goes: how many bytes that is. EFAULT if it goes nowhere.
    async fn run(self, caller: &Caller, writes: bool) -> SysResult {
        let Some(space) = self.space else { return Ok(0) };
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(PIECE).map_err(|_| Errno::ENOMEM)?;
        buffer.resize(PIECE, 0);
        let (mut own, mut others) = (Cursor::new(&self.own), Cursor::new(&self.others));
        let mut moved = 0;
        while let (Some((here, own_room)), Some((there, other_room))) = (own.next(), others.next()) {
            // No piece crosses a page of the other's, so a piece goes whole or not at all.
            let len = own_room.min(other_room).min(PIECE - there % PAGE_SIZE);
            let piece = &mut buffer[..len];
            let result = if writes {
                match user_memory::copy_in(caller, here, piece).await {
                    Ok(()) => space.write_bytes(there, piece).await.map_err(Errno::from),
                    Err(errno) => Err(errno),
                }
            } else {
                match space.read_bytes(there, piece).await {
                    Ok(()) => user_memory::copy_out(caller, here, piece).await,
                    Err(error) => Err(error.into()),
                }
            };
            match result {
                Ok(()) => {}
                Err(_) if moved > 0 => break,
                Err(errno) => return Err(errno),
            }
            own.advance(len);
            others.advance(len);
            moved += len;
            // Other signals wait for the end, as on Linux: callers take less for the end of the other's memory.
            if caller.thread.is_killed() {
                break;
            }
            executor::make_way().await;
        }
        Ok(moved)
    }
}

/// EFAULT for a vector that leaves user space, EINVAL for lengths beyond all reason.
async fn vectors(caller: &Caller, address: usize, count: usize) -> Result<Vec<IoVec>, Errno> {
    let mut vectors = Vec::new();
    vectors.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for place in 0..count {
        let vector: IoVec =
            user_memory::read(caller, address.wrapping_add(place * size_of::<IoVec>())).await?;
        if vector.len > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        vectors.push(vector);
    }
    Ok(vectors)
}

/// A place in a list of ranges.
struct Cursor<'a> {
    rest: &'a [IoVec],
    /// Bytes of the first one that are done.
    done: usize,
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a [IoVec]) -> Self {
        Self { rest, done: 0 }
    }

    /// The next address, and how many bytes there are in a row.
    fn next(&mut self) -> Option<(usize, usize)> {
        while let Some(first) = self.rest.first() {
            if self.done < first.len {
                return Some((first.base.wrapping_add(self.done), first.len - self.done));
            }
            self.rest = &self.rest[1..];
            self.done = 0;
        }
        None
    }

    fn advance(&mut self, len: usize) {
        self.done += len;
    }
}
