//! Signals: kill(2), sigaction(2), sigprocmask(2), sigsuspend(2), sigaltstack(2), sigtimedwait(2), sigreturn(2).

use alloc::{boxed::Box, sync::Arc};

use executor::time::Instant;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::attempt::{Attempt, Pause, copy_in, copy_out, copy_out_optional};
use crate::{
    arch::{clock, user::UserContext},
    process::{
        Caller,
        run::Restart,
        signal::{
            Action, Disposition, RawSigInfo, SI_TKILL, SI_USER, SigInfo, SignalSet, await_none, deliver,
            frame::{self, AlternateStack},
            numbers::*,
            send,
        },
        times::TimeSpec,
        tree::{self, Tree},
    },
    user_memory::{self, SysResult},
};

/// A signal number of a call: 0 only tests for existence.
fn checked(signal: usize) -> Result<u8, Errno> {
    if signal as u32 <= u32::from(SIGMAX) { Ok(signal as u8) } else { Err(Errno::EINVAL) }
}

fn info_of(caller: &Caller, signal: u8, code: i32) -> SigInfo {
    SigInfo::user(signal, code, caller.process().pid, caller.credentials.uid())
}

pub fn kill(caller: &Caller, pid: i32, signal: usize) -> SysResult {
    send_to(caller, pid, signal, |signal| info_of(caller, signal, SI_USER)).map(|()| 0)
}

/// Sends to the targets of `kill`'s first argument what `info` makes of the signal. Whether there is such a signal is
/// asked once there is a target.
#[inline]
fn send_to(caller: &Caller, pid: i32, signal: usize, info: impl Fn(u8) -> SigInfo) -> Result<(), Errno> {
    if pid > 0 {
        send_to_process(caller, &mut tree::lock(), pid as u32, signal, info, send::to_process_locked)
    } else {
        send_to_many(caller, pid, signal, &info)
    }
}

/// Sends to a group, or to everybody.
#[inline(never)]
fn send_to_many(caller: &Caller, pid: i32, signal: usize, info: &dyn Fn(u8) -> SigInfo) -> Result<(), Errno> {
    let mut tree = tree::lock();
    let own = caller.process().pid;
    let group = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => None,
        0 => Some(tree.node(own).ok_or(Errno::ESRCH)?.group),
        pid => Some(pid.unsigned_abs()),
    };
    let next = |tree: &Tree, from| match group {
        Some(group) => send::next_member(tree, group, from),
        None => {
            let mut others = tree.nodes_from(from).map(|node| node.process.pid);
            others.find(|target| *target != own && *target != tree::INIT)
        }
    };
    let mut result = Err(Errno::ESRCH);
    let mut from = 0;
    while let Some(target) = next(&tree, from) {
        from = target + 1;
        let sent = send_to_process(caller, &mut tree, target, signal, info, send::to_one_of_many);
        // Sending to everybody succeeds even if nobody may be signalled (kill(2), Linux).
        let sent = if pid == -1 && sent == Err(Errno::EPERM) { Ok(()) } else { sent };
        if sent.is_ok() || result == Err(Errno::ESRCH) {
            result = sent;
        }
    }
    result
}

/// Sends to a process, by `send`, if the caller may.
#[inline(always)]
fn send_to_process(
    caller: &Caller,
    tree: &mut Tree,
    target: u32,
    signal: usize,
    info: impl Fn(u8) -> SigInfo,
    send: impl FnOnce(&mut Tree, u32, SigInfo) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let own = caller.process().pid;
    let info = if target == own {
        info(checked(signal)?)
    } else {
        let node = tree.node(target).ok_or(Errno::ESRCH)?;
        let info = info(checked(signal)?);
        let same_session = tree.node(own).is_some_and(|own| own.session == node.session);
        if !send::may_signal(&caller.credentials, &node.process.credentials(), same_session, info.signal) {
            return Err(Errno::EPERM);
        }
        info
    };
    if info.signal == 0 { Ok(()) } else { send(tree, target, info) }
}

/// Sends to a process what `info` says, or what `kill` would, if the caller may.
pub fn send_by_file(
    caller: &Caller,
    tree: &mut Tree,
    target: u32,
    signal: usize,
    info: Option<SigInfo>,
) -> Result<(), Errno> {
    let of_kill = |signal| info.unwrap_or_else(|| info_of(caller, signal, SI_USER));
    send_to_process(caller, tree, target, signal, of_kill, send::to_process_locked)
}

pub fn tkill(caller: &Caller, tid: i32, signal: usize) -> SysResult {
    send_to_thread(caller, None, tid, signal, |signal| info_of(caller, signal, SI_TKILL))
}

pub fn tgkill(caller: &Caller, pid: i32, tid: i32, signal: usize) -> SysResult {
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    send_to_thread(caller, Some(pid as u32), tid, signal, |signal| info_of(caller, signal, SI_TKILL))
}

