//! `resources note` and `resources check`: whether what programs used came back.
//!
//! `note` remembers what the kernel has in use once it has dropped its caches; `check` compares, giving background work a
//! few seconds to return what ended programs held. Only Rusk has the counts.

use std::fs;
use std::process::exit;
use support::clock::sleep_ms;

/// Where the note lies, and the kernel heap by size class at that time.
const NOTE: &str = "/run/resources";
const HEAP: &str = "/run/resources.slabinfo";

/// What is counted, and how much more of it may be in use than when the note was taken.
const COUNTS: &[(&str, i64)] = &[
    // Programs lie at random addresses: they have a few page tables more or less. The shells and the agent that run
    // before and after touch some pages of their own meanwhile.
    ("frames", 48),
    // What waits for a grace period, and tables that those who run before and after have grown.
    ("heap_bytes", 16384),
    // Four parts of the table, of 256 ids each. The ids that come next may lie in another part than before, and those of whoever
    // has been there all the time, too.
    ("process_id_bytes", 24576),
    ("tasks", 0),
    ("processes", 0),
    ("threads", 0),
];

/// The counts, caches dropped.
fn now() -> Vec<i64> {
    fs::write("/proc/sys/vm/drop_caches", "3").expect("caches can be dropped");
    let text = fs::read_to_string("/proc/rusk/in_use").expect("the kernel counts");
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    };
    COUNTS.iter().map(|(name, _)| count(name)).collect()
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("note") => {
            // What ended just now may still be on its way back.
            sleep_ms(500);
            let words: Vec<String> = now().iter().map(ToString::to_string).collect();
            fs::write(NOTE, words.join(" ")).expect("/run can be written");
            fs::copy("/proc/slabinfo", HEAP).expect("/run can be written");
        }
        Some("check") => check(),
        _ => {
            eprintln!("resources note|check");
            exit(2);
        }
    }
}

fn check() {
    let note = fs::read_to_string(NOTE).unwrap_or_else(|error| {
        println!("no note: {error}");
        exit(1)
    });
    let before: Vec<i64> = note.split(' ').map(|word| word.parse().expect("a number")).collect();
    for attempt in 0.. {
        let now = now();
        let more: Vec<_> = COUNTS
            .iter()
            .zip(before.iter().zip(&now))
            .filter(|((_, allowed), (before, now))| *now - *before > *allowed)
            .collect();
        if more.is_empty() {
            return;
        }
        if attempt == 20 {
            for ((name, allowed), (before, now)) in more {
                println!("{name}: {before} before, {now} after, of which {allowed} more would be allowed");
            }
            print_heap_growth();
            exit(1);
        }
        sleep_ms(250);
    }
}

/// Prints the size classes of the kernel heap that have more live objects than when the note was taken.
fn print_heap_growth() {
    let counts = |path| -> Vec<(String, i64)> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let count = |line: &str| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        };
        text.lines().filter_map(count).collect()
    };
    for ((name, before), (_, now)) in counts(HEAP).into_iter().zip(counts("/proc/slabinfo")) {
        if now > before {
            println!("{name}: {before} objects before, {now} after");
        }
    }
}
