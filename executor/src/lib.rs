//! Async tasks on a per-CPU work-stealing executor.
//!
//! The same code runs in a kernel (one worker per CPU, `hlt` and IPIs), on host threads (feature
//! `std`) and in a deterministic simulator (feature `sim`). What differs is behind [`Platform`].
//!
//! ```text
//!   spawn ──► Header+future in a type-stable slab cell ──► ring of this CPU ──► poll ──► done
//!                    ▲                                      ▲   ▲                 │
//!                    │ wake: state += 1, queue if it was 0  │   │ steal half      │ Pending
//!                    │                                      │   other CPUs        ▼
//!   waker ───────────┘                                LIFO slot, inbox      state -= wakes seen
//! ```
//!
//! Where to start reading: [`task`] (the life of a task), then `worker/dispatch.rs` (what a CPU
//! does next), `worker/wake.rs` (where a woken task goes) and `idle.rs` (how a CPU goes to sleep
//! without missing work). [`time`], [`sync`] and [`rcu`] build on these and know nothing of queues.
//!
//! Rules that hold everywhere:
//!
//! * An interrupt handler may wake (a [`TaskRef`], a `Waker` of this crate, a [`sync::WakeCell`])
//!   and may call the `on_*_interrupt` functions. It takes no lock and neither allocates nor frees.
//! * A poll runs to its end on its CPU; nothing preempts it except interrupt handlers.
//! * Wakers are legal for ever: a waker that outlives its task causes at most a spurious poll of
//!   another task, which every future must tolerate anyway.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

mod platform;
mod primitive;

mod coop;
mod fan_out;
mod idle;
mod join_set;
#[cfg(all(test, loom))]
mod models;
mod queue;
pub mod rcu;
mod shared;
mod stats;
pub mod sync;
pub mod task;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod time;
pub mod trace;
mod worker;

#[cfg(all(any(test, feature = "std"), not(loom)))]
pub mod host;
#[cfg(all(feature = "sim", not(loom)))]
pub mod sim;

pub use coop::{YieldNow, consume_budget, yield_now};
pub use fan_out::{FanOut, fan_out};
pub use join_set::JoinSet;
pub use platform::{Platform, hooks};
pub use shared::{cpus, current_cpu, idle_cpus, init, set_idle_spin, worker};
pub use stats::{HISTOGRAM_BUCKETS, Stats, poll_histogram, set_accounting, slab_bytes, stats};
pub use task::{Builder, Cancelled, JoinHandle, Lane, SpawnError, TaskRef, spawn, spawn_on, try_spawn};
pub use time::{Elapsed, Instant, Sleep, Timeout, sleep, sleep_until, timeout, timeout_after};
pub use worker::{Worker, attention, outside, set_time_slice, should_yield};
