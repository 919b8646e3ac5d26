//! Who writes to a pipe.

use super::observer::MAY_LEAVE;
use super::party::{Body, expect_whole_units};
use super::program::resize;
use super::{ATOMIC_UNITS, INDEX_BITS, PAUSE, UNIT};
use crate::library::{Choice, expect, if_not_zero, nap, on_errors};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rcx};
use processes::program::{Label, Program};

impl Body<'_> {
    /// Writes all that it has to: r13 is where, r14 how much is left of a write, r15 whether it was promised to be possible.
    pub fn writer(&self, p: &mut Program, choice: &mut Choice, sizes: &[i64], leave: Label) {
        let total: i64 = sizes.iter().sum();
        let message = p.data((total * UNIT) as usize);
        for unit in 0..total {
            let word = (self.index as u64) << INDEX_BITS | unit as u64;
            p.set_bytes(message + (unit * UNIT) as usize, &word.to_le_bytes());
        }
        if self.is_visitor() {
            self.open(p, leave);
        }
        p.set(R13, message);
        for units in sizes {
            let len = units * UNIT;
            nap(p, 4_000);
            if self.rules.resizes {
                resize(p, choice, R12);
            }
            if self.is_fifo() && choice.below(3) == 0 {
                self.close_fifo(p);
                self.open(p, leave);
            }
            p.set(R14, len);
            let again = p.here();
            let (nothing, broken, written) = (p.label(), p.label(), p.label());
            p.set(R15, 0);
            let retry = p.here();
            let looks = choice.below(3) == 0;
            if looks {
                self.look(p, choice, R12, true, R15);
            }
            if choice.below(2) == 0 {
                p.system(linux::__NR_write, &[R12.into(), R13.into(), R14.into()]);
            } else {
                let vectors = p.words(&[0, UNIT as u64, 0, 0]);
                p.set(Rcx, vectors);
                p.write8(Rcx, 0, R13);
                p.set(Rax, R13);
                p.add_constant(Rax, UNIT);
                p.write8(Rcx, 16, Rax);
                p.set(Rax, R14);
                p.add_constant(Rax, -UNIT);
                p.write8(Rcx, 24, Rax);
                p.system(linux::__NR_writev, &[R12.into(), vectors.into(), 2.into()]);
            }
            on_errors(p, &self.write_errors(again, nothing, broken, leave));
            expect_whole_units(p, 80);
            if *units <= ATOMIC_UNITS {
                expect(p, Rax, &[len], 81);
            }
            p.add(R13, Rax);
            p.subtract(R14, Rax);
            if_not_zero(p, R14, again);
            p.jump(written);
            p.put(nothing);
            self.nothing(p, choice, 0, R15, retry);
            p.put(broken);
            self.broken(p, 0, again, leave);
            p.put(written);
        }
        if self.is_fifo() && !self.is_visitor() {
            let (ask, may) = (p.here(), p.label());
            p.tell(MAY_LEAVE, &[self.index.into()]);
            if_not_zero(p, Rax, may);
            nap(p, PAUSE);
            p.jump(ask);
            p.put(may);
        }
    }
}
