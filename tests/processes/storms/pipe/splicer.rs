//! Who moves bytes from one pipe to another, or copies them.

use super::party::{Body, expect_whole_units};
use super::{PAUSE, READS};
use crate::library::{Choice, if_not_zero, if_zero, nap, on_errors};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R12, R13, R14, R15, Rax, Rbp};
use processes::program::{Label, Operand, Program};

impl Body<'_> {
    /// Moves bytes from one pipe to another until the end.
    pub fn splicer(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let (again, nothing, end, broken) = (p.here(), p.label(), p.label(), p.label());
        self.note_over(p);
        let waits = choice.below(2) == 0;
        self.splice(p, READS[choice.below(5) as usize], waits, R13);
        let mut errors = self.write_errors(again, nothing, broken, leave);
        if !waits {
            errors.push((errno::EAGAIN, nothing));
        }
        on_errors(p, &errors);
        expect_whole_units(p, 100);
        if_zero(p, Rax, end);
        p.jump(again);
        self.ways_out(p, choice, [again, nothing, broken, end, leave]);
    }

    /// Copies bytes to one pipe, then moves the same to another, until the end.
    pub fn teer(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let (again, nothing, end, broken) = (p.here(), p.label(), p.label(), p.label());
        self.note_over(p);
        let len = READS[choice.below(5) as usize];
        p.system(linux::__NR_tee, &[R12.into(), R13.into(), len.into(), 0.into()]);
        on_errors(p, &self.write_errors(again, nothing, broken, leave));
        expect_whole_units(p, 110);
        if_zero(p, Rax, end);
        p.set(R14, Rax);
        let (more, full, gone) = (p.here(), p.label(), p.label());
        self.splice(p, R14, true, Rbp);
        on_errors(p, &self.write_errors(more, full, gone, leave));
        // It has been seen, and nobody else takes it.
        expect_whole_units(p, 111);
        p.subtract(R14, Rax);
        if_not_zero(p, R14, more);
        p.jump(again);
        p.put(full);
        self.look(p, choice, Rbp, true, R15);
        p.jump(more);
        p.put(gone);
        self.broken(p, 2, more, leave);
        self.ways_out(p, choice, [again, nothing, broken, end, leave]);
    }

    /// Where both go when there is nothing to move from what is in r12, when nobody reads any more, and at the end.
    fn ways_out(&self, p: &mut Program, choice: &mut Choice, labels: [Label; 5]) {
        let [again, nothing, broken, end, leave] = labels;
        p.put(nothing);
        self.look(p, choice, R12, false, R14);
        nap(p, PAUSE);
        p.jump(again);
        p.put(broken);
        self.broken(p, 1, again, leave);
        p.put(end);
        self.end(p, again, leave);
    }

    /// Moves bytes from what is in r12.
    fn splice(&self, p: &mut Program, len: impl Into<Operand>, waits: bool, to: Register) {
        const SPLICE_F_NONBLOCK: u32 = 2;
        let flags = if waits { 0 } else { SPLICE_F_NONBLOCK };
        p.system(linux::__NR_splice, &[R12.into(), 0.into(), to.into(), 0.into(), len.into(), flags.into()]);
    }
}
