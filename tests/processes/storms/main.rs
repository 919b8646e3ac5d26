//! Storms of processes, each under some hundred seeds.
//!
//! ```text
//!   SEEDS=n     each storm under the first n seeds
//!   SEED=n      under this one alone, as often as you like: it is the same run each time
//!   NAME...     the storms whose names contain one of these
//! ```

mod epoll;
mod exec;
mod fork;
mod futex;
mod kill;
mod library;
mod quiet;

use processes::run::{self, Storm};
use std::time::Instant;

/// A storm and its name.
struct Entry {
    name: &'static str,
    storm: fn(u64) -> Storm,
    /// How many seeds there are when nobody says otherwise.
    seeds: u64,
}

const fn entry(name: &'static str, storm: fn(u64) -> Storm, seeds: u64) -> Entry {
    Entry { name, storm, seeds }
}

const STORMS: [Entry; 6] = [
    entry("quiet", quiet::storm, 20),
    entry("futex", futex::storm, 400),
    entry("epoll", epoll::storm, 400),
    entry("exec", exec::storm, 400),
    entry("fork", fork::storm, 200),
    entry("kill", kill::storm, 600),
];

/// So many of a storm's seeds run twice, to see that the two runs are the same.
const REPEATED: u64 = 3;

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == run::ALONE) {
        let (name, seed) = (words.next(), words.next());
        let entry = STORMS.iter().find(|entry| name.as_deref() == Some(entry.name));
        let (Some(entry), Some(seed)) = (entry, seed) else { panic!("no such storm") };
        return run::alone(entry.storm, seed.parse().expect("a number"));
    }
    run::settle_addresses();
    let number = |name| Some(std::env::var(name).ok()?.parse::<u64>().expect("SEED and SEEDS are numbers"));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (mut passed, mut failed, mut runs) = (0, 0, 0);
    for Entry { name, seeds: usual, .. } in STORMS {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let seeds = match number("SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("SEEDS").unwrap_or(usual),
        };
        let begin = Instant::now();
        let mut failure = None;
        let (mut done, mut switches) = (0, 0);
        for seed in seeds {
            let outcome = run::apart(name, seed);
            runs += 1;
            let Some(outcome) = outcome else {
                failure = Some(format!("SEED={seed} is the one that failed"));
                break;
            };
            if seed < REPEATED && run::apart(name, seed) != Some(outcome) {
                failure = Some(format!("SEED={seed} is not the same run each time"));
                break;
            }
            done += 1;
            switches += outcome.switches;
        }
        let seconds = begin.elapsed().as_secs_f32();
        match failure {
            None => {
                println!("test {name} ... ok ({done} seeds, {switches} switches, {seconds:.1} s)");
                passed += 1;
            }
            Some(why) => {
                println!("test {name} ... FAILED ({why})");
                failed += 1;
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {runs} runs");
    std::process::exit(i32::from(failed > 0));
}
