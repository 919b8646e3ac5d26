//! Waiting on several files: poll(2), select(2).
//!
//! ```text
//!   attempt ─► look at the files ──some ready, no time, or a signal────────────────┐
//!      │           └─none─► Pause::Files: wait ─► ended ───────────────────────────┴─► answer ─► result
//!      │                                             a page for the answer missing: answer_later
//!      └─ more than AT_ONCE ─► many: the same by parts, between which others have their turn
//! ```
//!
//! Where the files are written down, and the answer: [`files`].
//!
//! While a thread waits, its arguments are in its registers and nowhere else; the answer is what is found then, so the
//! arrays in user memory are neither kept nor read again.

mod files;
mod many;

use alloc::boxed::Box;

use executor::{sync::Watchers, time::Instant};
use linux_raw_sys::general::*;
use syscalls::Errno;

use files::{Files, Sight};

use super::{
    Arguments,
    attempt::{Attempt, Pause, copy_in, copy_out},
    signal,
};
use crate::{
    arch::{clock, user::UserContext},
    file::poll::{Wait, Waited},
    process::{
        Caller,
        run::Restart,
        signal::SignalSet,
        times::{TimeSpec, TimeVal},
    },
    user_memory::{SysResult, fault_in},
};

/// A call of the family, as its arguments tell it.
#[derive(Clone, Copy)]
struct Call {
    files: Files,
    span: Span,
    mask: Mask,
}

/// Where a call says how long it may take. Addresses of 0 are for "for ever".
#[derive(Clone, Copy)]
pub enum Span {
    /// Milliseconds; a negative number is "for ever".
    Milliseconds(i32),
    /// The address of a `timespec`, which gets what is left.
    TimeSpec(usize),
    /// The address of a `timeval`, which gets what is left.
    TimeVal(usize),
}

/// Where a call says which signals are blocked while it waits.
#[derive(Clone, Copy)]
pub enum Mask {
    /// Those that are blocked anyway.
    Own,
    /// The address of a set, or 0, and its size.
    At(usize, usize),
    /// The address of these two, or 0.
    Described(usize),
}

impl Call {
    fn new(caller: &Caller, number: u32, a: Arguments) -> Self {
        let list = Files::List { address: a[0], count: a[1] };
        // As on Linux, what lies behind the table of descriptors is neither read nor written. (Where another thread has it
        // grow meanwhile, the answer of a call that has waited has zeros for the new part.)
        let sets = || {
            let count = usize::try_from(a[0] as i32).ok().map(|count| count.min(caller.files.room()));
            Files::Sets { addresses: [a[1], a[2], a[3]], count }
        };
        match number {
            __NR_ppoll => Self { files: list, span: Span::TimeSpec(a[2]), mask: Mask::At(a[3], a[4]) },
            __NR_select => Self { files: sets(), span: Span::TimeVal(a[4]), mask: Mask::Own },
            __NR_pselect6 => Self { files: sets(), span: Span::TimeSpec(a[4]), mask: Mask::Described(a[5]) },
            // `poll`, and the `restart_syscall` that goes on with it.
            _ => Self { files: list, span: Span::Milliseconds(a[2] as i32), mask: Mask::Own },
        }
    }

    fn of(caller: &Caller, context: &UserContext) -> Self {
        let arguments = [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9];
        Self::new(caller, context.orig_rax as u32, arguments.map(|argument| argument as usize))
    }
}

/// So many files are looked at in one go, which takes some two hundred instructions each.
const AT_ONCE: usize = 256;

/// Attempts a call of the family.
#[inline(never)]
pub fn attempt(caller: &mut Caller, context: &UserContext) -> Attempt {
    let call = Call::of(caller, context);
    if call.files.places().len() > AT_ONCE {
        caller.restart = None;
        return Err(Pause::General);
    }
    let deadline = call.span.deadline()?;
    begin(caller, call, deadline)
}

/// Attempts to go on with a `poll` that was interrupted.
#[inline(never)]
pub fn attempt_rest(caller: &mut Caller, context: &UserContext) -> Attempt {
    match caller.restart.as_deref() {
        Some(&Restart::Poll { deadline }) => {
            let call = Call::of(caller, context);
            if call.files.places().len() > AT_ONCE {
                return Err(Pause::General);
            }
            begin(caller, call, deadline)
        }
        _ => Err(Pause::General),
    }
}

/// Carries out a call that could not be attempted: that has waited and has to be told what came of it, or that is about many
/// files.
pub async fn call(caller: &mut Caller, number: u32, arguments: Arguments) -> SysResult {
    if let Some(Restart::Answer(_)) = caller.restart.as_deref() {
        return answer_later(caller).await;
    }
    let call = Call::new(caller, number, arguments);
    many::call(caller, call, None).await
}

/// Goes on with a `poll` of many files that was interrupted.
pub async fn call_rest(caller: &mut Caller, arguments: Arguments, deadline: Instant) -> SysResult {
    let call = Call::new(caller, __NR_poll, arguments);
    many::call(caller, call, Some(deadline)).await
}

fn begin(caller: &mut Caller, call: Call, deadline: Instant) -> Attempt {
    let mask = call.mask.read()?;
    call.files.check(caller)?;
    let is_waiting = deadline.0 > clock::now_ns();
    let Sight { watchers, ready, .. } = call.files.look(caller, call.files.places(), is_waiting)?;
    // From here on a missing page is no reason to begin anew.
    if let Some(mask) = mask {
        signal::replace_mask_for_call(caller, mask);
    }
    let ready = if !ready.is_empty() {
        Ok(ready)
    } else if caller.thread.is_called() {
        Err(Errno::ERESTARTSYS)
    } else if !is_waiting {
        Ok(ready)
    } else {
        return Err(Pause::Files(Box::new(Wait { watchers: Watchers::new(watchers), deadline })));
    };
    answer(caller, call, Waited { ready, deadline })
}

