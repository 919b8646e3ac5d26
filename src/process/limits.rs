//! Resource limits (getrlimit(2)).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use executor::sync::SpinMutex;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use linux_raw_sys::general as linux;

use crate::memory::AddressSpace;

/// A soft limit and the hard limit that bounds it; all ones is "none".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// The sixteen limits of a process, by their `RLIMIT_*` numbers. Soft limits are read without a lock: nothing else
/// hangs on when a change is seen.
pub struct Limits {
    soft: [AtomicU64; 16],
    /// The hard limits, which a child shares until one of both changes them; held while a soft one changes.
    hard: SpinMutex<Arc<[u64; 16]>>,
}

impl Limits {
    /// What the first process gets: Linux's defaults.
    pub fn initial(max_processes: u64) -> Self {
        let mut limits = [Limit { soft: UNLIMITED, hard: UNLIMITED }; 16];
        limits[linux::RLIMIT_STACK as usize] = Limit { soft: 8 << 20, hard: UNLIMITED };
        limits[linux::RLIMIT_CORE as usize] = Limit { soft: 0, hard: UNLIMITED };
        limits[linux::RLIMIT_NPROC as usize] = Limit { soft: max_processes, hard: max_processes };
        limits[linux::RLIMIT_NOFILE as usize] = Limit { soft: 1024, hard: 1 << 20 };
        limits[linux::RLIMIT_MEMLOCK as usize] = Limit { soft: 8 << 20, hard: 8 << 20 };
        limits[linux::RLIMIT_SIGPENDING as usize] = Limit { soft: max_processes, hard: max_processes };
        limits[linux::RLIMIT_MSGQUEUE as usize] = Limit { soft: 819_200, hard: 819_200 };
        limits[linux::RLIMIT_NICE as usize] = Limit { soft: 0, hard: 0 };
        limits[linux::RLIMIT_RTPRIO as usize] = Limit { soft: 0, hard: 0 };
        Self {
            soft: limits.map(|limit| AtomicU64::new(limit.soft)),
            hard: SpinMutex::new(Arc::new(limits.map(|limit| limit.hard))),
        }
    }

    /// The limit with this number; EINVAL if there is none.
    pub fn get(&self, resource: u32) -> Result<Limit, Errno> {
        let hard = self.hard.lock();
        let hard = *hard.get(resource as usize).ok_or(Errno::EINVAL)?;
        Ok(Limit { soft: self.soft(resource), hard })
    }

    /// The same limits, for a child.
    pub fn duplicate(&self) -> Self {
        let hard = self.hard.lock();
        let soft = core::array::from_fn(|resource| AtomicU64::new(self.soft(resource as u32)));
        Self { soft, hard: SpinMutex::new(hard.clone()) }
    }

    /// The soft limit of a resource known to exist.
    #[inline]
    pub fn soft(&self, resource: u32) -> u64 {
        self.soft[resource as usize].load(Relaxed)
    }

    /// Raises a soft limit of `from` by one, unless it has changed meanwhile.
    pub fn raise_soft(&self, resource: u32, from: u64) {
        let _hard = self.hard.lock();
        let soft = &self.soft[resource as usize];
        if soft.load(Relaxed) == from {
            soft.store(from.saturating_add(1), Relaxed);
        }
    }

    /// Has `space` obey those that are about memory.
    pub fn apply_to(&self, space: &AddressSpace) {
        let soft = |resource| self.soft(resource);
        space.set_limits(soft(linux::RLIMIT_AS), soft(linux::RLIMIT_DATA), soft(linux::RLIMIT_STACK));
    }

    /// Replaces a limit: EINVAL for a soft limit above the hard one, EPERM for a higher hard limit without privilege.
    /// Returns what it was.
    pub fn set(&self, resource: u32, new: Limit, privileged: bool) -> Result<Limit, Errno> {
        let mut hard = self.hard.lock();
        let limit = *hard.get(resource as usize).ok_or(Errno::EINVAL)?;
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if new.hard > limit && !privileged {
            return Err(Errno::EPERM);
        }
        if resource == linux::RLIMIT_NOFILE && new.hard > 1 << 20 {
            return Err(Errno::EPERM);
        }
        let old = Limit { soft: self.soft(resource), hard: limit };
        if new.hard != limit {
            Arc::make_mut(&mut hard)[resource as usize] = new.hard;
        }
        self.soft[resource as usize].store(new.soft, Relaxed);
        Ok(old)
    }
}
