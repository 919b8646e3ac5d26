//! Rusk: an operating-system kernel whose every activity is an async task.
//!
//! ```text
//!   arch      the machine: boot, traps, interrupts, clocks, the other CPUs
//!   memory    frames, the kernel heap, address spaces, fork
//!   machine   the executor's view of the machine: clock, idle, wake-ups
//!   device    devices that are found, and their drivers
//!   process   user threads as futures, the process tree, signals, exec, fork, exit, wait, futexes
//!   file      descriptors and open files; blocking I/O in one place
//!   syscall   Linux's system calls, one file per area; user_memory: how they and others reach programs' memory
//!   strace    system calls as lines of text; profile: where time is spent
//!   procfs    /proc and /sys; vdso: the time without a system call
//!   root      the root file system; console, kernel_log, random, power, stopwatch: small services of the machine
//! ```
//!
//! Where to start reading: [`kernel_main`] brings everything up in order and ends in the executor's loop, which the
//! kernel never leaves. A program's life is the loop in [`process::run`].
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

mod arch;
mod command_line;
mod console;
mod device;
mod file;
mod ipc;
mod kernel_log;
mod machine;
mod memory;
mod power;
mod process;
#[allow(
    clippy::needless_pass_by_value,
    clippy::unit_arg,
    clippy::let_and_return,
    clippy::manual_is_multiple_of,
    reason = "makers of texts all have one signature"
)]
mod procfs;
mod profile;
mod random;
mod root;
mod stopwatch;
mod strace;
mod syscall;
mod trace_log;
mod user_memory;
mod vdso;
mod wall_clock;

use bootloader_api::BootInfo;
use command_line::Options;

/// The kernel's allocator.
#[global_allocator]
static HEAP: memory::heap::KernelHeap = memory::heap::KernelHeap;

/// Where `arch::boot` hands over: on the boot CPU, with interrupts on.
pub fn kernel_main(boot: &'static mut BootInfo, options: Options<'static>) -> ! {
    memory::init(boot);
    let cpus = arch::smp::bring_up();
    executor::init(cpus);
    executor::set_time_slice(process::run::SLICE_NS);
    random::init();
    let [seed] = random::words();
    fs::dcache::set_hash_seed(seed as u64);
    vdso::init();
    let ramdisk = memory::Ramdisk::of(boot);
    let greeting = Greeting { cpus, memory: memory::stats().total_bytes };
    device::enumerate();
    arch::smp::start(machine::run_cpu);
    machine::run_first_cpu(async move {
        console::start();
        device::start();
        memory::start_background_tasks(process::oom::sacrifice);
        wall_clock::start_background_task();
        memory::space::set_is_ending(process::Thread::is_running_one_killed);
        file::socket::start_background_tasks();
        log::info!("{greeting}");
        if let Err(error) = process::start_first(options.keep(), ramdisk).await {
            panic!("No working init found: {error}");
        }
    })
}

/// The line that says what machine this is.
struct Greeting {
    cpus: usize,
    memory: usize,
}

impl core::fmt::Display for Greeting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let plural = if self.cpus == 1 { "" } else { "s" };
        let (memory, version) = (self.memory >> 20, env!("CARGO_PKG_VERSION"));
        let since = arch::clock::now_ns() / 1_000_000;
        write!(f, "Rusk {version}: {} CPU{plural}, {memory} MiB, {since} ms since power-on", self.cpus)
    }
}
