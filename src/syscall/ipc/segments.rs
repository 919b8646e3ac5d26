//! Shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{answer, commands, set_access, subject};
use crate::{
    ipc::{
        segments::{
            COUNT_MAX, LEAVING, LOCKED, SEGMENTS, SIZE_MAX, Segment, count_mappings, of_key, total_pages,
        },
        table::{Entry, READ, RawAccess, WRITE},
    },
    memory::{Backing, Mapping, PAGE_SIZE, RegionFlags},
    process::{Caller, credentials::capability},
    user_memory::{self, SysResult},
};

/// Flags of shmget and shmat (`<linux/shm.h>`).
const HUGE: u32 = 0o4000;
const READ_ONLY: u32 = 0o10000;
const ROUND: u32 = 0o20000;
const REMAP: u32 = 0o40000;
const EXECUTE: u32 = 0o100000;

pub fn shmget(caller: &Caller, key: i32, size: usize, flags: u32) -> SysResult {
    let large_enough = |segment: &Segment| if segment.size < size { Err(Errno::EINVAL) } else { Ok(()) };
    let make = || match size {
        0 => Err(Errno::EINVAL),
        size if size > SIZE_MAX => Err(Errno::EINVAL),
        size if total_pages().saturating_add(size.div_ceil(PAGE_SIZE)) > SIZE_MAX => Err(Errno::ENOSPC),
        // There are no huge pages set aside.
        _ if flags & HUGE != 0 => Err(Errno::ENOMEM),
        size => Ok(Segment::new(caller, size)),
    };
    SEGMENTS.get(&caller.credentials, key, flags, large_enough, make).map(|id| id as usize)
}

pub async fn shmat(caller: &Caller, id: i32, address: usize, flags: u32) -> SysResult {
    let read_only = flags & READ_ONLY != 0;
    if id < 0 || address == 0 && flags & REMAP != 0 {
        return Err(Errno::EINVAL);
    }
    let hint = match address % PAGE_SIZE {
        0 => address,
        rest if flags & ROUND != 0 => address - rest,
        _ => return Err(Errno::EINVAL),
    };
    if address != 0 && hint == 0 && flags & REMAP != 0 {
        return Err(Errno::EINVAL);
    }
    let entry = SEGMENTS.with_id(id)?;
    let mut wanted = if read_only { READ } else { READ | WRITE };
    let mut prot = if read_only { linux::PROT_READ } else { linux::PROT_READ | linux::PROT_WRITE };
    if flags & EXECUTE != 0 {
        prot |= linux::PROT_EXEC;
        wanted |= 0o111;
    }
    entry.check(&caller.credentials, wanted)?;
    let place = match address {
        0 => 0,
        _ if flags & REMAP != 0 => linux::MAP_FIXED,
        _ => linux::MAP_FIXED_NOREPLACE,
    };
    let mapping = Mapping {
        hint,
        len: entry.object.size,
        prot,
        flags: linux::MAP_SHARED | place,
        backing: Backing::File {
            object: entry.clone(),
            offset: 0,
            readable: true,
            writable: !read_only,
            executable: true,
        },
        privileged: caller.credentials.has(capability::SYS_RAWIO),
        extra: RegionFlags::empty(),
    };
    // What is in the way is no reason of its own here.
    let taken = |errno| if errno == Errno::EEXIST { Errno::EINVAL } else { errno };
    let start = caller.space.map(mapping).await.map_err(taken)?;
    entry.object.note(caller, 0);
    Ok(start)
}

pub async fn shmdt(caller: &Caller, address: usize) -> SysResult {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let key = caller.space.unmap_object(address, |key| of_key(key).map(|(_, len)| len)).await?;
    if let Some((entry, _)) = of_key(key) {
        entry.object.note(caller, 1);
    }
    Ok(0)
}

/// `struct shmid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawSegment {
    access: RawAccess,
    size: u64,
    times: [i64; 3],
    pids: [u32; 2],
    mappings: u64,
    unused: [u64; 2],
}

/// `struct shminfo64`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct RawLimits {
    size_max: u64,
    size_min: u64,
    count_max: u64,
    per_process: u64,
    pages_max: u64,
    unused: [u64; 4],
}

/// `struct shm_info`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct RawTotals {
    count: u64,
    pages: u64,
    resident: u64,
    swap: [u64; 3],
}

/// Commands of shmctl beside those of all kinds.
mod own {
    pub const LOCK: i32 = 11;
    pub const UNLOCK: i32 = 12;
    pub const STAT: i32 = 13;
    pub const INFO: i32 = 14;
    pub const STAT_ANY: i32 = 15;
}

pub async fn shmctl(caller: &Caller, id: i32, command: i32, address: usize) -> SysResult {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        commands::INFO => {
            let pages_max = SIZE_MAX as u64;
            let limits = RawLimits {
                size_max: SIZE_MAX as u64,
                size_min: 1,
                count_max: COUNT_MAX as u64,
                per_process: COUNT_MAX as u64,
                pages_max,
                unused: [0; 4],
            };
            user_memory::write(caller, address, limits).await?;
            Ok(SEGMENTS.count().1)
        }
        own::INFO => {
            let (count, last) = SEGMENTS.count();
            let (mut resident, mut from) = (0, 0);
            while let Some((index, entry)) = SEGMENTS.next(from) {
                resident += entry.object.resident() as u64;
                from = index + 1;
            }
            let pages = total_pages() as u64;
            user_memory::write(
                caller,
                address,
                RawTotals { count: count as u64, pages, resident, swap: [0; 3] },
            )
            .await?;
            Ok(last)
        }
        commands::STAT | own::STAT | own::STAT_ANY => {
            let by_index = command != commands::STAT;
            let entry = subject(&SEGMENTS, caller, id, by_index, command == own::STAT_ANY)?;
            let mappings = count_mappings(core::slice::from_ref(&entry)).await?[0] as u64;
            let notes = *entry.object.notes.lock();
            let raw = RawSegment {
                access: RawAccess::from(&*entry),
                size: entry.object.size as u64,
                times: notes.times,
                pids: notes.pids,
                mappings,
                unused: [0; 2],
            };
            user_memory::write(caller, address, raw).await?;
            Ok(answer(&entry, by_index))
        }
        commands::SET => {
            let raw: RawSegment = user_memory::read(caller, address).await?;
            let entry = SEGMENTS.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            set_access(&entry, &raw.access)?;
            entry.object.notes.lock().times[2] = crate::ipc::now();
            Ok(0)
        }
        commands::REMOVE => {
            let entry = SEGMENTS.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            entry.access.lock().mode |= LEAVING;
            SEGMENTS.abandon(&entry);
            Ok(0)
        }
        own::LOCK | own::UNLOCK => lock(caller, &SEGMENTS.with_id(id)?, command == own::LOCK),
        _ => Err(Errno::EINVAL),
    }
}

fn lock(caller: &Caller, entry: &Arc<Entry<Segment>>, lock: bool) -> SysResult {
    if !caller.credentials.has(capability::IPC_LOCK) {
        let user = caller.credentials.users[1];
        let access = *entry.access.lock();
        let may_lock = !lock || caller.process().limits.soft(linux::RLIMIT_MEMLOCK) > 0;
        if !may_lock || user != access.owner[0] && user != access.creator[0] {
            return Err(Errno::EPERM);
        }
    }
    let mut access = entry.access.lock();
    access.mode = if lock { access.mode | LOCKED } else { access.mode & !LOCKED };
    Ok(0)
}
