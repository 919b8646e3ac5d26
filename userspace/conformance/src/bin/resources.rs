//! `resources note` and `resources check`: whether what programs used came back.
//!
//! `note` remembers how much memory is free and how many processes there are; `check` compares, giving background
//! work a few seconds to return what ended programs held. Caches may keep a little.

use std::fs;
use std::process::exit;
use support::clock::sleep_ms;

/// Where the note lies.
const NOTE: &str = "/run/resources";
/// KiB that caches may hold more than when the note was taken.
const SLACK: i64 = 2048;

/// Free memory in KiB, and the number of processes.
fn now() -> (i64, i64) {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let free = free.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let processes = fs::read_dir("/proc").map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
            .count()
    });
    (free, processes as i64)
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("note") => {
            // What ended just now may still be on its way back.
            sleep_ms(1000);
            let (free, processes) = now();
            if free == 0 || processes == 0 {
                println!("/proc does not say how much memory is free and what runs");
                exit(1);
            }
            fs::write(NOTE, format!("{free} {processes}")).expect("/run can be written");
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
    let mut words = note.split(' ').map(|word| word.parse::<i64>().expect("a number"));
    let (old_free, old_processes) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    for attempt in 0..20 {
        let (free, processes) = now();
        if free + SLACK >= old_free && processes <= old_processes {
            return;
        }
        if attempt == 19 {
            println!("free memory was {old_free} KiB and is {free} KiB");
            println!("processes were {old_processes} and are {processes}");
            exit(1);
        }
        sleep_ms(250);
    }
}
