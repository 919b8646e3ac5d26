//! The kernel's processes on the host.
//!
//! Nearly all of the kernel is compiled here as it is, over a machine that this crate simulates, on the virtual CPUs and in the
//! virtual time of the executor's simulator. Programs are of an instruction set of their own; that apart, all is real: they
//! come from ELF files in an archive, which the kernel unpacks and executes, their memory is behind page tables and TLBs, and
//! they live by system calls. The seed decides at each atomic access, each lock and each instruction of a program who goes on.
//!
//! ```text
//!   arch/          the machine, by the names of the kernel's `arch`
//!   device/, machine, power, profile, vdso    what of the kernel only drives hardware, left out
//!   instruction    what programs here consist of; program: an assembler
//!   first          the first program; archive: where it comes from
//!   observer       is told by programs what they do
//!   run            from a seed to an outcome
//! ```
//!
//! Where to start reading: `run.rs`, then one of the storms in `storms/`.
#![deny(unsafe_op_in_unsafe_fn)]
// Nobody calls all of the kernel here.
#![allow(dead_code, unused_imports)]

extern crate alloc;
// The kernel's atomics become the simulator's.
extern crate interleaved as core;
pub fn fault(n: u32) -> bool {
    static F: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *F.get_or_init(|| std::env::var("FAULT").ok().and_then(|v| v.parse().ok()).unwrap_or(0)) == n
}

mod arch;
mod archive;
mod device;
mod first;
pub mod instruction;
mod machine;
pub mod observer;
mod power;
mod profile;
pub mod program;
pub mod run;
mod vdso;

#[path = "../../../src/command_line.rs"]
mod command_line;
#[path = "../../../src/file/mod.rs"]
mod file;
#[path = "../../../src/ipc/mod.rs"]
mod ipc;
#[path = "../../../src/kernel_log.rs"]
mod kernel_log;
#[path = "../../../src/memory/mod.rs"]
mod memory;
#[path = "../../../src/process/mod.rs"]
mod process;
#[path = "../../../src/procfs/mod.rs"]
#[allow(
    clippy::needless_pass_by_value,
    clippy::unit_arg,
    clippy::let_and_return,
    clippy::manual_is_multiple_of,
    reason = "makers of texts all have one signature"
)]
mod procfs;
#[path = "../../../src/random.rs"]
mod random;
#[path = "../../../src/root.rs"]
mod root;
#[path = "../../../src/stopwatch.rs"]
mod stopwatch;
#[path = "../../../src/strace/mod.rs"]
mod strace;
#[path = "../../../src/syscall/mod.rs"]
mod syscall;
#[path = "../../../src/trace_log.rs"]
mod trace_log;
#[path = "../../../src/user_memory.rs"]
mod user_memory;
#[path = "../../../src/wall_clock.rs"]
mod wall_clock;
