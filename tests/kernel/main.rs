//! Tests of the whole kernel, in QEMU: what it promises who boots it, and programs on it that also run on Linux.
//!
//! ```text
//!   programs.rs  debian.rs  python.rs        the same programs on Rusk and on Linux: batches of commands in one machine
//!   shell.rs     boot.rs                     the console, key by key; starting, ending, panics
//!   stored.rs    disks.rs   loops.rs         file systems and disks, with e2fsck and Linux as judges
//!   installer.rs                             Debian installs itself
//!   shares.rs                                times, where they are counts of instructions
//!        │
//!   machine/                                 a machine under test, and the batches
//! ```
//!
//! One program for all, so that the host's CPUs have something to do while the last test of a file runs. Tests are named by their
//! files: `cargo test --release --test kernel stored::`.

mod boot;
mod debian;
mod disks;
mod installer;
mod loops;
mod machine;
mod programs;
mod python;
mod shares;
mod shell;
mod stored;
mod topology;
