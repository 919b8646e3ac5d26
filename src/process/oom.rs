//! Who is killed for memory that others need ([`memory::claim`]), and what programs say to that in `/proc/PID/oom_score_adj`
//! (proc_pid_oom_score_adj(5)).
//!
//! Of the processes that have a sixteenth of memory or more the one with the highest [score](score) goes, one at a time: the next
//! is chosen when that one has left and it was not enough, or does not leave. Where nobody has so much, who asks is refused: a call
//! fails with ENOMEM, and a process that cannot go on without the memory ends.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI16, Ordering::Relaxed};

use executor::sync::SpinMutex;
use syscalls::Errno;

use super::{
    Process,
    credentials::{Credentials, capability},
    exit,
    signal::numbers::SIGKILL,
    tree::{self, Node},
    wait::ExitStatus,
};
use crate::memory::{self, PAGE_SIZE};

/// Is not killed for memory.
const NEVER: i32 = -1000;
/// Never, and first of all.
const RANGE: core::ops::RangeInclusive<i32> = NEVER..=1000;
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

/// What a process is judged by: from 0, and 666 for one without memory that says nothing.
pub fn score(process: &Process) -> i64 {
    if process.oom.get() == NEVER {
        return 0;
    }
    let total = total_pages();
    (1000 + points(process, resident_pages(process), total) * 1000 / total.max(1)) * 2 / 3
}

/// The pages that it has, more or less as it says.
fn points(process: &Process, resident: i64, total: i64) -> i64 {
    resident + i64::from(process.oom.get()) * (total / 1000)
}

fn resident_pages(process: &Process) -> i64 {
    process.space.lock().as_ref().map_or(0, |space| space.usage().resident / PAGE_SIZE) as i64
}

fn total_pages() -> i64 {
    (memory::stats().total_bytes / PAGE_SIZE) as i64
}

/// Who was chosen, and how often it was asked since whether that one has left.
static CHOSEN: SpinMutex<Option<(Arc<Process>, u32)>> = SpinMutex::new(None);

/// Has somebody leave who has much memory. Whether there is anybody who is on the way out. One caller at a time.
pub async fn sacrifice() -> bool {
    if is_leaving() {
        return true;
    }
    let Some(pid) = choose().await else { return false };
    // Without it, it has left by itself meanwhile.
    if let Some(process) = kill(pid) {
        *CHOSEN.lock() = Some((process, 0));
    }
    true
}

/// Kills a process.
fn kill(pid: u32) -> Option<Arc<Process>> {
    let tree = tree::lock();
    let node = tree.node(pid)?;
    if let Some(thread) = node.threads.first() {
        log::error!("out of memory: killed process {pid} ({thread})");
    }
    exit::begin_group_exit(&node.threads, &node.process, ExitStatus::killed(SIGKILL));
    Some(node.process.clone())
}

/// Whether the one who was chosen last has yet to leave, and may.
fn is_leaving() -> bool {
    /// Times after which somebody else is chosen.
    const PATIENCE: u32 = 16;
    let mut chosen = CHOSEN.lock();
    let Some((process, asked)) = &mut *chosen else { return false };
    *asked += 1;
    let has_left = tree::lock()
        .node(process.pid)
        .is_none_or(|node| !Arc::ptr_eq(&node.process, process) || node.zombie.is_some());
    if !has_left && *asked < PATIENCE {
        return true;
    }
    let gone = chosen.take();
    drop(chosen);
    drop(gone);
    false
}

/// The process that is killed next, if any has enough for that.
async fn choose() -> Option<u32> {
    /// Processes that are looked at in one go.
    const PART: usize = 64;
    let total = total_pages();
    let (mut best, mut next) = (None, tree::INIT + 1);
    loop {
        let mut seen = 0;
        for node in tree::lock().nodes_from(next).take(PART) {
            let pid = node.process.pid;
            (next, seen) = (pid + 1, seen + 1);
            if let Some(points) = eligible(node, total)
                && best.is_none_or(|(most, _)| points > most)
            {
                best = Some((points, pid));
            }
        }
        if seen < PART {
            return best.map(|(_, pid)| pid);
        }
        executor::make_way().await;
    }
}

/// The points of a process that may be chosen.
fn eligible(node: &Node, total: i64) -> Option<i64> {
    /// It has at least this part of memory: else its end is of no use to anybody.
    const PART: i64 = 16;
    let process = &*node.process;
    if process.oom.get() == NEVER || exit::is_exiting(process) {
        return None;
    }
    let resident = resident_pages(process);
    (resident >= total / PART).then(|| points(process, resident, total))
}
