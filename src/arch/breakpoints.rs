//! The debug registers (Intel SDM volume 3, chapter 18): breakpoints of the processor, on an instruction or on data.
//!
//! They are loaded while the one program that has them is in user mode, and off otherwise.

use core::arch::asm;

/// Breakpoints, as a debugger sets them: DR0 to DR3, and DR7.
#[derive(Clone, Copy, Default)]
pub struct Breakpoints {
    addresses: [u64; 4],
    control: u64,
}

/// DR6: an instruction was stepped.
pub const STEPPED: u64 = 1 << 14;
/// DR6: breakpoints that were met.
pub const MET: u64 = 0xf;
/// DR6: the bits that are always one.
const STATUS_FIXED: u64 = 0xffff_0ff0;
/// DR7: breakpoints that are on, by two bits each.
const ENABLED: u64 = 0xff;
/// DR7: "exact", which newer processors do not need; and what a program may not choose.
const CONTROL_KNOWN: u64 = 0xffff_0000 | ENABLED | 0x300;

impl Breakpoints {
    /// One of the registers 0 to 7. Of what a #DB was for (6), nothing is known here.
    pub fn get(&self, register: usize) -> u64 {
        match register {
            0..4 => self.addresses[register],
            7 => self.control,
            _ => 0,
        }
    }

    /// Sets one of them. False if there is no such register, or it does not take that value: addresses are below `end`,
    /// and breakpoints on ports or of eight instruction bytes there are not.
    pub fn set(&mut self, register: usize, value: u64, end: u64) -> bool {
        match register {
            0..4 if value < end => self.addresses[register] = value,
            7 if value & !CONTROL_KNOWN == 0 && (0..4).all(|place| is_kind(value, place)) => {
                self.control = value;
            }
            _ => return false,
        }
        true
    }

    /// Whether any breakpoint is on.
    pub fn are_any(&self) -> bool {
        self.control & ENABLED != 0
    }

    /// Whether a breakpoint that was `met` (DR6) is one on an instruction, which is met before that is executed.
    pub fn are_before(&self, met: u64) -> bool {
        (0..4).any(|place| met & 1 << place != 0 && kind(self.control, place) == 0)
    }

    /// Loads them into the processor.
    pub(super) fn load(&self) {
        let [first, second, third, fourth] = self.addresses;
        // SAFETY: breakpoints at user addresses, of which the kernel's own accesses are the one thing that may meet them:
        // the handler passes those over.
        unsafe {
            asm!("mov dr0, {}", in(reg) first, options(nomem, nostack, preserves_flags));
            asm!("mov dr1, {}", in(reg) second, options(nomem, nostack, preserves_flags));
            asm!("mov dr2, {}", in(reg) third, options(nomem, nostack, preserves_flags));
            asm!("mov dr3, {}", in(reg) fourth, options(nomem, nostack, preserves_flags));
            asm!("mov dr7, {}", in(reg) self.control, options(nomem, nostack, preserves_flags));
        }
    }

    /// Turns them off in the processor.
    pub(super) fn unload() {
        // SAFETY: no breakpoint is on afterwards.
        unsafe { asm!("mov dr7, {}", in(reg) 0u64, options(nomem, nostack, preserves_flags)) };
    }
}

/// What a breakpoint is on: 0 an instruction, 1 stores, 2 ports, 3 loads and stores.
fn kind(control: u64, place: usize) -> u64 {
    control >> (16 + 4 * place) & 3
}

/// Whether a breakpoint, if it is on, is of a kind that a program may have.
fn is_kind(control: u64, place: usize) -> bool {
    let len = control >> (18 + 4 * place) & 3;
    let is_on = control >> (2 * place) & 3 != 0;
    !is_on || matches!((kind(control, place), len), (0, 0) | (1 | 3, _))
}

/// What the last #DB on this CPU was for (DR6), which is forgotten.
pub fn take_status() -> u64 {
    let status: u64;
    // SAFETY: a register that only says what has happened.
    unsafe {
        asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) STATUS_FIXED, options(nomem, nostack, preserves_flags));
    }
    // As Linux shows it: what is set has happened.
    status & (STEPPED | MET | 1 << 13 | 1 << 15)
}
