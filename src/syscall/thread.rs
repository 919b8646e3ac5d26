//! Threads: clone(2), futex(2), set_tid_address(2), arch_prctl(2).

use alloc::{boxed::Box, vec::Vec};
use core::{mem::offset_of, sync::atomic::Ordering};

use executor::time::Instant;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::attempt::{Attempt, Pause, copy_in};
use crate::{
    arch::{clock, user::UserContext},
    process::{
        Caller,
        fork::{self, CloneRequest},
        futex::{self, several},
        run::Restart,
        times::TimeSpec,
        tree,
    },
    user_memory::{self, SysResult},
    wall_clock,
};

pub async fn clone(
    caller: &mut Caller,
    context: &mut UserContext,
    flags: usize,
    stack: usize,
    parent_tid: usize,
    child_tid: usize,
    tls: usize,
) -> SysResult {
    let request = CloneRequest {
        flags: flags as u64 & 0xffff_ff00,
        exit_signal: flags as u8,
        stack,
        tls,
        parent_tid,
        pidfd: parent_tid,
        child_tid,
    };
    // Both would be stored in one place.
    let both = u64::from(linux::CLONE_PIDFD | linux::CLONE_PARENT_SETTID);
    if request.flags & both == both {
        return Err(Errno::EINVAL);
    }
    fork::clone(caller, context, request).await
}

/// `struct clone_args`, its newest version (88 bytes).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    /// What later versions than the first add: a chosen id, a cgroup.
    added: [u64; 3],
}

