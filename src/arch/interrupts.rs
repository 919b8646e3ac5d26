//! Interrupts: the flag that lets them in, and the handlers they run.
//!
//! A handler acknowledges its device and wakes a task; it runs with interrupts off on the CPU that the interrupt
//! came to, allocates nothing and takes no lock that tasks take. Interrupts that arrive in user mode run their
//! handler on the kernel stack and then end the program's turn (`user::Trap::Interrupt`).

use super::{apic, cpu::MAX_CPUS, percpu};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use spin::Mutex;

/// A handler; its argument is the vector.
pub type Handler = fn(u8);

/// The fixed vectors, above those for devices.
pub mod vector {
    /// First vector for devices.
    pub const DEVICE_FIRST: u8 = 0x30;
    /// Last vector for devices.
    pub const DEVICE_LAST: u8 = 0xdf;
    /// "Look for work", to CPUs that have just been started.
    pub const WAKE: u8 = 0xe0;
    /// "There is work, or somebody is called": ends a halt, and a stay in user mode.
    pub const KICK: u8 = 0xe1;
    /// "Flush your TLB as the request says."
    pub const TLB_SHOOTDOWN: u8 = 0xe2;
    /// The local APIC's timer.
    pub const TIMER: u8 = 0xef;
    /// The local APIC saw an error.
    pub const APIC_ERROR: u8 = 0xfe;
    /// An interrupt that went away before it was delivered.
    pub const SPURIOUS: u8 = 0xff;
}

/// One handler per vector, null where there is none. Release on registering pairs with Acquire in `dispatch`.
static HANDLERS: [AtomicPtr<()>; 256] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 256];
/// Whether an interrupt without a handler has been reported.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// How many have come to each CPU by each vector. Relaxed: each is written by its own CPU only, and is a statistic.
static COUNTS: [[AtomicU64; 256]; MAX_CPUS] = [const { [const { AtomicU64::new(0) }; 256] }; MAX_CPUS];

/// What has a device vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it interrupts.
    pub wiring: Wiring,
    /// The device's name.
    pub name: &'static str,
}

/// How a device interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// By a line of the I/O APICs.
    Line {
        /// Its number.
        line: u32,
        /// Whether its level, and not its change, is what interrupts.
        is_level: bool,
    },
    /// By a message.
    Message,
}

/// The sources of the device vectors. Never taken in handlers.
static SOURCES: Mutex<[Option<Source>; DEVICES]> = Mutex::new([None; DEVICES]);
const DEVICES: usize = (vector::DEVICE_LAST - vector::DEVICE_FIRST) as usize + 1;

/// Why no handler could be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The vector has a handler.
    Taken,
    /// All device vectors are in use.
    NoVector,
    /// No I/O APIC serves this interrupt line.
    NoSuchLine,
}

/// Lets interrupts in.
#[inline(always)]
pub fn enable() {
    // SAFETY: handlers are prepared for interrupts anywhere in kernel code. Not `nomem`: memory accesses stay on
    // their side.
    unsafe { asm!("sti", options(nostack)) };
}

/// Keeps interrupts out.
#[inline(always)]
pub fn disable() {
    // SAFETY: only delays interrupts. Not `nomem`, as above.
    unsafe { asm!("cli", options(nostack)) };
}

/// Whether interrupts are let in.
#[inline(always)]
pub fn are_enabled() -> bool {
    const INTERRUPT_FLAG: u64 = 1 << 9;
    let flags: u64;
    // SAFETY: pushes and pops one word.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(nomem, preserves_flags)) };
    flags & INTERRUPT_FLAG != 0
}

/// Runs `body` with interrupts out and then restores how it was. Keep it short.
#[inline(always)]
pub fn without<T>(body: impl FnOnce() -> T) -> T {
    let enabled = are_enabled();
    disable();
    let value = body();
    if enabled {
        enable();
    }
    value
}

