//! How much of inotify a user may have (`/proc/sys/fs/inotify`).

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use executor::sync::SpinMutex;

use crate::memory;

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Instances of a user.
    Instances,
    /// Watches of a user.
    Watches,
    /// Events that wait in an instance made from now on.
    Events,
}

/// The limits, where set; 0 for that of watches until it is, which depends on the memory.
static LIMITS: [AtomicUsize; 3] = [AtomicUsize::new(128), AtomicUsize::new(0), AtomicUsize::new(16384)];

/// Instances and watches by user.
static USERS: SpinMutex<BTreeMap<u32, [usize; 2]>> = SpinMutex::new(BTreeMap::new());

/// A limit.
pub fn get(kind: Kind) -> usize {
    match (kind, LIMITS[kind as usize].load(Relaxed)) {
        // As many as fit into a hundredth of the memory at 1 KiB each, within Linux's bounds.
        (Kind::Watches, 0) => (memory::stats().total_bytes / 100 / 1024).clamp(8192, 1 << 20),
        (_, limit) => limit,
    }
}

/// Sets a limit, for what is made afterwards.
pub fn set(kind: Kind, limit: usize) {
    LIMITS[kind as usize].store(limit, Relaxed);
}

/// One instance or watch that a user has, as long as this lives.
pub struct Charge {
    uid: u32,
    kind: Kind,
}

/// Counts one more, if the user may have it.
pub fn charge(uid: u32, kind: Kind) -> Option<Charge> {
    let limit = get(kind);
    let mut users = USERS.lock();
    let count = users.get(&uid).map_or(0, |counts| counts[kind as usize]);
    if count >= limit {
        return None;
    }
    users.entry(uid).or_default()[kind as usize] += 1;
    Some(Charge { uid, kind })
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        if let Some(counts) = users.get_mut(&self.uid) {
            counts[self.kind as usize] -= 1;
            if *counts == [0; 2] {
                users.remove(&self.uid);
            }
        }
    }
}
