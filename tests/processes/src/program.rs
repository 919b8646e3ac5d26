//! Programs: an assembler for the [instructions](crate::instruction) of this machine, and the ELF file that comes of it.
//!
//! ```text
//!   TEXT  0x40_0000   instructions: readable, executable
//!   DATA  0x60_0000   what `data` has reserved: zeros, and words that were set; readable, writable, private
//! ```

use crate::instruction::{Operation, Register, SYSCALL};
use Register::{R8, R9, R10, Rax, Rdi, Rdx, Rsi};

/// Where instructions begin.
const TEXT: u64 = 0x40_0000;
/// Where data begin.
const DATA: u64 = 0x60_0000;
const PAGE: usize = 4096;

/// A place in a program, which may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// An operand of a system call.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// A number.
    Number(i64),
    /// What is in a register; none that an earlier operand goes into.
    In(Register),
    /// The address of a place in the program.
    At(Label),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::In(register)
    }
}

impl From<Label> for Operand {
    fn from(label: Label) -> Self {
        Self::At(label)
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl From<$type> for Operand {
            fn from(number: $type) -> Self {
                Self::Number(number as i64)
            }
        })*
    };
}

numbers!(i32 u32 i64 usize);

/// A program that is being written.
#[derive(Default)]
pub struct Program {
    text: Vec<u8>,
    data: Vec<u8>,
    labels: Vec<Option<u64>>,
    /// Where constants are to become the addresses of labels.
    uses: Vec<(usize, Label)>,
}

impl Program {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A place that is still to be [put](Self::put).
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The place is here.
    pub fn put(&mut self, label: Label) {
        let here = TEXT + self.text.len() as u64;
        assert!(self.labels[label.0].replace(here).is_none(), "a label in two places");
    }

