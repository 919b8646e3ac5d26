//! The kernel's memory room on the host.
//!
//! `src/memory` is compiled here as it is, over a machine that this crate simulates: physical memory is an area of the
//! test's own, and each simulated CPU has a TLB and a cache of directory entries that know only what they were told.
//! A missing flush, a frame freed too early or a table walked after its end shows as a wrong byte.
//!
//! Where to start reading: `machine.rs` (the simulation), then `model.rs` (random operations against a simple model).
#![cfg(test)]
// The kernel uses more of the room than its tests do.
#![allow(dead_code, unused_imports)]

extern crate alloc;

#[path = "machine.rs"]
mod arch;
#[path = "../../../src/memory/mod.rs"]
mod memory;

mod files;
mod frames;
mod model;
mod parallel;
mod regions;
mod relief;
