//! Who submits: requests that read, messages, and now and then some that remove buffers.

use super::Shape;
use super::event::{AIMED, NAMED};
use super::request::{ARRIVES, Meant, Plan, What};
use crate::library::{Choice, either, go_to_any, load_any, maybe_nap, repeat, store, store8};
use processes::instruction::Register::{R8, R12, R13, Rax, Rbp, Rbx, Rcx};
use processes::program::{Label, Program};

/// Bytes of an entry.
const ENTRY: usize = 64;
/// What is submitted together: no more than this.
const TOGETHER: usize = 2;

/// Who asks, and where he writes what he asks for.
#[derive(Clone, Copy)]
pub struct Asker {
    /// His number.
    pub party: usize,
    /// Entries.
    pub at: usize,
    /// Submits the r13 entries at r12; rbx, r14, r15 and these are lost.
    pub submit: Label,
}

impl Asker {
    pub fn new(p: &mut Program, party: usize, submit: Label) -> Self {
        Self { party, at: p.data(ENTRY * TOGETHER), submit }
    }

    /// Writes a request of the template at r12 as one of those that are submitted together. rbx is its name; r8 is lost.
    pub fn write(&self, p: &mut Program, index: usize) {
        let at = self.at + ENTRY * index;
        p.set(Rcx, at);
        for word in 0..8 {
            p.read8(R8, R12, 8 * word);
            p.write8(Rcx, 8 * word, R8);
        }
        p.read8(Rax, R12, ENTRY as i64);
        p.tell(NAMED, &[Rax.into(), self.party.into()]);
        p.set(Rbx, Rax);
        store8(p, at + 32, Rbx);
    }

    /// Submits so many that are written.
    pub fn submit(&self, p: &mut Program, count: usize) {
        p.set(R12, self.at);
        p.set(R13, count);
        p.call(self.submit);
    }

    /// Asks for what a template says.
    pub fn ask(&self, p: &mut Program, plan: &Plan, template: usize) {
        p.set(R12, plan.all[template].at);
        self.write(p, 0);
        match plan.all[template].what {
            What::Cancel(Meant::Name) => {
                p.tell(AIMED, &[Rbx.into()]);
                store8(p, self.at + 16, Rax);
            }
            What::Message(_) => {
                // What arrives has the name as its result.
                store(p, self.at + 24, Rbx);
                p.add_constant(Rbx, ARRIVES as i64);
                store8(p, self.at + 8, Rbx);
            }
            _ => {}
        }
        self.submit(p, 1);
    }

    /// Asks for what one of the templates says, as the seed chooses each time.
    pub fn ask_any(&self, p: &mut Program, plan: &Plan, templates: &[usize]) {
        let done = p.label();
        for (label, template) in go_to_any(p, templates.len()).into_iter().zip(templates) {
            p.put(label);
            self.ask(p, plan, *template);
            p.jump(done);
        }
        p.put(done);
    }
}

/// Submits one request after the other, at once or after a while.
pub fn submitter(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan, asker: Asker) {
    let places: Vec<u64> = plan.readings.iter().map(|reading| plan.all[*reading].at as u64).collect();
    let count = places.len() as i64;
    let places = p.words(&places);
    let mut others: Vec<usize> =
        (0..shape.rings.len()).flat_map(|ring| plan.of(What::Message(ring))).collect();
    for (group, its) in shape.groups.iter().enumerate() {
        if !its.is_ring && choice.below(2) == 0 {
            others.extend((1..3).flat_map(|count| plan.of(What::Remove(group, count))));
        }
    }
    repeat(p, Rbp, 4 + choice.below(4) as i64, |p| {
        maybe_nap(p, 2, 6_000);
        let one = |p: &mut Program, index| {
            load_any(p, R12, places, count);
            asker.write(p, index);
        };
        either(
            p,
            6,
            |p| {
                one(p, 0);
                either(
                    p,
                    3,
                    |p| asker.submit(p, 1),
                    |p| {
                        one(p, 1);
                        asker.submit(p, TOGETHER);
                    },
                );
            },
            |p| asker.ask_any(p, plan, &others),
        );
    });
}