fn send_to_thread(
    caller: &Caller,
    pid: Option<u32>,
    tid: i32,
    signal: usize,
    info: impl Fn(u8) -> SigInfo,
) -> SysResult {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let thread = tree::lock().thread(tid as u32).ok_or(Errno::ESRCH)?;
    if pid.is_some_and(|pid| pid != thread.process.pid) {
        return Err(Errno::ESRCH);
    }
    let signal = checked(signal)?;
    if thread.process.pid != caller.process().pid {
        let target = thread.process.credentials();
        if !send::may_signal(&caller.credentials, &target, false, signal) {
            return Err(Errno::EPERM);
        }
    }
    if signal != 0 {
        send::to_thread(&thread, info(signal))?;
    }
    Ok(0)
}

pub async fn rt_sigqueueinfo(caller: &Caller, pid: i32, signal: usize, info: usize) -> SysResult {
    let raw: RawSigInfo = user_memory::read(caller, info).await?;
    let info = SigInfo::from_raw(&raw, signal as u8);
    // Only the kernel and `kill` may say that they were the sender.
    if (info.code >= 0 || info.code == SI_TKILL) && pid as u32 != caller.process().pid {
        return Err(Errno::EPERM);
    }
    send_to(caller, pid, signal, |_| info).map(|()| 0)
}

pub async fn rt_tgsigqueueinfo(caller: &Caller, pid: i32, tid: i32, signal: usize, info: usize) -> SysResult {
    let raw: RawSigInfo = user_memory::read(caller, info).await?;
    let info = SigInfo::from_raw(&raw, signal as u8);
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    // As above; to itself a thread may say anything.
    if (info.code >= 0 || info.code == SI_TKILL) && tid as u32 != caller.thread.tid() {
        return Err(Errno::EPERM);
    }
    send_to_thread(caller, Some(pid as u32), tid, signal, |_| info)
}

