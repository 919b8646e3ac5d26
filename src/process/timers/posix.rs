//! POSIX timers (timer_create(2)).
//!
//! A timer that has expired sends its signal and rests until that is delivered: whoever takes the signal has it count the
//! periods that have passed meanwhile ([`delivered`]) and go on. So a timer has one signal pending at most.

use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use core::sync::atomic::{AtomicU64, Ordering};

use executor::{
    JoinHandle,
    sync::{SpinMutex, WaitQueue},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    clock::{Clock, next},
    spawn,
};
use crate::process::{
    Process, Thread,
    signal::{SigInfo, send},
    times::{Interval, TimeSpec},
};

/// Whom a timer tells.
pub enum Target {
    /// Nobody: it is only asked.
    Nobody,
    /// Its process.
    Process,
    /// One of its threads.
    Thread(Weak<Thread>),
}

/// What it tells them.
#[derive(Clone, Copy)]
pub struct Message {
    /// The signal.
    pub signal: u8,
    /// What comes with it; the timer's id if none.
    pub value: Option<u64>,
}

/// The timers of a process, by their ids.
#[derive(Default)]
pub struct Table {
    all: BTreeMap<i32, Arc<Timer>>,
    /// The id that the next one gets if it is free.
    next: i32,
}

/// A timer.
pub struct Timer {
    /// What no other timer ever has; a signal that is pending may outlive its timer.
    serial: u64,
    id: i32,
    clock: Clock,
    target: Target,
    message: Message,
    process: Weak<Process>,
    state: SpinMutex<State>,
    /// Woken when the deadline changes.
    changed: WaitQueue,
}

/// What is set.
struct State {
    /// The clock that the deadline is of: that of the timer, but for times from now on, which nobody can change by setting
    /// the wall clock.
    by: Clock,
    /// When it expires next, or has expired if its signal is not delivered yet; none when it is off.
    deadline: Option<u64>,
    /// Nanoseconds between expirations; 0 for once only.
    period: u64,
    /// Its signal has been sent and not been delivered.
    is_due: bool,
    /// Expirations that the last signal stands for, beyond the first.
    overrun: u64,
    /// Counts changes of the deadline.
    version: u64,
    /// Whether it is in its process's table no more, so that nobody would end a task of it.
    is_deleted: bool,
    task: Option<JoinHandle<()>>,
    /// Until when that sleeps; what is set for later, it finds when it wakes up. None while it has to be told of changes.
    sleeps_until: Option<u64>,
}

/// Without a signal that anybody would take, a timer of short periods looks no more often than this, in nanoseconds.
const IGNORED_PAUSE: u64 = 4_000_000;

/// Makes a timer, which is off, and returns its id.
///
/// # Errors
/// EAGAIN when the process has as many as `RLIMIT_SIGPENDING`.
pub fn create(process: &Arc<Process>, clock: Clock, target: Target, message: Message) -> Result<i32, Errno> {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let limit = process.limits.soft(linux::RLIMIT_SIGPENDING);
    let all = process.timers.made();
    let mut timers = all.posix.lock();
    if timers.all.len() as u64 >= limit {
        return Err(Errno::EAGAIN);
    }
    let mut id = timers.next;
    while timers.all.contains_key(&id) {
        id = id.checked_add(1).unwrap_or(0);
    }
    timers.next = id.checked_add(1).unwrap_or(0);
    let state = State {
        by: clock.clone(),
        deadline: None,
        period: 0,
        is_due: false,
        overrun: 0,
        version: 0,
        is_deleted: false,
        task: None,
        sleeps_until: None,
    };
    let timer = Timer {
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        id,
        clock,
        target,
        message,
        process: Arc::downgrade(process),
        state: SpinMutex::new(state),
        changed: WaitQueue::new(),
    };
    timers.all.insert(id, Arc::new(timer));
    Ok(id)
}

