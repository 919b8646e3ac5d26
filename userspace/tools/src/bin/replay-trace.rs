//! `replay-trace`: what a fan-out recorded on one CPU would take on more.
//!
//! Standard input holds a trace (see `trace-to-json`) in which the kernel marked the pieces of each fan-out: `mark` with
//! an even subject begins a piece, the next odd number ends it. Times are instructions if it was recorded under icount.
//! The pieces between the first and the last mark of the poll that holds most of them are taken, in their order, and
//! divided over P CPUs by the executor's own rule: the caller and P - 1 helpers each claim half of an even share of what
//! is left, down to one piece. What lies between pieces is the caller's own work, and stays serial.
//!
//! A helper starts [`HELPER`] instructions after the one before it: allocation, the push, and the interrupt that wakes its
//! CPU. The output is `bench replay_P TIME ns` for each P.

use std::io;

/// Instructions the caller spends on starting one helper; the executor's benchmark states what it really is.
const HELPER: u64 = 1500;

/// A piece: when it began and ended.
type Piece = (u64, u64);

/// The fan-outs in a trace: runs of pieces with no other poll between them.
fn fan_outs(trace: impl Iterator<Item = String>) -> Vec<Vec<Piece>> {
    let (mut all, mut current, mut begun) = (Vec::new(), Vec::new(), None);
    for line in trace {
        let Some(line) = line.strip_prefix("trace: ") else { continue };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_cpu, time, kind, subject, ..] = words[..] else { continue };
        let (Ok(time), Ok(subject)) = (time.parse::<u64>(), subject.parse::<u64>()) else { continue };
        match kind {
            "mark" if subject % 2 == 0 => begun = Some(time),
            "mark" => current.extend(begun.take().map(|start| (start, time))),
            "poll-begin" | "poll-end" | "end" => {
                begun = None;
                all.push(std::mem::take(&mut current));
            }
            _ => {}
        }
    }
    all.push(current);
    all
}

/// Instructions until all pieces are done on some CPUs.
fn replay(pieces: &[Piece], cpus: usize) -> u64 {
    let lengths: Vec<u64> = pieces.iter().map(|(start, end)| end - start).collect();
    let serial: u64 = pieces.windows(2).map(|pair| pair[1].0 - pair[0].1).sum();
    // When each CPU is free next: the caller after starting its helpers, the helpers one after the other.
    let helpers = cpus as u64 - 1;
    let mut free: Vec<u64> = (1..=helpers).map(|number| number * HELPER).collect();
    free.insert(0, helpers * HELPER);
    let mut next = 0;
    while next < lengths.len() {
        let share = ((lengths.len() - next) / (2 * cpus)).max(1);
        let soonest = (0..cpus).min_by_key(|cpu| free[*cpu]).expect("at least one CPU");
        free[soonest] += lengths[next..next + share].iter().sum::<u64>();
        next += share;
    }
    serial + free.into_iter().max().expect("at least one CPU")
}

fn main() {
    let fan_outs = fan_outs(io::stdin().lines().map_while(Result::ok));
    let pieces = fan_outs.into_iter().max_by_key(Vec::len).unwrap_or_default();
    if pieces.is_empty() {
        eprintln!("replay-trace: no pieces are marked in this trace");
        std::process::exit(1);
    }
    println!("replay-trace: {} pieces", pieces.len());
    for cpus in [1, 2, 4, 8, 16, 32, 64] {
        println!("bench replay_{cpus} {} ns", replay(&pieces, cpus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of 10,000 instructions with 5 between them.
    fn even(count: u64) -> Vec<Piece> {
        (0..count).map(|i| (i * 10_005, i * 10_005 + 10_000)).collect()
    }

    #[test]
    fn one_cpu_takes_what_was_recorded() {
        assert_eq!(replay(&even(100), 1), 100 * 10_000 + 99 * 5);
    }

    #[test]
    fn more_cpus_are_never_faster_than_ideal_and_divide_well() {
        for cpus in [2, 4, 8, 16] {
            let (one, many) = (replay(&even(4096), 1), replay(&even(4096), cpus));
            let speed_up = one as f64 / many as f64;
            assert!(speed_up <= cpus as f64 && speed_up > 0.9 * cpus as f64, "{cpus} CPUs: {speed_up}");
        }
    }

    #[test]
    fn pieces_are_read_between_polls() {
        let lines = [
            "trace: 0 5 poll-begin 3 fork 0",
            "trace: 0 10 mark 0 - 3",
            "trace: 0 30 mark 1 - 3",
            "noise",
            "trace: 0 31 mark 2 - 3",
            "trace: 0 40 mark 3 - 3",
            "trace: 0 50 poll-end 3 fork 0",
        ];
        let found = fan_outs(lines.iter().map(ToString::to_string));
        assert!(found.contains(&vec![(10, 30), (31, 40)]));
    }
}
