//! Device drivers as async tasks: register-level, testable on the host.
//!
//! [`tty`] holds terminals: line discipline, serial terminals, pseudo-terminals. [`uart`] drives the serial port that a
//! console's terminal sits on.
#![no_std]

extern crate alloc;

pub mod tty;
pub mod uart;
