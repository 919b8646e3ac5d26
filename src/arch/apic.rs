//! The local APIC: this CPU's timer, end of interrupt, and interrupts to other CPUs.
//!
//! In x2APIC mode the registers are MSRs, otherwise a page of device memory; the choice is made once. The
//! `x2apic` crate was considered: it wraps the registers in an object that end-of-interrupt borrows mutably, one
//! per CPU, which an interrupt handler and the code it interrupted would both need. These few registers are
//! simpler as free functions. Source: Intel SDM volume 3, chapter 11.

use super::cpu;
use super::interrupts::vector;
use super::layout::phys_to_virt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use x86_64::registers::model_specific::Msr;

/// The registers that are used, by their offset in the page.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Register {
    Id = 0x20,
    TaskPriority = 0x80,
    EndOfInterrupt = 0xb0,
    SpuriousVector = 0xf0,
    ErrorStatus = 0x280,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    LvtTimer = 0x320,
    LvtThermal = 0x330,
    LvtPerformance = 0x340,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

/// In a local vector table entry: no interrupts from this source.
const MASKED: u32 = 1 << 16;
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_TSC_DEADLINE: u32 = 0x6e0;

/// Whether the registers are MSRs. Relaxed: set before other CPUs run.
static X2APIC: AtomicBool = AtomicBool::new(false);
/// Virtual address of the registers otherwise.
static BASE: AtomicUsize = AtomicUsize::new(0);

#[inline(always)]
fn read(register: Register) -> u32 {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: a register that exists in x2APIC mode; none of those that we read has side effects.
        unsafe { Msr::new(0x800 + (register as u32 >> 4)).read() as u32 }
    } else {
        let address = BASE.load(Ordering::Relaxed) + register as usize;
        // SAFETY: the local APIC's page, mapped uncached in the direct map.
        unsafe { (address as *const u32).read_volatile() }
    }
}

#[inline(always)]
fn write(register: Register, value: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: as in `read`; each caller writes what the manual allows.
        unsafe { Msr::new(0x800 + (register as u32 >> 4)).write(u64::from(value)) };
    } else {
        let address = BASE.load(Ordering::Relaxed) + register as usize;
        // SAFETY: as in `read`.
        unsafe { (address as *mut u32).write_volatile(value) };
    }
}

/// Turns this CPU's local APIC on. On the boot CPU this also decides on the mode.
pub(super) fn init() {
    const ENABLE: u64 = 1 << 11;
    const X2APIC_ENABLE: u64 = 1 << 10;
    const SOFTWARE_ENABLE: u32 = 1 << 8;
    let mut base = Msr::new(IA32_APIC_BASE);
    // SAFETY: the mode changes only from off or xAPIC to x2APIC, as the manual allows.
    unsafe {
        let value = base.read();
        // Not under QEMU's emulator: with `-icount` it aborts ("Bad icount read") when an MSR access reads the
        // virtual clock, as those of the timer do.
        if cpu::features().x2apic && !cpu::features().emulated {
            base.write(value | ENABLE);
            base.write(value | ENABLE | X2APIC_ENABLE);
            X2APIC.store(true, Ordering::Relaxed);
        } else {
            base.write(value | ENABLE);
            BASE.store(phys_to_virt(value & 0x000f_ffff_ffff_f000), Ordering::Relaxed);
        }
    }
    for register in [Register::LvtTimer, Register::LvtThermal, Register::LvtPerformance, Register::LvtLint0] {
        write(register, MASKED);
    }
    // LINT1 is wired to the board's NMI.
    const NMI: u32 = 4 << 8;
    write(Register::LvtLint1, NMI);
    write(Register::LvtError, u32::from(vector::APIC_ERROR));
    write(Register::TaskPriority, 0);
    write(Register::ErrorStatus, 0);
    write(Register::SpuriousVector, SOFTWARE_ENABLE | u32::from(vector::SPURIOUS));
}

