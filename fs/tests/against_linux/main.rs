//! The same random operations on Linux's tmpfs and on ours, with all results and errors compared.
//!
//! A program of operations is made from a seed, run on Linux in a directory of /dev/shm (by chroot, so that `/` and `..`
//! are the same there and here), run on a tree in memory, and the two rows of outcomes compared. Needs root.

#[path = "../common/mod.rs"]
mod common;
mod linux;
mod ours;
mod program;

use ours::Ground;
use program::{Operation, Outcome};

/// Programs, and operations in each.
const PROGRAMS: u64 = 1500;
const LENGTH: usize = 400;

fn first_difference(program: &[Operation], linux: &[Outcome], ours: &[Outcome]) -> Option<usize> {
    assert_eq!(linux.len(), program.len());
    assert_eq!(ours.len(), program.len());
    (0..program.len()).find(|&at| linux[at] != ours[at])
}

/// Whether a program still shows a difference.
fn differs(ground: Ground, program: &[Operation]) -> bool {
    let (linux, ours) = (linux::run(program), ours::run(ground, program));
    first_difference(program, &linux, &ours).is_some()
}

/// Leaves out what the difference does not need.
fn shrink(ground: Ground, mut program: Vec<Operation>) -> Vec<Operation> {
    let mut chunk = program.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start < program.len() {
            let mut shorter = program.clone();
            shorter.drain(start..(start + chunk).min(program.len()));
            if differs(ground, &shorter) {
                program = shorter;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    program
}

#[test]
fn memfs_does_what_tmpfs_does() {
    let protected = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").unwrap_or_default();
    fs::set_protected_hardlinks(protected.trim() == "1");
    linux::enter();
    let only = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = only.map_or(1..=PROGRAMS, |seed: u64| seed..=seed);
    for seed in seeds {
        let program = program::generate(seed, LENGTH);
        for ground in [Ground::Memory, Ground::Waiting] {
            // A tenth of the programs do for the one that waits.
            if is_run(ground, seed) && differs(ground, &program) {
                explain(ground, seed, program.clone());
            }
        }
    }
}

/// Whether a seed's program is run on this ground.
fn is_run(ground: Ground, seed: u64) -> bool {
    ground == Ground::Memory || seed.is_multiple_of(10)
}

/// Shows the shortest program that differs.
fn explain(ground: Ground, seed: u64, program: Vec<Operation>) -> ! {
    let program = shrink(ground, program);
    let (linux, ours) = (linux::run(&program), ours::run(ground, &program));
    let at = first_difference(&program, &linux, &ours).expect("it differed");
    for (number, operation) in program.iter().enumerate().take(at) {
        println!("  {operation:?} -> {}", linux[number]);
    }
    panic!("seed {seed}, {ground:?}: {:?}\n  linux: {}\n  ours:  {}", program[at], linux[at], ours[at]);
}
