//! System V IPC (sysvipc(7)): segments of memory, sets of semaphores, and queues of messages, which belong to no process and
//! are found by a key. And [`posix`]: queues that are found by a name.
//!
//! The first three kinds lie in tables of one type ([`table`]): keys, ids, rights. Where to start reading: there, then
//! [`semaphores`], on which processes wait.

pub mod messages;
pub mod posix;
pub mod segments;
pub mod semaphores;
pub mod table;

/// Seconds since 1970, as times are told here.
pub fn now() -> i64 {
    (crate::wall_clock::now_ns() / 1_000_000_000) as i64
}
