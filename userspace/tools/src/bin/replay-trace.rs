//! `replay-trace`: what a parallel fork recorded on one CPU would take on more.
//!
//! Standard input holds a trace (see this package's library) of a fork in its parallel form, recorded under icount on one
//! CPU, so that times are instructions. What the parent does before the first piece of the copy and after the last stays as
//! it was recorded. The pieces between go through the executor's own `fan_out`, run by its simulator on P virtual CPUs that
//! all sleep but one: each piece takes as long as it was recorded to take, with the way to the next piece. What the
//! simulator cannot know are [`SPAWN`] and [`WAKE`]. What nobody can see here is whether pieces slow each other down in the
//! memory system.
//!
//! The output is `bench replay_P TIME ns` for each P, and what of it is serial.

use executor::sim::{Simulation, spend};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tools::{Event, Fork};

/// Instructions of the caller for each helper: making the task, and interrupting a CPU for it.
const SPAWN: u64 = 500;
/// Instructions, or the time of so many, until a sleeping CPU has taken an interrupt and begins its first piece.
const WAKE: u64 = 3000;
/// Runs of the simulator for each number of CPUs; the median counts.
const SEEDS: u64 = 15;

/// A fork as recorded, in instructions.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    before: u64,
    pieces: Vec<u64>,
    after: u64,
}

impl Recorded {
    fn from(events: &[Event]) -> Option<Self> {
        let fork = Fork::last(events)?;
        let within = |event: &&Event| (fork.begin..=fork.end).contains(&event.time);
        let mut begins = Vec::new();
        let (mut last, mut foreign, mut foreign_began) = (0, 0, 0);
        for event in events.iter().filter(within) {
            let own = event.subject == fork.task || event.subject == fork.parent;
            match event.kind {
                // What others did in between is no part of the fork.
                "poll-begin" if !own => foreign_began = event.time,
                "poll-end" if !own => foreign += event.time - foreign_began,
                "piece-begin" if event.by == fork.task => begins.push(event.time - foreign),
                "piece-end" if event.by == fork.task => last = event.time - foreign,
                _ => {}
            }
        }
        let first = *begins.first()?;
        begins.push(last);
        Some(Self {
            before: first - fork.begin,
            pieces: begins.windows(2).map(|pair| pair[1] - pair[0]).collect(),
            after: fork.end - foreign - last,
        })
    }

    /// Instructions until the parent is back in user mode, on so many CPUs.
    fn replay(&self, cpus: usize) -> u64 {
        let pieces = match cpus {
            1 => self.pieces.iter().sum(),
            _ => {
                let mut times: Vec<u64> = (0..SEEDS).map(|seed| simulate(&self.pieces, cpus, seed)).collect();
                times.sort_unstable();
                times[times.len() / 2]
            }
        };
        self.before + pieces + self.after
    }
}

/// The pieces on so many CPUs of the simulator.
fn simulate(pieces: &[u64], cpus: usize, seed: u64) -> u64 {
    let pieces: Arc<[u64]> = pieces.into();
    let run = Simulation::new(seed, cpus).max_switches(u64::MAX).run(async move {
        // By then all others sleep.
        executor::sleep(Duration::from_millis(10)).await;
        let caller = executor::current_cpu();
        let awake = AtomicU64::new(0);
        let begin = executor::Instant::now();
        executor::fan_out(pieces.len(), move |piece| {
            let cpu = executor::current_cpu();
            if awake.fetch_or(1 << cpu, Ordering::Relaxed) & 1 << cpu == 0 {
                spend(if cpu == caller { SPAWN * (cpus as u64 - 1) } else { WAKE });
            }
            spend(pieces[piece]);
        })
        .await;
        begin.elapsed().as_nanos() as u64
    });
    run.output
}

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let Some(recorded) = Recorded::from(&Event::all(&text)) else {
        eprintln!("replay-trace: no parallel fork is in this trace as a whole");
        std::process::exit(1);
    };
    println!("bench pieces {} pieces", recorded.pieces.len());
    println!("bench before {} ns", recorded.before);
    println!("bench after {} ns", recorded.after);
    for cpus in [1, 2, 4, 8, 16, 32, 64] {
        println!("bench replay_{cpus} {} ns", recorded.replay(cpus));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of 10,000 instructions.
    fn even(count: usize) -> Recorded {
        Recorded { before: 700, pieces: vec![10_000; count], after: 300 }
    }

    #[test]
    fn one_cpu_takes_what_was_recorded() {
        assert_eq!(even(100).replay(1), 1_001_000);
    }

    #[test]
    fn more_cpus_are_never_faster_than_ideal_and_divide_well() {
        for cpus in [2, 4, 8] {
            let (one, many) = (even(512).replay(1), even(512).replay(cpus));
            let speed_up = one as f64 / many as f64;
            assert!(speed_up <= cpus as f64 && speed_up > 0.85 * cpus as f64, "{cpus} CPUs: {speed_up}");
        }
    }

    #[test]
    fn what_others_did_in_between_does_not_count() {
        let trace = "trace: 0 90 return 3 - 3\ntrace: 0 100 spawn 7 - 3\ntrace: 0 110 poll-begin 7 fork 0\n\
            trace: 0 120 piece-begin 0 - 7\ntrace: 0 220 piece-end 0 - 7\ntrace: 0 225 poll-end 7 - 7\n\
            trace: 0 230 poll-begin 9 other 0\ntrace: 0 1230 poll-end 9 - 9\ntrace: 0 1235 poll-begin 7 fork 0\n\
            trace: 0 1240 piece-begin 1 - 7\ntrace: 0 1340 piece-end 1 - 7\ntrace: 0 1350 poll-end 7 - 7\n\
            trace: 0 1400 leave 3 - 3\n";
        let expected = Recorded { before: 30, pieces: vec![120, 100], after: 60 };
        assert_eq!(Recorded::from(&Event::all(trace)), Some(expected));
    }
}
