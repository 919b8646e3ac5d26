//! Who submits.

use super::Shape;
use super::program::Functions;
use super::request::Plan;
use crate::library::{Choice, POLLER_IDLE_NS, end_thread, nap};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13};
use processes::program::{Label, Program};

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
            2 if shape.ring.has_poller => {
                let time = p.words(&[0, POLLER_IDLE_NS - 3_000]);
                p.system(linux::__NR_nanosleep, &[time.into(), 0.into()]);
                nap(p, 6_000);
            }
            _ => {}
        }
        let entries: Vec<[u64; 8]> = batch.iter().map(|name| plan.all[*name].entry).collect();
        submit_some(p, submit, &entries);
    }
}
