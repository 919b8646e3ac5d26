//! Delivery: what a thread does about its signals, and whatever else calls it, on the way back to user mode.
//!
//! Like a system call this is attempted at once ([`attend`]); only what has to wait ([`Obstacle`]) is a future
//! ([`overcome`]).

use executor::sleep_until;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Action, Disposition, ProcessSignals, SavedMask, SigInfo, SignalSet, ThreadSignals, frame, numbers::*,
    send,
};
use crate::{
    arch::{
        percpu,
        user::{Access, UserContext},
    },
    process::{
        Caller, Thread, affinity,
        deadline::Exhausted,
        exit, rseq,
        thread::{Attention, interruptible},
        timers,
        trace::{self, points::Point},
        tree::{self, JobEvent},
        wait::{self, ExitStatus},
    },
    profile, strace,
    syscall::attempt::Pause,
    user_memory::fault_in,
};

/// How a system call that a signal cut short is to go on (the kernel-internal error numbers of Linux).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// Not cut short.
    No,
    /// ERESTARTSYS: again if the handler has `SA_RESTART` or there is none, else EINTR.
    IfAllowed,
    /// ERESTARTNOINTR: always again.
    Always,
    /// ERESTARTNOHAND: again only if no handler runs.
    IfNoHandler,
    /// ERESTART_RESTARTBLOCK: through `restart_syscall` if no handler runs, so that a relative time-out goes on.
    ThroughBlock,
}

impl Restart {
    fn of(context: &UserContext) -> Self {
        if context.orig_rax == u64::MAX {
            return Self::No;
        }
        let errno = |e: Errno| (-i64::from(e.into_raw())) as u64;
        match context.rax {
            rax if rax == errno(Errno::ERESTARTSYS) => Self::IfAllowed,
            rax if rax == errno(Errno::ERESTARTNOINTR) => Self::Always,
            rax if rax == errno(Errno::ERESTARTNOHAND) => Self::IfNoHandler,
            rax if rax == errno(Errno::ERESTART_RESTARTBLOCK) => Self::ThroughBlock,
            _ => Self::No,
        }
    }
}

/// Makes the thread execute its `syscall` instruction (two bytes) again.
fn repeat_call(context: &mut UserContext, number: u64) {
    context.rax = number;
    context.set_rip(context.rip().wrapping_sub(2));
}

/// What keeps a thread from going on in user mode until something has been waited for.
pub enum Obstacle {
    /// It must exit.
    Exit,
    /// Its tracer wants it to stop.
    Point(Point),
    /// Its process is stopped.
    Stop,
    /// It must go to another CPU.
    Place,
    /// It has had the time that it has reserved.
    Exhausted(Exhausted),
    /// It is to be sampled.
    Sample,
    /// A call of it that is logged has ended.
    Log,
    /// A page that its restartable sequence needs is missing.
    Sequence(usize, Access),
    /// A page that a handler's frame needs is missing.
    Frame(usize, Access, Delivery),
}

/// A signal that has been taken. If it is to be handled, its handler's mask is in force.
pub struct Delivery {
    info: SigInfo,
    action: Action,
    /// The mask that the handler's return restores.
    mask: SignalSet,
}

/// Attends to everything that called the thread, as far as it can be done at once.
#[inline(never)]
pub fn attend(caller: &mut Caller, context: &mut UserContext) -> Result<(), Obstacle> {
    loop {
        let attention = caller.thread.attention();
        if attention.intersects(OUT_OF_TURN) {
            match look_out(&caller.thread, context, attention) {
                Some(Err(obstacle)) => return Err(obstacle),
                Some(Ok(())) => return Ok(()),
                None => {}
            }
        }
        if attention.contains(Attention::SEQUENCE) {
            caller.thread.settle(Attention::SEQUENCE);
            rseq::resume(caller, context).map_err(|(address, access)| Obstacle::Sequence(address, access))?;
            continue;
        }
        if attention.contains(Attention::SIGNAL) {
            if attention.contains(Attention::TRACED) {
                if let Some(mut info) = take(&caller.thread) {
                    timers::delivered(&caller.thread.process, &mut info);
                    return Err(Obstacle::Point(Point::Signal(info)));
                }
            } else if let Some(mut delivery) = next(&caller.thread) {
                timers::delivered(&caller.thread.process, &mut delivery.info);
                if attention.contains(Attention::LOGGED) {
                    strace::signal(&caller.thread, &delivery.info);
                }
                deliver(caller, context, delivery)?;
                continue;
            }
        }
        restart_unhandled(context);
        // The mask that comes back may let something in.
        match caller.saved_mask.take() {
            Some(mask) => set_mask(caller, mask),
            None => {
                if attention.intersects(Attention::WATCHED) {
                    context.watch();
                }
                return Ok(());
            }
        }
    }
}

