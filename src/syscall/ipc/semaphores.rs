//! Semaphores: semget(2), semop(2), semctl(2).

use core::sync::atomic::Ordering::Relaxed;

use executor::{time::Instant, timeout};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{answer, commands, set_access, subject};
use crate::{
    arch::clock,
    ipc::{
        semaphores::{COUNT_MAX, OPERATIONS_MAX, Operation, SETS, SIZE_MAX, Set, UNDO, VALUE_MAX, total},
        table::{READ, RawAccess, WRITE},
    },
    process::{Caller, interruptible, times::TimeSpec},
    user_memory::{self, SysResult},
};

pub fn semget(caller: &Caller, key: i32, count: i32, flags: u32) -> SysResult {
    let count = usize::try_from(count).ok().filter(|count| *count <= SIZE_MAX).ok_or(Errno::EINVAL)?;
    let large_enough = |set: &Set| if set.len() < count { Err(Errno::EINVAL) } else { Ok(()) };
    let make = || if count == 0 { Err(Errno::EINVAL) } else { Set::new(count) };
    SETS.get(&caller.credentials, key, flags, large_enough, make).map(|id| id as usize)
}

/// semop, and semtimedop with the address of a time-out.
pub async fn semtimedop(
    caller: &Caller,
    id: i32,
    operations: usize,
    count: usize,
    time_out: usize,
) -> SysResult {
    let end = match time_out {
        0 => None,
        address => {
            let span = user_memory::read::<TimeSpec>(caller, address).await?.to_ns().ok_or(Errno::EINVAL)?;
            Some(Instant(clock::now_ns().saturating_add(span)))
        }
    };
    let count = count as u32 as usize;
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    if count > OPERATIONS_MAX {
        return Err(Errno::E2BIG);
    }
    let operations = user_memory::read_array::<Operation>(caller, operations, count).await?;
    let entry = SETS.with_id(id)?;
    let highest = operations.iter().map(|operation| usize::from(operation.number)).max().unwrap_or(0);
    if highest >= entry.object.len() {
        return Err(Errno::EFBIG);
    }
    let changes = operations.iter().any(|operation| operation.change != 0);
    entry.check(&caller.credentials, if changes { WRITE } else { READ })?;
    if operations.iter().any(|operation| operation.flags & UNDO != 0) {
        caller.process().undoes_semaphores.store(true, Relaxed);
    }
    let operate = interruptible(&caller.thread, entry.operate(caller.process().pid, &operations));
    let done = match end {
        None => operate.await,
        Some(end) => timeout(operate, end).await.unwrap_or(Ok(Err(Errno::EAGAIN))),
    };
    // It is never begun anew after a signal.
    done.map_err(|_| Errno::EINTR)?.map(|()| 0)
}

/// `struct semid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawSet {
    access: RawAccess,
    operated: i64,
    unused1: u64,
    changed: i64,
    unused2: u64,
    count: u64,
    unused3: [u64; 2],
}

/// `struct seminfo`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct RawInfo {
    map: i32,
    sets: i32,
    all: i32,
    undo_structures: i32,
    per_set: i32,
    operations: i32,
    undo_entries: i32,
    used_sets: i32,
    value: i32,
    used: i32,
}

/// Commands of semctl beside those of all kinds.
mod own {
    pub const PID: i32 = 11;
    pub const VALUE: i32 = 12;
    pub const ALL: i32 = 13;
    pub const WAIT_TO_GROW: i32 = 14;
    pub const WAIT_FOR_ZERO: i32 = 15;
    pub const SET_VALUE: i32 = 16;
    pub const SET_ALL: i32 = 17;
    pub const STAT: i32 = 18;
    pub const INFO: i32 = 19;
    pub const STAT_ANY: i32 = 20;
}

pub async fn semctl(caller: &Caller, id: i32, number: i32, command: i32, argument: usize) -> SysResult {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let pid = caller.process().pid;
    match command {
        commands::INFO | own::INFO => {
            let (sets, last) = SETS.count();
            // What Linux fills in where a number means nothing any more, and what there is for `SEM_INFO`.
            let (used_sets, used) =
                if command == own::INFO { (sets, total()) } else { (20, VALUE_MAX as usize) };
            let info = RawInfo {
                map: (SIZE_MAX * COUNT_MAX) as i32,
                sets: COUNT_MAX as i32,
                all: (SIZE_MAX * COUNT_MAX) as i32,
                undo_structures: (SIZE_MAX * COUNT_MAX) as i32,
                per_set: SIZE_MAX as i32,
                operations: OPERATIONS_MAX as i32,
                undo_entries: OPERATIONS_MAX as i32,
                used_sets: used_sets as i32,
                value: VALUE_MAX,
                used: used as i32,
            };
            user_memory::write(caller, argument, info).await?;
            Ok(last)
        }
        commands::STAT | own::STAT | own::STAT_ANY => {
            let by_index = command != commands::STAT;
            let entry = subject(&SETS, caller, id, by_index, command == own::STAT_ANY)?;
            let [operated, changed] = entry.object.times();
            let raw = RawSet {
                access: RawAccess::from(&*entry),
                operated,
                unused1: 0,
                changed,
                unused2: 0,
                count: entry.object.len() as u64,
                unused3: [0; 2],
            };
            user_memory::write(caller, argument, raw).await?;
            Ok(answer(&entry, by_index))
        }
        own::PID | own::VALUE | own::WAIT_TO_GROW | own::WAIT_FOR_ZERO => {
            let entry = SETS.with_id(id)?;
            entry.check(&caller.credentials, READ)?;
            let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
            let semaphore = entry.object.get(number)?;
            Ok(match command {
                own::PID => semaphore.pid as usize,
                own::VALUE => usize::from(semaphore.value),
                _ => entry.object.waiting(number, command == own::WAIT_FOR_ZERO),
            })
        }
        own::ALL => {
            let entry = SETS.with_id(id)?;
            entry.check(&caller.credentials, READ)?;
            let values = entry.object.values()?;
            user_memory::copy_out(caller, argument, values.as_bytes()).await?;
            Ok(0)
        }
        own::SET_VALUE => {
            let entry = SETS.with_id(id)?;
            entry.check(&caller.credentials, WRITE)?;
            let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
            entry.object.get(number)?;
            let value = u16::try_from(argument as i32).map_err(|_| Errno::ERANGE)?;
            entry.object.set_values(pid, number, &[value]).map(|()| 0)
        }
        own::SET_ALL => {
            let entry = SETS.with_id(id)?;
            entry.check(&caller.credentials, WRITE)?;
            let values = user_memory::read_array::<u16>(caller, argument, entry.object.len()).await?;
            entry.object.set_values(pid, 0, &values).map(|()| 0)
        }
        commands::SET => {
            let raw: RawSet = user_memory::read(caller, argument).await?;
            let entry = SETS.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            set_access(&entry, &raw.access)?;
            entry.object.note_change();
            Ok(0)
        }
        commands::REMOVE => {
            let entry = SETS.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            SETS.remove(&entry)?;
            entry.object.wake();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
