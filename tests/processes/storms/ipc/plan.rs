//! What a seed has: who takes part, and what has to arrive on which way.

use crate::library::{count, ends};
use processes::instruction::Register::{Rcx, Rdx};
use processes::program::{Label, Program};
use std::collections::BTreeSet;

/// The ways, each with a word in the shared page: how much has arrived on it.
pub const MESSAGES: i64 = 0;
pub const NAMED: i64 = 64;
pub const COUNTER: i64 = 128;
pub const SIGNALS: i64 = 192;
pub const HANDLED: i64 = 256;

/// How many each sender sends.
pub const EACH: i64 = 5;

/// What a seed has.
pub struct Plan {
    /// Calls go on after a signal.
    pub restarts: bool,
    /// Where processes begin.
    pub entries: Vec<Label>,
    /// What has to arrive.
    pub numbers: BTreeSet<(u64, u64)>,
}

impl Plan {
    /// How a call may end that answers `done`, or fails with one of `more`.
    pub fn ends(&self, done: i64, more: &[u32]) -> Vec<i64> {
        ends(self.restarts, done, more)
    }

    /// The numbers of what one more sender sends.
    pub fn send(&mut self, way: i64, sender: i64) -> std::ops::Range<i64> {
        let numbers = 100 * sender + 1..100 * sender + 1 + EACH;
        self.numbers.extend(numbers.clone().map(|number| (way as u64, number as u64)));
        numbers
    }
}

/// One more has arrived on a way; goes on at `last` if there is none to come, at `more` if there is. rdx is how many there were.
pub fn one_more(p: &mut Program, way: i64, total: i64, last: Label, more: Label) {
    count(p, way, 1);
    p.set(Rcx, total - 1);
    p.if_equal(Rdx, Rcx, last);
    p.jump(more);
}
