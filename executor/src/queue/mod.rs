//! The queues that runnable tasks wait in.
//!
//! | queue      | pushed by                          | popped by                      | cost                    |
//! |------------|------------------------------------|--------------------------------|-------------------------|
//! | [`Ring`]   | its CPU, task context              | its CPU; thieves take half     | push 0, pop 1 RMW       |
//! | [`Inbox`]  | anybody, interrupt handlers too    | its CPU or a thief, all at once| push 1, take-all 1 RMW  |
//! | [`Fifo`]   | its CPU, task context              | its CPU                        | none                    |
//! | [`Injector`]| task context                      | task context                   | a spin lock             |
//! | [`Line`]   | task context                   | task context                   | a spin lock, log n      |
//!
//! All but the ring are intrusive, through the header's `link` or, the line, through the tasks' futures: they need no memory and cannot be full.

mod fifo;
mod inbox;
mod injector;
mod line;
mod ring;

pub(crate) use fifo::Fifo;
pub(crate) use inbox::Inbox;
#[cfg(all(test, loom))]
pub(crate) use inbox::Linked;
pub(crate) use injector::Injector;
pub(crate) use line::{Line, Order, Place, Stand};
pub(crate) use ring::{CAPACITY as RING_CAPACITY, Ring};
