//! How willingly a process would be killed for memory, as `/proc/PID/oom_score_adj` has it (proc_pid_oom_score_adj(5)).
//!
//! Here the process is killed that asks for memory that is not there, whatever it says here; who judges by these numbers are
//! programs that watch over memory in user space.

use core::sync::atomic::{AtomicI16, Ordering::Relaxed};

use syscalls::Errno;

use super::{
    Process,
    credentials::{Credentials, capability},
};
use crate::memory::{self, PAGE_SIZE};

/// Never, and first of all.
const RANGE: core::ops::RangeInclusive<i32> = -1000..=1000;
/// The old scale's values for that: `oom_adj` goes from -17 (never) to 15.
const OLD_NEVER: i32 = -17;
const OLD_FIRST: i32 = 15;

/// What a process says, and its children say after it.
#[derive(Default)]
pub struct Adjustment {
    value: AtomicI16,
    /// Below this, it needs the privilege that it was set with.
    least: AtomicI16,
}

impl Adjustment {
    /// In thousandths of the memory, as if the process had so much more or less of it.
    pub fn get(&self) -> i32 {
        self.value.load(Relaxed).into()
    }

    /// The same on the old scale.
    pub fn old(&self) -> i32 {
        (self.get() * -OLD_NEVER / 1000).min(OLD_FIRST)
    }

    /// Sets it for somebody with these credentials.
    ///
    /// # Errors
    /// EINVAL outside -1000 to 1000; EACCES for less than the privileged have set, without privilege.
    pub fn set(&self, value: i32, by: &Credentials) -> Result<(), Errno> {
        let value = Self::checked(value)?;
        let is_privileged = by.has(capability::SYS_RESOURCE);
        if value < self.least.load(Relaxed) && !is_privileged {
            return Err(Errno::EACCES);
        }
        self.value.store(value, Relaxed);
        if is_privileged {
            self.least.store(value, Relaxed);
        }
        Ok(())
    }

    /// Sets it on the old scale.
    ///
    /// # Errors
    /// EINVAL outside -17 to 15; EACCES for less than it is, without privilege.
    pub fn set_old(&self, value: i32, by: &Credentials) -> Result<(), Errno> {
        let value = match value {
            OLD_FIRST => 1000,
            OLD_NEVER..OLD_FIRST => value * 1000 / -OLD_NEVER,
            _ => return Err(Errno::EINVAL),
        };
        if value < self.get() && !by.has(capability::SYS_RESOURCE) {
            return Err(Errno::EACCES);
        }
        self.value.store(Self::checked(value)?, Relaxed);
        Ok(())
    }

    fn checked(value: i32) -> Result<i16, Errno> {
        RANGE.contains(&value).then_some(value as i16).ok_or(Errno::EINVAL)
    }

    /// Says what the maker of the process says.
    pub fn inherit(&self, maker: &Self) {
        self.value.store(maker.value.load(Relaxed), Relaxed);
        self.least.store(maker.least.load(Relaxed), Relaxed);
    }
}

/// What a process would be judged by: from 0, and 666 for one without memory that says nothing.
pub fn score(process: &Process) -> i64 {
    let adjustment = i64::from(process.oom.get());
    if adjustment == -1000 {
        return 0;
    }
    let total = (memory::stats().total_bytes / PAGE_SIZE) as i64;
    let resident = process.space.lock().as_ref().map_or(0, |space| space.usage().resident / PAGE_SIZE) as i64;
    let points = resident + adjustment * (total / 1000);
    (1000 + points * 1000 / total.max(1)) * 2 / 3
}
