//! Eventfds: one that is read one by one, and one that is always full.

use super::keep;
use super::plan::{COUNTER, EACH, Plan, one_more};
use crate::library::{Choice, exit, expect, load8, nap, repeat};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, Rax, Rcx, Rdx};
use processes::program::Program;

/// A counter that is read one by one, and one into which no two values fit. Says where their descriptors are.
pub fn counters(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> [usize; 2] {
    let counters = [p.data(8), p.data(8)];
    let value = p.data(8);
    let (writers, readers) = (1 + choice.below(3), 1 + choice.below(4) as i64);
    let mut total = 0;
    for _ in 0..writers {
        plan.entries.push(p.here());
        load8(p, R12, counters[0]);
        for _ in 0..EACH {
            let tokens = 1 + choice.below(3);
            total += tokens as i64;
            let word = p.words(&[tokens]);
            nap(p, 3_000);
            p.system(linux::__NR_write, &[R12.into(), word.into(), 8.into()]);
            expect(p, Rax, &[8], 50);
        }
        exit(p, 0);
    }
    // The one that has the last has one for each of the others.
    let others = p.words(&[readers as u64 - 1]);
    for _ in 0..readers {
        let (last, look, end) = (p.label(), p.label(), p.label());
        plan.entries.push(p.here());
        load8(p, R12, counters[0]);
        let again = p.here();
        p.system(linux::__NR_read, &[R12.into(), value.into(), 8.into()]);
        expect(p, Rax, &plan.ends(8, &[]), 51);
        p.set(Rcx, 8);
        p.if_unequal(Rax, Rcx, again);
        load8(p, Rax, value);
        expect(p, Rax, &[1], 52);
        one_more(p, COUNTER, total, last, look);
        p.put(look);
        p.set(Rcx, total);
        p.if_less(Rdx, Rcx, again);
        p.jump(end);
        p.put(last);
        if readers > 1 {
            p.system(linux::__NR_write, &[R12.into(), others.into(), 8.into()]);
            expect(p, Rax, &[8], 53);
        }
        p.put(end);
        exit(p, 0);
    }
    // As many writers of what fills the other one as readers.
    let full = p.words(&[u64::MAX - 1]);
    for _ in 0..1 + choice.below(2) {
        for (call, place) in [(linux::__NR_write, full), (linux::__NR_read, value)] {
            plan.entries.push(p.here());
            load8(p, R12, counters[1]);
            repeat(p, R13, EACH, |p| {
                let again = p.here();
                p.system(call, &[R12.into(), place.into(), 8.into()]);
                expect(p, Rax, &plan.ends(8, &[]), 54);
                p.set(Rcx, 8);
                p.if_unequal(Rax, Rcx, again);
                load8(p, Rax, place);
                expect(p, Rax, &[-2], 55);
            });
            exit(p, 0);
        }
    }
    counters
}

/// Makes the counters.
pub fn set_up_counters(p: &mut Program, counters: [usize; 2]) {
    for (counter, flags) in counters.into_iter().zip([linux::EFD_SEMAPHORE, 0]) {
        p.system(linux::__NR_eventfd2, &[0.into(), flags.into()]);
        keep(p, counter);
    }
}