    /// The place that is here.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.put(label);
        label
    }

    /// Reserves `len` bytes of data, zeros, at a multiple of 64; their address.
    pub fn data(&mut self, len: usize) -> usize {
        let at = self.data.len().next_multiple_of(64);
        self.data.resize(at + len, 0);
        DATA as usize + at
    }

    /// Data with these bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> usize {
        let address = self.data(bytes.len());
        self.set_bytes(address, bytes);
        address
    }

    /// Has data that were reserved be these bytes.
    pub fn set_bytes(&mut self, address: usize, bytes: &[u8]) {
        let at = address - DATA as usize;
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Data with these words.
    pub fn words(&mut self, words: &[u64]) -> usize {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// A string with its NUL.
    pub fn string(&mut self, text: &str) -> usize {
        self.bytes(&[text.as_bytes(), b"\0"].concat())
    }

    fn emit(&mut self, operation: Operation, to: Register, from: Register, constant: i64) {
        let constant = i32::try_from(constant).expect("a constant of 32 bits");
        self.text.extend([operation as u8, (to as u8) << 4 | from as u8]);
        self.text.extend(constant.to_le_bytes());
    }

    fn emit_to(&mut self, operation: Operation, to: Register, from: Register, label: Label) {
        self.emit(operation, to, from, 0);
        self.uses.push((self.text.len() - 4, label));
    }

    /// `to = operand`
    pub fn set(&mut self, to: Register, operand: impl Into<Operand>) {
        match operand.into() {
            Operand::Number(number) => self.emit(Operation::Load, to, to, number),
            Operand::In(from) if from == to => {}
            Operand::In(from) => self.emit(Operation::Move, to, from, 0),
            Operand::At(label) => self.emit_to(Operation::Load, to, to, label),
        }
    }

    /// `to += from`
    pub fn add(&mut self, to: Register, from: Register) {
        self.emit(Operation::Add, to, from, 0);
    }

    /// `to += constant`
    pub fn add_constant(&mut self, to: Register, constant: i64) {
        self.emit(Operation::AddConstant, to, to, constant);
    }

    /// `to -= from`
    pub fn subtract(&mut self, to: Register, from: Register) {
        self.emit(Operation::Subtract, to, from, 0);
    }

    /// `to &= constant`
    pub fn and(&mut self, to: Register, constant: i64) {
        self.emit(Operation::And, to, to, constant);
    }

    /// `to = 32 bits at [base + offset]`
    pub fn read4(&mut self, to: Register, base: Register, offset: i64) {
        self.emit(Operation::Read4, to, base, offset);
    }

    /// `to = 64 bits at [base + offset]`
    pub fn read8(&mut self, to: Register, base: Register, offset: i64) {
        self.emit(Operation::Read8, to, base, offset);
    }

    /// `32 bits at [base + offset] = from`
    pub fn write4(&mut self, base: Register, offset: i64, from: Register) {
        self.emit(Operation::Write4, base, from, offset);
    }

    /// `64 bits at [base + offset] = from`
    pub fn write8(&mut self, base: Register, offset: i64, from: Register) {
        self.emit(Operation::Write8, base, from, offset);
    }

    /// See [`Operation::CompareExchange`].
    pub fn compare_exchange(&mut self, base: Register, offset: i64, new: Register) {
        self.emit(Operation::CompareExchange, base, new, offset);
    }

    /// See [`Operation::Exchange`].
    pub fn exchange(&mut self, base: Register, offset: i64, with: Register) {
        self.emit(Operation::Exchange, base, with, offset);
    }

    /// See [`Operation::ExchangeAdd`].
    pub fn exchange_add(&mut self, base: Register, offset: i64, with: Register) {
        self.emit(Operation::ExchangeAdd, base, with, offset);
    }

    /// Goes on there.
    pub fn jump(&mut self, label: Label) {
        self.emit_to(Operation::Jump, Rax, Rax, label);
    }

    /// Goes on there if the two are equal.
    pub fn if_equal(&mut self, a: Register, b: Register, label: Label) {
        self.emit_to(Operation::JumpEqual, a, b, label);
    }

    /// Goes on there if the two are not equal.
    pub fn if_unequal(&mut self, a: Register, b: Register, label: Label) {
        self.emit_to(Operation::JumpUnequal, a, b, label);
    }

    /// Goes on there if `a < b`, with signs.
    pub fn if_less(&mut self, a: Register, b: Register, label: Label) {
        self.emit_to(Operation::JumpLess, a, b, label);
    }

    /// Calls a function.
    pub fn call(&mut self, label: Label) {
        self.emit_to(Operation::Call, Rax, Rax, label);
    }

    /// Returns from one.
    pub fn ret(&mut self) {
        self.emit(Operation::Return, Rax, Rax, 0);
    }

    /// Computes something for so long.
    pub fn work(&mut self, nanoseconds: i64) {
        self.emit(Operation::Work, Rax, Rax, nanoseconds);
    }

    /// `to` becomes a number below `bound`, which the seed chooses.
    pub fn random(&mut self, to: Register, bound: i64) {
        self.emit(Operation::Random, to, to, bound);
    }

    /// Tells the observer of an event; `rax` is the answer.
    pub fn tell(&mut self, event: u32, operands: &[Operand]) {
        for (register, operand) in [Rdi, Rsi, Rdx].into_iter().zip(operands) {
            self.set(register, *operand);
        }
        self.emit(Operation::Tell, Rax, Rax, i64::from(event));
    }

    /// A system call; `rax` is the result, and `rcx` and `r11` are lost.
    pub fn system(&mut self, number: u32, operands: &[Operand]) {
        for (register, operand) in [Rdi, Rsi, Rdx, R10, R8, R9].into_iter().zip(operands) {
            self.set(register, *operand);
        }
        self.set(Rax, number);
        self.text.extend(SYSCALL);
    }

    /// The program as an ELF file.
    pub fn file(mut self) -> Vec<u8> {
        for (place, label) in &self.uses {
            let address = self.labels[label.0].expect("each label is put somewhere") as u32;
            self.text[*place..place + 4].copy_from_slice(&address.to_le_bytes());
        }
        // A segment of no bytes is none.
        self.data.resize(self.data.len().max(8), 0);
        let text_len = self.text.len().next_multiple_of(PAGE);
        let mut file = Vec::new();
        file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
        let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
        let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
        // An executable for x86-64, version 1.
        half(&mut file, 2);
        half(&mut file, 62);
        word(&mut file, 1);
        long(&mut file, TEXT);
        // Program headers come next; there are no sections.
        long(&mut file, 64);
        long(&mut file, 0);
        word(&mut file, 0);
        [64, 56, 2, 0, 0, 0].into_iter().for_each(|value| half(&mut file, value));
        let segments = [(5, PAGE, TEXT, self.text.len()), (6, PAGE + text_len, DATA, self.data.len())];
        for (flags, offset, address, len) in segments {
            word(&mut file, 1);
            word(&mut file, flags);
            for value in [offset as u64, address, address, len as u64, len as u64, PAGE as u64] {
                long(&mut file, value);
            }
        }
        file.resize(PAGE, 0);
        file.extend(&self.text);
        file.resize(PAGE + text_len, 0);
        file.extend(&self.data);
        file
    }
}
