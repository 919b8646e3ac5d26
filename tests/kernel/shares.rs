//! How programs share the CPUs, where times are counts of instructions: they are the same on every run, whatever else the
//! host does.

use crate::machine::{Kernel, Machine};

/// Runs `crowd`, which judges by itself, on so many CPUs.
#[track_caller]
fn crowd(cpus: &str, arguments: &str) {
    let command: Vec<&str> = ["crowd"].into_iter().chain(arguments.split(' ')).collect();
    let (status, printed) = Machine::boot(Kernel::Rusk, &["--icount", "--smp", cpus], &command).end();
    assert_eq!(status, Some(0), "crowd {arguments} on {cpus} CPUs:\n{printed}");
}

/// Nearly half of the time that a thousand need to differ by 5 %: by two turns.
#[test]
fn a_thousand_processes_share_one_cpu() {
    crowd("1", "even 1000 5000 10");
}

/// They differ by up to 17 ms, three turns, however long it takes: which three depends on every instruction of the kernel.
#[test]
fn more_processes_than_cpus_share_all() {
    crowd("2", "even 3 3000 2");
    crowd("2", "even 5 3000 2");
}

#[test]
fn nice_values_and_policies_are_shares() {
    crowd("1", "weights 3000 10");
    crowd("2", "weights 3000 10");
}

#[test]
fn ten_thousand_processes_and_a_hundred_thousand_threads_are_there_at_once() {
    // What the first one leaves is what the kernel keeps for the next time.
    let script = "blocked; resources note; blocked --processes 10000 --threads 100000 && resources check";
    let options = ["--mem", "2G", "--smp", "2"];
    let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", script]).end();
    assert_eq!(status, Some(0), "{printed}");
    let found =
        |line: &str| line.split_once(" processes, this one with 100001 threads")?.0.parse::<u32>().ok();
    assert!(printed.lines().find_map(found).is_some_and(|processes| processes > 10_000), "{printed}");
}

#[test]
fn a_shell_answers_while_all_fork() {
    crowd("1", "answers 20 50");
    crowd("2", "answers 20 50");
}
