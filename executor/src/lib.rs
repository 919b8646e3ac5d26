//! Async tasks on a per-CPU work-stealing executor.
//!
//! The same code runs in a kernel (one worker per CPU, `hlt` and IPIs), on host threads (feature
//! `std`) and in a deterministic simulator (feature `sim`). What differs is behind [`Platform`].
//!
//! # The life of a task
//!
//! ```text
//!   spawn ─► future moved into a cell of the slab, state 1 ─► ring of this CPU ──────┐
//!                                                                ▲                   │ taken by this CPU or a thief
//!            woken meanwhile: behind the others, or              │                   ▼
//!            where any wake would put it ────────────────────────┴──────────────── poll
//!                                                                                 │  │  │
//!   waits: state 0, in no queue ◄───────────────────────────────── Pending ───────┘  │  └─ cancelled: future dropped
//!     │  a waker (a timer, a lock, another task, an interrupt): state 0 → 1          │       │
//!     └─► LIFO slot of the waker's CPU, or an inbox ─► poll                          ▼       ▼
//!                                                          Ready: output in place of the future, state done
//!                                                             handle alive: keeps the cell, takes the output, frees it
//!                                                             handle gone:  output dropped, cell freed
//! ```
//!
//! # The life of a worker
//!
//! ```text
//!        ┌────────────────────────────────────────────────────────────────────────────────┐
//!        ▼                                                                                │
//!   poll boundary (RCU) ─► bell? timers, inboxes ─► every 64 polls: injector, reclaim     │
//!        │                                                                                │
//!        ├─ driver lane, pinned ─► LIFO slot ─► ring ─────────────────────────► poll ─────┤
//!        │ nothing                                                                        │
//!        ├─ look around for 2 µs; at most half of the CPUs also steal ── found ───────────┤
//!        │ nothing                                                                        │
//!        ├─ background lane ──────────────────────────────────────────────────► poll ─────┤
//!        │ nothing                                                                        │
//!        └─ announce sleep, look once more, halt ── an interrupt; called to help: steal ──┘
//! ```
//!
//! Where to start reading: [`task`] (the life of a task), then `worker/dispatch.rs` (what a CPU
//! does next), `worker/wake.rs` (where a woken task goes) and `idle.rs` (how a CPU goes to sleep
//! without missing work). [`time`], [`sync`] and [`rcu`] build on these and know nothing of queues.
//!
//! # Rules that hold everywhere
//!
//! * An interrupt handler may wake (a [`TaskRef`], a `Waker` of this crate, a [`sync::WakeCell`])
//!   and may call the `on_*_interrupt` functions. It takes no lock and neither allocates nor frees.
//! * A poll runs to its end on its CPU; nothing preempts it except interrupt handlers.
//! * Wakers are legal for ever: a waker that outlives its task causes at most a spurious poll of
//!   another task, which every future must tolerate anyway.
//! * What a waker did before it woke is seen by the poll that answers, and what a poll did is seen by
//!   the next, on whichever CPU: the state word orders both.
//! * Change, then look. A waiter queues itself and then looks at its condition; a waker changes the
//!   condition and then looks for waiters; both with a full barrier between. The same holds for CPUs
//!   that go to sleep (`idle.rs`) and for the bell (`worker/bell.rs`).
//! * The locks inside this crate (a wheel's, an injector's, a waiter list's, a slab shelf's) are held for
//!   some tens of instructions. Under one no task is woken, no future or output dropped, and no other
//!   lock taken; only embassy-sync's objects wake under theirs, and that wake may take the injector's. So
//!   there is no order to keep, and a task may call what does not wait under spin locks of its own.
//! * A guard that must not live across `.await` (a [`sync::SpinMutexGuard`], an [`rcu::ReadGuard`]) is
//!   `!Send`, and tasks are `Send`.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

mod platform;
mod primitive;

#[cfg(not(loom))]
pub mod atomic;
mod boxed;
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
mod turns;
mod worker;

#[cfg(all(any(test, feature = "std"), not(loom)))]
pub mod host;
#[cfg(all(feature = "sim", not(loom)))]
pub mod sim;

pub use boxed::try_box;
pub use coop::{StayOn, YieldNow, consume_budget, make_way, poll_at_last, stay_on, take_apart, yield_now};
pub use fan_out::{FanOut, fan_out};
pub use join_set::JoinSet;
pub use platform::{Platform, hooks};
pub use shared::{cpus, current_cpu, idle_cpus, init, worker};
pub use stats::{HISTOGRAM_BUCKETS, Stats, live_tasks, poll_histogram, set_accounting, slab_bytes, stats};
pub use task::{
    Builder, Cancelled, JoinHandle, Lane, SpawnError, TaskCell, TaskRef, Titled, spawn, spawn_on, try_spawn,
};
pub use time::{Elapsed, Instant, Sleep, Timeout, sleep, sleep_until, timeout, timeout_after};
pub use turns::{TakeTurns, Usage, go_first, let_pass, take_turns};
pub use worker::{
    Worker, attention, outside, outside_unless_wanted, poll_length, set_time_slice, should_yield, uncounted,
};
