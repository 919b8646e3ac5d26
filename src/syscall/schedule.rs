//! Scheduling (sched(7), getpriority(2), sched_setaffinity(2)).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::user::{self, SysResult};
use crate::{
    arch::cpu,
    process::{Caller, Process, Thread, affinity, credentials::capability, run, times::TimeSpec, tree},
};

pub async fn sched_yield() -> SysResult {
    executor::yield_now().await;
    Ok(0)
}

/// The range of static priorities: 1 to 99 for the real-time policies, nothing to choose for the others.
fn priorities(policy: usize) -> Result<(usize, usize), Errno> {
    match policy as u32 {
        linux::SCHED_FIFO | linux::SCHED_RR => Ok((1, 99)),
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE | linux::SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

pub fn priority_max(policy: usize) -> SysResult {
    priorities(policy).map(|(_, max)| max)
}

pub fn priority_min(policy: usize) -> SysResult {
    priorities(policy).map(|(min, _)| min)
}

/// Every thread is scheduled by the one policy there is.
pub fn sched_getscheduler(tid: i32) -> SysResult {
    if tid < 0 {
        return Err(Errno::EINVAL);
    }
    if tid > 0 && tree::lock().thread(tid as u32).is_none() {
        return Err(Errno::ESRCH);
    }
    Ok(linux::SCHED_NORMAL as usize)
}

pub async fn sched_getparam(caller: &Caller, tid: i32, address: usize) -> SysResult {
    if address == 0 {
        return Err(Errno::EINVAL);
    }
    sched_getscheduler(tid)?;
    user::write(caller, address, 0u32).await?;
    Ok(0)
}

/// The longest that a thread runs while others wait, as Linux tells it for the same policy.
pub async fn sched_rr_get_interval(caller: &Caller, tid: i32, address: usize) -> SysResult {
    sched_getscheduler(tid)?;
    user::write(caller, address, TimeSpec::from_ns(run::SLICE_NS)).await?;
    Ok(0)
}

/// The thread with an id; 0 names the caller.
fn thread_of(caller: &Caller, tid: i32) -> Result<Arc<Thread>, Errno> {
    match tid {
        0 => Ok(caller.thread.clone()),
        tid => tree::lock().thread(tid as u32).ok_or(Errno::ESRCH),
    }
}

pub async fn sched_setaffinity(caller: &Caller, tid: i32, size: usize, address: usize) -> SysResult {
    // CPUs beyond the end of the set are not in it, and a set may have more than there can be.
    let mut set = [0; size_of::<u64>()];
    let known = size.min(set.len());
    user::copy_in(caller, address, &mut set[..known]).await?;
    let thread = thread_of(caller, tid)?;
    let (own, target) = (caller.credentials.users[1], thread.process.credentials());
    if !target.users[..2].contains(&own) && !caller.credentials.has(capability::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let set = u64::from_le_bytes(set) & affinity::all();
    if set == 0 {
        return Err(Errno::EINVAL);
    }
    thread.confine(set);
    Ok(0)
}

pub async fn sched_getaffinity(caller: &Caller, tid: i32, size: usize, address: usize) -> SysResult {
    if size * 8 < cpu::count() || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let set = thread_of(caller, tid)?.cpus.get();
    user::write(caller, address, set).await?;
    Ok(size_of::<u64>())
}

/// Visits the processes that `getpriority` and `setpriority` speak of.
fn each_target(
    caller: &Caller,
    which: usize,
    who: u32,
    mut visit: impl FnMut(&Process) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let tree = tree::lock();
    let own = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?;
    let mut found = Err(Errno::ESRCH);
    let mut visit = |process: &Process| {
        found = Ok(());
        visit(process)
    };
    match which as u32 {
        linux::PRIO_PROCESS if who == 0 => visit(caller.process())?,
        linux::PRIO_PROCESS => tree.thread(who).map_or(Ok(()), |thread| visit(&thread.process))?,
        linux::PRIO_PGRP => {
            let group = if who == 0 { own.group } else { who };
            let mut members = tree.nodes().filter(|node| node.group == group);
            members.try_for_each(|node| visit(&node.process))?;
        }
        linux::PRIO_USER => {
            let uid = if who == 0 { caller.credentials.uid() } else { who };
            let mut of_user = tree.nodes().filter(|node| node.process.credentials().uid() == uid);
            of_user.try_for_each(|node| visit(&node.process))?;
        }
        _ => return Err(Errno::EINVAL),
    }
    found
}

pub fn getpriority(caller: &Caller, which: usize, who: u32) -> SysResult {
    let mut lowest = i32::MAX;
    each_target(caller, which, who, |process| {
        lowest = lowest.min(process.nice.load(Ordering::Relaxed));
        Ok(())
    })?;
    Ok((20 - lowest) as usize)
}

pub fn setpriority(caller: &Caller, which: usize, who: u32, nice: i32) -> SysResult {
    let nice = nice.clamp(-20, 19);
    each_target(caller, which, who, |process| {
        if nice < process.nice.load(Ordering::Relaxed) && !caller.credentials.has(capability::SYS_NICE) {
            return Err(Errno::EACCES);
        }
        process.nice.store(nice, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(0)
}

pub async fn getcpu(caller: &Caller, cpu: usize, node: usize) -> SysResult {
    user::write_optional(caller, cpu, cpu::id() as u32).await?;
    user::write_optional(caller, node, 0u32).await?;
    Ok(0)
}
