//! The crate `core`, but that before each atomic access, and in each turn of a loop that waits, another virtual CPU of the
//! executor's simulator may go on.
//!
//! A crate that says `extern crate interleaved as core` has its atomics from here without a change in its sources: so the
//! kernel's own protocols are interleaved as finely as the executor's. What is called by other names (`std`, or `core` as other
//! crates have it) is as always; the types here [dereference](core::ops::Deref) to those.
//!
//! As in the simulator itself, a run is a sequentially consistent interleaving: orderings are passed on, and mean nothing more.

#![no_std]

pub use core::*;

/// Hints to the processor.
pub mod hint {
    pub use core::hint::*;

    /// Somebody else has to do something before the caller's loop ends: somebody else goes on.
    pub fn spin_loop() {
        executor::sim::relax();
    }
}

/// Synchronisation.
pub mod sync {
    pub use core::sync::*;

    /// Atomics: those of the simulator.
    pub mod atomic {
        pub use core::sync::atomic::*;
        // These names come before those.
        pub use executor::sim::atomic::{
            AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8,
            AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence,
        };
    }
}
