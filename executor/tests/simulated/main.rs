//! Storms in the simulator, each under a thousand seeds.
//!
//! A failure prints its seed; `SEED=n` in the environment runs that seed alone, and so repeats the run
//! exactly. `SEEDS=n` tries the first n instead of a thousand.

mod gathering;
mod rcu;
mod readiness;
mod sync;
mod tasks;
mod time;
mod turns;

use executor::sim::{Simulation, random};
use executor::{Instant, JoinSet, sleep, yield_now};
use std::ops::Range;
use std::time::Duration;

/// Run a storm under all seeds, with 1 to 5 CPUs.
fn seeds<F>(storm: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for seed in chosen() {
        Simulation::new(seed, 1 + seed as usize % 5).run(storm());
    }
}

/// As [`seeds`], always with this many CPUs.
fn seeds_on<F>(cpus: usize, storm: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for seed in chosen() {
        Simulation::new(seed, cpus).run(storm());
    }
}

fn chosen() -> Range<u64> {
    let number = |name| Some(std::env::var(name).ok()?.parse().expect("SEED and SEEDS are numbers"));
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(1000),
    }
}

fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let storm = || async {
        let mut set = JoinSet::new();
        for i in 0..20 {
            set.spawn(async move {
                sleep(micros(random(50))).await;
                yield_now().await;
                i
            });
        }
        set.join_all().await
    };
    let first = Simulation::new(7, 3).run(storm());
    for _ in 0..3 {
        assert_eq!(Simulation::new(7, 3).run(storm()), first);
    }
    assert_ne!(Simulation::new(8, 3).run(storm()).digest, first.digest);
}

#[test]
fn time_is_virtual() {
    let begin = std::time::Instant::now();
    let outcome = Simulation::new(1, 2).run(async {
        let begin = Instant::now();
        sleep(Duration::from_secs(3600)).await;
        begin.elapsed()
    });
    assert!(outcome.output >= Duration::from_secs(3600));
    assert!(outcome.output < Duration::from_secs(3600) + micros(100));
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
#[should_panic(expected = "nothing will ever wake them")]
fn a_deadlock_is_found() {
    Simulation::new(0, 2).run(std::future::pending::<()>());
}
