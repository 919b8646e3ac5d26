//! Scheduling (sched(7), getpriority(2), sched_setaffinity(2), ioprio_set(2)).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::attempt::{Attempt, Pause, copy_out, copy_out_optional};
use crate::{
    arch::cpu,
    process::{
        Caller, Process, Thread, affinity,
        credentials::capability,
        deadline::{self, Reservation},
        run,
        scheduling::Scheduling,
        times::TimeSpec,
        tree::{self, Node},
    },
    user_memory::{self, SysResult},
};

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

/// How a call names a policy and asks for children to begin anew.
const RESET_ON_FORK: u32 = linux::SCHED_RESET_ON_FORK;

/// The thread that a call is about. EINVAL for a negative id, ESRCH if there is none.
fn subject(caller: &Caller, tid: i32) -> Result<Arc<Thread>, Errno> {
    if tid < 0 { Err(Errno::EINVAL) } else { thread_of(caller, tid) }
}

pub fn sched_getscheduler(caller: &Caller, tid: i32) -> SysResult {
    let now = subject(caller, tid)?.policy.get();
    Ok((now.policy | if now.resets_on_fork { RESET_ON_FORK } else { 0 }) as usize)
}

pub fn sched_getparam(caller: &Caller, tid: i32, address: usize) -> Attempt {
    if address == 0 {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    copy_out(address, &subject(caller, tid)?.policy.get().priority)?;
    Ok(0)
}

/// sched_setscheduler and, without a policy, sched_setparam.
pub async fn sched_setscheduler(
    caller: &Caller,
    tid: i32,
    policy: Option<i32>,
    parameter: usize,
) -> SysResult {
    if policy.is_some_and(i32::is_negative) || parameter == 0 || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: u32 = user_memory::read(caller, parameter).await?;
    let thread = subject(caller, tid)?;
    let wanted = match policy {
        None => Scheduling { priority, ..thread.policy.get() },
        Some(policy) => {
            let policy = policy as u32;
            let resets_on_fork = policy & RESET_ON_FORK != 0;
            let nice = thread.policy.get().nice;
            Scheduling { policy: policy & !RESET_ON_FORK, priority, nice, resets_on_fork }
        }
    };
    reschedule(caller, &thread, wanted, None)
}

/// Schedules a thread otherwise. EINVAL for what fits nothing, EPERM, EBUSY.
fn reschedule(
    caller: &Caller,
    thread: &Thread,
    wanted: Scheduling,
    reservation: Option<Reservation>,
) -> SysResult {
    match wanted.policy {
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE => {}
        linux::SCHED_FIFO | linux::SCHED_RR => {}
        linux::SCHED_DEADLINE if reservation.is_some() => {}
        _ => return Err(Errno::EINVAL),
    }
    if wanted.priority > 99 || wanted.is_realtime() != (wanted.priority != 0) {
        return Err(Errno::EINVAL);
    }
    let now = thread.policy.get();
    let process = &thread.process;
    let most = process.limits.soft(linux::RLIMIT_RTPRIO);
    let allowed = if wanted.is_realtime() {
        (wanted.policy == now.policy || most > 0)
            && (wanted.priority <= now.priority || u64::from(wanted.priority) <= most)
    } else if wanted.is_deadline() {
        false
    } else {
        let leaves_idle = now.policy == linux::SCHED_IDLE && wanted.policy != linux::SCHED_IDLE;
        (!leaves_idle || may_be_as_nice(process, now.nice))
            && (wanted.nice >= now.nice || may_be_as_nice(process, wanted.nice))
    };
    let loses_reset = now.resets_on_fork && !wanted.resets_on_fork;
    if (!allowed || loses_reset || !is_own(caller, process)) && !caller.credentials.has(capability::SYS_NICE)
    {
        return Err(Errno::EPERM);
    }
    // Who may not go everywhere could not have what it has reserved.
    if wanted.is_deadline() && thread.cpus.get() != affinity::all() {
        return Err(Errno::EPERM);
    }
    thread.schedule(wanted, reservation.filter(|_| wanted.is_deadline()))?;
    Ok(0)
}

/// Whether `RLIMIT_NICE` lets a process have a nice value.
fn may_be_as_nice(process: &Process, nice: i32) -> bool {
    (20 - nice) as u64 <= process.limits.soft(linux::RLIMIT_NICE)
}

/// Whether a process belongs to the user that the caller acts as.
fn is_own(caller: &Caller, process: &Process) -> bool {
    process.credentials().users[..2].contains(&caller.credentials.users[1])
}

/// `struct sched_attr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    deadlines: [u64; 3],
    utilization: [u32; 2],
}

/// Sizes of [`SchedAttr`]: the first version's, and now.
const ATTR_SIZES: [usize; 2] = [48, size_of::<SchedAttr>()];

