//! Timers that send signals.
//!
//! ```text
//!   setitimer  interval ─┐
//!   timer_*    posix    ─┼─▶ a task that waits until a clock shows a time (`clock`) ─▶ signal
//!   RLIMIT_CPU limit    ─┘
//! ```
//!
//! A timer that is set again, or off, may leave its task to find that out when the time comes that it waits for: most that are
//! set never expire. Lock order: the table of timers, a timer, the tree.

pub mod clock;
pub mod interval;
pub mod limit;
pub mod posix;

use alloc::sync::Arc;

use executor::{
    Builder, JoinHandle, Lane, SpawnError,
    sync::{SpinMutex, WaitQueue},
};

use super::{
    Process,
    signal::{SigInfo, numbers::SIGALRM},
};

/// The timers of a process; most have none, and need no room for them.
#[derive(Default)]
pub struct Timers(SpinMutex<Option<Arc<All>>>);

/// Timers of all kinds.
#[derive(Default)]
struct All {
    /// Those of setitimer(2), by their numbers.
    intervals: SpinMutex<[interval::IntervalTimer; 3]>,
    /// Woken when SIGALRM is delivered and the first of them has waited for that.
    alarm_delivered: WaitQueue,
    /// Those of timer_create(2).
    posix: SpinMutex<posix::Table>,
    /// What enforces the limit on CPU time, if there is one.
    limit: SpinMutex<Option<JoinHandle<()>>>,
}

/// Starts the task of a timer: in the lane of drivers, so that it goes before programs when it is to look at a clock. One that
/// runs until its slice is over would have its own timers be late.
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<JoinHandle<()>, SpawnError> {
    Builder::new().lane(Lane::Driver).try_spawn(task)
}

impl Timers {
    fn get(&self) -> Option<Arc<All>> {
        self.0.lock().clone()
    }

    /// The timers, made if there were none.
    fn made(&self) -> Arc<All> {
        self.0.lock().get_or_insert_default().clone()
    }
}

/// Takes note that a signal is being delivered: the timer that has sent it goes on. If that is a POSIX timer, `info` becomes
/// what the program sees. The caller holds no lock, as clocks may have to look at the tree.
#[inline(always)]
pub fn delivered(process: &Process, info: &mut SigInfo) {
    if info.signal == SIGALRM {
        interval::delivered(process);
    }
    posix::delivered(process, info);
}

/// Turns all timers of a process that ends off.
pub fn end(process: &Process) {
    if let Some(all) = process.timers.get() {
        interval::turn_off(&all);
        limit::end(&all);
    }
    posix::delete_all(process);
}
