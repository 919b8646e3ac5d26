//! Objects by key and id: what the three kinds have in common.
//!
//! An id is an index into the table and a sequence number, which tells it from ids that had the same index before. Both are
//! given out as on Linux, so that ids rise.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use executor::sync::SpinMutex;
use syscalls::Errno;

use crate::process::credentials::{Credentials, capability};

/// A key that finds nothing: each call with it makes an object.
pub const PRIVATE: i32 = 0;

/// What `get` calls are asked for beside the rights: to make an object, and a new one only (`<linux/ipc.h>`).
const CREATE: u32 = 0o1000;
const EXCLUSIVE: u32 = 0o2000;

/// Bits of an id that are the index.
const INDEX_BITS: u32 = 15;
/// Sequence numbers are below this.
const SEQUENCES: u32 = 1 << (31 - INDEX_BITS);
/// So many indices are used one after the other before the first is used again.
const CYCLE: usize = 64;

/// The right to read an object, and to change it, as bits of an access.
pub const READ: u32 = 0o444;
/// See [`READ`].
pub const WRITE: u32 = 0o222;

/// Who may do what with an object.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The key that finds it.
    pub key: i32,
    /// Owning user and group.
    pub owner: [u32; 2],
    /// User and group of who made it.
    pub creator: [u32; 2],
    /// Permission bits, 0o777, and those of its kind above them.
    pub mode: u32,
}

/// An object in a table.
pub struct Entry<T> {
    /// Its id.
    pub id: i32,
    /// Who may do what. Taken alone, or after the table's lock.
    pub access: SpinMutex<Access>,
    is_removed: AtomicBool,
    /// The object.
    pub object: T,
}

impl<T> Entry<T> {
    /// The number that tells it from others of the same index.
    pub fn sequence(&self) -> u16 {
        (self.id as u32 >> INDEX_BITS) as u16
    }

    /// Whether it has been removed, so that whoever waits here waits in vain. Relaxed: whoever removes it wakes them
    /// afterwards.
    pub fn is_removed(&self) -> bool {
        self.is_removed.load(Relaxed)
    }

