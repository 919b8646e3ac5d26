//! Who called whom, for a dying kernel, and for the profiler.
//!
//! Compiled code keeps no frame pointers (they would cost instructions on every call), so the stack is unwound by
//! the tables that the compiler writes into `.eh_frame`; `gimli` reads them. Every address is checked before it is
//! read: a broken stack ends the trace and never faults.
//!
//! To find an address in the tables and to follow its instructions takes thousands of instructions. A dying kernel has the
//! time; the profiler, which meets the same addresses again and again, keeps what it has found in [`Rules`].

use super::entry::TrapFrame;
use super::layout::{self, Image};
use super::{smp, stacks, symbols};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindContextStorage, UnwindSection, UnwindTableRow, X86_64,
};
use rustc_demangle::demangle;
use zerocopy::{FromBytes, Immutable, IntoBytes};

unsafe extern "C" {
    static __eh_frame_start: u8;
    static __eh_frame_end: u8;
    static __eh_frame_hdr_start: u8;
    static __eh_frame_hdr_end: u8;
}

type Reader = EndianSlice<'static, LittleEndian>;

/// Room for the unwinder's rules: x86-64 has 17 registers that matter, and the compiler nests no remembered states
/// deeper than this.
struct Storage;

impl UnwindContextStorage<usize> for Storage {
    type Rules = [(Register, RegisterRule<usize>); 20];
    type Stack = [UnwindTableRow<usize, Self>; 4];
}

/// Frames after which a trace is cut.
const LIMIT: usize = 64;
/// Equal frames in a row (recursion) that are passed over; the largest stack has no room for more.
const MOST_REPEATED: usize = 8192;

/// The registers that survive calls, by their DWARF numbers, and the return address.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    values: [u64; 17],
}

impl Registers {
    /// Those of interrupted code.
    pub fn of_frame(frame: &TrapFrame) -> Self {
        let mut registers = Self { values: [0; 17] };
        for (register, value) in [
            (X86_64::RBX, frame.rbx),
            (X86_64::RBP, frame.rbp),
            (X86_64::RSP, frame.rsp),
            (X86_64::R12, frame.r12),
            (X86_64::R13, frame.r13),
            (X86_64::R14, frame.r14),
            (X86_64::R15, frame.r15),
            (X86_64::RA, frame.rip),
        ] {
            registers.values[usize::from(register.0)] = value;
        }
        registers
    }

    /// Those of the caller.
    #[inline(always)]
    pub fn here() -> Self {
        let mut registers = Self { values: [0; 17] };
        let (rbx, rbp, rsp, r12, r13, r14, r15, rip): (u64, u64, u64, u64, u64, u64, u64, u64);
        // SAFETY: only reads registers.
        unsafe {
            core::arch::asm!("mov {}, rbx", "mov {}, rbp", "mov {}, rsp", "lea {}, [rip]",
                out(reg) rbx, out(reg) rbp, out(reg) rsp, out(reg) rip, options(nomem, nostack));
            core::arch::asm!("mov {}, r12", "mov {}, r13", "mov {}, r14", "mov {}, r15",
                out(reg) r12, out(reg) r13, out(reg) r14, out(reg) r15, options(nomem, nostack));
        }
        for (register, value) in [
            (X86_64::RBX, rbx),
            (X86_64::RBP, rbp),
            (X86_64::RSP, rsp),
            (X86_64::R12, r12),
            (X86_64::R13, r13),
            (X86_64::R14, r14),
            (X86_64::R15, r15),
            (X86_64::RA, rip),
        ] {
            registers.values[usize::from(register.0)] = value;
        }
        registers
    }

    fn get(&self, register: Register) -> Option<u64> {
        self.values.get(usize::from(register.0)).copied()
    }

    /// Those behind a call whose callee has not touched anything.
    fn after_call(&self) -> Option<Self> {
        let stack = self.get(X86_64::RSP)?;
        let mut caller = *self;
        caller.values[usize::from(X86_64::RA.0)] = read(stack)?;
        caller.values[usize::from(X86_64::RSP.0)] = stack + 8;
        Some(caller)
    }

    fn rip(&self) -> u64 {
        self.values[usize::from(X86_64::RA.0)]
    }
}

