//! io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
//!
//! ```text
//!   enter ─► submit ─┬─ attempt ─────────────────────────────► completion
//!                    └─ prepare ─► chain ─► perform ─► a future ─► completion
//!                        (once)    (links,   (which function
//!                                   drains)   of the system calls)
//! ```
//!
//! What a ring is, is in [`file::uring`](crate::file::uring). Where to start reading: [`enter`], then [`mod@submit`].

pub(super) mod chain;
mod chosen;
mod control;
mod message;
pub(super) mod operations;
pub(super) mod perform;
mod poller;
pub(super) mod prepare;
mod register;
mod submit;
mod watch;

use alloc::sync::Arc;
use core::{
    sync::atomic::Ordering::{Relaxed, SeqCst},
    time::Duration,
};

use executor::Instant;
use linux_raw_sys::{general as linux, io_uring::*};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use chain::Deferred;

use super::{
    attempt::{Attempt, Pause},
    descriptor::install,
    signal,
};
use crate::{
    arch::{clock, user::UserContext},
    file::{
        File,
        uring::{self, Ring, memory::offset},
    },
    memory,
    process::{Caller, signal::SignalSet, times::TimeSpec},
    user_memory::{self, SysResult},
};
use submit::{Submitter, submit, submit_now};

/// The most entries of a ring, and completions.
const ENTRIES_MAX: u32 = 32768;
const COMPLETIONS_MAX: u32 = 2 * ENTRIES_MAX;

/// What is true of Linux's features here. Not that something is told when what is registered is no longer in use.
const FEATURES: u32 = IORING_FEAT_SINGLE_MMAP
    | IORING_FEAT_NODROP
    | IORING_FEAT_SUBMIT_STABLE
    | IORING_FEAT_RW_CUR_POS
    | IORING_FEAT_CUR_PERSONALITY
    | IORING_FEAT_FAST_POLL
    | IORING_FEAT_POLL_32BITS
    | IORING_FEAT_SQPOLL_NONFIXED
    | IORING_FEAT_EXT_ARG
    | IORING_FEAT_NATIVE_WORKERS
    | IORING_FEAT_CQE_SKIP
    | IORING_FEAT_LINKED_FILE;

/// The ways to make a ring. Completions never wait for the program to be interrupted, so it makes no difference how that is
/// to be done.
const SETUP_KNOWN: u32 = IORING_SETUP_SQPOLL
    | IORING_SETUP_SQ_AFF
    | IORING_SETUP_CQSIZE
    | IORING_SETUP_CLAMP
    | IORING_SETUP_ATTACH_WQ
    | IORING_SETUP_R_DISABLED
    | IORING_SETUP_SUBMIT_ALL
    | IORING_SETUP_COOP_TASKRUN
    | IORING_SETUP_TASKRUN_FLAG
    | IORING_SETUP_SINGLE_ISSUER
    | IORING_SETUP_DEFER_TASKRUN;

/// `struct io_uring_params`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Parameters {
    entries: u32,
    completions: u32,
    flags: u32,
    poller_cpu: u32,
    poller_idle: u32,
    features: u32,
    other: i32,
    reserved: [u32; 3],
    /// Where head, tail, mask, entries, flags, dropped and the numbers are, and nothing more.
    submission_offsets: [u32; 10],
    /// Where head, tail, mask, entries, overflow, the completions and flags are, and nothing more.
    completion_offsets: [u32; 10],
}

