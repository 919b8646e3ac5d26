//! The sampling profiler: where the CPUs spend their time, in the kernel and in programs. `/proc/rusk/profile`.
//!
//! ```text
//!   timer ─► on_timer ─► interrupted kernel code: its callers, by the unwinder ──────────────► Table of this CPU
//!               └──────► interrupted user mode: noted; the thread, which is on its way back
//!                        anyway, looks up its own callers and what is mapped there ──────────►    ‖
//!                                                                     /proc/rusk/profile ◄── stacks and counts
//! ```
//!
//! A stack on which the kernel was interrupted is the chain of futures that were being polled: the executor, the thread's
//! loop, the call it is in, and what that awaits or does. What a *waiting* thread awaits is on no stack, and so in no sample;
//! `/proc/PID/wchan` tells it.
//!
//! Off, there is no tick: the timer fires when something is due, as always. On, each CPU that does not sleep has one every
//! period, as a deadline beside the executor's own ([`sampler`]). Code that runs with interrupts off is seen where it lets
//! them in again.
//!
//! | File | Concept |
//! |---|---|
//! | `sampler` | the deadline, and the sample of interrupted kernel code |
//! | `user` | the sample of interrupted user mode |
//! | `table` | different stacks and how often each was met: one CPU's, written without locks |
//! | `report` | stacks as text |

mod report;
mod sampler;
mod table;
mod user;

pub use report::report;
pub use sampler::{next_deadline, on_timer, pause, resume, start, stop};
pub use user::sample as sample_user;
