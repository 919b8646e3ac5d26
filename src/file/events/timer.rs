//! Timers that are read (timerfd_create(2)).
//!
//! How often a timer has expired is worked out from the clock whenever somebody asks. Its task is there to wake those
//! who wait: it sleeps until the timer expires, tells them once, and waits for the timer to be read or set.

use alloc::{
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::fmt;

use executor::{
    Instant, JoinHandle,
    sync::{Events, Readiness, SpinMutex, WaitQueue},
    timeout,
};
use fs::pipe::Call;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::READABLE;
use crate::{
    arch::clock,
    file::{File, Node, Object, Stream},
    process::{
        Caller,
        times::{Interval, TimeSpec},
    },
    user_memory::UserBuffer,
    wall_clock,
};

/// Reads fail with ECANCELED once the wall clock has been set (`TFD_TIMER_CANCEL_ON_SET`).
pub const CANCEL_ON_SET: u32 = 1 << 1;

/// When a timer expires, in nanoseconds since boot; before that for a time of the wall clock long ago.
type Deadline = i64;

/// What is set.
#[derive(Clone, Copy, Default)]
struct Setting {
    /// When it expires next, or has expired and was not read; none when it is off.
    deadline: Option<Deadline>,
    /// The same by the wall clock, if that is how it was set.
    wall: Option<u64>,
    /// Nanoseconds between expirations; 0 for once only.
    period: u64,
    /// As they were passed in.
    flags: u32,
}

#[derive(Default)]
struct State {
    setting: Setting,
    /// The wall clock was set, and nobody has been told.
    is_cancelled: bool,
    /// Whoever waits has been told of the expiration.
    is_told: bool,
    /// Counts changes of the deadline.
    version: u64,
    task: Option<JoinHandle<()>>,
}

struct Timer {
    clock: u32,
    state: SpinMutex<State>,
    /// Woken when the deadline changes.
    changed: WaitQueue,
    /// `IN` once its expiration has been told, until it is read.
    readiness: Readiness,
}

/// A timer's open file, which ends the timer's task.
pub struct TimerFile(Arc<Timer>);

/// The timers that go by the wall clock.
static BY_WALL: SpinMutex<Vec<Weak<Timer>>> = SpinMutex::new(Vec::new());

/// Makes a timer of this clock, which is off.
pub fn new(clock: u32, flags: u32) -> Arc<File> {
    let timer =
        Timer { clock, state: SpinMutex::default(), changed: WaitQueue::new(), readiness: Readiness::new() };
    let file: Arc<dyn Stream> = Arc::new(TimerFile(Arc::new(timer)));
    File::new(Object::Stream(file, None), linux::O_RDWR | flags & linux::O_NONBLOCK)
}

/// Tells the timers that go by the wall clock that it has been set.
pub fn wall_was_set() {
    for timer in BY_WALL.lock().iter().filter_map(Weak::upgrade) {
        timer.wall_was_set();
    }
}

fn now() -> Deadline {
    clock::now_ns() as Deadline
}

impl Setting {
    /// How often it has expired and was not read.
    fn expirations(&self, now: Deadline) -> u64 {
        match self.deadline {
            Some(deadline) if now >= deadline => match self.period {
                0 => 1,
                period => 1 + (now - deadline) as u64 / period,
            },
            _ => 0,
        }
    }

    /// What is left until it expires next, and its period.
    fn left(&self, now: Deadline) -> Interval {
        let Setting { deadline, period, .. } = *self;
        let left = match deadline {
            None => 0,
            Some(deadline) if now < deadline => (deadline - now) as u64,
            Some(_) if period == 0 => 0,
            Some(deadline) => period - (now - deadline) as u64 % period,
        };
        Interval { period: TimeSpec::from_ns(period), left: TimeSpec::from_ns(left) }
    }
}

/// The time since boot at which the wall clock shows `wall`.
fn since_boot(wall: u64) -> Deadline {
    wall.wrapping_sub(wall_clock::now_ns().wrapping_sub(clock::now_ns())) as Deadline
}

impl TimerFile {
    /// The timer that a file is.
    pub fn of(file: &File) -> Option<&Self> {
        file.stream_as()
    }

    /// What is left until it expires next, and its period.
    pub fn left(&self) -> Interval {
        self.0.state.lock().setting.left(now())
    }

    /// Sets the timer: to expire `first` nanoseconds from now, or at that time of its clock, and then every `period`
    /// nanoseconds, or no more; 0 turns it off. Returns what was left before, and the old period.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set(&self, flags: u32, first: u64, period: u64) -> Result<Interval, Errno> {
        let timer = &self.0;
        let is_absolute = flags & linux::TFD_TIMER_ABSTIME != 0;
        let by_wall = matches!(timer.clock, linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM);
        let now = now();
        let wall = (is_absolute && by_wall && first != 0).then_some(first);
        let deadline = match wall {
            Some(wall) => Some(since_boot(wall)),
            None if first == 0 => None,
            None if is_absolute => Some(Deadline::try_from(first).unwrap_or(Deadline::MAX)),
            None => Some(now.saturating_add_unsigned(first)),
        };
        if wall.is_some() {
            let mut all = BY_WALL.lock();
            all.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(timer));
            all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            all.push(Arc::downgrade(timer));
        }
        let mut state = timer.state.lock();
        if state.task.is_none() && deadline.is_some() {
            let task = executor::try_spawn(tell(timer.clone())).map_err(|_| Errno::ENOMEM)?;
            state.task = Some(task);
        }
        let old = state.setting.left(now);
        state.setting = Setting { deadline, wall, period, flags };
        state.is_cancelled = false;
        timer.has_changed(&mut state);
        Ok(old)
    }
}