/// This CPU's APIC ID.
pub fn id() -> u32 {
    let value = read(Register::Id);
    if X2APIC.load(Ordering::Relaxed) { value } else { value >> 24 }
}

/// Ends the interrupt in service.
#[inline(always)]
pub(super) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// What an inter-processor interrupt does, as the command register's low half.
#[derive(Clone, Copy)]
pub(super) struct Command(u32);

impl Command {
    /// Raises `vector`.
    pub(super) const fn fixed(vector: u8) -> Self {
        Self(vector as u32 | 1 << 14)
    }

    /// A non-maskable interrupt.
    pub(super) const NMI: Self = Self(4 << 8 | 1 << 14);
    /// Resets the CPU into waiting for a start.
    pub(super) const INIT: Self = Self(5 << 8 | 1 << 14);

    /// Starts the CPU in real mode at `page`, which is page-aligned and below 1 MiB.
    pub(super) const fn startup(page: u32) -> Self {
        Self(page >> 12 | 6 << 8 | 1 << 14)
    }
}

/// Sends an interrupt to the CPU with APIC ID `target`. What was written before is visible to its handler.
#[inline]
pub(super) fn send(target: u32, command: Command) {
    if X2APIC.load(Ordering::Relaxed) {
        const COMMAND: u32 = 0x830;
        // Unlike device memory, x2APIC MSRs are not ordered behind earlier stores (SDM volume 3, 11.12.3).
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: a command that the constructors made, to a CPU of this machine.
        unsafe { Msr::new(COMMAND).write(u64::from(target) << 32 | u64::from(command.0)) };
    } else {
        const PENDING: u32 = 1 << 12;
        // The two halves must not be torn by a handler that sends, too.
        super::interrupts::without(|| {
            write(Register::CommandHigh, target << 24);
            write(Register::CommandLow, command.0);
            while read(Register::CommandLow) & PENDING != 0 {
                core::hint::spin_loop();
            }
        });
    }
}

/// Sends an interrupt to all CPUs but this one.
pub(super) fn send_others(command: Command) {
    const ALL_BUT_SELF: u32 = 3 << 18;
    send(0, Command(command.0 | ALL_BUT_SELF));
}

/// How the timer is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerMode {
    /// By the TSC value at which it fires.
    Deadline,
    /// By a number of ticks of its own clock.
    OneShot,
}

/// Prepares this CPU's timer; nothing is armed. In one-shot mode it counts the undivided clock.
pub(super) fn init_timer(mode: TimerMode) {
    const DIVIDE_BY_1: u32 = 0xb;
    const TSC_DEADLINE: u32 = 2 << 17;
    let vector = u32::from(vector::TIMER);
    match mode {
        TimerMode::Deadline => {
            write(Register::LvtTimer, vector | TSC_DEADLINE);
            // The mode must be set before the first deadline is (SDM volume 3, 11.5.4.1).
            core::sync::atomic::fence(Ordering::SeqCst);
        }
        TimerMode::OneShot => {
            write(Register::TimerDivide, DIVIDE_BY_1);
            write(Register::LvtTimer, vector);
        }
    }
}

/// Fires when the TSC reaches `deadline`; 0 disarms.
#[inline]
pub(super) fn set_deadline(deadline: u64) {
    // SAFETY: only arms the timer.
    unsafe { Msr::new(IA32_TSC_DEADLINE).write(deadline) };
}

/// Fires after `ticks`; 0 disarms.
#[inline]
pub(super) fn set_ticks(ticks: u32) {
    write(Register::TimerInitial, ticks);
}

/// Ticks left.
pub(super) fn ticks_left() -> u32 {
    read(Register::TimerCurrent)
}

/// Lets the timer count without an interrupt, for calibration.
pub(super) fn mask_timer() {
    write(Register::LvtTimer, MASKED | u32::from(vector::TIMER));
}