pub async fn setup(caller: &Caller, entries: u32, address: usize) -> SysResult {
    let mut asked: Parameters = user_memory::read(caller, address).await?;
    let flags = asked.flags;
    let has = |flag| flags & flag != 0;
    let strange = flags & !SETUP_KNOWN != 0
        || asked.reserved != [0; 3]
        || has(IORING_SETUP_SQ_AFF) && !has(IORING_SETUP_SQPOLL)
        || has(IORING_SETUP_SQPOLL) && has(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)
        || has(IORING_SETUP_TASKRUN_FLAG) && !has(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)
        || has(IORING_SETUP_DEFER_TASKRUN) && !has(IORING_SETUP_SINGLE_ISSUER);
    if strange || entries == 0 {
        return Err(Errno::EINVAL);
    }
    let clamped = |count: u32, max: u32| match count {
        count if count <= max => Ok(count),
        _ if has(IORING_SETUP_CLAMP) => Ok(max),
        _ => Err(Errno::EINVAL),
    };
    let entries = clamped(entries, ENTRIES_MAX)?.next_power_of_two();
    let completions = if has(IORING_SETUP_CQSIZE) {
        if asked.completions == 0 {
            return Err(Errno::EINVAL);
        }
        clamped(asked.completions, COMPLETIONS_MAX)?.next_power_of_two()
    } else {
        2 * entries
    };
    if completions < entries {
        return Err(Errno::EINVAL);
    }
    let cpu = has(IORING_SETUP_SQ_AFF).then_some(asked.poller_cpu as usize);
    if cpu.is_some_and(|cpu| cpu >= executor::cpus()) {
        return Err(Errno::EINVAL);
    }
    if has(IORING_SETUP_ATTACH_WQ) {
        // There is nothing to share: whatever waits is a task.
        let other = caller.files.get(asked.other).map_err(|_| Errno::ENXIO)?;
        uring::of(&other).ok_or(Errno::EINVAL)?;
    }
    let ring = Ring::new(flags, entries, completions).await?;
    (asked.entries, asked.completions, asked.features) = (entries, completions, FEATURES);
    asked.submission_offsets = [0; 10];
    asked.submission_offsets[..7].copy_from_slice(
        &[
            offset::SUBMITTED,
            offset::SUBMISSIONS,
            offset::SUBMISSION_MASK,
            offset::SUBMISSION_ENTRIES,
            offset::FLAGS,
            offset::DROPPED,
            ring.memory.numbers_offset(),
        ]
        .map(|offset| offset as u32),
    );
    asked.completion_offsets = [0; 10];
    asked.completion_offsets[..7].copy_from_slice(
        &[
            offset::SEEN,
            offset::COMPLETED,
            offset::COMPLETION_MASK,
            offset::COMPLETION_ENTRIES,
            offset::LOST,
            offset::COMPLETIONS,
            offset::COMPLETION_FLAGS,
        ]
        .map(|offset| offset as u32),
    );
    user_memory::write(caller, address, asked).await?;
    // From here on the poller ends with the file.
    let file = uring::open(ring.clone());
    if has(IORING_SETUP_SINGLE_ISSUER) && !has(IORING_SETUP_R_DISABLED) {
        ring.issuer.store(caller.thread.tid(), Relaxed);
    }
    if has(IORING_SETUP_SQPOLL) {
        let idle = if asked.poller_idle == 0 { 1000 } else { asked.poller_idle };
        poller::start(caller, &ring, Duration::from_millis(idle.into()), cpu)?;
    }
    install(caller, file, linux::O_CLOEXEC)
}

/// The ring of a descriptor: EOPNOTSUPP if it is something else.
fn ring_of(caller: &Caller, fd: i32) -> Result<Arc<Ring>, Errno> {
    let file = caller.files.get(fd)?;
    uring::of(&file).cloned().ok_or(Errno::EOPNOTSUPP)
}

/// The file that [`enter`] is for: of a descriptor, or of a number that only the thread has for it.
#[inline]
fn file_to_enter(caller: &Caller, number: i32, flags: u32) -> Result<Arc<File>, Errno> {
    match flags & IORING_ENTER_REGISTERED_RING {
        0 => caller.files.get_open(number),
        _ => caller.own_ring(number as usize),
    }
}

/// The flags of [`enter`] that there are.
const ENTER_KNOWN: u32 = IORING_ENTER_GETEVENTS
    | IORING_ENTER_SQ_WAKEUP
    | IORING_ENTER_SQ_WAIT
    | IORING_ENTER_EXT_ARG
    | IORING_ENTER_REGISTERED_RING;

/// `struct io_uring_getevents_arg`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct WaitArgument {
    mask: u64,
    mask_size: u32,
    pad: u32,
    time: u64,
}

/// [`enter`], as far as nothing has to wait: `moved` counts the entries that are taken, and have been carried out.
#[inline(never)]
pub fn attempt_enter(caller: &Caller, context: &UserContext, moved: &mut usize) -> Attempt {
    let (count, least, flags) = (context.rsi as u32, context.rdx as u32, context.r10 as u32);
    if flags & !(IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING) != 0 || memory::is_short() {
        return Err(Pause::General);
    }
    let file = file_to_enter(caller, context.rdi as i32, flags)?;
    let ring = uring::of(&file).ok_or(Errno::EOPNOTSUPP)?;
    let is_strange = ring.is_disabled() || ring.is_restricted();
    if ring.flags & IORING_SETUP_SQPOLL != 0 || is_strange {
        return Err(Pause::General);
    }
    if count > 0 {
        ring.check_issuer(caller)?;
        let taken = submit_now(ring, caller, count);
        *moved = taken.count as usize;
        if taken.is_all && taken.count != count {
            return Ok(*moved);
        }
        if !taken.is_all {
            return Err(Pause::General);
        }
    }
    if count == 0 && flags & IORING_ENTER_GETEVENTS != 0 {
        ring.check_collector(caller)?;
    }
    let is_done =
        flags & IORING_ENTER_GETEVENTS == 0 || ring.has_enough(least.min(ring.memory.completion_count()));
    if is_done { Ok(*moved) } else { Err(Pause::General) }
}