impl Drop for TimerFile {
    fn drop(&mut self) {
        if let Some(task) = self.0.state.lock().task.take() {
            task.cancel();
        }
    }
}

impl Timer {
    /// Has the task sleep until the new deadline.
    fn has_changed(&self, state: &mut State) {
        state.is_told = false;
        state.version += 1;
        self.readiness.clear(READABLE);
        self.changed.wake_all();
    }

    fn wall_was_set(&self) {
        let mut state = self.state.lock();
        let Some(wall) = state.setting.wall else { return };
        if state.setting.expirations(now()) == 0 {
            state.setting.deadline = Some(since_boot(wall));
            self.has_changed(&mut state);
        }
        if state.setting.flags & CANCEL_ON_SET != 0 {
            state.is_cancelled = true;
            self.readiness.set(READABLE);
        }
    }

    /// Takes note that whoever waits is told.
    fn expire(&self, version: u64) {
        let mut state = self.state.lock();
        if state.version == version {
            state.is_told = true;
            self.readiness.set(READABLE);
        }
    }
}

/// The task of a timer.
async fn tell(timer: Arc<Timer>) {
    loop {
        let (version, deadline) = {
            let state = timer.state.lock();
            (state.version, state.setting.deadline.filter(|_| !state.is_told))
        };
        let has_changed = || (timer.state.lock().version != version).then_some(());
        let changed = timer.changed.wait_until(has_changed);
        match deadline {
            None => changed.await,
            Some(deadline) => {
                let deadline = Instant(deadline.max(0) as u64);
                if timeout(changed, deadline).await.is_err() {
                    timer.expire(version);
                }
            }
        }
    }
}

impl Stream for TimerFile {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        if sink.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.0.state.lock();
        if core::mem::take(&mut state.is_cancelled) {
            self.0.has_changed(&mut state);
            return Err(Errno::ECANCELED);
        }
        let expirations = state.setting.expirations(now());
        if expirations == 0 {
            return Err(Errno::EAGAIN);
        }
        if !sink.put_whole(&expirations.to_ne_bytes()) {
            // A page is missing; nothing is taken.
            return Ok(0);
        }
        let Setting { deadline, wall, period, .. } = &mut state.setting;
        let passed = period.wrapping_mul(expirations);
        *deadline = deadline.filter(|_| passed != 0).map(|deadline| deadline.saturating_add_unsigned(passed));
        *wall = wall.filter(|_| passed != 0).map(|wall| wall.saturating_add(passed));
        self.0.has_changed(&mut state);
        Ok(size_of::<u64>())
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.0.readiness)
    }

    fn events(&self) -> Events {
        let state = self.0.state.lock();
        let ready = state.is_cancelled || state.setting.expirations(now()) > 0;
        if ready { Events::IN } else { Events::empty() }
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[timerfd]")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let setting = self.0.state.lock().setting;
        let (ticks, Interval { period, left }) = (setting.expirations(now()), setting.left(now()));
        writeln!(
            out,
            "clockid: {}\nticks: {ticks}\nsettime flags: 0{:o}\nit_value: ({}, {})\nit_interval: ({}, {})",
            self.0.clock, setting.flags, left.seconds, left.nanoseconds, period.seconds, period.nanoseconds,
        )
    }
}
