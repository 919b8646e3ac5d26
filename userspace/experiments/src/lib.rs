//! Measurements of a kernel through its system calls: one module per subject, each function one experiment with
//! its parameters, returning nanoseconds.
//!
//! The programs in `src/bin` are the experiments of the two papers Rusk carries on from, with the papers'
//! parameters as defaults; `microbench` there runs every experiment once with short settings, a row per figure.

pub mod calls;
pub mod disks;
pub mod epoll;
pub mod files;
pub mod forks;
pub mod null_call;
pub mod page_faults;
pub mod pipes;
pub mod rings;
pub mod signals;
pub mod sockets;
pub mod storage;
pub mod threads;
pub mod throngs;

/// What every experiment returns: nanoseconds, or the error that ended it.
pub type Measured = std::io::Result<u64>;