/// Lets interrupts in and halts until one comes; returns after its handler with interrupts on.
///
/// Called with interrupts out, after a last look for work. `sti` takes effect behind the next instruction, so an
/// interrupt that came since the look ends the halt instead of being handled before it: no wake-up is lost.
#[inline(always)]
pub fn enable_and_halt() {
    // SAFETY: as `enable`; the processor goes on with the next interrupt.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Whether a handler runs on this CPU.
#[inline]
pub fn in_handler() -> bool {
    percpu::in_handler()
}

/// Whether the interrupt whose handler runs has come in kernel mode.
#[inline]
pub fn came_in_kernel_mode() -> bool {
    percpu::interrupted()
}

/// Sets the handler of a fixed vector.
///
/// # Errors
/// [`Error::Taken`] if there is one.
pub fn register(vector: u8, handler: Handler) -> Result<(), Error> {
    HANDLERS[usize::from(vector)]
        .compare_exchange(core::ptr::null_mut(), handler as *mut (), Ordering::Release, Ordering::Relaxed)
        .map(drop)
        .map_err(|_| Error::Taken)
}

/// Sets the handler of a free device vector for `source` and returns it.
///
/// # Errors
/// [`Error::NoVector`] when all are in use.
pub fn register_any(source: Source, handler: Handler) -> Result<u8, Error> {
    let vector = (vector::DEVICE_FIRST..=vector::DEVICE_LAST)
        .find(|&vector| register(vector, handler).is_ok())
        .ok_or(Error::NoVector)?;
    SOURCES.lock()[usize::from(vector - vector::DEVICE_FIRST)] = Some(source);
    Ok(vector)
}

/// What a device writes where to interrupt the calling CPU by a vector, once each time: address and data (SDM volume 3,
/// 11.11). None for a CPU whose number is too large for messages.
pub fn message(vector: u8) -> Option<(u64, u32)> {
    const INTERRUPTS: u64 = 0xfee0_0000;
    let cpu = u8::try_from(apic::id()).ok()?;
    Some((INTERRUPTS | u64::from(cpu) << 12, u32::from(vector)))
}

/// The device vectors in use.
pub fn sources() -> impl Iterator<Item = (u8, Source)> {
    let sources = *SOURCES.lock();
    (vector::DEVICE_FIRST..).zip(sources).filter_map(|(vector, source)| Some((vector, source?)))
}

/// How many interrupts have come to a CPU by a vector.
pub fn count(cpu: usize, vector: u8) -> u64 {
    COUNTS[cpu][usize::from(vector)].load(Ordering::Relaxed)
}

/// How many interrupts have come to a CPU.
pub fn count_all(cpu: usize) -> u64 {
    COUNTS[cpu].iter().map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Reports the first interrupt that nobody handles; more of them would only flood the console.
#[cold]
fn unexpected(vector: usize) {
    if !REPORTED.swap(true, Ordering::Relaxed) {
        log::warn!("an interrupt on vector {vector:#x}, which has no handler");
    }
}

/// Runs the handler of `vector` and tells the local APIC. Called by the entry code with interrupts off.
pub(super) extern "C" fn dispatch(vector: usize) {
    percpu::set_in_handler(true);
    let count = &COUNTS[percpu::cpu()][vector];
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    // Acquire: pairs with `register`.
    let handler = HANDLERS[vector].load(Ordering::Acquire);
    if handler.is_null() {
        // Waking and kicking need no handler: that the interrupt came is all.
        if !matches!(vector as u8, vector::WAKE | vector::KICK) {
            unexpected(vector);
        }
    } else {
        // SAFETY: only `register` stores here, and only such functions.
        let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
        handler(vector as u8);
    }
    // A spurious interrupt is not in service, so there is none to end (SDM volume 3, 11.9).
    if vector != usize::from(vector::SPURIOUS) {
        apic::end_of_interrupt();
    }
    percpu::set_in_handler(false);
}
