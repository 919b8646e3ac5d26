//! Timers that send signals.
//!
//! ```text
//!   setitimer  interval ─┐
//!   timer_*    posix    ─┼─▶ a task that waits until a clock shows a time (`clock`) ─▶ signal
//!   RLIMIT_CPU limit    ─┘
//! ```
//!
//! A timer that is off has no task. Lock order: the table of timers, a timer, the tree.

pub mod clock;
pub mod interval;
pub mod limit;
pub mod posix;

use super::{
    Process,
    signal::{SigInfo, numbers::SIGALRM},
};

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
    interval::turn_off(process);
    posix::delete_all(process);
    limit::end(process);
}
