//! System V semaphores and messages, queues of messages by name, eventfds and signalfds, between processes that signals
//! interrupt.
//!
//! ```text
//!   borrowers ─► semop: one of each of two kinds, with SEM_UNDO ─► tell ─► give back, exit, or be killed
//!   senders   ─► messages, each with a number ─► receivers by kind, with time-outs, or who are notified ─► tell
//!   writers   ─► a counter that is read one by one, and one that is always full ─► readers
//!   a sender  ─► queued signals, each with a number ─► threads that read or await so many each ─► tell
//!             ─► a signal for each thread, whose handler waits until all have theirs
//! ```
//!
//! A seed has some of these. All that is sent has to arrive once, no more is borrowed than there is, what is removed wakes
//! those who wait for it, and nobody may sleep for ever.
//!
//! Start reading at [`plan`], then one of what a seed may have: [`semaphore`], [`message`], [`named`], [`counter`], [`signal`];
//! what has to hold is in [`observer`].

mod counter;
mod message;
mod named;
mod observer;
mod plan;
mod program;
mod semaphore;
mod signal;

use crate::library::{Choice, expect_success, store8};
use observer::Observer;
use processes::instruction::Register::Rax;
use processes::program::Program;
use processes::run::Storm;

/// `IPC_CREAT` and `IPC_RMID`.
const CREATE: u32 = 0o1000;
const REMOVE: u32 = 0;

/// What a process has on its stack.
const FRAME: i64 = 256;

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let loans = 1 + choice.below(2) as usize;
    let (program, numbers) = program::program(&mut choice, loans as i64);
    let mut observer = Observer::new(loans, numbers);
    Storm {
        programs: vec![("storm", program)],
        watch: Box::new(move |event, a, b, _| observer.told(event, a, b)),
    }
}

/// Keeps what a call has answered.
fn keep(p: &mut Program, place: usize) {
    expect_success(p, Rax, 10);
    store8(p, place, Rax);
}