/// What most threads never meet.
const OUT_OF_TURN: Attention = Attention::KILL
    .union(Attention::STOP)
    .union(Attention::PLACE)
    .union(Attention::WATCHED)
    .union(Attention::SAMPLE)
    .union(Attention::RESERVED);

/// Looks for what comes before signals: an obstacle, or a call that is to be served first; None if there is nothing.
#[cold]
#[inline(never)]
fn look_out(thread: &Thread, context: &UserContext, attention: Attention) -> Option<Result<(), Obstacle>> {
    if attention.contains(Attention::KILL) {
        return Some(Err(Obstacle::Exit));
    }
    if attention.intersects(Attention::WATCHED) && context.has_begun_call() {
        return Some(Ok(()));
    }
    if attention.contains(Attention::SAMPLE) {
        thread.settle(Attention::SAMPLE);
        return Some(Err(Obstacle::Sample));
    }
    if attention.contains(Attention::LOGGED) && strace::is_in_call(thread) {
        return Some(Err(Obstacle::Log));
    }
    if attention.contains(Attention::TRACED)
        && let Some(point) = trace::watch::due(thread, context, attention)
    {
        return Some(Err(Obstacle::Point(point)));
    }
    if attention.contains(Attention::STOP) {
        return Some(Err(Obstacle::Stop));
    }
    if attention.contains(Attention::PLACE) {
        return Some(Err(Obstacle::Place));
    }
    if attention.contains(Attention::RESERVED) && !attention.contains(Attention::SIGNAL) {
        match thread.allowance() {
            Ok(ns) => percpu::worker_of_this_cpu()?.end_slice_within(ns),
            Err(exhausted) => return Some(Err(Obstacle::Exhausted(exhausted))),
        }
    }
    None
}

/// Does what is to be done about a signal.
#[inline(always)]
fn deliver(caller: &mut Caller, context: &mut UserContext, delivery: Delivery) -> Result<(), Obstacle> {
    let signal = delivery.info.signal;
    match delivery.action.disposition(signal) {
        Disposition::Ignore | Disposition::Continue => {}
        Disposition::Stop => stop(caller, signal),
        Disposition::Terminate => {
            exit::group(caller, ExitStatus::killed(signal));
            return Err(Obstacle::Exit);
        }
        // A second signal is delivered on top of the first one's handler.
        Disposition::Handle => {
            if let Err((address, access)) = handle(caller, context, &delivery) {
                return Err(Obstacle::Frame(address, access, delivery));
            }
        }
    }
    Ok(())
}

