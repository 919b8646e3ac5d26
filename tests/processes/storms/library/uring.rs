//! Rings (io_uring) that several share: where their words are, submitting, and taking what has come of it.

use super::check::{expect, expect_success};
use super::file::place_descriptor;
use super::flow::{if_not_zero, if_zero};
use super::memory::{SHARED, lock_shared, unlock_shared};
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{self, R8, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdx};
use processes::observer::WRONG;
use processes::program::{Label, Operand, Program};

/// A ring.
#[derive(Clone, Copy)]
pub struct Ring {
    /// Its descriptor.
    pub fd: i32,
    /// Where its words are in the shared memory.
    pub words: i64,
    /// Where it is mapped.
    pub rings: usize,
    /// Where its entries are.
    pub array: usize,
    /// How many of them there are.
    pub entries: u32,
    /// How many completions have room.
    pub completions: u32,
    /// A task of the kernel's takes the entries.
    pub has_poller: bool,
    /// The lock of what is submitted is held until it is taken.
    pub holds: bool,
}

/// The words of a ring, in so many bytes. First locks, of what is submitted and of what is completed.
pub const RING_WORDS: i64 = 512;
pub const SUBMISSION: i64 = 0;
pub const COMPLETION: i64 = 64;
/// The number of the next entry.
const NEXT: i64 = 128;
/// Addresses in the ring: of the words that heads, tails and flags are, of the entries' numbers, and of the completions.
const SUBMISSION_HEAD: i64 = 256;
const SUBMISSION_TAIL: i64 = 264;
pub const FLAGS: i64 = 272;
const NUMBERS: i64 = 280;
const COMPLETION_HEAD: i64 = 288;
const COMPLETION_TAIL: i64 = 296;
const COMPLETIONS: i64 = 304;
/// Where each of them is told in `struct io_uring_params`.
const TOLD: [(i64, i64); 7] = [
    (SUBMISSION_HEAD, 40),
    (SUBMISSION_TAIL, 44),
    (FLAGS, 56),
    (NUMBERS, 64),
    (COMPLETION_HEAD, 80),
    (COMPLETION_TAIL, 84),
    (COMPLETIONS, 100),
];
/// Bytes of each of the two mappings.
const MAPPED: usize = 4096;
/// A poller looks for so long before it sleeps.
pub const POLLER_IDLE_NS: u64 = 1_000_000;

impl Ring {
    /// Makes it, in memory at its places.
    pub fn set_up(&self, p: &mut Program) {
        let mut flags = io_uring::IORING_SETUP_CQSIZE;
        if self.has_poller {
            flags |= io_uring::IORING_SETUP_SQPOLL;
        }
        let mut parameters = [0; 15];
        parameters[0] = u64::from(self.completions) << 32;
        parameters[1] = u64::from(flags);
        parameters[2] = POLLER_IDLE_NS / 1_000_000;
        let parameters = p.words(&parameters);
        p.system(linux::__NR_io_uring_setup, &[self.entries.into(), parameters.into()]);
        expect_success(p, Rax, 960);
        place_descriptor(p, Rax, self.fd);
        let protection = linux::PROT_READ | linux::PROT_WRITE;
        let kind = linux::MAP_SHARED | linux::MAP_FIXED;
        let mappings = [(self.rings, io_uring::IORING_OFF_SQ_RING), (self.array, io_uring::IORING_OFF_SQES)];
        for (address, offset) in mappings {
            let place = [
                address.into(),
                MAPPED.into(),
                protection.into(),
                kind.into(),
                self.fd.into(),
                offset.into(),
            ];
            p.system(linux::__NR_mmap, &place);
            expect(p, Rax, &[address as i64], 961);
        }
        p.set(Rcx, SHARED);
        p.set(Rdx, parameters);
        for (place, told) in TOLD {
            p.read4(Rax, Rdx, told);
            p.add_constant(Rax, self.rings as i64);
            p.write8(Rcx, self.words + place, Rax);
        }
    }

    /// It is neither open nor mapped any more.
    pub fn close(&self, p: &mut Program) {
        super::close(p, self.fd);
        for address in [self.rings, self.array] {
            p.system(linux::__NR_munmap, &[address.into(), MAPPED.into()]);
            expect(p, Rax, &[0], 962);
        }
    }

    /// `io_uring_register`; rax is the answer.
    pub fn register(&self, p: &mut Program, operation: register_op, argument: usize, count: usize) {
        let operands = [self.fd.into(), (operation as u32).into(), argument.into(), count.into()];
        p.system(linux::__NR_io_uring_register, &operands);
    }

    /// Takes one of its locks.
    pub fn lock(&self, p: &mut Program, lock: i64) {
        lock_shared(p, self.words + lock);
    }

    /// Gives it back.
    pub fn unlock(&self, p: &mut Program, lock: i64) {
        unlock_shared(p, self.words + lock);
    }

    /// Reads a word of the ring, whose address is one of its words; `to` is not rdx, which is lost.
    pub fn read_word(&self, p: &mut Program, to: Register, place: i64) {
        p.set(Rdx, SHARED);
        p.read8(Rdx, Rdx, self.words + place);
        p.read4(to, Rdx, 0);
    }

    /// `io_uring_enter`.
    pub fn enter(
        &self,
        p: &mut Program,
        count: impl Into<Operand>,
        least: impl Into<Operand>,
        flags: u32,
        (argument, size): (usize, usize),
    ) {
        let operands =
            [self.fd.into(), count.into(), least.into(), flags.into(), argument.into(), size.into()];
        p.system(linux::__NR_io_uring_enter, &operands);
    }