/// Submits so many entries of a ring, of which some have been taken by an [attempt](attempt_enter), and waits.
pub async fn enter(
    caller: &mut Caller,
    fd: i32,
    (count, taken): (u32, u32),
    least: u32,
    flags: u32,
    (argument, size): (usize, usize),
) -> SysResult {
    if flags & !ENTER_KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    // Kept open for as long as this takes.
    let file = file_to_enter(caller, fd, flags)?;
    let ring = uring::of(&file).ok_or(Errno::EOPNOTSUPP)?;
    if ring.is_disabled() {
        return Err(Errno::EBADFD);
    }
    let mut submitted = taken as usize;
    if ring.flags & IORING_SETUP_SQPOLL != 0 {
        call_poller(caller, ring, flags).await?;
        submitted = count as usize;
    } else if count > taken {
        memory::check_pressure().await?;
        ring.check_issuer(caller)?;
        submitted += submit(ring, &mut Submitter::new(caller), count - taken).await?;
        if submitted != count as usize {
            return Ok(submitted);
        }
    }
    if flags & IORING_ENTER_GETEVENTS == 0 {
        return Ok(submitted);
    }
    let waited = match ring.check_collector(caller) {
        Ok(()) => wait(caller, ring, least, flags, argument, size).await,
        Err(errno) => Err(errno),
    };
    match waited {
        Err(errno) if submitted == 0 => Err(errno),
        _ => Ok(submitted),
    }
}

/// Wakes a ring's poller, or waits until it has taken some entries.
async fn call_poller(caller: &Caller, ring: &Ring, flags: u32) -> Result<(), Errno> {
    while ring.flush() {
        executor::make_way().await;
    }
    if ring.poller.is_over.load(SeqCst) {
        return Err(Errno::EOWNERDEAD);
    }
    if flags & IORING_ENTER_SQ_WAKEUP != 0 {
        ring.wake_poller();
    }
    if flags & IORING_ENTER_SQ_WAIT != 0 {
        let has_room = || (!ring.is_full() || ring.poller.is_over.load(SeqCst)).then_some(());
        let waiting = ring.poller.room.wait_until(has_room);
        // Linux ends such a wait without an error.
        let _ = crate::process::interruptible(&caller.thread, waiting).await;
    }
    Ok(())
}

/// Waits for completions.
async fn wait(
    caller: &mut Caller,
    ring: &Arc<Ring>,
    least: u32,
    flags: u32,
    argument: usize,
    size: usize,
) -> Result<(), Errno> {
    let mut mask = (argument, size);
    let mut time = 0;
    if flags & IORING_ENTER_EXT_ARG != 0 {
        if size != size_of::<WaitArgument>() {
            return Err(Errno::EINVAL);
        }
        let given: WaitArgument = user_memory::read(caller, argument).await?;
        if given.pad != 0 {
            return Err(Errno::EINVAL);
        }
        mask = (given.mask as usize, given.mask_size as usize);
        time = given.time as usize;
    }
    if ring.has_enough(least.min(ring.memory.completion_count())) {
        return Ok(());
    }
    let replaced = match mask {
        (0, _) => None,
        (address, size) if size == size_of::<SignalSet>() => Some(user_memory::read(caller, address).await?),
        _ => return Err(Errno::EINVAL),
    };
    let deadline = match time {
        0 => Instant::FAR_FUTURE,
        address => {
            let span: TimeSpec = user_memory::read(caller, address).await?;
            let span = span.to_ns().ok_or(Errno::EINVAL)?;
            Instant(clock::now_ns().saturating_add(span))
        }
    };
    if let Some(mask) = replaced {
        signal::replace_mask_for_call(caller, mask);
    }
    let waited = ring.wait(&caller.thread, least, deadline).await;
    // Only an interruption leaves the mask in place, for the handler to run under.
    if waited != Err(Errno::EINTR) {
        signal::restore_mask(caller);
    }
    // Why no more have come is told only to who has none to see.
    if ring.has_completions() { Ok(()) } else { waited }
}

pub async fn register(caller: &Caller, fd: i32, operation: u32, argument: usize, count: u32) -> SysResult {
    let ring = ring_of(caller, fd)?;
    let result = register::register(caller, &ring, operation, argument, count).await;
    if operation == io_uring_register_op::IORING_REGISTER_ENABLE_RINGS as u32 && result.is_ok() {
        ring.issuer.store(caller.thread.tid(), Relaxed);
        ring.wake_poller();
    }
    result
}

impl Ring {
    /// EEXIST for another thread than the one that a ring with `IORING_SETUP_SINGLE_ISSUER` takes entries from.
    fn check_issuer(&self, caller: &Caller) -> Result<(), Errno> {
        let is_bound = self.flags & IORING_SETUP_SINGLE_ISSUER != 0;
        if is_bound && self.issuer.load(Relaxed) != caller.thread.tid() { Err(Errno::EEXIST) } else { Ok(()) }
    }

    /// EEXIST for another thread than that one, where only it may have completions come (`IORING_SETUP_DEFER_TASKRUN`).
    fn check_collector(&self, caller: &Caller) -> Result<(), Errno> {
        if self.flags & IORING_SETUP_DEFER_TASKRUN == 0 { Ok(()) } else { self.check_issuer(caller) }
    }
}
