//! The end of the kernel: all CPUs stopped, a report on the console, QEMU left with a failure.
//!
//! The first CPU to panic reports; the others are stopped by a non-maskable interrupt, whatever they do. A fault
//! while reporting ends the report.

use super::backtrace::{Backtrace, Registers};
use super::console::print_unlocked;
use super::entry::{self, TrapFrame};
use super::{apic, clock, cpu, interrupts, percpu, power, stacks};
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// The number of the CPU that reports, plus one; 0 while there is no panic.
static REPORTING: AtomicUsize = AtomicUsize::new(0);
/// Whether CPUs that get a non-maskable interrupt are to stop. Release when set, before the interrupt; Acquire in
/// its handler.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// CPUs that have stopped.
static STOPPED: AtomicUsize = AtomicUsize::new(0);
/// Linux's `panic=`: seconds to wait before a reset, 0 to stay stopped, negative to reset at once.
static TIMEOUT: AtomicI64 = AtomicI64::new(0);

/// Exit value for `isa-debug-exit`: QEMU ends with status 2 * 127 + 1 = 255.
const FAILURE: u8 = 127;

/// Sets what happens after a panic's report, as `panic=` on Linux's command line: seconds until a reset, 0 for
/// never, negative for at once. With QEMU's `isa-debug-exit` device QEMU ends with status 255 instead.
pub fn set_timeout(seconds: i64) {
    TIMEOUT.store(seconds, Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let registers = Registers::here();
    report(format_args!("{info}"), registers)
}

/// Ends the kernel because of an exception in its own code.
pub(super) fn exception(frame: &TrapFrame) -> ! {
    report(format_args!("{}", Exception(frame)), Registers::of_frame(frame))
}

/// Stops this CPU if another one asks for it; otherwise the interrupt came from the board.
pub(super) fn non_maskable(frame: &TrapFrame) {
    if STOPPING.load(Ordering::Acquire) {
        STOPPED.fetch_add(1, Ordering::Release);
        power::halt();
    }
    // The console's lock may be held by what was interrupted.
    print_unlocked(format_args!("unexpected non-maskable interrupt at {:#x}\n", frame.rip));
}

fn report(what: fmt::Arguments<'_>, registers: Registers) -> ! {
    interrupts::disable();
    let this = percpu::cpu() + 1;
    match REPORTING.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == this => {
            print_unlocked(format_args!("\nand while reporting: {what}\n"));
            end();
        }
        // The other CPU's interrupt is about to stop this one.
        Err(_) => power::halt(),
    }
    stop_others();
    let now = clock::now_ns() / 1000;
    print_unlocked(format_args!(
        "\n[{:5}.{:06}] kernel panic on CPU {} of {}\n{what}\nbacktrace:\n{}",
        now / 1_000_000,
        now % 1_000_000,
        this - 1,
        cpu::count(),
        Backtrace(registers)
    ));
    end()
}

fn stop_others() {
    const PATIENCE_NS: u64 = 100_000_000;
    let others = cpu::count() - 1;
    if others == 0 {
        return;
    }
    STOPPING.store(true, Ordering::Release);
    apic::send_others(apic::Command::NMI);
    let end = clock::now_ns() + PATIENCE_NS;
    while STOPPED.load(Ordering::Acquire) < others && clock::now_ns() < end {
        core::hint::spin_loop();
    }
}

fn end() -> ! {
    power::exit_qemu(FAILURE);
    let seconds = TIMEOUT.load(Ordering::Relaxed);
    if seconds == 0 {
        power::halt();
    }
    let until = clock::now_ns() + seconds.max(0).unsigned_abs().saturating_mul(1_000_000_000);
    while clock::now_ns() < until {
        core::hint::spin_loop();
    }
    power::reboot()
}

/// An exception in words.
struct Exception<'a>(&'a TrapFrame);

impl fmt::Display for Exception<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0;
        let address = entry::fault_address();
        write!(f, "{}", name(frame.vector))?;
        if frame.vector == entry::PAGE_FAULT {
            const PRESENT: u64 = 1;
            const WRITE: u64 = 2;
            const FETCH: u64 = 16;
            let access = match frame.error {
                error if error & WRITE != 0 => "writing",
                error if error & FETCH != 0 => "executing",
                _ => "reading",
            };
            let reason = if frame.error & PRESENT != 0 { "not allowed" } else { "not mapped" };
            write!(f, " {access} {address:#x} ({reason})")?;
        } else {
            write!(f, ", error code {:#x}", frame.error)?;
        }
        writeln!(f, " in {} mode", if frame.is_user() { "user" } else { "kernel" })?;
        if let Some(stack) = stacks::locate(address)
            && stack.guard
            && frame.vector == entry::PAGE_FAULT
        {
            writeln!(
                f,
                "stack overflow: CPU {}'s {} stack is {:#x} to {:#x}",
                stack.cpu, stack.name, stack.bottom, stack.top
            )?;
        }
        writeln!(
            f,
            "rip {:016x} rsp {:016x} flags {:x} cs {:x}",
            frame.rip, frame.rsp, frame.rflags, frame.cs
        )?;
        writeln!(
            f,
            "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
            frame.rax, frame.rbx, frame.rcx, frame.rdx
        )?;
        writeln!(
            f,
            "rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}",
            frame.rsi, frame.rdi, frame.rbp, frame.r8
        )?;
        writeln!(
            f,
            "r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}",
            frame.r9, frame.r10, frame.r11, frame.r12
        )?;
        write!(f, "r13 {:016x} r14 {:016x} r15 {:016x} cr2 {address:016x}", frame.r13, frame.r14, frame.r15)
    }
}

/// The names of Intel SDM volume 3, table 6-1.
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "unknown exception",
    }
}
