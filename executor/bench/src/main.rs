//! The executor beside its peers.
//!
//! ```text
//! cargo run --release                     # 15 rounds, interleaved; prints tables
//! cargo run --release -- --rounds 40
//! cargo run --release -- --count          # instructions per operation, by valgrind's callgrind
//! ```
//!
//! Every round runs every operation on every contestant in turn, so a disturbance hits all alike. A
//! cell is the median of the rounds with the best in brackets. One-worker operations are given in CPU
//! time, which other processes do not inflate. The instruction counts are the stable figures.
//!
//! Start reading at `contestant.rs` (what an executor must do) and `operations.rs` (what is measured).

mod contestant;
mod contestants;
mod count;
mod cpu;
mod operations;
mod table;

use contestant::Contestant;
use cpu::{bytes_in_use, cost};
use std::collections::HashMap;
use std::time::Duration;
use table::Table;

#[global_allocator]
static ALLOCATOR: cpu::Counting = cpu::Counting;

const SLEEPS_ONCE: &str = "task that sleeps once, all due within 1 ms";
const ACROSS: &str = "wake ping-pong between two CPUs, per hop";
const TASKS_ON_TWO: &str = "1,000 tasks of 1 us on two workers, per task";
const PIECES_ON_TWO: &str = "1,000 pieces of 1 us on two workers, per piece";

/// In this time all the tasks that sleep once have been spawned.
const LEAD: Duration = Duration::from_millis(30);
/// The same under valgrind.
const LEAD_COUNTED: Duration = Duration::from_secs(15);

/// An operation on one worker: its name and its function.
type Operation<C> = (&'static str, fn(&C, usize));

fn one_worker<C: Contestant>() -> Vec<Operation<C>> {
    vec![
        ("spawn + run, 128 at a time", |on, n| operations::spawn(on, n, 128)),
        ("spawn + run, one at a time", |on, n| operations::spawn(on, n, 1)),
        ("spawn + join", operations::join),
        ("yield, alone", operations::yield_alone),
        ("yield, eight in turn", operations::yield_in_turn),
        ("wake ping-pong, per hop", operations::ping_pong),
        ("timer started and dropped", operations::timer_cancelled),
        ("fan-out of 1,000 tasks, per task", operations::fan_out_tasks),
        ("fan-out of 1,000 pieces, per piece", operations::fan_out_split),
    ]
}

/// What is counted: the above, and what takes more than one worker or more than CPU time.
fn counted<C: Contestant>() -> Vec<Operation<C>> {
    let mut all = one_worker::<C>();
    let expired: Operation<C> = (SLEEPS_ONCE, |on, n| operations::timer_expired(on, n, LEAD_COUNTED));
    let across: Operation<C> = (ACROSS, |_, n| {
        operations::ping_pong_across::<C>(n);
    });
    all.extend([expired, across]);
    if C::SHARES {
        all.push((TASKS_ON_TWO, |_, n| operations::fan_out_tasks(&C::start(2), n)));
        all.push((PIECES_ON_TWO, |_, n| operations::fan_out_split(&C::start(2), n)));
    }
    all
}

/// Executors by name and number of workers; each is started once.
#[derive(Default)]
struct Started(HashMap<(&'static str, usize), Box<dyn std::any::Any>>);

impl Started {
    fn get<C: Contestant>(&mut self, workers: usize) -> C {
        let entry = self.0.entry((C::NAME, workers)).or_insert_with(|| Box::new(C::start(workers)));
        entry.downcast_ref::<C>().expect("the name says the type").clone()
    }
}

#[derive(Default)]
struct Results {
    one: Table,
    two: Table,
    timers: Table,
    memory: Table,
}

fn round<C: Contestant>(started: &mut Started, results: &mut Results) {
    let on = started.get::<C>(1);
    let n = 10_000;
    for (name, operation) in one_worker::<C>() {
        operation(&on, 1000);
        let work = if name.starts_with("fan-out") { cost(|| operations::serial(n)).cpu } else { 0.0 };
        let cpu = cost(|| operation(&on, n)).cpu;
        results.one.add(name, C::NAME, (cpu - work) / n as f64);
    }
    let n = 10_000;
    let expired = cost(|| operations::timer_expired(&on, n, LEAD)).cpu;
    results.timers.add(SLEEPS_ONCE, C::NAME, expired / n as f64);

    let n = 2_000;
    let across = operations::ping_pong_across::<C>(n);
    results.two.add(ACROSS, C::NAME, across / n as f64);
    if C::SHARES {
        let on = started.get::<C>(2);
        let n = 10_000;
        let alone = cost(|| operations::serial(n)).wall;
        let tasks = cost(|| operations::fan_out_tasks(&on, n)).wall;
        let split = cost(|| operations::fan_out_split(&on, n)).wall;
        results.two.add(TASKS_ON_TWO, C::NAME, tasks / n as f64);
        results.two.add(PIECES_ON_TWO, C::NAME, split / n as f64);
        results.two.add_best_high("speed-up by tasks", C::NAME, alone / tasks);
        results.two.add_best_high("speed-up by pieces", C::NAME, alone / split);
    }
}

fn memory<C: Contestant>(results: &mut Results) {
    // A fresh one, which keeps these tasks.
    let on = C::start(1);
    operations::idle(&on, 1);
    let n = 100_000;
    operations::make_room(n);
    let before = bytes_in_use();
    operations::idle(&on, n);
    results.memory.add("bytes per idle task", C::NAME, (bytes_in_use() - before) as f64 / n as f64);
    std::mem::forget(on);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rounds = match *arguments {
        [] => 15,
        ["--rounds", rounds] => rounds.parse().expect("--rounds takes a number"),
        ["--count"] => return count::all(),
        // What `--count` runs under valgrind.
        ["--one", contestant, operation, n] => {
            let n = n.parse().expect("a number");
            for_each_contestant!(one(contestant, operation, n));
            return;
        }
        _ => {
            eprintln!("usage: executor-bench [--rounds N | --count]");
            std::process::exit(2);
        }
    };
    let (mut started, mut results) = <(Started, Results)>::default();
    for _ in 0..rounds {
        for_each_contestant!(round(&mut started, &mut results));
        eprint!(".");
    }
    eprintln!();
    for_each_contestant!(memory(&mut results));
    println!("{rounds} rounds; a cell is the median (best), a ratio is to the best peer's median\n");
    results.one.print("One worker: CPU time per operation, ns, less the work itself");
    results.timers.print("Timers: CPU time from spawn to end, ns");
    results.two.print("Two CPUs: wall time, ns");
    results.memory.print("Memory");
    // The executors' threads never end.
    std::process::exit(0);
}

/// One operation of one contestant, for the instruction counts.
fn one<C: Contestant>(contestant: &str, operation: &str, n: usize) {
    if C::NAME == contestant {
        let on = C::start(1);
        for (name, function) in counted::<C>() {
            if name == operation {
                function(&on, n);
                std::process::exit(0);
            }
        }
    }
}
