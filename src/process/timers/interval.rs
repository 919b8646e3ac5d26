//! The three interval timers of a process (setitimer(2)).

use alloc::sync::{Arc, Weak};

use executor::JoinHandle;
use syscalls::Errno;

use super::{
    All,
    clock::{Clock, next},
    spawn,
};
use crate::process::{
    Process,
    signal::{
        SigInfo,
        numbers::{SIGALRM, SIGPROF, SIGVTALRM},
        send,
    },
};

/// Which of them: what it measures, and what it sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Time since boot, SIGALRM.
    Real,
    /// CPU time in user mode, SIGVTALRM.
    Virtual,
    /// CPU time, SIGPROF.
    Profiling,
}

impl Which {
    /// The one with this number (`ITIMER_*`).
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Real, Self::Virtual, Self::Profiling].get(number as usize).copied()
    }

    fn clock(self, process: Weak<Process>) -> Clock {
        match self {
            Self::Real => Clock::Boot,
            Self::Virtual => Clock::User(process),
            Self::Profiling => Clock::Process(process),
        }
    }

    fn signal(self) -> u8 {
        match self {
            Self::Real => SIGALRM,
            Self::Virtual => SIGVTALRM,
            Self::Profiling => SIGPROF,
        }
    }
}

/// What setitimer(2) sets: a time by one of the clocks, and a period.
#[derive(Default)]
pub struct IntervalTimer {
    /// When it expires by its clock; 0 when it is off.
    deadline: u64,
    /// Nanoseconds between expirations; 0 for once only.
    period: u64,
    /// It has expired, and goes on when its signal is delivered: only the timer of real time does that, as on Linux.
    rests: bool,
    /// What waits and signals. One that waits for a time before the deadline is left alone: it will find out.
    task: Option<JoinHandle<()>>,
    /// What that waits for.
    awaited: u64,
    /// How many of them have been cancelled, which may take a moment.
    cancelled: u32,
}

impl IntervalTimer {
    /// The time until it expires (0 when it is off), and its period.
    fn left(&self, now: u64) -> (u64, u64) {
        let left = self.deadline.saturating_sub(now);
        (if self.deadline == 0 || self.rests { 0 } else { left.max(1000) }, self.period)
    }

    /// It, for the task that came after so many that were cancelled: None if that has been, too.
    fn of_task(&mut self, cancelled: u32) -> Option<&mut Self> {
        (self.cancelled == cancelled).then_some(self)
    }
}

/// Has a timer expire in `first` nanoseconds of its clock, and then every `period`; 0 turns it off. Returns the time that was
/// left, and the old period. ENOMEM, and then nothing has changed.
pub fn set(process: &Arc<Process>, which: Which, first: u64, period: u64) -> Result<(u64, u64), Errno> {
    let now = which.clock(Arc::downgrade(process)).now().unwrap_or(0);
    let all = process.timers.made();
    let mut timers = all.intervals.lock();
    let timer = &mut timers[which as usize];
    let deadline = if first == 0 { 0 } else { now.saturating_add(first) };
    // Only waiting for real time costs nothing.
    let is_found_out = which == Which::Real && !timer.rests && (first == 0 || timer.awaited <= deadline);
    let replaced = u32::from(!is_found_out && timer.task.is_some());
    let cancelled = timer.cancelled.wrapping_add(replaced);
    let needs_task = first != 0 && (replaced != 0 || timer.task.is_none());
    let task = match needs_task {
        true => Some(spawn(ring(Arc::downgrade(process), all.clone(), which, cancelled))),
        false => None,
    };
    let task = task.transpose().map_err(|_| Errno::ENOMEM)?;
    let old = timer.left(now);
    (timer.deadline, timer.period, timer.rests) = (deadline, period, false);
    if replaced != 0
        && let Some(task) = timer.task.take()
    {
        task.cancel();
    }
    timer.cancelled = cancelled;
    if task.is_some() {
        (timer.awaited, timer.task) = (deadline, task);
    }
    Ok(old)
}

/// The time until a timer expires (0 when it is off), and its period.
pub fn get(process: &Arc<Process>, which: Which) -> (u64, u64) {
    let now = which.clock(Arc::downgrade(process)).now().unwrap_or(0);
    process.timers.get().map_or((0, 0), |all| all.intervals.lock()[which as usize].left(now))
}

/// Turns the timers of a process that ends off.
pub(super) fn turn_off(all: &All) {
    for timer in &mut *all.intervals.lock() {
        if let Some(task) = timer.task.take() {
            task.cancel();
        }
    }
}

/// SIGALRM is being delivered, whoever has sent it: the timer that rests goes on.
#[cold]
pub(super) fn delivered(process: &Process) {
    let Some(all) = process.timers.get() else { return };
    let rested = core::mem::take(&mut all.intervals.lock()[Which::Real as usize].rests);
    if rested {
        all.alarm_delivered.wake_all();
    }
}

/// The task of a timer, until it finds it off. `cancelled` is how many there were before it.
async fn ring(target: Weak<Process>, all: Arc<All>, which: Which, cancelled: u32) {
    let clock = which.clock(target.clone());
    loop {
        let deadline = {
            let mut timers = all.intervals.lock();
            let Some(timer) = timers[which as usize].of_task(cancelled) else { return };
            if timer.deadline == 0 {
                timer.task = None;
                return;
            }
            timer.awaited = timer.deadline;
            timer.deadline
        };
        if !clock.reached(deadline).await {
            return;
        }
        let Some(process) = target.upgrade() else { return };
        let period = {
            let mut timers = all.intervals.lock();
            let Some(timer) = timers[which as usize].of_task(cancelled) else { return };
            if timer.deadline != deadline {
                continue;
            }
            if timer.period == 0 {
                timer.deadline = 0;
            }
            // Before the signal is there to be delivered.
            timer.rests = which == Which::Real && timer.period != 0;
            // Under the lock: whoever has set the timer anew need not expect the signal of what it was.
            let info = SigInfo::kernel(which.signal());
            let _ = if which == Which::Real {
                send::to_process(&process, info)
            } else {
                send::to_spender(&process, info)
            };
            timer.period
        };
        drop(process);
        if period == 0 {
            continue;
        }
        let goes_on = || (!all.intervals.lock()[which as usize].rests).then_some(());
        all.alarm_delivered.wait_until(goes_on).await;
        let Some(now) = clock.now() else { return };
        let mut timers = all.intervals.lock();
        let Some(timer) = timers[which as usize].of_task(cancelled) else { return };
        if timer.deadline == deadline {
            // Those that were missed are over.
            (timer.deadline, _) = next(deadline, period, now);
        }
    }
}
