//! The instructions of programs here, and how they are written as bytes.
//!
//! ```text
//!   0f 05                          syscall: two bytes, as on x86, since the kernel repeats a call by going two bytes back
//!   operation  to:from  constant   all others: one byte, two registers of four bits each, 32 bits with a sign
//! ```
//!
//! Registers have the numbers that x86 gives them, calls and returns use the stack as there.

/// A general register, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, dead_code, reason = "the registers of the same names")]
pub enum Register {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

/// The bytes of `syscall`.
pub const SYSCALL: [u8; 2] = [0x0f, 0x05];

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What an instruction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Operation {
            $($(#[$doc])* $name = $code,)*
        }

        impl Operation {
            /// The operation that has this code; none is an illegal instruction.
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

operations! {
    /// `to = constant`
    Load = 0x10,
    /// `to = from`
    Move = 0x11,
    /// `to += from`
    Add = 0x12,
    /// `to += constant`
    AddConstant = 0x13,
    /// `to -= from`
    Subtract = 0x14,
    /// `to &= constant`
    And = 0x15,
    /// `to = 32 bits at [from + constant]`
    Read4 = 0x20,
    /// `to = 64 bits at [from + constant]`
    Read8 = 0x21,
    /// `32 bits at [to + constant] = from`
    Write4 = 0x22,
    /// `64 bits at [to + constant] = from`
    Write8 = 0x23,
    /// If the 32 bits at `[to + constant]` are `rax`, they become `from`; `rax` is what they were.
    CompareExchange = 0x24,
    /// The 32 bits at `[to + constant]` and `from` change places.
    Exchange = 0x25,
    /// `from` is added to the 32 bits at `[to + constant]`, and becomes what they were.
    ExchangeAdd = 0x26,
    /// Goes on at `constant`.
    Jump = 0x30,
    /// ... if `to == from`.
    JumpEqual = 0x31,
    /// ... if they are not equal.
    JumpUnequal = 0x32,
    /// ... if `to < from`, with signs.
    JumpLess = 0x33,
    /// Pushes where the next instruction is, and goes on at `constant`.
    Call = 0x34,
    /// Pops where to go on.
    Return = 0x35,
    /// Computes something for `constant` nanoseconds.
    Work = 0x40,
    /// `to` becomes a number below `constant`, which the seed chooses.
    Random = 0x41,
    /// Tells the [observer](crate::observer) event `constant`, with `rdi`, `rsi` and `rdx`; `rax` is the answer.
    Tell = 0x42,
}
