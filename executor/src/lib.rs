//! Async tasks on a per-CPU work-stealing executor.
#![no_std]
