//! Each system call with each of its arguments wrong in every way that there is: the errors.
//!
//! [`table`] lists the calls with the kinds of their arguments, [`kind`] what an argument of a kind can be, [`stage`] what
//! they work on. A call that is good but for one argument is made for each thing that this argument can be instead.

mod kind;
mod stage;
mod table;

use crate::check::{aside, call};
use kind::Kind;
use stage::Stage;
use std::fmt::Write;
use table::CALLS;

/// What is done to arguments of one kind: an outcome, and the variants that have it.
type Group = (String, Vec<String>);

pub fn run() {
    for (name, number, arguments) in CALLS {
        // What one call does to the process, no other sees; and none may wait for long.
        aside(name, || {
            // SAFETY: the default action ends the process.
            unsafe { libc::alarm(10) };
            let stage = Stage::new();
            print!("{}", table_of(&stage, name, *number, arguments));
        });
    }
}

/// The outcomes of one call, a line for each argument.
fn table_of(stage: &Stage, name: &str, number: i64, arguments: &[Kind]) -> String {
    let good = || -> Vec<usize> {
        arguments.iter().enumerate().map(|(place, kind)| kind.good(stage, place)).collect()
    };
    let mut text = format!("{name}: {}\n", support::errno::outcome(&call(number, &good())));
    for (place, kind) in arguments.iter().enumerate() {
        let mut groups: Vec<Group> = Vec::new();
        for (variant, value) in kind.others(stage) {
            let mut words = good();
            words[place] = value;
            let outcome = support::errno::outcome(&call(number, &words));
            match groups.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, variants)) => variants.push(variant),
                None => groups.push((outcome, vec![variant])),
            }
        }
        if groups.is_empty() {
            continue;
        }
        let _ = write!(text, "  {} {}:", place + 1, kind.name());
        for (outcome, variants) in groups {
            let _ = write!(text, " {outcome}({})", variants.join(" "));
        }
        text.push('\n');
    }
    text
}
