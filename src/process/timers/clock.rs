//! The clocks that timers go by, and waiting until one shows a time.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use executor::{Instant, sleep_until, sync::WaitQueue, timeout};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::{
    arch::clock,
    process::{Caller, Process, Thread, cpu_time::Parts, tree},
    wall_clock,
};

/// A clock. What CPU-time clocks measure may end before they do.
#[derive(Clone)]
pub enum Clock {
    /// Time since 1970.
    Wall,
    /// Time since boot.
    Boot,
    /// CPU time of a process.
    Process(Weak<Process>),
    /// The part of that in user mode, as well as it is known.
    User(Weak<Process>),
    /// CPU time of a thread.
    Thread(Weak<Thread>),
}

/// The least and, while nobody runs who would have it pass, the most precise pause between two looks at CPU time, in
/// nanoseconds.
const SHORTEST: u64 = 100_000;
const TICK: u64 = 4_000_000;

/// How often the wall clock has been set, and who waits for that. Release and Acquire by the queue.
static WALL_CHANGES: AtomicU64 = AtomicU64::new(0);
static WALL_CHANGED: WaitQueue = WaitQueue::new();

/// Has those who wait for a time of the wall clock look at it again.
pub fn wall_was_set() {
    WALL_CHANGES.fetch_add(1, Ordering::SeqCst);
    WALL_CHANGED.wake_all();
}

/// The first expiration after `now` of a timer that has expired at a deadline, and how many there were between. The period
/// is not 0.
pub(super) fn next(deadline: u64, period: u64, now: u64) -> (u64, u64) {
    let missed = now.saturating_sub(deadline) / period;
    (deadline.saturating_add(period.saturating_mul(missed.saturating_add(1))), missed)
}

impl Clock {
    /// The clock with this id; EINVAL if there is none.
    pub fn of(caller: &Caller, id: i32) -> Result<Self, Errno> {
        match id as u32 {
            linux::CLOCK_REALTIME
            | linux::CLOCK_REALTIME_COARSE
            | linux::CLOCK_REALTIME_ALARM
            | linux::CLOCK_TAI => Ok(Self::Wall),
            linux::CLOCK_MONOTONIC
            | linux::CLOCK_MONOTONIC_RAW
            | linux::CLOCK_MONOTONIC_COARSE
            | linux::CLOCK_BOOTTIME
            | linux::CLOCK_BOOTTIME_ALARM => Ok(Self::Boot),
            linux::CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(Arc::downgrade(caller.process()))),
            linux::CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(Arc::downgrade(&caller.thread))),
            _ if id < 0 => Self::of_cpu(caller, id),
            _ => Err(Errno::EINVAL),
        }
    }

    /// CPU-time clocks of other processes and threads: the id is in the upper bits, complemented (clock_getcpuclockid(3)).
    fn of_cpu(caller: &Caller, id: i32) -> Result<Self, Errno> {
        const PER_THREAD: i32 = 4;
        /// Of the other two bits: what no time of a process is.
        const NO_TIME: i32 = 3;
        if id & NO_TIME == NO_TIME {
            return Err(Errno::EINVAL);
        }
        let target = !(id >> 3) as u32;
        let tree = tree::lock();
        if id & PER_THREAD != 0 {
            let tid = if target == 0 { caller.thread.tid() } else { target };
            return Ok(Self::Thread(Arc::downgrade(&tree.thread(tid).ok_or(Errno::EINVAL)?)));
        }
        let pid = if target == 0 { caller.process().pid } else { target };
        Ok(Self::Process(Arc::downgrade(&tree.process(pid).ok_or(Errno::EINVAL)?)))
    }

    /// Whether the id is one of a device's clock, which is named by a descriptor. There are none.
    pub fn is_device(id: i32) -> bool {
        const KIND: i32 = 7;
        const DEVICE: i32 = 3;
        id < 0 && id & KIND == DEVICE
    }

    /// What it shows, in nanoseconds. None if what it measures has ended.
    pub fn now(&self) -> Option<u64> {
        match self {
            Self::Wall => Some(wall_clock::now_ns()),
            Self::Boot => Some(clock::now_ns()),
            Self::Process(process) => Some(parts_of(process)?.total_ns()),
            Self::User(process) => Some(parts_of(process)?.user_ns()),
            Self::Thread(thread) => Some(thread.upgrade()?.cpu_time.parts().total_ns()),
        }
    }

    /// Waits until it shows `time`. False if it never will.
    pub async fn reached(&self, time: u64) -> bool {
        loop {
            match self {
                Self::Boot => {
                    sleep_until(time).await;
                    return true;
                }
                Self::Wall => {
                    let seen = WALL_CHANGES.load(Ordering::SeqCst);
                    let is_set = || (WALL_CHANGES.load(Ordering::SeqCst) != seen).then_some(());
                    let end = Instant(wall_clock::to_monotonic(time));
                    if timeout(WALL_CHANGED.wait_until(is_set), end).await.is_err() {
                        return true;
                    }
                }
                Self::Process(_) | Self::User(_) | Self::Thread(_) => {
                    let Some(now) = self.now() else { return false };
                    let Some(left) = time.checked_sub(now).filter(|left| *left > 0) else { return true };
                    // As many threads as run have that much time pass.
                    let pause = match self.runnable() {
                        0 => left.max(TICK),
                        count => (left / count as u64).max(SHORTEST),
                    };
                    sleep_until(clock::now_ns().saturating_add(pause)).await;
                }
            }
        }
    }

    /// How many threads may be using CPU time that it measures.
    fn runnable(&self) -> usize {
        match self {
            Self::Wall | Self::Boot => 0,
            Self::Thread(thread) => thread.upgrade().is_some_and(|thread| thread.is_runnable()).into(),
            Self::Process(process) | Self::User(process) => {
                let Some(process) = process.upgrade() else { return 0 };
                let tree = tree::lock();
                let Some(node) = tree.node(process.pid) else { return 0 };
                node.threads.iter().filter(|thread| thread.is_runnable()).count()
            }
        }
    }
}

/// The CPU time of a process, if it is known to anybody.
fn parts_of(process: &Weak<Process>) -> Option<Parts> {
    // A record that is the last one goes after the tree's lock, not under it.
    let process = process.upgrade()?;
    Some(Parts::of(&process, &tree::lock()))
}
