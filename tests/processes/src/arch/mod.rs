//! A simulated machine, under the names of the kernel's `arch`.
//!
//! Its CPUs are the executor's simulator's, and so is its clock. What is here is what the kernel finds beside those:
//!
//! ```text
//!   user       registers and an interpreter, which is what user mode is here     (program.rs has the instructions)
//!   uaccess    user memory, through the TLB of the CPU that the caller is on
//!   memory     physical memory: an area of the test's own
//!   processor  what each CPU has for itself; cpu, percpu, paging, interrupts, ipi: that by the kernel's names
//!   firmware   what no run can reach, or nobody looks at: ports, consoles
//! ```
//!
//! The real ones of the kernel's files are used where they need no processor: page-table entries, what is answered at the door,
//! the look at another thread's registers, debug registers as numbers.

mod firmware;
mod memory;
mod processor;
#[path = "../../../memory/src/tlb.rs"]
mod tlb;

pub mod uaccess;
pub mod user;

#[path = "../../../../src/arch/answers.rs"]
pub mod answers;
#[path = "../../../../src/arch/breakpoints.rs"]
pub mod breakpoints;
/// The kernel's own entries and tables.
#[path = "../../../../src/arch/paging.rs"]
mod hardware;
#[path = "../../../../src/arch/topology.rs"]
pub mod topology;

pub use firmware::{console, port, set_panic_timeout};
pub use memory::{boot, layout, mem};
pub use processor::{clock, cpu, interrupts, ipi, paging, percpu, smp};
