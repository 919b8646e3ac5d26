//! How a program gets at the ring: locks, its words, and `io_uring_enter`.

use super::places::{DONE, RING};
use crate::library::{SHARED, if_not_zero, if_zero, load};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R13, Rax, Rcx, Rdx};
use processes::observer::WRONG;
use processes::program::{Label, Operand, Program};

/// Takes a lock in the shared memory.
pub fn lock(p: &mut Program, lock: i64) {
    let (again, taken) = (p.label(), p.label());
    p.put(again);
    p.set(Rax, 0);
    p.set(Rcx, 1);
    p.set(Rdx, SHARED);
    p.compare_exchange(Rdx, lock, Rcx);
    if_zero(p, Rax, taken);
    p.system(linux::__NR_sched_yield, &[]);
    p.jump(again);
    p.put(taken);
}

/// Gives it back.
pub fn unlock(p: &mut Program, lock: i64) {
    p.set(Rcx, 0);
    p.set(Rdx, SHARED);
    p.write4(Rdx, lock, Rcx);
}

/// Goes on there if all is over.
pub fn if_over(p: &mut Program, there: Label) {
    load(p, Rax, SHARED + DONE as usize);
    if_not_zero(p, Rax, there);
}

/// Reads a word of the ring, whose address is in the shared memory at `place`; `to` is not rdx, which is lost.
pub fn ring_word(p: &mut Program, to: Register, place: i64) {
    p.set(Rdx, SHARED);
    p.read8(Rdx, Rdx, place);
    p.read4(to, Rdx, 0);
}

/// `io_uring_enter`.
pub fn enter(
    p: &mut Program,
    count: impl Into<Operand>,
    least: impl Into<Operand>,
    flags: u32,
    (argument, size): (usize, usize),
) {
    let operands = [RING.into(), count.into(), least.into(), flags.into(), argument.into(), size.into()];
    p.system(linux::__NR_io_uring_enter, &operands);
}

/// Tells the observer unless rax is what r13 is.
pub fn expect_same(p: &mut Program, code: i32) {
    let fine = p.label();
    p.if_equal(Rax, R13, fine);
    p.tell(WRONG, &[code.into(), Rax.into()]);
    p.put(fine);
}