/// Waits until an obstacle is out of the way; then the thread is to [`attend`] again.
pub async fn overcome(caller: &mut Caller, context: &mut UserContext, mut obstacle: Obstacle) {
    if let Obstacle::Point(point) = obstacle {
        let signal = trace::points::reach(caller, context, point).await;
        let delivery = signal.and_then(|info| allowed(&caller.thread, info));
        if let Some(delivery) = &delivery
            && caller.thread.is_logged()
        {
            strace::signal(&caller.thread, &delivery.info);
        }
        // What has come in the way meanwhile is met again.
        match delivery.map(|delivery| deliver(caller, context, delivery)) {
            Some(Err(next)) => obstacle = next,
            _ => return caller.thread.note_interruption(),
        }
    }
    match obstacle {
        // Nothing gets that out of the way.
        Obstacle::Exit | Obstacle::Point(_) => {}
        Obstacle::Sample => profile::sample_user(caller, context).await,
        Obstacle::Log => strace::ended(caller, context).await,
        Obstacle::Stop => halt(caller).await,
        Obstacle::Place => {
            caller.thread.settle(Attention::PLACE);
            affinity::follow(&caller.thread).await;
        }
        Obstacle::Exhausted(Exhausted { until, tells }) => {
            if tells {
                // To a process that has it blocked or pending, it is nothing new.
                let _ = send::to_process(caller.process(), SigInfo::kernel(SIGXCPU));
            }
            // Whatever calls it is served first, and what is left waited for after that.
            let _ = interruptible(&caller.thread, sleep_until(until)).await;
        }
        Obstacle::Sequence(address, access) => match fault_in(caller, address, access).await {
            Ok(()) => caller.thread.raise(Attention::SEQUENCE),
            Err(_) => rseq::give_up(caller),
        },
        Obstacle::Frame(mut address, mut access, delivery) => loop {
            if fault_in(caller, address, access).await.is_err() {
                no_room(caller, delivery.info.signal);
                break;
            }
            match handle(caller, context, &delivery) {
                Ok(()) => break,
                Err(missing) => (address, access) = missing,
            }
        },
    }
    // Others have run here meanwhile, or the thread is elsewhere.
    caller.thread.note_interruption();
}

/// Takes the next signal that is neither blocked nor ignored, with its action and the mask so far. If it is to be
/// handled, the handler's mask is in force at once.
fn next(thread: &Thread) -> Option<Delivery> {
    let mut shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let mask = own.blocked;
    let found = loop {
        let Some(info) = own.pending.take(mask).or_else(|| shared.pending.take(mask)) else { break None };
        if let Some(delivery) = unless_ignored(&mut shared, &mut own, info, Some(thread)) {
            break Some(delivery);
        }
    };
    settle(thread, &shared, &own);
    let refused = mask.minus(own.awaited);
    send::hand_on(thread, shared, own, refused);
    found
}

/// Takes the next signal that is not blocked, for the tracer to decide about.
#[cold]
fn take(thread: &Thread) -> Option<SigInfo> {
    let mut shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let mask = own.blocked;
    let found = own.pending.take(mask).or_else(|| shared.pending.take(mask));
    // Whatever it is: a tracer may let in another.
    thread.note_may_stop(found.is_some());
    settle(thread, &shared, &own);
    found
}

/// What is to be done about a signal that a tracer lets in.
fn allowed(thread: &Thread, info: SigInfo) -> Option<Delivery> {
    let mut shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let refused = own.refused();
    let found = unless_ignored(&mut shared, &mut own, info, None);
    send::hand_on(thread, shared, own, refused);
    found
}

/// What is to be done about a signal that was taken, unless that is nothing. A handler's mask is in force from here on. That it
/// may stop the process is noted of the `taker`; of what a tracer lets in it was noted when that was taken.
#[inline(always)]
fn unless_ignored(
    shared: &mut ProcessSignals,
    own: &mut ThreadSignals,
    info: SigInfo,
    taker: Option<&Thread>,
) -> Option<Delivery> {
    let mask = own.blocked;
    let action = *shared.actions.get(info.signal);
    match action.disposition(info.signal) {
        Disposition::Ignore => return None,
        Disposition::Stop => {
            if let Some(taker) = taker {
                taker.note_may_stop(true);
            }
        }
        Disposition::Handle => {
            own.blocked = mask.plus(action.mask);
            if !action.has(linux::SA_NODEFER) {
                own.blocked.add(info.signal);
            }
            if action.has(linux::SA_RESETHAND) {
                alloc::sync::Arc::make_mut(&mut shared.actions).set(info.signal, Action::default());
            }
        }
        _ => {}
    }
    Some(Delivery { info, action, mask })
}

/// Notes that no signal calls the thread, if so. Whoever sends another one does so under these locks, and calls it again.
#[inline(always)]
fn settle(thread: &Thread, shared: &ProcessSignals, own: &ThreadSignals) {
    if own.pending.set().plus(shared.pending.set()).minus(own.blocked).is_empty() {
        thread.settle(Attention::SIGNAL);
    }
}

