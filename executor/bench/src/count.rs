//! Instructions per operation, counted by valgrind's callgrind.
//!
//! Each operation runs twice in a process of its own, with different counts; the difference leaves
//! out what starting costs. Repeatable to a fraction of a percent, whatever else the machine does.

use crate::contestant::Contestant;
use crate::for_each_contestant;
use crate::table::Table;
use std::process::Command;

const FEW: usize = 2_000;
const MANY: usize = 12_000;

/// Count and print.
pub fn all() {
    let mut table = Table::default();
    for (name, _) in crate::counted::<crate::contestants::rusk::Rusk>() {
        for_each_contestant!(count(&mut table, name));
        eprint!(".");
    }
    eprintln!();
    table.print("Instructions per operation, the work of the fan-outs included");
}

fn count<C: Contestant>(table: &mut Table, operation: &'static str) {
    if !crate::counted::<C>().iter().any(|(name, _)| *name == operation) {
        return;
    }
    let few = instructions(C::NAME, operation, FEW);
    let many = instructions(C::NAME, operation, MANY);
    if let (Some(few), Some(many)) = (few, many) {
        table.add(operation, C::NAME, (many as f64 - few as f64) / (MANY - FEW) as f64);
    }
}

/// What callgrind says the run took; `None` (and its words on the error output) if it failed.
fn instructions(contestant: &str, operation: &str, n: usize) -> Option<u64> {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--fair-sched=yes", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--one", contestant, operation, &n.to_string()])
        .output()
        .expect("valgrind is installed");
    let words = String::from_utf8_lossy(&output.stderr);
    let collected = words.lines().find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    if collected.is_none() {
        eprintln!("{contestant}, {operation}: {words}");
    }
    collected
}
