//! Waiting on many files: epoll_create(2), epoll_ctl(2), epoll_wait(2).

use alloc::boxed::Box;
use core::{future::Future, pin::Pin};

use executor::{sync::Events, time::Instant};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    attempt::{Attempt, Pause, copy_in},
    descriptor::install,
    poll::{Mask, Span},
    signal,
};
use crate::{
    arch::{clock, user::UserContext},
    file::events::epoll::{EDGE, EXCLUSIVE, Epoll, Event, WAKE_UP},
    memory::{self, frame},
    process::Caller,
    user_memory::{self, SysResult, UserBuffer},
};

pub fn create(caller: &Caller, size: i32) -> SysResult {
    if size > 0 { create1(caller, 0) } else { Err(Errno::EINVAL) }
}

pub fn create1(caller: &Caller, flags: u32) -> SysResult {
    if flags & !linux::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    install(caller, Epoll::open(), flags)
}

/// `epoll_ctl`, if there is memory.
#[inline(never)]
pub fn attempt_control(caller: &Caller, context: &UserContext) -> Attempt {
    if frame::is_short() {
        return Err(Pause::General);
    }
    let operation = context.rsi as u32;
    let event = if has_event(operation) { Some(copy_in(context.r10 as usize)?) } else { None };
    Ok(carry_out(caller, context.rdi as i32, operation, context.rdx as i32, event)?)
}

pub async fn control(caller: &Caller, epoll: i32, operation: u32, fd: i32, event: usize) -> SysResult {
    let event = if has_event(operation) { Some(user_memory::read(caller, event).await?) } else { None };
    carry_out(caller, epoll, operation, fd, event)
}

/// Whether an operation of epoll_ctl(2) is given an event.
pub fn has_event(operation: u32) -> bool {
    operation != linux::EPOLL_CTL_DEL
}

/// `epoll_ctl` with an event that has been read.
pub fn carry_out(caller: &Caller, epoll: i32, operation: u32, fd: i32, event: Option<Event>) -> SysResult {
    /// What an exclusive interest may be in.
    const PLAIN: Events = Events::IN.union(Events::OUT).union(Events::ERR).union(Events::HUP);
    let instance = caller.files.get_open(epoll)?;
    let file = caller.files.get_open(fd)?;
    if file.watched().is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = Epoll::of(&instance).filter(|_| !core::ptr::eq(&*instance, &*file)).ok_or(Errno::EINVAL)?;
    let exclusive = event.is_some_and(|event| event.events & EXCLUSIVE != 0);
    match (operation, event) {
        (linux::EPOLL_CTL_ADD, Some(event)) => {
            let strange = event.events & !(PLAIN.bits() | WAKE_UP | EDGE | EXCLUSIVE) != 0;
            if exclusive && (strange || Epoll::of(&file).is_some()) {
                return Err(Errno::EINVAL);
            }
            epoll.add(&file, fd, event)?;
        }
        (linux::EPOLL_CTL_MOD, Some(event)) if !exclusive => epoll.modify(&file, fd, event)?,
        (linux::EPOLL_CTL_DEL, _) => epoll.remove(&file, fd)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Attempts a call of the `epoll_wait` family.
#[inline(never)]
pub fn attempt_wait(caller: &mut Caller, context: &UserContext) -> Attempt {
    let span = match context.orig_rax as u32 {
        linux::__NR_epoll_pwait2 => Span::TimeSpec(context.r10 as usize),
        _ => Span::Milliseconds(context.r10 as i32),
    };
    let mask = match context.orig_rax as u32 {
        linux::__NR_epoll_wait => Mask::Own,
        _ => Mask::At(context.r8 as usize, context.r9 as usize),
    };
    // Milliseconds cannot be wrong, and the time is asked for only if there is something to wait for.
    let deadline = match span {
        Span::Milliseconds(_) => None,
        span => Some(span.deadline()?),
    };
    let mask = mask.read()?;
    let (address, max) = (context.rsi as usize, context.rdx as i32);
    if max <= 0 || max as usize > i32::MAX as usize / size_of::<Event>() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    UserBuffer::new(address, max as usize * size_of::<Event>())?;
    let file = caller.files.get_open(context.rdi as i32)?;
    let epoll = Epoll::of(&file).ok_or(Errno::EINVAL)?;
    let told = epoll.collect(address, max as usize)?;
    if told > 0 {
        return Ok(told);
    }
    let deadline = match deadline {
        Some(deadline) => deadline,
        None => span.deadline()?,
    };
    if deadline.0 <= clock::now_ns() {
        return Ok(0);
    }
    // For the wait's future.
    memory::check_wait()?;
    if let Some(mask) = mask {
        signal::replace_mask_for_call(caller, mask);
    }
    Err(Pause::Epoll(deadline))
}

/// The wait of a call that has found nothing.
pub fn told<'a>(
    caller: &'a Caller,
    context: &UserContext,
    deadline: Instant,
) -> Pin<Box<dyn Future<Output = Attempt> + Send + 'a>> {
    let file = caller.files.get_open(context.rdi as i32);
    let (address, max) = (context.rsi as usize, context.rdx as usize);
    Box::pin(async move {
        let file = file?;
        let epoll = Epoll::of(&file).ok_or(Errno::EINVAL)?;
        epoll.wait(&caller.thread, address, max, deadline).await
    })
}

/// Ends a call that has waited: only an interruption leaves the mask that it has set in place, for the handler to run
/// under.
#[inline(never)]
pub fn ended(caller: &mut Caller, waited: Attempt) -> Attempt {
    if !matches!(waited, Err(Pause::Failed(Errno::EINTR))) {
        signal::restore_mask(caller);
    }
    waited
}