    /// A function that writes the r13 entries at r12, tells of each of them, by its name, that it is submitted, and has them taken;
    /// rbx, r14, r15 and these are lost.
    pub fn submit_function(&self, p: &mut Program, submitted: u32) -> Label {
        let entry = p.here();
        self.lock(p, SUBMISSION);
        p.set(Rcx, SHARED);
        p.read4(R14, Rcx, self.words + NEXT);
        p.set(R15, R13);
        let (next, able) = (p.here(), p.label());
        // r14: the next entry's number; r15: how many are left to write.
        self.read_word(p, Rax, SUBMISSION_HEAD);
        p.set(Rdx, R14);
        p.subtract(Rdx, Rax);
        p.set(Rcx, self.entries);
        p.if_less(Rdx, Rcx, able);
        if self.has_poller {
            let flags = io_uring::IORING_ENTER_SQ_WAKEUP | io_uring::IORING_ENTER_SQ_WAIT;
            self.enter(p, 0, 0, flags, (0, 0));
            expect(p, Rax, &[0], 963);
        } else {
            // Who has written them is about to have them taken.
            p.system(linux::__NR_sched_yield, &[]);
        }
        p.jump(next);
        p.put(able);
        p.set(Rax, R14);
        p.and(Rax, i64::from(self.entries - 1));
        p.set(Rdx, SHARED);
        p.read8(Rdx, Rdx, self.words + NUMBERS);
        let scale = |p: &mut Program, doublings| (0..doublings).for_each(|_| p.add(Rbx, Rbx));
        p.set(Rbx, Rax);
        scale(p, 2);
        p.add(Rdx, Rbx);
        p.write4(Rdx, 0, Rax);
        scale(p, 4);
        p.add_constant(Rbx, self.array as i64);
        for word in 0..8 {
            p.read8(R8, R12, 8 * word);
            p.write8(Rbx, 8 * word, R8);
        }
        p.read8(Rax, R12, 32);
        p.tell(submitted, &[Rax.into()]);
        p.add_constant(R12, 64);
        p.add_constant(R14, 1);
        p.add_constant(R15, -1);
        if_not_zero(p, R15, next);
        p.set(Rdx, SHARED);
        p.write4(Rdx, self.words + NEXT, R14);
        p.read8(Rdx, Rdx, self.words + SUBMISSION_TAIL);
        p.write4(Rdx, 0, R14);
        self.have_taken(p);
        p.ret();
        entry
    }

    /// Has r13 entries taken that have been written, and gives the lock back.
    fn have_taken(&self, p: &mut Program) {
        if self.has_poller {
            let awake = p.label();
            self.read_word(p, Rax, FLAGS);
            p.and(Rax, io_uring::IORING_SQ_NEED_WAKEUP.into());
            if_zero(p, Rax, awake);
            self.enter(p, R13, 0, io_uring::IORING_ENTER_SQ_WAKEUP, (0, 0));
            expect_count(p, 964);
            p.put(awake);
            self.unlock(p, SUBMISSION);
        } else if self.holds {
            self.enter(p, R13, 0, 0, (0, 0));
            expect_count(p, 965);
            self.unlock(p, SUBMISSION);
        } else {
            // Others may have had them taken, or have theirs taken by this.
            self.unlock(p, SUBMISSION);
            self.enter(p, R13, 0, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
            expect(p, Rax, &[0, 1, 2, 3], 966);
        }
    }

    /// Goes on there if it has no completion.
    pub fn if_empty(&self, p: &mut Program, there: Label) {
        self.read_word(p, R12, COMPLETION_TAIL);
        self.read_word(p, Rax, COMPLETION_HEAD);
        p.if_equal(R12, Rax, there);
    }

    /// Takes a completion that is there, with the lock held: r13 is the name, r14 the result below the flags; r12 is lost.
    pub fn take(&self, p: &mut Program) {
        self.read_word(p, R12, COMPLETION_HEAD);
        p.set(Rax, R12);
        p.and(Rax, i64::from(self.completions - 1));
        (0..4).for_each(|_| p.add(Rax, Rax));
        p.set(Rcx, SHARED);
        p.read8(Rcx, Rcx, self.words + COMPLETIONS);
        p.add(Rax, Rcx);
        p.read8(R13, Rax, 0);
        p.read8(R14, Rax, 8);
        p.add_constant(R12, 1);
        p.write4(Rdx, 0, R12);
    }

    /// Has what had no room come into the ring; goes on there if there is nothing of the kind.
    pub fn flush(&self, p: &mut Program, nothing: Label) {
        self.read_word(p, Rax, FLAGS);
        p.and(Rax, io_uring::IORING_SQ_CQ_OVERFLOW.into());
        if_zero(p, Rax, nothing);
        self.enter(p, 0, 0, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
        expect(p, Rax, &[0], 967);
    }
}

/// `struct io_uring_getevents_arg` and its size, for a wait of so many nanoseconds.
pub fn awhile(p: &mut Program, nanoseconds: u64) -> (usize, usize) {
    let time = p.words(&[0, nanoseconds]);
    (p.words(&[0, 0, time as u64]), 24)
}

/// Tells the observer unless rax is what r13 is.
fn expect_count(p: &mut Program, code: i32) {
    let fine = p.label();
    p.if_equal(Rax, R13, fine);
    p.tell(WRONG, &[code.into(), Rax.into()]);
    p.put(fine);
}
