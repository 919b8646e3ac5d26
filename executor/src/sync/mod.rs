//! Synchronisation: short spin locks, and everything that waits by returning `Pending`.
//!
//! | type | for | waits how |
//! |---|---|---|
//! | [`SpinMutex`] | a few instructions on shared data, never across `.await` | spins |
//! | [`SpinRwLock`] | as above, with many readers at a time | spins |
//! | [`WakeCell`] | one task that an interrupt handler wakes | async |
//! | [`WaitQueue`] | any condition, many waiters | async |
//! | [`EventCount`] | something that is dear to look at, many waiters | async |
//! | [`Mutex`], [`RwLock`], [`Semaphore`] | data held across `.await`; first come, first served | async |
//! | [`channel`], [`oneshot`], [`Notify`] | passing values and signals | async |
//! | [`Readiness`] | what poll(2) asks about: files that can be read or written | async |
//! | [`Gathering`] | many of these, and those where something has happened, as in epoll(7) | async |
//! | [`embassy`] | embassy-sync's static channels over a lock that is safe on several CPUs | async |
//!
//! All futures here are cancel-safe: dropping one takes it out of its queue, and if it had been
//! given something that only one may have (a lock, a wake), that goes to the next.
//!
//! Only [`WakeCell::wake`] (and a task's wakers) may be used in interrupt handlers.
//!
//! Start reading with `waiters.rs`, the list under nearly all of them, then `wait_queue.rs`.

pub mod channel;
pub mod embassy;
mod event_count;
mod gathering;
mod mutex;
mod notify;
pub mod oneshot;
mod readiness;
mod rwlock;
mod semaphore;
mod spin;
mod telling;
mod wait_queue;
mod waiters;
mod wake_cell;

pub use event_count::EventCount;
pub use gathering::{Gathering, Member, Membership, Round};
pub use mutex::{Mutex, MutexGuard, MutexLock};
pub use notify::Notify;
pub use readiness::{Events, Readiness, Source, Wait, Watcher, Watchers};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Acquire, Permit, Semaphore};
pub use spin::{RawSpin, RawSpinRw, SpinMutex, SpinMutexGuard, SpinReadGuard, SpinRwLock, SpinWriteGuard};
pub use wait_queue::{WaitQueue, WaitUntil};
pub use wake_cell::WakeCell;
