//! Device drivers as async tasks: register-level, testable on the host.
//!
//! [`tty`] holds terminals: line discipline, serial terminals, pseudo-terminals. [`uart`] drives the serial port that a
//! console's terminal sits on. [`memory`] holds /dev/null and its kin, [`random`] the generator behind /dev/random.
#![no_std]

extern crate alloc;

pub mod memory;
pub mod random;
pub mod tty;
pub mod uart;
