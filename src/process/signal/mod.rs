//! Signals: numbers and sets, actions, what is pending, sending, delivery.
//!
//! ```text
//!   kill, fault, child, tty ──► send: queue it, raise attention ──► the thread leaves its wait or user mode
//!                                                                     └─► deliver: run the default action,
//!                                                                         or push a frame and enter the handler
//! ```
//!
//! Where to start reading: [`send`], then [`deliver`]; how a thread is called is in `process/thread.rs`.

mod action;
mod arrival;
pub mod deliver;
pub mod frame;
mod info;
mod pending;
pub mod send;
mod set;

pub use action::{Action, Actions, Disposition};
pub use arrival::{arrival, await_none, is_any_pending, pending, take_if};
pub use info::{FileSigInfo, RawSigInfo, Readied, SI_KERNEL, SI_TKILL, SI_USER, SigInfo};
pub use pending::{ProcessSignals, ThreadSignals, any_stopped};
pub use set::{SavedMask, SignalSet, numbers};