/// Ends a call that has waited.
#[inline(never)]
pub fn ended(caller: &mut Caller, context: &UserContext, waited: Waited) -> Attempt {
    answer(caller, Call::of(caller, context), waited)
}

/// An answer that has not been written yet.
pub struct Unanswered {
    call: Call,
    waited: Waited,
}

fn answer(caller: &mut Caller, call: Call, waited: Waited) -> Attempt {
    match write_answer(&call, &waited) {
        Ok(result) => Ok(finish(caller, &call, result, waited.deadline)?),
        Err(_) => {
            caller.restart = Some(Box::new(Restart::Answer(Unanswered { call, waited })));
            Err(Pause::General)
        }
    }
}

/// Writes the answer and what is left of the time; all of it again if a page was missing.
fn write_answer(call: &Call, waited: &Waited) -> Result<SysResult, Pause> {
    let result = match &waited.ready {
        Ok(ready) => Ok(call.files.answer(call.files.places(), ready)?),
        Err(errno) => Err(*errno),
    };
    call.span.tell_left(waited.deadline)?;
    Ok(result)
}

/// Answers a call whose answer had no page to go to.
pub async fn answer_later(caller: &mut Caller) -> SysResult {
    let Some(restart) = caller.restart.take() else { return Err(Errno::EINTR) };
    let Restart::Answer(Unanswered { call, waited }) = *restart else { return Err(Errno::EINTR) };
    let result = match &waited.ready {
        Ok(ready) => with_pages(caller, || call.files.answer(call.files.places(), ready)).await,
        Err(errno) => Err(*errno),
    };
    conclude(caller, &call, result, waited.deadline).await
}

/// Ends a call whose answer has been written, after telling what is left of its time.
async fn conclude(caller: &mut Caller, call: &Call, result: SysResult, deadline: Instant) -> SysResult {
    let told = with_pages(caller, || call.span.tell_left(deadline)).await;
    finish(caller, call, result, deadline).map_err(|errno| match errno {
        // An interrupted call for which that cannot be told cannot be gone on with.
        Errno::ERESTARTNOHAND if told.is_err() => Errno::EINTR,
        errno => errno,
    })
}

/// Copies from and to user memory until no page is missing.
async fn with_pages<T>(caller: &Caller, mut copy: impl FnMut() -> Result<T, Pause>) -> Result<T, Errno> {
    loop {
        match copy() {
            Ok(copied) => return Ok(copied),
            Err(Pause::Fault(address, access)) => fault_in(caller, address, access).await?,
            Err(Pause::Failed(errno)) => return Err(errno),
            Err(_) => unreachable!("a copy waits for pages alone"),
        }
    }
}

/// Ends a call: only an interruption leaves the mask that it has set in place, for the handler to run under.
fn finish(caller: &mut Caller, call: &Call, result: SysResult, deadline: Instant) -> SysResult {
    match (result, call.span) {
        (Err(Errno::ERESTARTSYS), Span::Milliseconds(_)) => {
            caller.restart = Some(Box::new(Restart::Poll { deadline }));
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        (Err(Errno::ERESTARTSYS), _) => Err(Errno::ERESTARTNOHAND),
        (result, _) => {
            signal::restore_mask(caller);
            result
        }
    }
}

impl Span {
    /// When it ends, if it begins now.
    pub fn deadline(self) -> Result<Instant, Pause> {
        let span = match self {
            Self::Milliseconds(..0) | Self::TimeSpec(0) | Self::TimeVal(0) => return Ok(Instant::FAR_FUTURE),
            Self::Milliseconds(span) => span as u64 * 1_000_000,
            Self::TimeSpec(address) => copy_in::<TimeSpec>(address)?.to_ns().ok_or(Errno::EINVAL)?,
            Self::TimeVal(address) => {
                let span: TimeVal = copy_in(address)?;
                // Unlike elsewhere, a second's worth of microseconds or more is taken for what it is.
                if span.seconds < 0 || span.microseconds < 0 {
                    return Err(Pause::Failed(Errno::EINVAL));
                }
                let seconds = (span.seconds as u64).saturating_mul(1_000_000_000);
                seconds.saturating_add((span.microseconds as u64).saturating_mul(1000))
            }
        };
        Ok(Instant(clock::now_ns().saturating_add(span)))
    }

    /// Tells how much is left, as Linux's `ppoll`, `select` and `pselect6` do.
    fn tell_left(self, deadline: Instant) -> Result<(), Pause> {
        let left = || deadline.0.saturating_sub(clock::now_ns());
        match self {
            Self::Milliseconds(_) | Self::TimeSpec(0) | Self::TimeVal(0) => Ok(()),
            Self::TimeSpec(address) => copy_out(address, &TimeSpec::from_ns(left())),
            Self::TimeVal(address) => copy_out(address, &TimeVal::from_ns(left())),
        }
    }
}

impl Mask {
    pub fn read(self) -> Result<Option<SignalSet>, Pause> {
        let (address, size) = match self {
            Self::Own | Self::Described(0) => return Ok(None),
            Self::At(address, size) => (address, size),
            Self::Described(address) => copy_in::<[usize; 2]>(address)?.into(),
        };
        if address == 0 {
            return Ok(None);
        }
        if size != size_of::<SignalSet>() {
            return Err(Pause::Failed(Errno::EINVAL));
        }
        copy_in(address).map(Some)
    }
}