pub fn rt_sigaction(caller: &Caller, signal: usize, new: usize, old: usize, size: usize) -> Attempt {
    if size != size_of::<SignalSet>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let signal = checked(signal)?;
    if signal == 0 {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let replacement: Option<Action> = if new == 0 { None } else { Some(copy_in(new)?) };
    if replacement.is_some() && SignalSet::UNBLOCKABLE.has(signal) {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let process = caller.process();
    if old != 0 {
        // Before anything changes, so that a missing page leaves the call undone.
        let previous = *process.signals.lock().actions.get(signal);
        copy_out(old, &previous)?;
    }
    if let Some(mut action) = replacement {
        action.mask = action.mask.minus(SignalSet::UNBLOCKABLE);
        set_action(caller, signal, action);
    }
    Ok(0)
}

/// Replaces an action; instances of a signal that is now ignored are no longer pending (POSIX 2.4.3).
fn set_action(caller: &Caller, signal: u8, action: Action) {
    let process = caller.process();
    if action.disposition(signal) != Disposition::Ignore {
        Arc::make_mut(&mut process.signals.lock().actions).set(signal, action);
        return;
    }
    let tree = tree::lock();
    let mut shared = process.signals.lock();
    Arc::make_mut(&mut shared.actions).set(signal, action);
    let ignored = SignalSet::of(&[signal]);
    shared.pending.discard(ignored);
    for thread in tree.node(process.pid).iter().flat_map(|node| &node.threads) {
        thread.signals.lock().pending.discard(ignored);
    }
}

pub fn rt_sigprocmask(caller: &Caller, how: usize, new: usize, old: usize, size: usize) -> Attempt {
    if size != size_of::<SignalSet>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let previous = caller.thread.signals.lock().blocked;
    let replacement = if new == 0 {
        None
    } else {
        let set: SignalSet = copy_in(new)?;
        Some(match how as u32 {
            linux::SIG_BLOCK => previous.plus(set),
            linux::SIG_UNBLOCK => previous.minus(set),
            linux::SIG_SETMASK => set,
            _ => return Err(Pause::Failed(Errno::EINVAL)),
        })
    };
    if old != 0 {
        copy_out(old, &previous)?;
    }
    if let Some(mask) = replacement {
        deliver::set_mask(caller, mask);
    }
    Ok(0)
}

pub fn rt_sigpending(caller: &Caller, set: usize, size: usize) -> Attempt {
    if size > size_of::<SignalSet>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let pending = {
        let shared = caller.process().signals.lock();
        let own = caller.thread.signals.lock();
        SignalSet(own.pending.set().plus(shared.pending.set()).0 & own.blocked.0)
    };
    copy_out(set, &pending.0.to_ne_bytes()[..size])?;
    Ok(0)
}

/// Puts `mask` in place of the thread's until the signals it lets in have been delivered.
pub fn replace_mask_for_call(caller: &mut Caller, mask: SignalSet) {
    caller.saved_mask.set(caller.thread.signals.lock().blocked);
    deliver::set_mask(caller, mask);
}

/// Puts the thread's own mask back at once: the call ended without a signal.
pub fn restore_mask(caller: &mut Caller) {
    if let Some(mask) = caller.saved_mask.take() {
        deliver::set_mask(caller, mask);
    }
}

/// `rt_sigsuspend`, up to the sleep.
#[inline(never)]
pub fn rt_sigsuspend(caller: &mut Caller, mask: usize, size: usize) -> Attempt {
    if size != size_of::<SignalSet>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let mask = copy_in(mask)?;
    replace_mask_for_call(caller, mask);
    Err(Pause::Sleep(Instant::FAR_FUTURE))
}

/// `sigaltstack` that tells which stack there is or sets one. One that did both would tell what it has set if it was attempted
/// again.
pub fn sigaltstack_now(caller: &mut Caller, context: &UserContext) -> Attempt {
    let (new, old) = (context.rdi as usize, context.rsi as usize);
    if new != 0 && old != 0 {
        return Err(Pause::General);
    }
    let replacement = if new == 0 { None } else { Some(copy_in(new)?) };
    let before = replace_alternate_stack(caller, context.rsp, replacement)?;
    copy_out_optional(old, &before)?;
    Ok(0)
}

pub async fn sigaltstack(caller: &mut Caller, rsp: u64, new: usize, old: usize) -> SysResult {
    let replacement = if new == 0 { None } else { Some(user_memory::read(caller, new).await?) };
    let before = replace_alternate_stack(caller, rsp, replacement)?;
    user_memory::write_optional(caller, old, before).await?;
    Ok(0)
}

/// Tells the stack for signals, and sets another if there is one.
fn replace_alternate_stack(
    caller: &mut Caller,
    rsp: u64,
    replacement: Option<AlternateStack>,
) -> Result<AlternateStack, Errno> {
    /// `MINSIGSTKSZ` on x86_64.
    const MINIMUM: usize = 2048;
    let mut before = caller.alternate_stack;
    let in_use = before.contains(rsp);
    if let Some(mut stack) = replacement {
        let mode = stack.flags & !frame::SS_AUTODISARM;
        if in_use {
            return Err(Errno::EPERM);
        }
        if mode != 0 && mode != linux::SS_ONSTACK && mode != linux::SS_DISABLE {
            return Err(Errno::EINVAL);
        }
        if mode == linux::SS_DISABLE {
            stack = AlternateStack::DISABLED;
        } else if stack.size < MINIMUM {
            return Err(Errno::ENOMEM);
        }
        stack.flags &= !linux::SS_ONSTACK;
        caller.alternate_stack = stack;
    }
    if in_use {
        before.flags |= linux::SS_ONSTACK;
    }
    Ok(before)
}

/// `rt_sigtimedwait`, up to the wait.
#[inline(never)]
pub fn rt_sigtimedwait(caller: &Caller, set: usize, timeout: usize, size: usize) -> Attempt {
    if size != size_of::<SignalSet>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let wanted = copy_in::<SignalSet>(set)?.minus(SignalSet::UNBLOCKABLE);
    let deadline = match timeout {
        0 => Instant::FAR_FUTURE,
        address => {
            let span = copy_in::<TimeSpec>(address)?.to_ns().ok_or(Errno::EINVAL)?;
            Instant(clock::now_ns().saturating_add(span))
        }
    };
    caller.thread.signals.lock().awaited = wanted;
    Err(Pause::Signal(deadline))
}

/// Ends a call that has waited for a signal.
#[inline(never)]
pub fn signal_awaited(
    caller: &mut Caller,
    context: &UserContext,
    arrival: Result<SigInfo, Errno>,
) -> Attempt {
    await_none(&caller.thread);
    let (info, address) = (arrival?, context.rsi as usize);
    if address != 0 && copy_out(address, &info.to_raw()).is_err() {
        caller.restart = Some(Box::new(Restart::Info(info)));
        return Err(Pause::General);
    }
    Ok(info.signal as usize)
}

/// Tells of a signal that had no page to go to.
pub async fn tell_later(caller: &mut Caller, address: usize) -> SysResult {
    let Some(restart) = caller.restart.take() else { return Err(Errno::EINTR) };
    let Restart::Info(info) = *restart else { return Err(Errno::EINTR) };
    user_memory::write(caller, address, info.to_raw()).await?;
    Ok(info.signal as usize)
}

/// Takes the interrupted state back from the frame on the stack. Returns what `rax` was.
pub fn rt_sigreturn(caller: &mut Caller, context: &mut UserContext) -> Attempt {
    let mask = frame::pop(caller, context)?;
    deliver::set_mask(caller, mask);
    Ok(context.rax as usize)
}
