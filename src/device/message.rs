//! Interrupts that devices send as messages.

use alloc::{boxed::Box, string::String};
use core::fmt;

use conquer_once::spin::OnceCell;
use drivers::pci::{Function, Message};

use super::bus::Bus;
use crate::arch::interrupts::{self, Source, Wiring};

/// What is run for each vector. Set before the device may send anything.
static HANDLERS: [OnceCell<Box<dyn Fn() + Send + Sync>>; 256] = [const { OnceCell::uninit() }; 256];

fn on_message(vector: u8) {
    if let Ok(handler) = HANDLERS[usize::from(vector)].try_get() {
        handler();
    }
}

/// Why a device cannot interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It has lines only.
    OnlyLines,
    /// All vectors are in use, or this CPU's number is too large for messages.
    OutOfVectors,
    /// Its table of messages is nowhere.
    LostTable,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::OnlyLines => "it cannot send interrupts as messages",
            Error::OutOfVectors => "there is no interrupt vector for it",
            Error::LostTable => "its table of messages cannot be mapped",
        })
    }
}

/// Has a function interrupt the calling CPU, for whatever reason, by running `handler`: with interrupts off, so it may do no
/// more than acknowledge the device and wake tasks. For good: the kernel's drivers do not leave.
///
/// # Errors
/// See [`Error`].
pub fn attach(
    bus: &Bus,
    function: &Function,
    name: String,
    handler: impl Fn() + Send + Sync + 'static,
) -> Result<(), Error> {
    let messages = function.messages(bus.config()).ok_or(Error::OnlyLines)?;
    let table = match messages.table() {
        None => None,
        Some((bar, offset, len)) => Some(Bus::registers(function, bar, offset, len).ok_or(Error::LostTable)?),
    };
    let source = Source { wiring: Wiring::Message, name: name.leak() };
    let vector = interrupts::register_any(source, on_message).map_err(|_| Error::OutOfVectors)?;
    let _ = HANDLERS[usize::from(vector)].try_init_once(|| Box::new(handler));
    let (address, data) = interrupts::message(vector).ok_or(Error::OutOfVectors)?;
    messages.send_one(bus.config(), Message { address, data }, table.as_ref());
    Ok(())
}
