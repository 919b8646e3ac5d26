//! Who reads from a pipe.

use super::observer::GOT;
use super::party::{Body, expect_whole_units};
use super::{ATOMIC, Ending, READS, UNIT};
use crate::library::{Choice, go_to_any, if_zero, nap, on_errors};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbp, Rbx, Rcx};
use processes::program::{Label, Program};

/// How often a reader comes to a FIFO, if it leaves it again.
const VISITS: i64 = 6;

impl Body<'_> {
    /// Reads until the end, or as often as it wants to, which rbx counts; rbp counts visits. r15 says whether all writers
    /// had left before.
    pub fn reader(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let pipe = self.party().input.expect("it reads");
        let early = self.rules.ending == Ending::Leaving && choice.below(2) == 0;
        let lens = [(); 3].map(|()| match self.rules.has_packets {
            true => READS[2 + choice.below(3) as usize],
            false => READS[choice.below(5) as usize],
        });
        let buffer = p.data(READS[4] as usize);
        if lens.iter().any(|len| *len > ATOMIC) {
            // Where a page is missing, a long read may come in pieces.
            p.set(Rcx, buffer);
            (0..READS[4]).step_by(ATOMIC as usize).for_each(|at| p.write8(Rcx, at, Rcx));
            p.write8(Rcx, READS[4] - 8, Rcx);
        }
        let visit = p.label();
        p.set(Rbp, VISITS);
        p.put(visit);
        p.random(Rbx, 4);
        p.add_constant(Rbx, 1);
        if self.is_visitor() {
            if_zero(p, Rbp, leave);
            p.add_constant(Rbp, -1);
            self.open(p, leave);
        }
        let (again, nothing, end, got) = (p.here(), p.label(), p.label(), p.label());
        let away = p.label();
        p.set(R14, 0);
        let retry = p.here();
        self.note_over(p);
        for (way, len) in go_to_any(p, lens.len()).into_iter().zip(lens) {
            p.put(way);
            if choice.below(3) == 0 {
                self.look(p, choice, R12, false, R14);
            }
            if choice.below(2) == 0 || len == UNIT {
                p.system(linux::__NR_read, &[R12.into(), buffer.into(), len.into()]);
            } else {
                let rest = buffer as u64 + UNIT as u64;
                let vectors = p.words(&[buffer as u64, UNIT as u64, rest, (len - UNIT) as u64]);
                p.system(linux::__NR_readv, &[R12.into(), vectors.into(), 2.into()]);
            }
            p.jump(got);
        }
        p.put(got);
        on_errors(p, &self.errors(again, nothing, leave));
        if_zero(p, Rax, end);
        expect_whole_units(p, 90);
        self.tell_units(p, buffer);
        if early || self.is_visitor() {
            p.add_constant(Rbx, -1);
            if_zero(p, Rbx, away);
        }
        p.jump(again);
        p.put(nothing);
        if self.is_visitor() {
            p.jump(away);
        } else {
            self.nothing(p, choice, pipe, R14, retry);
        }
        p.put(end);
        self.end(p, again, leave);
        p.put(away);
        if self.is_visitor() {
            self.close_fifo(p);
            nap(p, 3_000);
            p.jump(visit);
        }
    }

    /// Tells of each unit that was read; rax is how many bytes. r13 and r14 are lost.
    fn tell_units(&self, p: &mut Program, buffer: usize) {
        let first = p.label();
        p.set(R13, buffer);
        p.set(R14, Rax);
        p.add(R14, R13);
        p.set(Rcx, 1);
        p.put(first);
        p.read4(Rax, R13, 0);
        p.tell(GOT, &[self.index.into(), Rcx.into(), Rax.into()]);
        p.add_constant(R13, UNIT);
        p.set(Rcx, 0);
        p.if_unequal(R13, R14, first);
    }
}
