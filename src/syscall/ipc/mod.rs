//! System V IPC: shmget(2), semget(2), msgget(2) and their kin; and mq_open(3) and its.

pub mod messages;
pub mod queues;
pub mod segments;
pub mod semaphores;

use alloc::sync::Arc;

use syscalls::Errno;

use crate::{
    ipc::table::{Entry, READ, RawAccess, Table},
    process::Caller,
};

/// What the `ctl` calls do on all kinds (`<linux/ipc.h>`).
mod commands {
    pub const REMOVE: i32 = 0;
    pub const SET: i32 = 1;
    pub const STAT: i32 = 2;
    pub const INFO: i32 = 3;
}

/// Gives an object the owner and the rights that `access` says; EINVAL for no user or group at all.
fn set_access<T>(entry: &Entry<T>, access: &RawAccess) -> Result<(), Errno> {
    if access.owner.contains(&u32::MAX) {
        return Err(Errno::EINVAL);
    }
    entry.set_access(access.owner, access.mode);
    Ok(())
}

/// The object that a command of the `STAT` kind is about: by its id, or `by_index`; whoever may not read it is refused unless
/// `anybody` may.
fn subject<T>(
    table: &Table<T>,
    caller: &Caller,
    id: i32,
    by_index: bool,
    anybody: bool,
) -> Result<Arc<Entry<T>>, Errno> {
    let entry = if by_index { table.at(id)? } else { table.with_id(id)? };
    if !anybody {
        entry.check(&caller.credentials, READ)?;
    }
    Ok(entry)
}

/// What a call answers whose command tells about an object: its id where it was asked for by its index.
fn answer<T>(entry: &Entry<T>, by_index: bool) -> usize {
    if by_index { entry.id as usize } else { 0 }
}