    /// EACCES unless somebody may do what `wanted` says, in any of its three digits.
    pub fn check(&self, by: &Credentials, wanted: u32) -> Result<(), Errno> {
        let access = *self.access.lock();
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let is_user = by.users[1] == access.owner[0] || by.users[1] == access.creator[0];
        let is_member = || by.fs.in_group(access.owner[1]) || by.fs.in_group(access.creator[1]);
        let granted = match access.mode {
            mode if is_user => mode >> 6,
            mode if is_member() => mode >> 3,
            mode => mode,
        };
        if wanted & !granted == 0 || by.has(capability::IPC_OWNER) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM unless somebody may act as its owner.
    pub fn check_owner(&self, by: &Credentials) -> Result<(), Errno> {
        let access = *self.access.lock();
        let is_own = by.users[1] == access.owner[0] || by.users[1] == access.creator[0];
        if is_own || by.has(fs::Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Gives it another owner and other permission bits.
    pub fn set_access(&self, owner: [u32; 2], mode: u32) {
        let mut access = self.access.lock();
        access.owner = owner;
        access.mode = access.mode & !0o777 | mode & 0o777;
    }
}

/// One index of a table.
enum Slot<T> {
    Free,
    There(Arc<Entry<T>>),
    /// Removed, but in use as long as somebody holds it.
    Leaving(Weak<Entry<T>>),
}

impl<T> Slot<T> {
    fn get(&self) -> Option<Arc<Entry<T>>> {
        match self {
            Self::Free => None,
            Self::There(entry) => Some(entry.clone()),
            Self::Leaving(entry) => entry.upgrade(),
        }
    }
}

/// The objects of one kind.
pub struct Table<T> {
    state: SpinMutex<State<T>>,
    /// Most objects.
    limit: usize,
}

struct State<T> {
    slots: Vec<Slot<T>>,
    last: Option<usize>,
    sequence: u32,
    used: usize,
}

impl<T> Table<T> {
    /// One for at most this many objects.
    pub const fn new(limit: usize) -> Self {
        let state = State { slots: Vec::new(), last: None, sequence: 0, used: 0 };
        Self { state: SpinMutex::new(state), limit }
    }

    /// Finds the object of a key, or makes one: what `shmget` and its kin do. `check` says whether one that is found will do,
    /// `make` makes one. Returns the id.
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES, ENOSPC if there are too many; ENOMEM; those of `check` and `make`.
    pub fn get(
        &self,
        by: &Credentials,
        key: i32,
        flags: u32,
        check: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        let mut state = self.state.lock();
        if key != PRIVATE {
            let found = state.slots.iter().find_map(|slot| match slot {
                Slot::There(entry) if entry.access.lock().key == key => Some(entry),
                _ => None,
            });
            if let Some(found) = found {
                if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                    return Err(Errno::EEXIST);
                }
                check(&found.object)?;
                found.check(by, flags & 0o777)?;
                return Ok(found.id);
            }
            if flags & CREATE == 0 {
                return Err(Errno::ENOENT);
            }
        }
        let (index, sequence) = state.vacant(self.limit)?;
        let id = (sequence << INDEX_BITS) as i32 | index as i32;
        let ids = [by.users[1], by.groups[1]];
        let access = Access { key, owner: ids, creator: ids, mode: flags & 0o777 };
        let entry =
            Entry { id, access: SpinMutex::new(access), is_removed: AtomicBool::new(false), object: make()? };
        state.occupy(index, sequence, Arc::new(entry));
        Ok(id)
    }

    /// The object with an id; EINVAL if there is none.
    pub fn with_id(&self, id: i32) -> Result<Arc<Entry<T>>, Errno> {
        let index = usize::try_from(id).map_err(|_| Errno::EINVAL)? & ((1 << INDEX_BITS) - 1);
        let found = self.state.lock().slots.get(index).and_then(Slot::get);
        found.filter(|entry| entry.id == id).ok_or(Errno::EINVAL)
    }

    /// The object at an index; EINVAL if there is none.
    pub fn at(&self, index: i32) -> Result<Arc<Entry<T>>, Errno> {
        let index = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
        self.state.lock().slots.get(index).and_then(Slot::get).ok_or(Errno::EINVAL)
    }

    /// The first object at this index or above it, and its index.
    pub fn next(&self, from: usize) -> Option<(usize, Arc<Entry<T>>)> {
        let state = self.state.lock();
        let mut rest = state.slots.iter().enumerate().skip(from);
        rest.find_map(|(index, slot)| slot.get().map(|entry| (index, entry)))
    }

    /// How many objects there are, and the highest index.
    pub fn count(&self) -> (usize, usize) {
        let mut state = self.state.lock();
        state.sweep();
        let last = state.slots.iter().rposition(|slot| !matches!(slot, Slot::Free));
        (state.used, last.unwrap_or(0))
    }

    /// Takes an object out of the table; those who hold it keep it. EIDRM if somebody has been faster.
    pub fn remove(&self, entry: &Arc<Entry<T>>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if entry.is_removed.swap(true, Relaxed) {
            return Err(Errno::EIDRM);
        }
        let index = entry.id as usize & ((1 << INDEX_BITS) - 1);
        state.slots[index] = Slot::Free;
        state.used -= 1;
        Ok(())
    }

    /// Leaves an object to those who hold it: its key finds it no more, its id does, until nobody holds it.
    pub fn abandon(&self, entry: &Arc<Entry<T>>) {
        let mut state = self.state.lock();
        entry.access.lock().key = PRIVATE;
        let index = entry.id as usize & ((1 << INDEX_BITS) - 1);
        state.slots[index] = Slot::Leaving(Arc::downgrade(entry));
    }
}

impl<T> State<T> {
    /// Frees the indices of what nobody holds any more.
    fn sweep(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Leaving(entry) if entry.strong_count() == 0) {
                *slot = Slot::Free;
                self.used -= 1;
            }
        }
    }

    /// The index and the sequence number for a new object; there is a slot for it.
    fn vacant(&mut self, limit: usize) -> Result<(usize, u32), Errno> {
        self.sweep();
        if self.used >= limit {
            return Err(Errno::ENOSPC);
        }
        let end = (self.used * 3 / 2).clamp(CYCLE, 1 << INDEX_BITS);
        let is_free = |index: &usize| matches!(self.slots.get(*index), None | Some(Slot::Free));
        let after = self.last.map_or(0, |last| last + 1);
        let index = (after..end).find(is_free).or_else(|| (0..end).find(is_free)).ok_or(Errno::ENOSPC)?;
        if index >= self.slots.len() {
            self.slots.try_reserve(index + 1 - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize_with(index + 1, || Slot::Free);
        }
        let wraps = self.last.is_some_and(|last| index <= last);
        Ok((index, if wraps { (self.sequence + 1) % SEQUENCES } else { self.sequence }))
    }

    fn occupy(&mut self, index: usize, sequence: u32, entry: Arc<Entry<T>>) {
        self.slots[index] = Slot::There(entry);
        (self.last, self.sequence) = (Some(index), sequence);
        self.used += 1;
    }
}

/// `struct ipc64_perm`.
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub struct RawAccess {
    key: i32,
    /// User and group.
    pub owner: [u32; 2],
    creator: [u32; 2],
    /// Permission bits.
    pub mode: u32,
    sequence: u16,
    pad: [u16; 3],
    unused: [u64; 2],
}

impl<T> From<&Entry<T>> for RawAccess {
    fn from(entry: &Entry<T>) -> Self {
        let Access { key, owner, creator, mode } = *entry.access.lock();
        Self { key, owner, creator, mode, sequence: entry.sequence(), pad: [0; 3], unused: [0; 2] }
    }
}

/// Does not wait (`IPC_NOWAIT`).
pub const NO_WAIT: u32 = 0o4000;
