//! The processor of user mode: fetches instructions from user memory, and does what they say.

use super::{Access, Trap, UserContext};
use crate::arch::layout::USER_END;
use crate::arch::percpu;
use crate::arch::processor::translate;
use crate::instruction::{Operation, SYSCALL};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The most instructions that one stay in user mode has where devices interrupt.
const LONGEST: u64 = 200;
/// What an instruction takes, in virtual nanoseconds, beside a place to switch.
const INSTRUCTION_NS: u64 = 10;

/// Whether devices interrupt programs now and then, which are not the kernel's own interrupts. Relaxed: there is one thread.
static DISTURBED: AtomicBool = AtomicBool::new(false);

/// Devices interrupt programs now and then, or they do not.
pub fn disturb(disturbed: bool) {
    DISTURBED.store(disturbed, Relaxed);
}

impl UserContext {
    /// A register by its number, as the processor counts them.
    fn register(&mut self, number: u8) -> &mut u64 {
        match number & 15 {
            0 => &mut self.rax,
            1 => &mut self.rcx,
            2 => &mut self.rdx,
            3 => &mut self.rbx,
            4 => &mut self.rsp,
            5 => &mut self.rbp,
            6 => &mut self.rsi,
            7 => &mut self.rdi,
            8 => &mut self.r8,
            9 => &mut self.r9,
            10 => &mut self.r10,
            11 => &mut self.r11,
            12 => &mut self.r12,
            13 => &mut self.r13,
            14 => &mut self.r14,
            _ => &mut self.r15,
        }
    }

    /// Runs the program until a trap.
    pub(super) fn interpret(&mut self) -> Trap {
        let mut left = if DISTURBED.load(Relaxed) { 1 + executor::sim::random(LONGEST) } else { u64::MAX };
        loop {
            executor::sim::spend(INSTRUCTION_NS);
            left -= 1;
            if executor::sim::take_interrupted() || left == 0 {
                return Trap::Interrupt;
            }
            if let Err(trap) = self.step() {
                return trap;
            }
        }
    }