/// Has the handler run next, after deciding what becomes of an interrupted system call. `Err` is the page that is
/// missing for it; then it is to be repeated.
fn handle(
    caller: &mut Caller,
    context: &mut UserContext,
    delivery: &Delivery,
) -> Result<(), (usize, Access)> {
    let Delivery { info, action, mask } = delivery;
    let number = context.orig_rax;
    match Restart::of(context) {
        Restart::No => {}
        Restart::Always => repeat_call(context, number),
        Restart::IfAllowed if action.has(linux::SA_RESTART) => repeat_call(context, number),
        _ => context.rax = (-i64::from(Errno::EINTR.into_raw())) as u64,
    }
    context.orig_rax = u64::MAX;
    let mask = caller.saved_mask.get().unwrap_or(*mask);
    let pushed =
        rseq::interrupt(caller, context).and_then(|()| frame::push(caller, context, info, action, mask));
    match pushed {
        Ok(()) => caller.saved_mask = SavedMask::default(),
        Err(Pause::Fault(address, access)) => return Err((address, access)),
        Err(_) => no_room(caller, info.signal),
    }
    Ok(())
}

/// There is no place for the frame of `signal`'s handler. That is a fault of the thread's own; if it is the handler for
/// such faults that cannot run, the process dies.
#[cold]
fn no_room(caller: &Caller, signal: u8) {
    let force = if signal == SIGSEGV { send::force_fatal } else { send::force };
    force(&caller.thread, SigInfo::kernel(SIGSEGV));
}

/// A call that was cut short and met no handler starts again.
fn restart_unhandled(context: &mut UserContext) {
    let number = context.orig_rax;
    match Restart::of(context) {
        Restart::No => return,
        Restart::ThroughBlock => {
            repeat_call(context, u64::from(linux::__NR_restart_syscall));
        }
        _ => repeat_call(context, number),
    }
    context.orig_rax = u64::MAX;
}

/// Replaces the mask of blocked signals and looks whether a pending one has become deliverable.
pub fn set_mask(caller: &Caller, mask: SignalSet) {
    block(&caller.thread, mask);
}

/// As [`set_mask`], for a tracer.
#[inline(always)]
pub fn block(thread: &Thread, mask: SignalSet) {
    let shared = thread.process.signals.lock();
    let mut own = thread.signals.lock();
    let refused = own.refused();
    own.blocked = mask.minus(SignalSet::UNBLOCKABLE);
    let pending = own.pending.set().plus(shared.pending.set());
    if !pending.minus(own.blocked).is_empty() {
        thread.raise(Attention::SIGNAL);
    }
    send::hand_on(thread, shared, own, refused);
}

/// Stops the process: every thread is called, and halts on its way to user mode.
fn stop(caller: &Caller, signal: u8) {
    let process = &caller.thread.process;
    let mut tree = tree::lock();
    let Some(node) = tree.node(process.pid) else { return };
    // A terminal's stop signal does nothing in an orphaned group: nobody could continue it (POSIX 2.4.3).
    if signal != SIGSTOP && tree.is_orphaned(node.group) {
        return;
    }
    {
        let mut shared = process.signals.lock();
        if !caller.thread.take_may_stop() {
            return;
        }
        if shared.is_stopped() {
            // A tracer had let the caller go on.
            caller.thread.raise(Attention::STOP);
            return;
        }
        shared.set_stopped(Some(signal));
    }
    for thread in &node.threads {
        thread.raise(Attention::STOP);
    }
    wait::report_job_event(&mut tree, process.pid, JobEvent::Stopped(signal));
}

/// Waits until the process continues or is killed.
async fn halt(caller: &Caller) {
    let thread = &caller.thread;
    thread
        .process
        .resumed
        .wait_until(|| {
            let attention = thread.attention();
            let is_called = attention.intersects(Attention::KILL | Attention::TRAP);
            (is_called || !attention.contains(Attention::STOP)).then_some(())
        })
        .await;
}