pub async fn clone3(
    caller: &mut Caller,
    context: &mut UserContext,
    arguments: usize,
    size: usize,
) -> SysResult {
    const NEWEST: usize = size_of::<CloneArguments>();
    const VERSION_0: usize = offset_of!(CloneArguments, added);
    if size < VERSION_0 {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let mut given = CloneArguments::new_zeroed();
    user_memory::copy_in(caller, arguments, &mut given.as_mut_bytes()[..size.min(NEWEST)]).await?;
    // A version that is newer still may be used, but for what it adds.
    for place in NEWEST..size {
        if user_memory::read::<u8>(caller, arguments + place).await? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    if given.added != [0; _] {
        return Err(Errno::EINVAL);
    }
    let stack = match (given.stack, given.stack_size) {
        (0, 0) => 0,
        (base, size) if base != 0 && size != 0 => base.checked_add(size).ok_or(Errno::EINVAL)? as usize,
        _ => return Err(Errno::EINVAL),
    };
    if given.flags & 0xff != 0
        || given.exit_signal > 64
        || given.flags >> 32 & !(linux::CLONE_CLEAR_SIGHAND >> 32) != 0
    {
        return Err(Errno::EINVAL);
    }
    let request = CloneRequest {
        flags: given.flags,
        exit_signal: given.exit_signal as u8,
        stack,
        tls: given.tls as usize,
        parent_tid: given.parent_tid as usize,
        pidfd: given.pidfd as usize,
        child_tid: given.child_tid as usize,
    };
    fork::clone(caller, context, request).await
}

pub fn set_tid_address(caller: &Caller, address: usize) -> usize {
    caller.thread.clear_tid.store(address, Ordering::Relaxed);
    caller.thread.tid() as usize
}

pub fn set_robust_list(caller: &Caller, head: usize, len: usize) -> SysResult {
    /// `sizeof(struct robust_list_head)`.
    const HEAD: usize = 24;
    if len != HEAD {
        return Err(Errno::EINVAL);
    }
    caller.thread.robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

pub async fn get_robust_list(caller: &Caller, tid: i32, head: usize, len: usize) -> SysResult {
    let thread = match tid {
        0 => caller.thread.clone(),
        tid => tree::lock().thread(tid as u32).ok_or(Errno::ESRCH)?,
    };
    if thread.process.pid != caller.process().pid && caller.credentials.uid() != 0 {
        return Err(Errno::EPERM);
    }
    user_memory::write(caller, len, 24usize).await?;
    user_memory::write(caller, head, thread.robust_list.load(Ordering::Relaxed)).await?;
    Ok(0)
}

/// The operations of arch_prctl(2), from `<asm/prctl.h>`.
const ARCH_SET_GS: usize = 0x1001;
const ARCH_SET_FS: usize = 0x1002;
const ARCH_GET_FS: usize = 0x1003;
const ARCH_GET_GS: usize = 0x1004;

pub async fn arch_prctl(
    caller: &Caller,
    context: &mut UserContext,
    code: usize,
    address: usize,
) -> SysResult {
    context.suspend();
    let base = match code {
        ARCH_SET_FS => return if context.set_fs_base(address as u64) { Ok(0) } else { Err(Errno::EPERM) },
        ARCH_SET_GS => return if context.set_gs_base(address as u64) { Ok(0) } else { Err(Errno::EPERM) },
        ARCH_GET_FS => context.fs_base(),
        ARCH_GET_GS => context.gs_base(),
        _ => return Err(Errno::EINVAL),
    };
    user_memory::write(caller, address, base).await?;
    Ok(0)
}

/// When a futex wait with this time-out ends. `FUTEX_WAIT` takes a span, `FUTEX_WAIT_BITSET` a point in time.
fn futex_deadline(time: TimeSpec, operation: u32) -> Result<Instant, Errno> {
    let time = time.to_ns().ok_or(Errno::EINVAL)?;
    Ok(Instant(match (operation & FUTEX_COMMAND, operation & linux::FUTEX_CLOCK_REALTIME) {
        (linux::FUTEX_WAIT, _) => clock::now_ns().saturating_add(time),
        (_, 0) => time,
        _ => wall_clock::to_monotonic(time),
    }))
}

/// What a futex operation is, without its flags.
const FUTEX_COMMAND: u32 = !(linux::FUTEX_PRIVATE_FLAG | linux::FUTEX_CLOCK_REALTIME);

/// `futex`, where it is one of the operations that locks are made of.
#[inline]
pub fn futex_now(caller: &Caller, context: &UserContext) -> Attempt {
    let (address, operation, value) = (context.rdi as usize, context.rsi as u32, context.rdx as u32);
    let private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let bitset = match operation & FUTEX_COMMAND {
        linux::FUTEX_WAKE if operation & linux::FUTEX_CLOCK_REALTIME == 0 => {
            let key = futex::key_now(caller, address, private)?;
            if value as i32 <= 1 {
                return Ok(futex::wake_one(key));
            }
            let Some(woken) = futex::wake_some(key, wakes(value)) else { return Err(Pause::General) };
            return Ok(woken);
        }
        linux::FUTEX_WAIT => linux::FUTEX_BITSET_MATCH_ANY,
        linux::FUTEX_WAIT_BITSET => context.r9 as u32,
        _ => return Err(Pause::General),
    };
    let deadline = match context.r10 as usize {
        0 => Instant::FAR_FUTURE,
        timeout => futex_deadline(copy_in(timeout)?, operation)?,
    };
    let key = futex::key_now(caller, address, private)?;
    futex::enrol(caller, key, address, value, bitset)?;
    Err(Pause::Futex(deadline))
}

/// Ends the wait that [`futex_now`] began.
#[inline]
pub fn futex_ended(
    caller: &mut Caller,
    context: &UserContext,
    waited: Result<(), Errno>,
    end: Instant,
) -> SysResult {
    if waited.is_ok() {
        return Ok(0);
    }
    let is_plain = context.rsi as u32 & FUTEX_COMMAND == linux::FUTEX_WAIT;
    let again = Restart::Futex {
        address: context.rdi as usize,
        value: context.rdx as u32,
        deadline: end,
        bitset: if is_plain { linux::FUTEX_BITSET_MATCH_ANY } else { context.r9 as u32 },
        private: context.rsi as u32 & linux::FUTEX_PRIVATE_FLAG != 0,
    };
    restartable(caller, waited, again)
}

/// If a signal without a handler interrupts a wait with a time-out, it goes on to the same end.
fn restartable(caller: &mut Caller, waited: Result<(), Errno>, again: Restart) -> SysResult {
    match (waited, &again) {
        (Err(Errno::ERESTARTSYS), Restart::Futex { deadline, .. }) if *deadline != Instant::FAR_FUTURE => {
            caller.restart = Some(Box::new(again));
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        _ => waited.map(|()| 0),
    }
}

pub async fn futex(
    caller: &mut Caller,
    address: usize,
    operation: u32,
    value: u32,
    timeout: usize,
    second: usize,
    value3: u32,
) -> SysResult {
    let private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let realtime = operation & linux::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & FUTEX_COMMAND;
    if realtime && command != linux::FUTEX_WAIT_BITSET && command != linux::FUTEX_WAIT {
        return Err(Errno::ENOSYS);
    }
    let requeue = |expected| futex::Requeue {
        from: address,
        to: second,
        wake: value as usize,
        requeue: timeout,
        expected,
        private,
    };
    match command {
        linux::FUTEX_WAIT | linux::FUTEX_WAIT_BITSET => {
            let absolute = command == linux::FUTEX_WAIT_BITSET;
            let bitset = if absolute { value3 } else { linux::FUTEX_BITSET_MATCH_ANY };
            let deadline = match timeout {
                0 => Instant::FAR_FUTURE,
                timeout => futex_deadline(user_memory::read(caller, timeout).await?, operation)?,
            };
            wait(caller, address, value, deadline, bitset, private).await
        }
        linux::FUTEX_WAKE => {
            futex::wake(caller, address, wakes(value), linux::FUTEX_BITSET_MATCH_ANY, private).await
        }
        linux::FUTEX_WAKE_BITSET => futex::wake(caller, address, wakes(value), value3, private).await,
        linux::FUTEX_REQUEUE | linux::FUTEX_CMP_REQUEUE if (value as i32) < 0 || (timeout as i32) < 0 => {
            Err(Errno::EINVAL)
        }
        linux::FUTEX_REQUEUE => futex::requeue(caller, requeue(None)).await,
        linux::FUTEX_CMP_REQUEUE => futex::requeue(caller, requeue(Some(value3))).await,
        linux::FUTEX_WAKE_OP => {
            let counts = (wakes(value), wakes(timeout as u32));
            futex::wake_op(caller, address, second, counts, value3, private).await
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// `struct futex_waitv`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct WaitedWord {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// Waits on several futexes of 32 bits: which of them was woken.
pub async fn futex_waitv(
    caller: &Caller,
    list: usize,
    count: u32,
    flags: u32,
    timeout: usize,
    clock: u32,
) -> SysResult {
    const BITS_32: u32 = 2;
    let count = count as usize;
    if flags != 0 || list == 0 || !(1..=several::MOST).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let deadline = match timeout {
        0 => Instant::FAR_FUTURE,
        _ if !matches!(clock, linux::CLOCK_MONOTONIC | linux::CLOCK_REALTIME) => return Err(Errno::EINVAL),
        timeout => {
            let time = user_memory::read::<TimeSpec>(caller, timeout).await?.to_ns().ok_or(Errno::EINVAL)?;
            Instant(if clock == linux::CLOCK_MONOTONIC { time } else { wall_clock::to_monotonic(time) })
        }
    };
    let mut words = Vec::new();
    words.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let word: WaitedWord =
            user_memory::read(caller, list.wrapping_add(index * size_of::<WaitedWord>())).await?;
        let private = word.flags & linux::FUTEX_PRIVATE_FLAG != 0;
        if word.flags & !linux::FUTEX_PRIVATE_FLAG != BITS_32 || word.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        words.push(several::Word { address: word.address as usize, expected: word.value as u32, private });
    }
    several::wait(caller, &words, deadline).await
}

/// How many a call is to wake: as on Linux, which counts after it has woken one, at least that.
#[inline]
fn wakes(count: u32) -> usize {
    (count as i32).max(1) as usize
}

/// Waits on a futex.
pub async fn wait(
    caller: &mut Caller,
    address: usize,
    value: u32,
    deadline: Instant,
    bitset: u32,
    private: bool,
) -> SysResult {
    let waited = futex::wait(caller, address, value, deadline, bitset, private).await;
    restartable(caller, waited, Restart::Futex { address, value, deadline, bitset, private })
}
