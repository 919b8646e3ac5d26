//! Messages: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{answer, commands, set_access, subject};
use crate::{
    ipc::{
        messages::{COUNT_MAX, MESSAGE_MAX, Message, QUEUES, Queue, SIZE_MAX, Wanted, totals},
        table::{NO_WAIT, READ, RawAccess, WRITE},
    },
    process::{Caller, credentials::capability, interruptible},
    user_memory::{self, SysResult},
};

/// Flags of msgrcv (`<linux/msg.h>`).
const CUT: u32 = 0o10000;
const EXCEPT: u32 = 0o20000;
const COPY: u32 = 0o40000;

pub fn msgget(caller: &Caller, key: i32, flags: u32) -> SysResult {
    QUEUES.get(&caller.credentials, key, flags, |_| Ok(()), || Ok(Queue::new())).map(|id| id as usize)
}

pub async fn msgsnd(caller: &Caller, id: i32, message: usize, len: usize, flags: u32) -> SysResult {
    let kind: i64 = user_memory::read(caller, message).await?;
    if len > MESSAGE_MAX || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let text = user_memory::read_array::<u8>(caller, message.wrapping_add(size_of::<i64>()), len).await?;
    let entry = QUEUES.with_id(id)?;
    entry.check(&caller.credentials, WRITE)?;
    let sending = entry.send(caller.process().pid, Message { kind, text }, flags & NO_WAIT == 0);
    interruptible(&caller.thread, sending).await.map_err(|_| Errno::ERESTARTNOHAND)??;
    Ok(0)
}

pub async fn msgrcv(
    caller: &Caller,
    id: i32,
    message: usize,
    room: usize,
    kind: i64,
    flags: u32,
) -> SysResult {
    if id < 0 || (room as isize) < 0 {
        return Err(Errno::EINVAL);
    }
    if flags & COPY != 0 {
        // As on a Linux that is not made for checkpoints.
        let possible = flags & EXCEPT == 0 && flags & NO_WAIT != 0;
        return Err(if possible { Errno::ENOSYS } else { Errno::EINVAL });
    }
    let wanted = match kind {
        0 => Wanted::Any,
        kind if kind < 0 => Wanted::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        kind if flags & EXCEPT != 0 => Wanted::Except(kind),
        kind => Wanted::Of(kind),
    };
    let entry = QUEUES.with_id(id)?;
    entry.check(&caller.credentials, READ)?;
    let size = (room, flags & CUT != 0);
    let receiving = entry.receive(caller.process().pid, wanted, size, flags & NO_WAIT == 0);
    let received = interruptible(&caller.thread, receiving).await.map_err(|_| Errno::ERESTARTNOHAND)??;
    user_memory::write(caller, message, received.kind).await?;
    user_memory::copy_out(caller, message + size_of::<i64>(), &received.text).await?;
    Ok(received.text.len())
}

/// `struct msqid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawQueue {
    access: RawAccess,
    times: [i64; 3],
    bytes: u64,
    count: u64,
    limit: u64,
    pids: [u32; 2],
    unused: [u64; 2],
}

/// `struct msginfo`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct RawInfo {
    pool: i32,
    map: i32,
    message_max: i32,
    size_max: i32,
    count_max: i32,
    segment_size: i32,
    headers: i32,
    segments: u16,
    pad: u16,
}

/// Commands of msgctl beside those of all kinds.
mod own {
    pub const STAT: i32 = 11;
    pub const INFO: i32 = 12;
    pub const STAT_ANY: i32 = 13;
}

pub async fn msgctl(caller: &Caller, id: i32, command: i32, address: usize) -> SysResult {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        commands::INFO | own::INFO => {
            let (queues, last) = QUEUES.count();
            let (bytes, messages) = totals();
            let limits = (SIZE_MAX * COUNT_MAX / 1024, SIZE_MAX, SIZE_MAX);
            // What there is for `MSG_INFO`; what Linux fills in otherwise, where a number means nothing any more.
            let (pool, map, headers) = if command == own::INFO { (queues, messages, bytes) } else { limits };
            let info = RawInfo {
                pool: pool as i32,
                map: map as i32,
                message_max: MESSAGE_MAX as i32,
                size_max: SIZE_MAX as i32,
                count_max: COUNT_MAX as i32,
                segment_size: 16,
                headers: headers as i32,
                segments: 0xffff,
                pad: 0,
            };
            user_memory::write(caller, address, info).await?;
            Ok(last)
        }
        commands::STAT | own::STAT | own::STAT_ANY => {
            let by_index = command != commands::STAT;
            let entry = subject(&QUEUES, caller, id, by_index, command == own::STAT_ANY)?;
            let notes = entry.object.notes();
            let raw = RawQueue {
                access: RawAccess::from(&*entry),
                times: notes.times,
                bytes: notes.bytes as u64,
                count: notes.count as u64,
                limit: notes.limit as u64,
                pids: notes.pids,
                unused: [0; 2],
            };
            user_memory::write(caller, address, raw).await?;
            Ok(answer(&entry, by_index))
        }
        commands::SET => {
            let raw: RawQueue = user_memory::read(caller, address).await?;
            let entry = QUEUES.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            if raw.limit > SIZE_MAX as u64 && !caller.credentials.has(capability::SYS_RESOURCE) {
                return Err(Errno::EPERM);
            }
            set_access(&entry, &raw.access)?;
            entry.object.set_limit(usize::try_from(raw.limit).unwrap_or(usize::MAX));
            Ok(0)
        }
        commands::REMOVE => {
            let entry = QUEUES.with_id(id)?;
            entry.check_owner(&caller.credentials)?;
            QUEUES.remove(&entry)?;
            entry.object.wake();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
