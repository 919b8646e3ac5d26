//! The program: its parts, and who begins.

use super::canceller::canceller;
use super::consumer::{consumer, look_function};
use super::ending::Ender;
use super::event::{BEGIN, ENDED, LEAVING, SUBMITTED};
use super::places::SHARED_LEN;
use super::provider::provider;
use super::renewer::renewer;
use super::request::Plan;
use super::source::make_all;
use super::submitter::{Asker, submitter};
use super::writer::writer;
use super::{Ending, Shape};
use crate::library::{Choice, begin, end_thread, nap, share};
use processes::program::{Label, Program};

/// What a program's parts call, and jump to.
#[derive(Clone, Copy)]
pub struct Functions {
    /// Looks into the buffer at r15.
    pub look: Label,
    /// Takes completions until all is over. Not a function: a thread ends with it.
    consume: Label,
}

/// Writes it.
pub fn write(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan) {
    let (main, _) = begin(p);
    let look = look_function(p);
    let submit = shape.rings[0].submit_function(p, SUBMITTED);
    let functions = Functions { look, consume: consumer(p, shape, look) };
    let mut entries = write_parties(p, choice, shape, plan, (functions, submit));
    for _ in 0..1 + choice.below(2) {
        let asker = Asker::new(p, entries.len(), submit);
        entries.push(p.here());
        provider(p, choice, shape, plan, asker, look);
    }
    entries.push(functions.consume);

    p.put(main);
    p.tell(BEGIN, &[]);
    share(p, SHARED_LEN);
    make_all(p, shape);
    let asker = Asker::new(p, entries.len(), submit);
    let ender = Ender { shape, plan, asker, functions };
    match shape.ending {
        Ending::Orderly => {
            shape.rings.iter().for_each(|ring| ring.set_up(p));
            ender.end_orderly(p, choice, &entries);
        }
        _ => ender.end_abruptly(p, choice, &entries),
    }
}

/// Writes those who come to an end by themselves.
fn write_parties(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    (functions, submit): (Functions, Label),
) -> Vec<Label> {
    let mut entries = Vec::new();
    // Requests end with the thread that has submitted them, so it stays.
    let go_on = |p: &mut Program, party: usize| {
        p.tell(ENDED, &[party.into()]);
        p.jump(functions.consume);
    };
    for _ in 0..shape.submitters {
        let party = entries.len();
        let asker = Asker::new(p, party, submit);
        entries.push(p.here());
        submitter(p, choice, shape, plan, asker);
        if shape.victim() == Some(party) && !shape.as_processes {
            nap(p, 20_000);
            p.tell(LEAVING, &[party.into()]);
            end_thread(p);
        } else {
            go_on(p, party);
        }
    }
    for (source, number) in &shape.writers {
        let party = entries.len();
        entries.push(p.here());
        writer(p, choice, *source, *number);
        p.tell(ENDED, &[party.into()]);
        end_thread(p);
    }
    for _ in 0..shape.cancellers {
        let party = entries.len();
        let asker = Asker::new(p, party, submit);
        entries.push(p.here());
        canceller(p, choice, shape, plan, asker, functions.look);
        go_on(p, party);
    }
    if let Some(group) = shape.groups.iter().position(|group| group.is_ring && shape.renews) {
        let party = entries.len();
        entries.push(p.here());
        renewer(p, choice, shape, group);
        p.tell(ENDED, &[party.into()]);
        end_thread(p);
    }
    entries
}
