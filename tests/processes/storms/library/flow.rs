//! Branches and loops, and what the seed chooses.

use super::check::failed;
use linux_raw_sys::errno;
use processes::instruction::Register::{self, Rax, Rcx};
use processes::program::{Label, Program};

/// Goes on there if a register is 0; rcx is lost.
pub fn if_zero(p: &mut Program, register: Register, there: Label) {
    p.set(Rcx, 0);
    p.if_equal(register, Rcx, there);
}

/// Goes on there if a register is not 0; rcx is lost.
pub fn if_not_zero(p: &mut Program, register: Register, there: Label) {
    p.set(Rcx, 0);
    p.if_unequal(register, Rcx, there);
}

/// Goes on there if the result of a call is this error.
pub fn on_error(p: &mut Program, error: u32, there: Label) {
    p.set(Rcx, failed(error));
    p.if_equal(Rax, Rcx, there);
}

/// Goes on there unless it is.
pub fn unless_error(p: &mut Program, error: u32, there: Label) {
    p.set(Rcx, failed(error));
    p.if_unequal(Rax, Rcx, there);
}

/// Goes on there if a signal has interrupted a call, which it does not do if calls go on after one.
pub fn on_interruption(p: &mut Program, restarts: bool, there: Label) {
    if !restarts {
        on_error(p, errno::EINTR, there);
    }
}

/// Goes on there if the result of a call is any of these errors.
pub fn on_any_error(p: &mut Program, errors: &[u32], there: Label) {
    errors.iter().for_each(|error| on_error(p, *error, there));
}

/// Goes on where each of these errors leads, if it is the result of a call.
pub fn on_errors(p: &mut Program, errors: &[(u32, Label)]) {
    errors.iter().for_each(|(error, there)| on_error(p, *error, *there));
}

/// Goes on there in one of so many cases, which the seed chooses each time; rax and rcx are lost.
pub fn sometimes(p: &mut Program, cases: i64, there: Label) {
    p.random(Rax, cases);
    if_zero(p, Rax, there);
}

/// Goes on there but in one of so many cases, which the seed chooses each time; rax and rcx are lost.
pub fn mostly(p: &mut Program, cases: i64, there: Label) {
    p.random(Rax, cases);
    if_not_zero(p, Rax, there);
}

/// Does what is usual, or in one of so many cases what is rare, as the seed chooses each time; rax and rcx are lost.
pub fn either(
    p: &mut Program,
    cases: i64,
    usual: impl FnOnce(&mut Program),
    rare: impl FnOnce(&mut Program),
) {
    let (other, done) = (p.label(), p.label());
    sometimes(p, cases, other);
    usual(p);
    p.jump(done);
    p.put(other);
    rare(p);
    p.put(done);
}

/// Goes on at one of so many labels, as the seed chooses each time; rax and rcx are lost.
pub fn go_to_any(p: &mut Program, count: usize) -> Vec<Label> {
    let labels: Vec<Label> = (0..count).map(|_| p.label()).collect();
    p.random(Rax, count.max(1) as i64);
    for (index, label) in labels.iter().enumerate() {
        p.set(Rcx, index);
        p.if_equal(Rax, Rcx, *label);
    }
    labels
}

/// Does something so many times, which a register counts down; rcx is lost.
pub fn repeat(p: &mut Program, register: Register, times: i64, body: impl FnOnce(&mut Program)) {
    p.set(register, times);
    let again = p.here();
    body(p);
    p.add_constant(register, -1);
    if_not_zero(p, register, again);
}

/// Does something again and again.
pub fn loop_forever(p: &mut Program, body: impl FnOnce(&mut Program)) {
    let again = p.here();
    body(p);
    p.jump(again);
}

/// Numbers that a seed chooses while a program is written.
pub struct Choice(u64);

impl Choice {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}