    /// One instruction. If it traps, nothing of it is done, but for a call, which is.
    fn step(&mut self) -> Result<(), Trap> {
        let rip = self.rip as usize;
        let [operation, operands] = fetch(rip)?;
        if [operation, operands] == SYSCALL {
            return self.call(rip);
        }
        let ([a, b], [c, d]) = (fetch(rip + 2)?, fetch(rip + 4)?);
        let immediate = i32::from_le_bytes([a, b, c, d]);
        let wide = i64::from(immediate) as u64;
        let (to, from) = (operands >> 4, operands & 15);
        let source = *self.register(from);
        let target = *self.register(to);
        let mut next = rip as u64 + 6;
        match Operation::from_code(operation) {
            Some(Operation::Load) => *self.register(to) = wide,
            Some(Operation::Move) => *self.register(to) = source,
            Some(Operation::Add) => *self.register(to) = target.wrapping_add(source),
            Some(Operation::AddConstant) => *self.register(to) = target.wrapping_add(wide),
            Some(Operation::Subtract) => *self.register(to) = target.wrapping_sub(source),
            Some(Operation::And) => *self.register(to) = target & wide,
            Some(Operation::Read4) => {
                let place = self.place(source.wrapping_add(wide), 4, false)?;
                // SAFETY: simulated memory, aligned.
                *self.register(to) = u64::from(unsafe { place.cast::<u32>().read() });
            }
            Some(Operation::Read8) => {
                let place = self.place(source.wrapping_add(wide), 8, false)?;
                // SAFETY: as above.
                *self.register(to) = unsafe { place.cast::<u64>().read() };
            }
            Some(Operation::Write4) => {
                let place = self.place(target.wrapping_add(wide), 4, true)?;
                // SAFETY: as above.
                unsafe { place.cast::<u32>().write(source as u32) };
            }
            Some(Operation::Write8) => {
                let place = self.place(target.wrapping_add(wide), 8, true)?;
                // SAFETY: as above.
                unsafe { place.cast::<u64>().write(source) };
            }
            Some(Operation::CompareExchange) => {
                let place = self.place(target.wrapping_add(wide), 4, true)?.cast::<u32>();
                // SAFETY: as above.
                let old = unsafe { place.read() };
                if old == self.rax as u32 {
                    // SAFETY: as above.
                    unsafe { place.write(source as u32) };
                }
                self.rax = u64::from(old);
            }
            Some(Operation::Exchange) => {
                let place = self.place(target.wrapping_add(wide), 4, true)?.cast::<u32>();
                // SAFETY: as above.
                *self.register(from) = u64::from(unsafe { place.replace(source as u32) });
            }
            Some(Operation::ExchangeAdd) => {
                let place = self.place(target.wrapping_add(wide), 4, true)?.cast::<u32>();
                // SAFETY: as above.
                let old = unsafe { place.replace(place.read().wrapping_add(source as u32)) };
                *self.register(from) = u64::from(old);
            }
            Some(Operation::Jump) => next = wide,
            Some(Operation::JumpEqual) if target == source => next = wide,
            Some(Operation::JumpUnequal) if target != source => next = wide,
            Some(Operation::JumpLess) if (target as i64) < source as i64 => next = wide,
            Some(Operation::JumpEqual | Operation::JumpUnequal | Operation::JumpLess) => {}
            Some(Operation::Call) => {
                let stack = self.rsp.wrapping_sub(8);
                let place = self.place(stack, 8, true)?;
                // SAFETY: as above.
                unsafe { place.cast::<u64>().write(next) };
                self.rsp = stack;
                next = wide;
            }
            Some(Operation::Return) => {
                let place = self.place(self.rsp, 8, false)?;
                // SAFETY: as above.
                next = unsafe { place.cast::<u64>().read() };
                self.rsp = self.rsp.wrapping_add(8);
            }
            Some(Operation::Work) => executor::sim::spend(wide),
            Some(Operation::Random) => *self.register(to) = executor::sim::random(wide),
            Some(Operation::Tell) => {
                let answer = crate::observer::told(immediate as u32, self.rdi, self.rsi, self.rdx);
                self.rax = answer;
            }
            None => return Err(Trap::Exception { vector: 6, error: 0 }),
        }
        self.rip = next;
        if next >= USER_END as u64 {
            return Err(Trap::Exception { vector: 13, error: 0 });
        }
        Ok(())
    }

    /// A `syscall` instruction.
    fn call(&mut self, rip: usize) -> Result<(), Trap> {
        self.rip = rip as u64 + SYSCALL.len() as u64;
        (self.rcx, self.r11) = (self.rip, self.rflags);
        if let Ok(number) = u32::try_from(self.rax)
            && let Some(answer) = percpu::answer(number)
        {
            self.rax = u64::from(answer);
            return Ok(());
        }
        self.orig_rax = self.rax;
        Err(Trap::Syscall)
    }

    /// Where a word of user memory is.
    fn place(&self, address: u64, len: usize, write: bool) -> Result<*mut u8, Trap> {
        let address = address as usize;
        if address >= USER_END || !address.is_multiple_of(len) {
            return Err(Trap::Exception { vector: 13, error: 0 });
        }
        let access = if write { Access::Write } else { Access::Read };
        translate(address, write).ok_or(Trap::PageFault { address, access })
    }
}

/// Two bytes of the program, which do not lie in two pages.
fn fetch(address: usize) -> Result<[u8; 2], Trap> {
    if !address.is_multiple_of(2) {
        return Err(Trap::Exception { vector: 6, error: 0 });
    }
    let place = translate(address, false).ok_or(Trap::PageFault { address, access: Access::Execute })?;
    // SAFETY: simulated memory.
    Ok(unsafe { place.cast::<[u8; 2]>().read() })
}
