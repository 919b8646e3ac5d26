//! Buffers that a program provides for requests to choose from, in groups: a request that is about to move bytes takes the
//! first of its group (`IOSQE_BUFFER_SELECT`), and its completion tells which.
//!
//! ```text
//!   PROVIDE_BUFFERS ─► buffers, which the kernel keeps ─┐
//!                                                       ├─► a request that has something to read ─► completion, with the id
//!   a ring in memory that both share, and its tail ─────┘            │ had nothing to read after all
//!                          ▲                                         ▼
//!                     the program                       first of the buffers kept
//! ```

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::{Ring, chunks::Chunks};
use crate::{
    memory::{self, AddressSpace},
    process::Caller,
    user_memory::{self, IoVec, SysResult},
};

/// So many are added or removed with the lock held.
const STEP: usize = 256;

/// A buffer, as it is in a ring of them (`struct io_uring_buf`).
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Provided {
    /// First byte.
    pub address: usize,
    /// Bytes.
    pub len: u32,
    /// The program's number for it.
    pub id: u16,
    /// Nothing; in the first place of a ring its tail.
    pub reserved: u16,
}

/// Where a ring of buffers has its tail.
const TAIL_AT: usize = core::mem::offset_of!(Provided, reserved);

/// A group.
pub struct Group {
    /// What tells it from others that have had its number: what was chosen from those is not given back to it.
    place: u64,
    buffers: Chunks<Provided>,
    shared: Option<SharedRing>,
}

/// A ring of buffers in a program's memory.
#[derive(Clone)]
pub struct SharedRing {
    /// Whose memory.
    pub space: Weak<AddressSpace>,
    /// Where its first place is.
    pub address: usize,
    /// Its places, a power of two, less one.
    pub mask: u16,
    /// How many have been taken.
    pub head: u16,
}

/// A buffer that has been taken. Dropped, it is given back.
pub struct Choice<'a> {
    ring: &'a Ring,
    group: u16,
    place: u64,
    buffer: Option<Provided>,
    /// No more of its bytes count.
    len: usize,
}

impl Choice<'_> {
    /// The bytes that it has room for.
    pub fn vector(&self) -> IoVec {
        IoVec { base: self.buffer.map_or(0, |buffer| buffer.address), len: self.len }
    }

    /// Keeps it from being given back; the number that the program has given it.
    pub fn use_up(mut self) -> u16 {
        self.buffer.take().map_or(0, |buffer| buffer.id)
    }
}

impl Drop for Choice<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let mut groups = self.ring.provided.lock();
            // Where there is no group or no room any more, nobody misses it.
            if let Some(group) = groups.get_mut(&self.group).filter(|group| group.place == self.place) {
                let _ = group.buffers.push_first(buffer);
            }
        }
    }
}

impl Ring {
    fn new_group(&self) -> Group {
        Group { place: self.places.fetch_add(1, Relaxed), buffers: Chunks::default(), shared: None }
    }

    /// Adds so many buffers to a group, of which each begins where the one before ends, and has the next number.
    ///
    /// # Errors
    /// EINVAL if a program has a ring of them in its memory; ENOMEM if there is no memory for the first.
    pub async fn provide(&self, group: u16, mut next: Provided, count: usize) -> SysResult {
        let mut left = count;
        while left > 0 {
            memory::check_wait()?;
            let result = {
                let mut groups = self.provided.lock();
                let group = groups.entry(group).or_insert_with(|| self.new_group());
                if group.shared.is_some() {
                    return Err(Errno::EINVAL);
                }
                (0..left.min(STEP)).try_for_each(|_| {
                    group.buffers.push(next)?;
                    next.address += next.len as usize;
                    next.id = next.id.wrapping_add(1);
                    left -= 1;
                    Ok::<_, alloc::collections::TryReserveError>(())
                })
            };
            match result {
                Err(_) if left == count => return Err(Errno::ENOMEM),
                Err(_) => break,
                Ok(()) => executor::make_way().await,
            }
        }
        Ok(0)
    }

    /// Takes up to so many buffers out of a group for good; how many.
    ///
    /// # Errors
    /// ENOENT if there is no such group, EINVAL as [`provide`](Self::provide).
    pub async fn remove_provided(&self, group: u16, count: usize) -> SysResult {
        let mut removed = 0;
        loop {
            {
                let mut groups = self.provided.lock();
                let group = groups.get_mut(&group).ok_or(Errno::ENOENT)?;
                if group.shared.is_some() {
                    return Err(Errno::EINVAL);
                }
                let step = (count - removed).min(STEP);
                let found = core::iter::from_fn(|| group.buffers.pop()).take(step).count();
                removed += found;
                if found < step || removed == count {
                    return Ok(removed);
                }
            }
            executor::make_way().await;
        }
    }