pub async fn sched_setattr(caller: &Caller, tid: i32, address: usize, flags: u32) -> SysResult {
    const KEEP_POLICY: u64 = linux::SCHED_FLAG_KEEP_POLICY as u64;
    const KEEP_PARAMS: u64 = linux::SCHED_FLAG_KEEP_PARAMS as u64;
    const RESET: u64 = linux::SCHED_FLAG_RESET_ON_FORK as u64;
    if address == 0 || tid < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = match user_memory::read::<u32>(caller, address).await? as usize {
        0 => ATTR_SIZES[0],
        size => size,
    };
    let mut attr = SchedAttr::default();
    let known = size.min(ATTR_SIZES[1]);
    let fits = (ATTR_SIZES[0]..=4096).contains(&size) && {
        user_memory::copy_in(caller, address, &mut attr.as_mut_bytes()[..known]).await?;
        let rest = user_memory::read_array::<u8>(caller, address + known, size - known).await?;
        rest.iter().all(|byte| *byte == 0)
    };
    if !fits {
        user_memory::write(caller, address, ATTR_SIZES[1] as u32).await?;
        return Err(Errno::E2BIG);
    }
    if (attr.policy as i32) < 0 || attr.flags & !(KEEP_POLICY | KEEP_PARAMS | RESET | deadline::FLAGS) != 0 {
        return Err(Errno::EINVAL);
    }
    let thread = subject(caller, tid)?;
    let now = thread.policy.get();
    let keeps = |flag: u64| attr.flags & flag != 0;
    let resets_on_fork = if keeps(KEEP_POLICY) { now.resets_on_fork } else { keeps(RESET) };
    let mut wanted = match attr.flags & (KEEP_POLICY | KEEP_PARAMS) {
        0 => Scheduling { policy: attr.policy, priority: attr.priority, resets_on_fork, ..now },
        KEEP_POLICY => Scheduling { priority: attr.priority, resets_on_fork, ..now },
        // The policy counts as one of the parameters, as on Linux.
        _ => Scheduling { resets_on_fork, ..now },
    };
    if matches!(wanted.policy, linux::SCHED_NORMAL | linux::SCHED_BATCH) && !keeps(KEEP_PARAMS) {
        wanted.nice = attr.nice.clamp(-20, 19);
    }
    let reservation = match wanted.is_deadline() {
        false => None,
        true if keeps(KEEP_PARAMS) => thread.reservation(),
        true => Some(Reservation::asked(attr.deadlines, attr.flags & deadline::FLAGS)?),
    };
    reschedule(caller, &thread, wanted, reservation)
}

pub async fn sched_getattr(caller: &Caller, tid: i32, address: usize, size: usize, flags: u32) -> SysResult {
    if address == 0 || tid < 0 || flags != 0 || !(ATTR_SIZES[0]..=4096).contains(&(size as u32 as usize)) {
        return Err(Errno::EINVAL);
    }
    let thread = subject(caller, tid)?;
    let now = thread.policy.get();
    let size = (size as u32 as usize).min(ATTR_SIZES[1]);
    let reservation = if now.is_deadline() { thread.reservation() } else { None };
    let attr = SchedAttr {
        size: size as u32,
        policy: now.policy,
        flags: u64::from(now.resets_on_fork) | reservation.map_or(0, |reservation| reservation.flags),
        nice: if now.is_realtime() || now.is_deadline() { 0 } else { now.nice },
        priority: now.priority,
        deadlines: reservation.map_or([0; 3], |own| [own.runtime, own.deadline, own.period]),
        ..SchedAttr::default()
    };
    user_memory::copy_out(caller, address, &attr.as_bytes()[..size]).await?;
    Ok(0)
}