/// A trace that prints itself, one function per line.
pub struct Backtrace(pub Registers);

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = Rules::NONE;
        let mut unwinder = Unwinder::new(&rules);
        let mut registers = self.0;
        // Interrupted code stands at its address; callers stand behind their call.
        let mut exact = true;
        let mut repeated = 0;
        for index in 0..LIMIT {
            let rip = registers.rip() as usize;
            let known = Image::current().is_text(rip);
            if rip == 0 {
                break;
            }
            let inside = rip - usize::from(!exact);
            write!(f, "  {index:2}: {rip:#018x} ")?;
            match symbols::lookup(inside) {
                Some((name, offset)) => writeln!(f, "{:#} + {:#x}", demangle(name), offset + rip - inside)?,
                None if known => writeln!(f, "?")?,
                None => writeln!(f, "(not kernel code)")?,
            }
            let caller = match unwinder.caller(&registers, inside) {
                // Whoever jumped to a bad address most likely called it, and its return address is on the stack.
                None if index == 0 && exact && !known => registers.after_call().map(|caller| (caller, false)),
                caller => caller,
            };
            let Some((mut caller, mut interrupted)) = caller else {
                return if known { writeln!(f, "      (no unwind information)") } else { Ok(()) };
            };
            while caller.rip() == registers.rip() && repeated < MOST_REPEATED {
                repeated += 1;
                let Some(next) = unwinder.caller(&caller, caller.rip() as usize - 1) else { break };
                (caller, interrupted) = next;
            }
            if repeated > 0 {
                writeln!(f, "      ... {repeated} times more")?;
                repeated = 0;
            }
            (registers, exact) = (caller, interrupted);
        }
        Ok(())
    }
}

/// Shows `each` an address in every function that was interrupted, innermost first, until it answers false. To be called by
/// a handler of an interrupt that has come in kernel mode; allocates nothing. `rules` are this CPU's.
pub fn interrupted_callers(rules: &Rules, mut each: impl FnMut(usize) -> bool) {
    let mut unwinder = Unwinder::new(rules);
    let mut registers = Registers::here();
    let (mut is_handler, mut exact) = (true, true);
    for _ in 0..2 * LIMIT {
        let rip = registers.rip() as usize;
        // Where assembly has moved the stack pointer the tables do not know it, and what is found is no code.
        if !Image::current().is_text(rip) {
            break;
        }
        let inside = rip - usize::from(!exact);
        if !is_handler && !each(inside) {
            break;
        }
        let Some((caller, interrupted)) = unwinder.caller(&registers, inside) else { break };
        is_handler &= !interrupted;
        (registers, exact) = (caller, interrupted);
    }
}

/// How a function's caller finds its registers while that is at one address.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Rule {
    /// From the image's start; 0 for no rule.
    address: u32,
    /// The frame is so far behind where a register points to.
    frame_offset: i32,
    /// Where in the frame each register was saved, in words from its end; [`KEPT`] or [`ENDS`] if it was not.
    saved: [i16; 17],
    frame_register: u8,
    /// Whether the caller was interrupted instead of calling.
    is_trampoline: u8,
    padding: u32,
}

/// The register still has its value.
const KEPT: i16 = i16::MIN;
/// There is no caller: its address is 0.
const ENDS: i16 = i16::MAX;
/// Words of a rule.
const RULE: usize = size_of::<Rule>() / 8;

impl Rule {
    /// The one that the tables have for an address, unless it is of a kind that compilers hardly use.
    fn of(address: u32, row: &UnwindTableRow<usize, Storage>, is_trampoline: bool) -> Option<Self> {
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
        let mut saved = [KEPT; 17];
        for (number, saved) in (0..).zip(&mut saved) {
            *saved = match row.register(Register(number)) {
                Some(RegisterRule::Offset(offset)) if offset % 8 == 0 => i16::try_from(offset / 8).ok()?,
                // The return address ends the trace when it is said to be undefined.
                Some(RegisterRule::Undefined) if number == X86_64::RA.0 => ENDS,
                None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => KEPT,
                Some(_) => return None,
            };
        }
        Some(Self {
            address,
            frame_offset: offset.try_into().ok()?,
            saved,
            frame_register: register.0.try_into().ok()?,
            is_trampoline: is_trampoline.into(),
            padding: 0,
        })
    }

    /// The registers of the caller.
    fn apply(&self, registers: &Registers) -> Option<Registers> {
        let frame = registers.get(Register(self.frame_register.into()))?;
        let frame = frame.checked_add_signed(self.frame_offset.into())?;
        let mut caller = *registers;
        caller.values[usize::from(X86_64::RSP.0)] = frame;
        for (value, &saved) in caller.values.iter_mut().zip(&self.saved) {
            match saved {
                KEPT => {}
                ENDS => *value = 0,
                saved => *value = read(frame.checked_add_signed(i64::from(saved) * 8)?)?,
            }
        }
        Some(caller)
    }
}

