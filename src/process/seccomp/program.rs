//! Programs that judge calls: classic BPF, as far as Linux takes it for this ("The BSD Packet Filter", McCanne and Jacobson
//! 1993, section 3.3; seccomp(2)).
//!
//! A machine with an accumulator, an index register and sixteen words of memory. It jumps forwards only, so each program
//! ends; what could go wrong is found when it is loaded.

use alloc::{boxed::Box, vec::Vec};

use linux_raw_sys::ptrace as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Data;

/// The most instructions of a program.
pub const MAX: usize = linux::BPF_MAXINSNS as usize;
/// Instructions that are checked in one go.
const TURN: usize = 512;
/// Words of memory.
const MEMORY: usize = linux::BPF_MEMWORDS as usize;
/// Bytes of what is judged.
const DATA: u32 = size_of::<Data>() as u32;

/// An instruction as programs pass it (`struct sock_filter`).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// An instruction that has been found good.
#[derive(Clone, Copy)]
enum Step {
    /// A word of the data to the accumulator.
    LoadData(u8),
    Load(Place),
    LoadIndex(Place),
    Store(u8),
    StoreIndex(u8),
    Calculate(Operation, Operand),
    Negate,
    ToIndex,
    FromIndex,
    /// This many instructions are left out.
    Jump(u16),
    JumpIf(Test, Operand, u8, u8),
    ReturnValue(u32),
    ReturnAccumulator,
}

/// Where a register is loaded from.
#[derive(Clone, Copy)]
enum Place {
    Value(u32),
    Memory(u8),
}

