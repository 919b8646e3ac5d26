//! The program: its parts, and who begins.

use super::consumer::{consumer, onlooker};
use super::ending::{end_abruptly, end_orderly};
use super::feeder::{feeder, reader};
use super::observer::{BEGIN, SUBMITTED};
use super::places::{BUFFER_PAGES, PAGE};
use super::request::Plan;
use super::setup::{make_files, set_up};
use super::submitter::submitter;
use super::{Ending, Shape};
use crate::library::{Choice, begin, fork, handle, restart_flag, share};
use linux_raw_sys::general as linux;
use processes::program::{Label, Program};

/// What a program's parts call, and jump to.
#[derive(Clone, Copy)]
pub struct Functions {
    /// Submits the r13 entries at r12; rbx, r14, r15 and these are lost.
    pub submit: Label,
    /// Waits for completions until all is over. Not a function: a thread ends with it.
    pub consume: Label,
}

/// Writes it.
pub fn write(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan) {
    let (main, handler) = begin(p);
    let submit = shape.ring.submit_function(p, SUBMITTED);
    let consume = consumer(p, choice, shape, plan, submit);
    let functions = Functions { submit, consume };
    let count = plan.batches.len();
    let leaving = match shape.ending {
        Ending::Leave if count > 1 && choice.below(2) == 0 => count - 1,
        Ending::Leave => count,
        _ => 0,
    };
    let submitters: Vec<Label> = (0..count)
        .map(|index| submitter(p, choice, shape, plan, index, functions, index < leaving))
        .collect();
    let feeder = feeder(p, choice, plan);
    let reader = reader(p);
    let consumers = choice.below(3);
    let onlooker = onlooker(p, shape);
    let restarts = choice.below(2) == 0;

    p.put(main);
    p.tell(BEGIN, &[]);
    handle(p, linux::SIGUSR1, handler, restart_flag(restarts));
    share(p, PAGE * (1 + BUFFER_PAGES));
    make_files(p);
    let mut entries = submitters.clone();
    entries.extend((0..consumers).map(|_| consume));
    match shape.ending {
        Ending::Orderly => {
            entries.push(feeder);
            if choice.below(2) == 0 {
                entries.push(onlooker);
            }
            fork(p, reader);
            set_up(p, shape);
            end_orderly(p, choice, shape, &entries);
        }
        ending => end_abruptly(p, choice, shape, ending, (plan, functions), &entries, leaving),
    }
}
