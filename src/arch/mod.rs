//! The machine: everything that knows it is an x86-64.
//!
//! Where to start reading: [`boot`] is how the kernel comes up, [`user`] and `entry` are the way between user mode
//! and the kernel, with [`answers`] at its door, [`interrupts`] is how devices are heard.
//!
//! ```text
//!  boot ──▶ descriptors, stacks, percpu ── what each CPU has of its own
//!    │      acpi, apic, ioapic, clock,
//!    │      topology                     ── what the machine has
//!    ▼      smp ─────────────────────────── the other CPUs
//!  kernel_main
//!
//!  user ◀──▶ entry ◀── interrupts            uaccess: user memory      paging: page tables and TLB
//!  timer, ipi: what the executor needs       panic ── backtrace ── symbols
//! ```
//!
//! Nothing here needs the executor. What needs the memory allocator after the start is a user context that uses more than SSE,
//! and what is asked for now and then: topology, backtraces.

mod apic;
mod asm;
mod descriptors;
mod entry;
mod panic;
mod runtime;
mod stacks;

pub mod acpi;
pub mod answers;
pub mod backtrace;
pub mod boot;
pub mod breakpoints;
pub mod clock;
pub mod console;
pub mod cpu;
pub mod interrupts;
pub mod ioapic;
pub mod ipi;
pub mod layout;
pub mod mem;
pub mod paging;
pub mod pci;
pub mod percpu;
pub mod port;
pub mod power;
pub mod smp;
pub mod symbols;
pub mod timer;
pub mod topology;
pub mod uaccess;
pub mod user;

pub use panic::set_timeout as set_panic_timeout;
