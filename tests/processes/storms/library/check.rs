//! What a call answers: what it may, or the observer is told.

use linux_raw_sys::errno;
use processes::instruction::Register::{self, Rcx};
use processes::observer::WRONG;
use processes::program::Program;

/// The result of a call that has failed.
pub fn failed(error: u32) -> i64 {
    -i64::from(error)
}

/// The results of a call that answers `done`, that a signal interrupts unless handlers have SA_RESTART, and that may fail with
/// `more`.
pub fn ends(restarts: bool, done: i64, more: &[u32]) -> Vec<i64> {
    let interrupted = (!restarts).then_some(errno::EINTR);
    [done].into_iter().chain(interrupted.iter().chain(more).map(|error| failed(*error))).collect()
}

/// Tells the observer unless `register`, which is not rcx or rdi, is one of these; `code` says where.
pub fn expect(p: &mut Program, register: Register, values: &[i64], code: i32) {
    let fine = p.label();
    for value in values {
        p.set(Rcx, *value);
        p.if_equal(register, Rcx, fine);
    }
    p.tell(WRONG, &[code.into(), register.into()]);
    p.put(fine);
}

/// Tells the observer if `register`, which is not rcx or rdi, is an error.
pub fn expect_success(p: &mut Program, register: Register, code: i32) {
    let wrong = p.label();
    let fine = p.label();
    p.set(Rcx, 0);
    p.if_less(register, Rcx, wrong);
    p.jump(fine);
    p.put(wrong);
    p.tell(WRONG, &[code.into(), register.into()]);
    p.put(fine);
}

/// Tells the observer if `a` is more than `most`, which is one more afterwards; none of them is rdi, and `most` is not rsi.
pub fn expect_at_most(p: &mut Program, a: Register, most: Register, code: i32) {
    let fine = p.label();
    p.add_constant(most, 1);
    p.if_less(a, most, fine);
    p.tell(WRONG, &[code.into(), a.into(), most.into()]);
    p.put(fine);
}

/// Tells the observer unless the two are equal; none of them is rdi, and `b` is not rsi.
pub fn expect_equal(p: &mut Program, a: Register, b: Register, code: i32) {
    let fine = p.label();
    p.if_equal(a, b, fine);
    p.tell(WRONG, &[code.into(), a.into(), b.into()]);
    p.put(fine);
}
