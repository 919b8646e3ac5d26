//! Waiting on several files: poll(2), select(2).
//!
//! ```text
//!   attempt ─► look at the files ──some ready, no time, or a signal────────────────┐
//!                  └─none─► Pause::Files: wait ─► ended ───────────────────────────┴─► answer ─► result
//!                                                    a page for the answer missing: answer_later
//! ```
//!
//! While a thread waits, its arguments are in its registers and nowhere else; the answer is what is found then, so the
//! arrays in user memory are neither kept nor read again.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::mem::offset_of;

use executor::{
    sync::{Events, Watcher, Watchers},
    time::Instant,
};
use linux_raw_sys::general::*;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    Arguments,
    attempt::{Attempt, Pause, copy_in, copy_out},
    signal,
    user::{SysResult, fault_in},
};
use crate::{
    arch::{clock, user::UserContext},
    file::{
        File,
        poll::{Ready, Wait, Waited},
    },
    process::{
        Caller,
        run::Restart,
        signal::SignalSet,
        times::{TimeSpec, TimeVal},
    },
};

/// `struct pollfd`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// A call of the family, as its arguments tell it.
#[derive(Clone, Copy)]
struct Call {
    files: Files,
    span: Span,
    mask: Mask,
}

/// Where a call says which files it is about, and gets its answer.
#[derive(Clone, Copy)]
enum Files {
    /// An array of [`PollFd`].
    List { address: usize, count: usize },
    /// Bit maps, of descriptors below `count`; an address of 0 stands for an empty one. None if the count is negative.
    Sets { addresses: [usize; 3], count: Option<usize> },
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

/// Attempts a call of the family.
#[inline(never)]
pub fn attempt(caller: &mut Caller, context: &UserContext) -> Attempt {
    let call = Call::of(caller, context);
    let deadline = call.span.deadline()?;
    begin(caller, call, deadline)
}

/// Attempts to go on with a `poll` that was interrupted.
#[inline(never)]
pub fn attempt_rest(caller: &mut Caller, context: &UserContext) -> Attempt {
    match caller.restart.as_deref() {
        Some(&Restart::Poll { deadline }) => begin(caller, Call::of(caller, context), deadline),
        _ => Err(Pause::General),
    }
}

fn begin(caller: &mut Caller, call: Call, deadline: Instant) -> Attempt {
    let mask = call.mask.read()?;
    let (watchers, ready) = call.files.look(caller)?;
    // From here on a missing page is no reason to begin anew.
    if let Some(mask) = mask {
        signal::replace_mask_for_call(caller, mask);
    }
    let ready = if !ready.is_empty() {
        Ok(ready)
    } else if caller.thread.is_called() {
        Err(Errno::ERESTARTSYS)
    } else if deadline.0 <= clock::now_ns() {
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
        Ok(ready) => Ok(call.files.answer(ready)?),
        Err(errno) => Err(*errno),
    };
    call.span.tell_left(waited.deadline)?;
    Ok(result)
}

/// Answers a call whose answer had no page to go to.
pub async fn answer_later(caller: &mut Caller) -> SysResult {
    let Some(restart) = caller.restart.take() else { return Err(Errno::EINTR) };
    let Restart::Answer(Unanswered { call, waited }) = *restart else { return Err(Errno::EINTR) };
    let result = loop {
        let count = match &waited.ready {
            Ok(ready) => call.files.answer(ready),
            Err(errno) => Err(Pause::Failed(*errno)),
        };
        match count {
            Ok(count) => break Ok(count),
            Err(Pause::Fault(address, access)) => {
                if let Err(errno) = fault_in(caller, address, access).await {
                    break Err(errno);
                }
            }
            Err(_) => break Err(Errno::ERESTARTSYS),
        }
    };
    while let Err(Pause::Fault(address, access)) = call.span.tell_left(waited.deadline) {
        if fault_in(caller, address, access).await.is_err() {
            // An interrupted call for which that cannot be told cannot be gone on with.
            return finish(caller, &call, result, waited.deadline).map_err(|errno| match errno {
                Errno::ERESTARTNOHAND => Errno::EINTR,
                errno => errno,
            });
        }
    }
    finish(caller, &call, result, waited.deadline)
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

/// What looking at the files has found: watchers of all, for the case that none is ready; those that are.
type Sight = (Vec<Watcher<File>>, Vec<Ready>);

impl Files {
    fn look(self, caller: &Caller) -> Result<Sight, Pause> {
        match self {
            Self::List { address, count }
                if count <= super::descriptor::descriptor_limit(caller) as usize =>
            {
                look_at_list(caller, address, count)
            }
            Self::Sets { addresses, count: Some(count) } => look_at_sets(caller, addresses, count),
            _ => Err(Pause::Failed(Errno::EINVAL)),
        }
    }

    /// Writes which files are ready; returns how many answers that are.
    fn answer(self, ready: &[Ready]) -> Result<usize, Pause> {
        match self {
            Self::List { address, count } => answer_list(address, count, ready),
            Self::Sets { addresses, count } => answer_sets(addresses, count.unwrap_or(0), ready),
        }
    }
}

/// Looks at one file; ENOMEM.
fn look_at(sight: &mut Sight, file: Arc<File>, asked: Events, name: u32) -> Result<(), Errno> {
    let (watchers, ready) = sight;
    if let Some(found) = Ready::look(&file, asked, name) {
        note(ready, found)?;
    } else if ready.is_empty() && file.watched().is_some() {
        watchers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        watchers.push(Watcher::new(file, asked, name));
    }
    Ok(())
}

fn note(ready: &mut Vec<Ready>, found: Ready) -> Result<(), Errno> {
    ready.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    ready.push(found);
    Ok(())
}

fn look_at_list(caller: &Caller, address: usize, count: usize) -> Result<Sight, Pause> {
    let mut sight = Sight::default();
    sight.0.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let entry: PollFd = copy_in(address.wrapping_add(index * size_of::<PollFd>()))?;
        if entry.fd < 0 {
            continue;
        }
        let (asked, name) = (Events::from_bits_truncate(entry.events.into()), index as u32);
        match caller.files.get_open(entry.fd) {
            Ok(file) => look_at(&mut sight, file, asked, name)?,
            Err(_) => note(&mut sight.1, Ready { name, asked, found: Events::NVAL })?,
        }
    }
    Ok(sight)
}

fn answer_list(address: usize, count: usize, ready: &[Ready]) -> Result<usize, Pause> {
    let mut answers = ready.iter().peekable();
    for index in 0..count {
        let answer = answers.next_if(|answer| answer.name as usize == index);
        let found = answer.map_or(Events::empty(), |answer| answer.found);
        let place = index * size_of::<PollFd>() + offset_of!(PollFd, revents);
        copy_out(address.wrapping_add(place), &(found.bits() as u16))?;
    }
    Ok(ready.len())
}

/// What each set asks about, and so which events answer it: each asks about something that no other does (select(2),
/// "Correspondence between select() and poll()").
const SET_EVENTS: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// The words of a set of descriptors below `count`: the address of each, and which of its bits count.
fn words(count: usize) -> impl Iterator<Item = (usize, u64)> {
    (0..count.div_ceil(64)).map(move |word| {
        let bits = count - word * 64;
        (word * size_of::<u64>(), if bits < 64 { (1 << bits) - 1 } else { u64::MAX })
    })
}

fn look_at_sets(caller: &Caller, addresses: [usize; 3], count: usize) -> Result<Sight, Pause> {
    let mut sight = Sight::default();
    for (word, (offset, valid)) in words(count).enumerate() {
        let mut sets = [0_u64; 3];
        for (set, address) in sets.iter_mut().zip(addresses) {
            if address != 0 {
                *set = copy_in::<u64>(address.wrapping_add(offset))? & valid;
            }
        }
        let mut any = sets[0] | sets[1] | sets[2];
        sight.0.try_reserve_exact(any.count_ones() as usize).map_err(|_| Errno::ENOMEM)?;
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            let asked = sets.iter().zip(SET_EVENTS).filter(|(set, _)| *set >> bit & 1 != 0);
            let events = asked.fold(Events::empty(), |events, (_, wanted)| events | wanted);
            let fd = word as u32 * 64 + bit;
            look_at(&mut sight, caller.files.get_open(fd as i32)?, events, fd)?;
        }
    }
    Ok(sight)
}

/// Leaves only the bits that are answered.
fn answer_sets(addresses: [usize; 3], count: usize, ready: &[Ready]) -> Result<usize, Pause> {
    let mut answered = 0;
    let mut answers = ready.iter().peekable();
    for (word, (offset, _)) in words(count).enumerate() {
        let mut sets = [0_u64; 3];
        while let Some(Ready { name, asked, found }) = answers.next_if(|file| file.name as usize / 64 == word)
        {
            for (set, wanted) in sets.iter_mut().zip(SET_EVENTS) {
                if asked.contains(wanted) && found.intersects(wanted) {
                    *set |= 1 << (name % 64);
                }
            }
        }
        for (set, address) in sets.into_iter().zip(addresses) {
            if address != 0 {
                answered += set.count_ones() as usize;
                copy_out(address.wrapping_add(offset), &set)?;
            }
        }
    }
    Ok(answered)
}