/// Rules that have been found, by their addresses; one that has the place of another takes it. One CPU's alone, with
/// interrupts off; relaxed.
pub struct Rules(Vec<[AtomicU64; RULE]>);

impl Rules {
    /// Room for none.
    const NONE: Self = Self(Vec::new());
    /// How many there is room for: a power of two.
    pub const ROOM: usize = 1024;

    /// Room that was made for [`ROOM`](Self::ROOM) rules, of zeroes.
    pub fn new(room: Vec<[AtomicU64; RULE]>) -> Self {
        Self(room)
    }

    fn place(&self, address: u32) -> Option<&[AtomicU64; RULE]> {
        self.0.get((address.wrapping_mul(0x9e37_79b9) >> (u32::BITS - Self::ROOM.ilog2())) as usize)
    }

    fn get(&self, address: u32) -> Option<Rule> {
        let words = self.place(address)?.each_ref().map(|word| word.load(Relaxed));
        let rule: Rule = zerocopy::transmute!(words);
        (rule.address == address).then_some(rule)
    }

    fn put(&self, rule: Rule) {
        let words: [u64; RULE] = zerocopy::transmute!(rule);
        for (place, word) in self.place(rule.address).into_iter().flatten().zip(words) {
            place.store(word, Relaxed);
        }
    }
}

struct Unwinder<'a> {
    rules: &'a Rules,
    frames: EhFrame<Reader>,
    index: Option<gimli::ParsedEhFrameHdr<Reader>>,
    bases: BaseAddresses,
    context: UnwindContext<usize, Storage>,
}

/// The bytes between two linker symbols.
fn section(start: *const u8, end: *const u8) -> Reader {
    // SAFETY: both are addresses in the image's constants, in this order.
    EndianSlice::new(
        unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) },
        LittleEndian,
    )
}

impl<'a> Unwinder<'a> {
    fn new(rules: &'a Rules) -> Self {
        let frames = section(&raw const __eh_frame_start, &raw const __eh_frame_end);
        let header = section(&raw const __eh_frame_hdr_start, &raw const __eh_frame_hdr_end);
        let bases = BaseAddresses::default()
            .set_eh_frame(&raw const __eh_frame_start as u64)
            .set_eh_frame_hdr(&raw const __eh_frame_hdr_start as u64)
            .set_text(Image::current().text.0 as u64);
        let index = EhFrameHdr::from(header).parse(&bases, 8).ok();
        let context = UnwindContext::new_in();
        Self { rules, frames: EhFrame::from(frames), index, bases, context }
    }

    /// The registers of the function that called the one at `address`, and whether it was interrupted there
    /// instead of calling.
    fn caller(&mut self, registers: &Registers, address: usize) -> Option<(Registers, bool)> {
        let place = address.wrapping_sub(layout::image_start()) as u32;
        let rule = match self.rules.get(place) {
            Some(rule) => rule,
            None => {
                let rule = self.look_up(address, place)?;
                self.rules.put(rule);
                rule
            }
        };
        Some((rule.apply(registers)?, rule.is_trampoline != 0))
    }

    fn look_up(&mut self, address: usize, place: u32) -> Option<Rule> {
        let table = self.index.as_ref()?.table()?;
        let entry = table
            .fde_for_address(&self.frames, &self.bases, address as u64, EhFrame::cie_from_offset)
            .ok()?;
        let row = entry
            .unwind_info_for_address(&self.frames, &self.bases, &mut self.context, address as u64)
            .ok()?;
        Rule::of(place, row, entry.is_signal_trampoline())
    }
}

/// Reads a word of a stack or of the kernel's variables; `None` elsewhere.
fn read(address: u64) -> Option<u64> {
    let address = usize::try_from(address).ok()?;
    let (begin, end) = Image::current().data;
    let in_data = (begin..end - 8).contains(&address);
    let in_stack = stacks::locate(address)
        .is_some_and(|stack| !stack.guard && stack.cpu < smp::planned() && address + 8 <= stack.top);
    if !address.is_multiple_of(8) || !(in_data || in_stack) {
        return None;
    }
    // SAFETY: mapped, as just checked, and aligned.
    Some(unsafe { (address as *const u64).read_volatile() })
}
