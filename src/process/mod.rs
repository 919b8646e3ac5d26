//! Processes and threads: programs as futures.
//!
//! A user thread is one future ([`run`]) whose loop reads like its description: attend to signals, enter user mode,
//! see why the CPU came back, await the answer. There is no kernel stack behind a thread; one that waits costs its
//! future and its [`Thread`] record.
//!
//! ```text
//!   Caller      what the running thread alone touches: address space, descriptors, credentials; its registers are beside it
//!     └─ Thread     what others see of it: ids, pending signals, the flags that call it back from user mode
//!          └─ Process    what its threads share: signal actions, credentials, limits, times
//!               └─ tree       who is whose parent, process groups, sessions: one table under one short lock
//! ```
//!
//! Start reading at [`run`], then [`fork`], [`exec`], [`exit`] and [`wait`].

pub mod affinity;
pub mod arguments;
pub mod capabilities;
pub mod cpu_time;
pub mod credentials;
pub mod deadline;
pub mod deputy;
pub mod elf;
pub mod exec;
pub mod exit;
pub mod file_capabilities;
pub mod first;
pub mod fork;
pub mod futex;
pub mod initial_stack;
pub mod job;
pub mod limits;
pub mod oom;
pub mod rseq;
pub mod run;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod switches;
pub mod thread;
pub mod timers;
pub mod times;
pub mod trace;
pub mod tree;
pub mod wait;

mod placement;
pub mod reaper;
mod record;
mod siblings;

pub use first::start as start_first;
pub use record::Process;
pub use run::Caller;
pub use thread::{Thread, between_attempts, interruptible};