/// How long a thread runs while others of its policy wait: for `SCHED_RR` what Linux has set, else the slice there is.
pub async fn sched_rr_get_interval(caller: &Caller, tid: i32, address: usize) -> SysResult {
    let interval = match subject(caller, tid)?.policy.get().policy {
        linux::SCHED_RR => 100_000_000,
        linux::SCHED_FIFO | linux::SCHED_DEADLINE => 0,
        _ => run::SLICE_NS,
    };
    user_memory::write(caller, address, TimeSpec::from_ns(interval)).await?;
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
    user_memory::copy_in(caller, address, &mut set[..known]).await?;
    let thread = thread_of(caller, tid)?;
    if !is_own(caller, &thread.process) && !caller.credentials.has(capability::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let set = u64::from_le_bytes(set) & affinity::all();
    if set == 0 {
        return Err(Errno::EINVAL);
    }
    if thread.policy.get().is_deadline() && set != affinity::all() {
        return Err(Errno::EBUSY);
    }
    thread.confine(set);
    Ok(0)
}

pub fn sched_getaffinity(caller: &Caller, tid: i32, size: usize, address: usize) -> Attempt {
    if size * 8 < cpu::count() || !size.is_multiple_of(8) {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    copy_out(address, &thread_of(caller, tid)?.cpus.get())?;
    Ok(size_of::<u64>())
}

/// Visits the threads that `getpriority` and `setpriority` speak of. ESRCH if there are none.
fn each_target(caller: &Caller, which: usize, who: u32, mut visit: impl FnMut(&Thread)) -> Result<(), Errno> {
    if which as u32 == linux::PRIO_PROCESS {
        visit(&*thread_of(caller, who as i32)?);
        return Ok(());
    }
    let tree = tree::lock();
    let own = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?;
    let mut found = Err(Errno::ESRCH);
    let mut visit_all = |node: &Node| {
        for thread in &node.threads {
            found = Ok(());
            visit(thread);
        }
    };
    match which as u32 {
        linux::PRIO_PGRP => {
            let group = if who == 0 { own.group } else { who };
            tree.nodes().filter(|node| node.group == group).for_each(&mut visit_all);
        }
        linux::PRIO_USER => {
            let uid = if who == 0 { caller.credentials.uid() } else { who };
            let is_users = |node: &&Node| node.process.credentials().uid() == uid;
            tree.nodes().filter(is_users).for_each(&mut visit_all);
        }
        _ => return Err(Errno::EINVAL),
    }
    found
}

pub fn getpriority(caller: &Caller, which: usize, who: u32) -> SysResult {
    let mut lowest = i32::MAX;
    each_target(caller, which, who, |thread| lowest = lowest.min(thread.policy.get().nice))?;
    Ok((20 - lowest) as usize)
}

/// Those that may be are set, though others may not; then that is the error, as on Linux.
pub fn setpriority(caller: &Caller, which: usize, who: u32, nice: i32) -> SysResult {
    let nice = nice.clamp(-20, 19);
    let privileged = caller.credentials.has(capability::SYS_NICE);
    let mut outcome = Ok(0);
    each_target(caller, which, who, |thread| {
        let raises = nice < thread.policy.get().nice;
        if !privileged && !is_own(caller, &thread.process) {
            outcome = Err(Errno::EPERM);
        } else if raises && !privileged && !may_be_as_nice(&thread.process, nice) {
            outcome = Err(Errno::EACCES);
        } else {
            thread.policy.set_nice(nice);
        }
    })?;
    outcome
}

/// A priority for input and output, in its class: real time, by effort, when idle; class 0 follows the nice value.
/// The priority, if the caller may give it: EPERM, EINVAL.
pub fn checked_io_priority(caller: &Caller, priority: u32) -> Result<u32, Errno> {
    let (class, level) = (priority >> 13, priority & 7);
    let privileged = || {
        caller.credentials.has(fs::Capabilities::SYS_ADMIN) || caller.credentials.has(capability::SYS_NICE)
    };
    match class {
        1 if !privileged() => Err(Errno::EPERM),
        0 if level != 0 => Err(Errno::EINVAL),
        0..=3 => Ok(priority),
        _ => Err(Errno::EINVAL),
    }
}

/// Visits the threads that `ioprio_get` and `ioprio_set` speak of; their numbers for what they speak of are those of
/// `getpriority`, plus one.
fn each_io_target(
    caller: &Caller,
    which: usize,
    who: u32,
    mut visit: impl FnMut(&Thread) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut outcome = Ok(());
    each_target(caller, (which as u32).wrapping_sub(1) as usize, who, |thread| {
        if outcome.is_ok() {
            outcome = visit(thread);
        }
    })?;
    outcome
}

pub fn ioprio_set(caller: &Caller, which: usize, who: u32, priority: u32) -> SysResult {
    let priority = checked_io_priority(caller, priority)?;
    each_io_target(caller, which, who, |thread| {
        let own = &caller.credentials.users;
        let owner = thread.process.credentials().users[0];
        if !own[..2].contains(&owner) && !caller.credentials.has(capability::SYS_NICE) {
            return Err(Errno::EPERM);
        }
        thread.io_priority.store(priority as u16, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(0)
}

/// The best priority of those asked about. A thread that has none set is said to have that of its nice value where several
/// are compared, as on Linux.
pub fn ioprio_get(caller: &Caller, which: usize, who: u32) -> SysResult {
    let mut best = None;
    each_io_target(caller, which, who, |thread| {
        let set = u32::from(thread.io_priority.load(Ordering::Relaxed));
        let told = match set >> 13 {
            0 if which as u32 != linux::PRIO_PROCESS + 1 => {
                2 << 13 | ((thread.policy.get().nice + 20) / 5) as u32
            }
            _ => set,
        };
        best = Some(best.map_or(told, |best: u32| best.min(told)));
        Ok(())
    })?;
    best.map(|best| best as usize).ok_or(Errno::ESRCH)
}

pub fn getcpu(cpu: usize, node: usize) -> Attempt {
    copy_out_optional(cpu, &(cpu::id() as u32))?;
    copy_out_optional(node, &0u32)?;
    Ok(0)
}
