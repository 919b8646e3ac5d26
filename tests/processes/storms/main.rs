//! Storms of processes, each under some hundred seeds.
//!
//! ```text
//!   SEEDS=n     each storm under the first n seeds
//!   SEED=n      under this one alone, as often as you like: it is the same run each time
//!   NAME...     the storms whose names contain one of these
//! ```

mod chosen;
mod datagram;
mod epoll;
mod exec;
mod fork;
mod futex;
mod ipc;
mod kill;
mod library;
mod lock;
mod map;
mod names;
mod orphan;
mod pipe;
mod quiet;
mod release;
mod rights;
mod ring;
mod socket;
mod terminal;
mod timer;
mod trace;

use processes::run::{self, Storm};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

const STORMS: [Entry; 21] = [
    entry("quiet", quiet::storm, 20),
    entry("futex", futex::storm, 150),
    entry("epoll", epoll::storm, 150),
    entry("pipe", pipe::storm, 100),
    entry("lock", lock::storm, 100),
    entry("names", names::storm, 100),
    entry("ipc", ipc::storm, 100),
    entry("timer", timer::storm, 100),
    entry("ring", ring::storm, 100),
    entry("chosen", chosen::storm, 100),
    entry("socket", socket::storm, 100),
    entry("datagram", datagram::storm, 100),
    entry("rights", rights::storm, 100),
    entry("terminal", terminal::storm, 100),
    entry("exec", exec::storm, 150),
    entry("fork", fork::storm, 100),
    entry("map", map::storm, 100),
    entry("kill", kill::storm, 200),
    entry("trace", trace::storm, 150),
    entry("release", release::storm, 100),
    entry("orphan", orphan::storm, 100),
];

/// So many of a storm's seeds run twice, to see that the two runs are the same.
const REPEATED: u64 = 3;

/// What came of a storm's runs.
#[derive(Default)]
struct Ran {
    runs: u64,
    switches: u64,
    /// The lowest seed known to fail, and how.
    failure: Option<(u64, &'static str)>,
}

/// Runs a storm under these seeds, as many at a time as the host has CPUs, until one fails.
fn run_all(name: &str, seeds: Range<u64>) -> Ran {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new(Ran::default());
    let work = || loop {
        // Relaxed: each seed is taken once, and nothing else goes by it.
        let seed = next.fetch_add(1, Relaxed);
        if seed >= seeds.end {
            return;
        }
        let outcomes: Vec<_> =
            (0..if seed < REPEATED { 2 } else { 1 }).map(|_| run::apart(name, seed)).collect();
        let failure = if outcomes.contains(&None) {
            Some("is the one that failed")
        } else if outcomes.iter().any(|outcome| *outcome != outcomes[0]) {
            Some("is not the same run each time")
        } else {
            None
        };
        let mut all = all.lock().expect("nobody panics with it");
        all.runs += outcomes.len() as u64;
        all.switches += outcomes.iter().flatten().map(|outcome| outcome.switches).sum::<u64>();
        if let Some(why) = failure {
            next.store(seeds.end, Relaxed);
            let known = all.failure.take().filter(|(known, _)| *known < seed);
            all.failure = known.or(Some((seed, why)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    all.into_inner().expect("nobody panicked with it")
}

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
        let Ran { runs: more, switches, failure } = run_all(name, seeds);
        runs += more;
        let seconds = begin.elapsed().as_secs_f32();
        match failure {
            None => {
                println!("test {name} ... ok ({more} runs, {switches} switches, {seconds:.1} s)");
                passed += 1;
            }
            Some((seed, why)) => {
                println!("test {name} ... FAILED (SEED={seed} {why})");
                failed += 1;
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {runs} runs");
    std::process::exit(i32::from(failed > 0));
}
