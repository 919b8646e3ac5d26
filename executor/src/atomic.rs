//! Atomics for the crates above this one: those of `core`; with the simulator, its own, before each access to which another
//! virtual CPU may get its turn. What those crates share between CPUs is then interleaved as finely as the executor itself.

pub use core::sync::atomic::*;

// These names come before those.
#[cfg(feature = "sim")]
pub use crate::sim::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, fence,
};