/// The timer with this id; EINVAL if there is none.
pub fn get(process: &Process, id: i32) -> Result<Arc<Timer>, Errno> {
    let all = process.timers.get().ok_or(Errno::EINVAL)?;
    let timers = all.posix.lock();
    timers.all.get(&id).cloned().ok_or(Errno::EINVAL)
}

/// Deletes a timer; EINVAL if there is none. A signal that is pending stays so.
pub fn delete(process: &Process, id: i32) -> Result<(), Errno> {
    let all = process.timers.get().ok_or(Errno::EINVAL)?;
    let timer = all.posix.lock().all.remove(&id).ok_or(Errno::EINVAL)?;
    timer.end();
    Ok(())
}

/// Deletes all timers of a process that ends or executes another program.
pub fn delete_all(process: &Process) {
    let Some(all) = process.timers.get() else { return };
    let timers = core::mem::take(&mut *all.posix.lock());
    timers.all.values().for_each(|timer| timer.end());
}

/// See [`delivered`](super::delivered).
#[inline(always)]
pub(super) fn delivered(process: &Process, info: &mut SigInfo) {
    if let Some(serial) = info.of_timer() {
        delivered_of(process, info, serial);
    }
}

#[cold]
#[inline(never)]
fn delivered_of(process: &Process, info: &mut SigInfo, serial: u64) {
    info.forget_timer();
    let Some(all) = process.timers.get() else { return };
    let timers = all.posix.lock();
    if let Some(timer) = timers.all.get(&(info.pid as i32)).filter(|timer| timer.serial == serial) {
        info.uid = timer.go_on() as u32;
    }
}

/// Most overruns that are told (`DELAYTIMER_MAX`).
const MOST_OVERRUNS: u64 = i32::MAX as u64;

impl Timer {
    /// Sets it: to expire `first` nanoseconds from now, or at that time of its clock, and then every `period` nanoseconds,
    /// or no more; 0 turns it off. Returns what was left before, and the old period.
    ///
    /// # Errors
    /// EINVAL if it has been deleted meanwhile. ESRCH if what its clock measures has ended. ENOMEM.
    pub fn set(self: &Arc<Self>, is_absolute: bool, first: u64, period: u64) -> Result<Interval, Errno> {
        let by = match &self.clock {
            Clock::Wall if !is_absolute => Clock::Boot,
            clock => clock.clone(),
        };
        let now = by.now().ok_or(Errno::ESRCH)?;
        let mut state = self.state.lock();
        if state.is_deleted {
            return Err(Errno::EINVAL);
        }
        let old = state.left();
        state.deadline = match first {
            0 => None,
            _ if is_absolute => Some(first),
            _ => Some(now.saturating_add(first)),
        };
        let is_same_clock = matches!((&state.by, &by), (Clock::Boot, Clock::Boot));
        let sleeps_long_enough = |until| state.deadline.is_none_or(|deadline| until <= deadline);
        let is_found_out = is_same_clock && state.sleeps_until.is_some_and(sleeps_long_enough);
        state.by = by;
        state.period = if first == 0 { 0 } else { period };
        state.is_due = false;
        state.overrun = 0;
        state.version += 1;
        if state.task.is_none() && first != 0 && !matches!(self.target, Target::Nobody) {
            state.task = Some(spawn(tell(self.clone())).map_err(|_| Errno::ENOMEM)?);
        }
        if !is_found_out {
            self.changed.wake_all();
        }
        Ok(old)
    }

    /// What is left until it expires next, and its period.
    pub fn left(&self) -> Interval {
        self.state.lock().left()
    }

    /// Expirations that the last signal delivered stood for, beyond the first.
    pub fn overrun(&self) -> u64 {
        self.state.lock().overrun.min(MOST_OVERRUNS)
    }