    /// Makes a group of a ring of buffers. EEXIST if there is one with buffers.
    pub fn share(&self, group: u16, ring: SharedRing) -> Result<(), Errno> {
        let mut groups = self.provided.lock();
        let group = groups.entry(group).or_insert_with(|| self.new_group());
        if group.shared.is_some() || !group.buffers.is_empty() {
            return Err(Errno::EEXIST);
        }
        group.shared = Some(ring);
        Ok(())
    }

    /// Does away with such a group: ENOENT if there is no group, EINVAL if it is another.
    pub fn unshare(&self, group: u16) -> Result<(), Errno> {
        let mut groups = self.provided.lock();
        if groups.get(&group).ok_or(Errno::ENOENT)?.shared.is_none() {
            return Err(Errno::EINVAL);
        }
        let removed = groups.remove(&group);
        drop(groups);
        drop(removed);
        Ok(())
    }

    /// Looks where the next buffer of a group is: among those that the kernel keeps, or else in this ring; and what tells the group
    /// from others.
    ///
    /// # Errors
    /// ENOBUFS if there is none; EFAULT if the ring of them is not in the memory of this program.
    async fn find_provided(&self, caller: &Caller, group: u16) -> Result<(u64, Option<SharedRing>), Errno> {
        let (place, shared) = {
            let groups = self.provided.lock();
            let group = groups.get(&group).ok_or(Errno::ENOBUFS)?;
            match &group.shared {
                _ if !group.buffers.is_empty() => return Ok((group.place, None)),
                Some(shared) => (group.place, shared.clone()),
                None => return Err(Errno::ENOBUFS),
            }
        };
        if shared.space.as_ptr() != Arc::as_ptr(&caller.space) {
            return Err(Errno::EFAULT);
        }
        let tail: u16 = user_memory::read(caller, shared.address + TAIL_AT).await?;
        if tail == shared.head { Err(Errno::ENOBUFS) } else { Ok((place, Some(shared))) }
    }

    /// ENOBUFS if a group has no buffer now; EFAULT as [`choose`](Self::choose).
    pub async fn check_choice(&self, caller: &Caller, group: u16) -> Result<(), Errno> {
        self.find_provided(caller, group).await.map(drop)
    }

    /// Takes the first buffer of a group, of which no more than `most` bytes count, unless that is 0.
    ///
    /// # Errors
    /// ENOBUFS if there is none; EFAULT if the ring of them is not in the memory of this program.
    pub async fn choose(&self, caller: &Caller, group: u16, most: usize) -> Result<Choice<'_>, Errno> {
        loop {
            let (place, shared) = self.find_provided(caller, group).await?;
            let is_it = |group: &&mut Group| group.place == place;
            let taken = match shared {
                None => {
                    let mut groups = self.provided.lock();
                    groups.get_mut(&group).filter(is_it).and_then(|group| group.buffers.pop())
                }
                Some(found) => {
                    // The program writes a place before it moves the tail; the processor keeps the order of these loads.
                    let place = usize::from(found.head & found.mask) * size_of::<Provided>();
                    let buffer = user_memory::read(caller, found.address + place).await?;
                    let mut groups = self.provided.lock();
                    let now = groups.get_mut(&group).filter(is_it).and_then(|group| group.shared.as_mut());
                    now.filter(|now| now.head == found.head).map(|now| {
                        now.head = now.head.wrapping_add(1);
                        buffer
                    })
                }
            };
            if let Some(buffer) = taken {
                let room = buffer.len as usize;
                let len = if most == 0 { room } else { most.min(room) };
                return Ok(Choice { ring: self, group, place, buffer: Some(buffer), len });
            }
            // Somebody else has been faster.
            executor::make_way().await;
        }
    }

    /// Forgets all groups.
    pub(super) async fn forget_provided(&self) {
        loop {
            let popped = self.provided.lock().pop_first();
            let Some((_, mut group)) = popped else { return };
            while group.buffers.pop_chunk().is_some() {
                executor::make_way().await;
            }
            executor::make_way().await;
        }
    }
}
