//! Who submits.

use super::Shape;
use super::access::{enter, expect_same, lock, ring_word, unlock};
use super::observer::SUBMITTED;
use super::places::{ENTRIES, FLAGS, NEXT, NUMBERS, SUBMISSION, SUBMISSION_HEAD, SUBMISSION_TAIL};
use super::program::Functions;
use super::request::Plan;
use super::setup::IDLE_NS;
use crate::library::{Choice, SHARED, end_thread, expect, if_not_zero, if_zero, nap};
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{R8, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdx};
use processes::program::{Label, Program};

/// Writes entries into the ring, and has them taken.
pub fn submit_function(p: &mut Program, shape: &Shape) -> Label {
    let entry = p.here();
    lock(p, SUBMISSION);
    p.set(Rcx, SHARED);
    p.read4(R14, Rcx, NEXT);
    p.set(R15, R13);
    let (next, able) = (p.here(), p.label());
    // r14: the next entry's number; r15: how many are left to write.
    ring_word(p, Rax, SUBMISSION_HEAD);
    p.set(Rdx, R14);
    p.subtract(Rdx, Rax);
    p.set(Rcx, shape.entries);
    p.if_less(Rdx, Rcx, able);
    if shape.has_poller {
        let flags = io_uring::IORING_ENTER_SQ_WAKEUP | io_uring::IORING_ENTER_SQ_WAIT;
        enter(p, 0, 0, flags, (0, 0));
        expect(p, Rax, &[0], 30);
    } else {
        // Who has written them is about to have them taken.
        p.system(linux::__NR_sched_yield, &[]);
    }
    p.jump(next);
    p.put(able);
    p.set(Rax, R14);
    p.and(Rax, i64::from(shape.entries - 1));
    p.set(Rdx, SHARED);
    p.read8(Rdx, Rdx, NUMBERS);
    let scale = |p: &mut Program, doublings| (0..doublings).for_each(|_| p.add(Rbx, Rbx));
    p.set(Rbx, Rax);
    scale(p, 2);
    p.add(Rdx, Rbx);
    p.write4(Rdx, 0, Rax);
    scale(p, 4);
    p.add_constant(Rbx, ENTRIES as i64);
    for word in 0..8 {
        p.read8(R8, R12, 8 * word);
        p.write8(Rbx, 8 * word, R8);
    }
    p.read8(Rax, R12, 32);
    p.tell(SUBMITTED, &[Rax.into()]);
    p.add_constant(R12, 64);
    p.add_constant(R14, 1);
    p.add_constant(R15, -1);
    if_not_zero(p, R15, next);
    p.set(Rdx, SHARED);
    p.write4(Rdx, NEXT, R14);
    p.read8(Rdx, Rdx, SUBMISSION_TAIL);
    p.write4(Rdx, 0, R14);
    if shape.has_poller {
        let awake = p.label();
        ring_word(p, Rax, FLAGS);
        p.and(Rax, io_uring::IORING_SQ_NEED_WAKEUP.into());
        if_zero(p, Rax, awake);
        enter(p, R13, 0, io_uring::IORING_ENTER_SQ_WAKEUP, (0, 0));
        expect_same(p, 31);
        p.put(awake);
        unlock(p, SUBMISSION);
    } else if shape.holds {
        enter(p, R13, 0, 0, (0, 0));
        expect_same(p, 32);
        unlock(p, SUBMISSION);
    } else {
        // Others may have had them taken, or have theirs taken by this.
        unlock(p, SUBMISSION);
        enter(p, R13, 0, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
        expect(p, Rax, &[0, 1, 2, 3], 33);
    }
    p.ret();
    entry
}

/// Submits some entries that are written here.
pub fn submit_some(p: &mut Program, submit: Label, entries: &[[u64; 8]]) {
    let address = p.words(entries.as_flattened());
    p.set(R12, address);
    p.set(R13, entries.len());
    p.call(submit);
}

/// Submits, and then waits for completions, or ends.
pub fn submitter(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    index: usize,
    functions: Functions,
    leaves: bool,
) -> Label {
    let entry = p.here();
    submit_batches(p, choice, shape, plan, &plan.batches[index], functions.submit);
    if leaves {
        nap(p, 10_000);
        end_thread(p);
    } else {
        p.jump(functions.consume);
    }
    entry
}

/// Submits one batch after the other, at once or after a while.
pub fn submit_batches(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    batches: &[Vec<usize>],
    submit: Label,
) {
    for batch in batches {
        match choice.below(4) {
            0 | 1 => nap(p, 6_000),
            // Until the poller is about to sleep.
            2 if shape.has_poller => {
                let time = p.words(&[0, IDLE_NS - 3_000]);
                p.system(linux::__NR_nanosleep, &[time.into(), 0.into()]);
                nap(p, 6_000);
            }
            _ => {}
        }
        let entries: Vec<[u64; 8]> = batch.iter().map(|name| plan.all[*name].entry).collect();
        submit_some(p, submit, &entries);
    }
}