    /// Its signal is delivered. Returns its overruns: none if another signal, of what the timer was before it was set anew, has
    /// stood for them.
    fn go_on(&self) -> u64 {
        let mut state = self.state.lock();
        if !core::mem::take(&mut state.is_due) {
            return 0;
        }
        let now = state.by.now();
        state.overrun = state.go_past(now.unwrap_or(0));
        self.changed.wake_all();
        state.overrun.min(MOST_OVERRUNS)
    }

    /// It has expired. Its signal is sent under its lock: whoever has set it anew, turned it off or deleted it need not
    /// expect that of what it was.
    fn expire(&self, version: u64) {
        let process = self.process.upgrade();
        let thread = if let Target::Thread(thread) = &self.target { thread.upgrade() } else { None };
        let mut state = self.state.lock();
        if state.version != version || state.is_due {
            return;
        }
        let value = self.message.value.unwrap_or(self.id as u64);
        let info = SigInfo::timer(self.message.signal, self.id, value, self.serial);
        // Before the signal is there to be delivered.
        state.is_due = true;
        if state.period == 0 {
            state.deadline = None;
        }
        let is_pending = match (&self.target, &process, &thread) {
            (Target::Process, Some(process), _) => send::to_process_if_taken(process, info),
            (Target::Thread(_), Some(_), Some(thread)) => send::to_thread_if_taken(thread, info),
            _ => Ok(false),
        };
        if !is_pending.unwrap_or(false) {
            state.is_due = false;
            let now = state.by.now();
            state.go_past(now.unwrap_or(0).saturating_add(IGNORED_PAUSE));
        }
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.is_deleted = true;
        // Should its task be about to send the signal.
        state.deadline = None;
        state.version += 1;
        if let Some(task) = state.task.take() {
            task.cancel();
        }
    }
}

impl State {
    /// What is left until it expires next, and its period.
    fn left(&self) -> Interval {
        let now = self.by.now().unwrap_or(0);
        let left = match self.deadline {
            None => 0,
            Some(deadline) if now < deadline => deadline - now,
            Some(_) if self.period == 0 => 0,
            Some(deadline) => self.period - (now - deadline) % self.period,
        };
        Interval { period: TimeSpec::from_ns(self.period), left: TimeSpec::from_ns(left) }
    }

    /// Goes on to the first expiration after `now`, if there is to be one; returns how many there were between.
    fn go_past(&mut self, now: u64) -> u64 {
        let Some(deadline) = self.deadline.filter(|_| self.period != 0) else { return 0 };
        let (next, missed) = next(deadline, self.period, now);
        self.deadline = Some(next);
        missed
    }
}

/// The task of a timer.
async fn tell(timer: Arc<Timer>) {
    loop {
        let (version, by, deadline) = {
            let mut state = timer.state.lock();
            let deadline = state.deadline.filter(|_| !state.is_due);
            state.sleeps_until = deadline.filter(|_| matches!(state.by, Clock::Boot));
            (state.version, state.by.clone(), deadline)
        };
        let seen = deadline;
        let has_changed = || {
            let state = timer.state.lock();
            let deadline = state.deadline.filter(|_| !state.is_due);
            (state.version != version || deadline != seen).then_some(())
        };
        let changed = timer.changed.wait_until(has_changed);
        let Some(deadline) = deadline else {
            changed.await;
            continue;
        };
        if either(changed, by.reached(deadline)).await == Some(true) {
            timer.expire(version);
        } else if by.now().is_none() {
            // What it measured is no more, nor will it be.
            return;
        }
    }
}

/// Awaits the first future, None, or the second, whichever ends first.
async fn either<T>(first: impl Future<Output = ()>, second: impl Future<Output = T>) -> Option<T> {
    let (mut first, mut second) = (core::pin::pin!(first), core::pin::pin!(second));
    core::future::poll_fn(|context| {
        if first.as_mut().poll(context).is_ready() {
            return core::task::Poll::Ready(None);
        }
        second.as_mut().poll(context).map(Some)
    })
    .await
}