/// What the accumulator is combined or compared with.
#[derive(Clone, Copy)]
enum Operand {
    Value(u32),
    Index,
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// A program that ends with an answer whatever it is to judge.
pub struct Program(Box<[Step]>);

impl Program {
    /// Checks a program. Others get their turn in between.
    ///
    /// # Errors
    /// EINVAL for one that does not end or could do what it may not: read outside the data or the memory, or memory that it
    /// has not written, divide by 0, or shift by more than a word.
    pub async fn new(instructions: &[Instruction]) -> Result<Self, Errno> {
        let mut steps = Vec::new();
        steps.try_reserve_exact(instructions.len()).map_err(|_| Errno::ENOMEM)?;
        for (index, instruction) in instructions.iter().enumerate() {
            if index.is_multiple_of(TURN) {
                executor::make_way().await;
            }
            steps.push(instruction.step(instructions.len() - index - 1)?);
        }
        if !matches!(steps.last(), Some(Step::ReturnValue(_) | Step::ReturnAccumulator)) {
            return Err(Errno::EINVAL);
        }
        check_memory(&steps).await?;
        Ok(Self(steps.into_boxed_slice()))
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Its answer.
    pub fn run(&self, data: &Data) -> u32 {
        let mut memory = [0_u32; MEMORY];
        let (mut accumulator, mut index, mut next) = (0_u32, 0_u32, 0_usize);
        while let Some(step) = self.0.get(next) {
            next += 1;
            let value_of = |operand| match operand {
                Operand::Value(value) => value,
                Operand::Index => index,
            };
            match *step {
                Step::LoadData(word) => accumulator = data.word(word),
                Step::Load(place) => accumulator = place.load(&memory),
                Step::LoadIndex(place) => index = place.load(&memory),
                Step::Store(word) => memory[usize::from(word) % MEMORY] = accumulator,
                Step::StoreIndex(word) => memory[usize::from(word) % MEMORY] = index,
                Step::Calculate(operation, operand) => {
                    match operation.calculate(accumulator, value_of(operand)) {
                        Some(result) => accumulator = result,
                        None => return 0,
                    }
                }
                Step::Negate => accumulator = accumulator.wrapping_neg(),
                Step::ToIndex => index = accumulator,
                Step::FromIndex => accumulator = index,
                Step::Jump(count) => next += usize::from(count),
                Step::JumpIf(test, operand, if_true, if_false) => {
                    let holds = test.holds(accumulator, value_of(operand));
                    next += usize::from(if holds { if_true } else { if_false });
                }
                Step::ReturnValue(value) => return value,
                Step::ReturnAccumulator => return accumulator,
            }
        }
        // Its last instruction returns, and no jump leads further.
        0
    }
}

impl Place {
    fn load(self, memory: &[u32; MEMORY]) -> u32 {
        match self {
            Self::Value(value) => value,
            Self::Memory(word) => memory[usize::from(word) % MEMORY],
        }
    }
}

impl Instruction {
    /// What it means, with this many instructions behind it.
    fn step(self, behind: usize) -> Result<Step, Errno> {
        let Self { code, if_true, if_false, value } = self;
        let code = u32::from(code);
        let word =
            || u8::try_from(value).ok().filter(|word| usize::from(*word) < MEMORY).ok_or(Errno::EINVAL);
        let step = match code & 7 {
            linux::BPF_LD => match code & !7 {
                ABSOLUTE if value < DATA && value.is_multiple_of(4) => Step::LoadData((value / 4) as u8),
                linux::BPF_LEN => Step::Load(Place::Value(DATA)),
                linux::BPF_IMM => Step::Load(Place::Value(value)),
                linux::BPF_MEM => Step::Load(Place::Memory(word()?)),
                _ => return Err(Errno::EINVAL),
            },
            linux::BPF_LDX => match code & !7 {
                linux::BPF_LEN => Step::LoadIndex(Place::Value(DATA)),
                linux::BPF_IMM => Step::LoadIndex(Place::Value(value)),
                linux::BPF_MEM => Step::LoadIndex(Place::Memory(word()?)),
                _ => return Err(Errno::EINVAL),
            },
            linux::BPF_ST if code == linux::BPF_ST => Step::Store(word()?),
            linux::BPF_STX if code == linux::BPF_STX => Step::StoreIndex(word()?),
            linux::BPF_ALU if code & !7 == linux::BPF_NEG => Step::Negate,
            linux::BPF_ALU => {
                let operand = Operand::of(code, value);
                Step::Calculate(Operation::of(code & !0xf, operand)?, operand)
            }
            linux::BPF_JMP if code & !7 == linux::BPF_JA => {
                let count = usize::try_from(value).ok().filter(|count| *count < behind);
                Step::Jump(count.ok_or(Errno::EINVAL)? as u16)
            }
            linux::BPF_JMP => {
                if usize::from(if_true.max(if_false)) >= behind {
                    return Err(Errno::EINVAL);
                }
                Step::JumpIf(Test::of(code & !0xf)?, Operand::of(code, value), if_true, if_false)
            }
            linux::BPF_RET => match code & !7 {
                linux::BPF_K => Step::ReturnValue(value),
                linux::BPF_A => Step::ReturnAccumulator,
                _ => return Err(Errno::EINVAL),
            },
            linux::BPF_MISC => match code & !7 {
                linux::BPF_TAX => Step::ToIndex,
                linux::BPF_TXA => Step::FromIndex,
                _ => return Err(Errno::EINVAL),
            },
            _ => return Err(Errno::EINVAL),
        };
        Ok(step)
    }
}

/// A word at a fixed place; words are the only size.
const ABSOLUTE: u32 = linux::BPF_W | linux::BPF_ABS;

impl Operand {
    fn of(code: u32, value: u32) -> Self {
        if code & linux::BPF_X != 0 { Self::Index } else { Self::Value(value) }
    }
}

impl Operation {
    fn of(code: u32, operand: Operand) -> Result<Self, Errno> {
        let is_good = match (code, operand) {
            (linux::BPF_DIV, Operand::Value(0)) => false,
            (linux::BPF_LSH | linux::BPF_RSH, Operand::Value(count)) => count < u32::BITS,
            _ => true,
        };
        match code {
            _ if !is_good => Err(Errno::EINVAL),
            linux::BPF_ADD => Ok(Self::Add),
            linux::BPF_SUB => Ok(Self::Subtract),
            linux::BPF_MUL => Ok(Self::Multiply),
            linux::BPF_DIV => Ok(Self::Divide),
            linux::BPF_AND => Ok(Self::And),
            linux::BPF_OR => Ok(Self::Or),
            linux::BPF_XOR => Ok(Self::Xor),
            linux::BPF_LSH => Ok(Self::ShiftLeft),
            linux::BPF_RSH => Ok(Self::ShiftRight),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The new accumulator; none if there is no result, which ends the program with the answer 0.
    fn calculate(self, left: u32, right: u32) -> Option<u32> {
        let result = match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => return left.checked_div(right),
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            // As the processor has it: by the count's lowest five bits.
            Self::ShiftLeft => left.wrapping_shl(right),
            Self::ShiftRight => left.wrapping_shr(right),
        };
        Some(result)
    }
}

impl Test {
    fn of(code: u32) -> Result<Self, Errno> {
        match code {
            linux::BPF_JEQ => Ok(Self::Equal),
            linux::BPF_JGT => Ok(Self::Greater),
            linux::BPF_JGE => Ok(Self::GreaterOrEqual),
            linux::BPF_JSET => Ok(Self::AnyBit),
            _ => Err(Errno::EINVAL),
        }
    }

    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

/// Each word of memory is written before it is read, on whatever way through the program.
async fn check_memory(steps: &[Step]) -> Result<(), Errno> {
    let mut at = Vec::new();
    at.try_reserve_exact(steps.len()).map_err(|_| Errno::ENOMEM)?;
    // The words that have been written on all ways that lead to an instruction by a jump.
    at.resize(steps.len(), u16::MAX);
    let mut written = 0;
    for (index, step) in steps.iter().enumerate() {
        if index.is_multiple_of(TURN) {
            executor::make_way().await;
        }
        written &= at[index];
        match *step {
            Step::Store(word) | Step::StoreIndex(word) => written |= 1 << word,
            Step::Load(Place::Memory(word)) | Step::LoadIndex(Place::Memory(word))
                if written & 1 << word == 0 =>
            {
                return Err(Errno::EINVAL);
            }
            Step::Jump(count) => {
                at[index + 1 + usize::from(count)] &= written;
                written = u16::MAX;
            }
            Step::JumpIf(_, _, if_true, if_false) => {
                for count in [if_true, if_false] {
                    at[index + 1 + usize::from(count)] &= written;
                }
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
