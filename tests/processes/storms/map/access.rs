//! Accesses that are told of: by instructions, by calls, through another process's window. In rcx is how one ends.
//!
//! In r15 is the value that a party has stored last; it has its number above these bits.

use super::observer::{BEGIN, BEHIND, EFAULT, END, FILE, FINE, GIVEN_UP, LOAD, STORE};
use super::place::PROCESSES;
use crate::library::{expect, failed, handle, if_zero, load, load8, on_error, store8};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R8, R14, R15, Rax, Rbx, Rcx, Rdi, Rdx, Rsi};
use processes::program::{Label, Operand, Program};

/// Bits of a value below the number of its party.
pub const VALUE_BITS: u32 = 20;
/// Where an instruction ends.
const INSTRUCTION: i64 = 6;

/// Registers in the `ucontext_t` of a handler.
const SAVED_RBX: i64 = 128;
const SAVED_RCX: i64 = 152;
const SAVED_RIP: i64 = 168;

/// The handler of SIGSEGV and SIGBUS: goes on behind the access at rbx, and says in rcx why it is not done.
pub fn handler(p: &mut Program) -> Label {
    let (entry, right) = (p.here(), p.label());
    p.set(Rcx, Rdi);
    (0..4).for_each(|_| p.add(Rcx, Rcx));
    p.read4(Rax, Rsi, 8);
    p.add(Rcx, Rax);
    // `si_addr`
    p.read8(Rax, Rsi, 16);
    p.read8(R8, Rdx, SAVED_RBX);
    p.if_equal(R8, Rax, right);
    p.add_constant(Rcx, 1000);
    p.put(right);
    p.write8(Rdx, SAVED_RCX, Rcx);
    p.read8(Rax, Rdx, SAVED_RIP);
    p.add_constant(Rax, INSTRUCTION);
    p.write8(Rdx, SAVED_RIP, Rax);
    p.ret();
    entry
}

/// Has these signals handled so.
pub fn handle_faults(p: &mut Program, handler: Label) {
    handle(p, linux::SIGSEGV, handler, linux::SA_SIGINFO);
    handle(p, linux::SIGBUS, handler, linux::SA_SIGINFO);
}

/// r15 is as it is for a party at first.
pub fn first_value(p: &mut Program, party: usize) {
    p.set(R15, (party + 1) << VALUE_BITS);
}

/// Tells that a party begins something; rax, rdi, rsi and rdx are lost.
pub fn begin(p: &mut Program, party: usize, what: [usize; 3], value: impl Into<Operand>) {
    let [what, a, b] = what;
    p.tell(BEGIN, &[party.into(), (what | a << 8 | b << 16).into(), value.into()]);
}

/// Tells that it has ended, as rcx says; in rdx is what was loaded.
pub fn end(p: &mut Program, party: usize) {
    p.tell(END, &[party.into(), Rcx.into(), Rdx.into()]);
}

/// Tells that it has ended well.
pub fn end_well(p: &mut Program, party: usize) {
    p.tell(END, &[party.into(), (FINE as i64).into(), 0.into()]);
}

/// A word and the way to it: its number in the observer, and the view's.
#[derive(Clone, Copy)]
pub struct Access {
    pub party: usize,
    pub word: usize,
    pub view: usize,
}

impl Access {
    /// Loads it from the address in rbx.
    pub fn load(self, p: &mut Program) {
        begin(p, self.party, [LOAD, self.word, self.view], 0);
        p.set(Rcx, 0);
        p.read8(Rdx, Rbx, 0);
        end(p, self.party);
    }

    /// Stores a new value at the address in rbx.
    pub fn store(self, p: &mut Program) {
        self.begin_store(p);
        p.set(Rcx, 0);
        p.write8(Rbx, 0, R15);
        end(p, self.party);
    }

    fn begin_store(self, p: &mut Program) {
        p.add_constant(R15, 1);
        begin(p, self.party, [STORE, self.word, self.view], R15);
    }

    /// Loads it from an offset of the file r14.
    pub fn read(self, p: &mut Program, offset: usize, buffer: usize) {
        let (some, done) = (p.label(), p.label());
        let access = Self { view: FILE, ..self };
        begin(p, self.party, [LOAD, access.word, access.view], 0);
        p.system(linux::__NR_pread64, &[R14.into(), buffer.into(), 8.into(), offset.into()]);
        expect(p, Rax, &[8, 0], 20);
        p.set(Rdx, 0);
        p.set(Rcx, 8);
        p.if_equal(Rax, Rcx, some);
        p.set(Rcx, BEHIND as i64);
        p.jump(done);
        p.put(some);
        p.set(Rdx, buffer);
        p.read8(Rdx, Rdx, 0);
        p.set(Rcx, 0);
        p.put(done);
        end(p, self.party);
    }

    /// Writes a new value to an offset of the file r14.
    pub fn write(self, p: &mut Program, offset: usize, buffer: usize) {
        let access = Self { view: FILE, ..self };
        access.begin_store(p);
        store8(p, buffer, R15);
        p.system(linux::__NR_pwrite64, &[R14.into(), buffer.into(), 8.into(), offset.into()]);
        expect(p, Rax, &[8], 21);
        end_well(p, self.party);
    }

    /// Loads or stores it at an address of the process of some group, if that is there.
    pub fn transfer(self, p: &mut Program, group: usize, address: usize, stores: bool) {
        let (nobody, lost, gone, ended) = (p.label(), p.label(), p.label(), p.label());
        let buffer = p.data(8);
        let own = p.words(&[buffer as u64, 8]);
        let other = p.words(&[address as u64, 8]);
        load(p, Rbx, PROCESSES + 4 * group);
        if_zero(p, Rbx, nobody);
        let call = if stores {
            self.begin_store(p);
            store8(p, buffer, R15);
            linux::__NR_process_vm_writev
        } else {
            begin(p, self.party, [LOAD, self.word, self.view], 0);
            linux::__NR_process_vm_readv
        };
        p.system(call, &[Rbx.into(), own.into(), 1.into(), other.into(), 1.into(), 0.into()]);
        expect(p, Rax, &[8, failed(errno::EFAULT), failed(errno::ESRCH)], 22);
        p.set(Rdx, 0);
        on_error(p, errno::EFAULT, lost);
        on_error(p, errno::ESRCH, gone);
        load8(p, Rdx, buffer);
        p.set(Rcx, 0);
        p.jump(ended);
        p.put(lost);
        p.set(Rcx, EFAULT as i64);
        p.jump(ended);
        p.put(gone);
        p.set(Rcx, GIVEN_UP as i64);
        p.put(ended);
        end(p, self.party);
        p.put(nobody);
    }
}
