//! `bmgc`: time of a fork while the kernel holds many live objects (the parallelism paper's section 4.2).
//!
//! A garbage-collected kernel traces its live objects again and again while it forks; one without a collector
//! should not notice them. The objects are made by writing their number to a debug file.

use experiments::forks::forks_as_is;
use std::fs;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "bmgc [--objects N (100000)] [--times N (500)]";
/// Where Rusk makes and drops live kernel objects: a write of N leaves exactly N of them.
const OBJECTS: &str = "/proc/rusk/live_objects";

fn main() {
    let mut options = Options::parse(USAGE);
    let objects: u64 = options.value("--objects", 100_000);
    let times = options.value("--times", 500);
    options.finish();
    fs::write(OBJECTS, objects.to_string()).unwrap_or_else(|error| fail(OBJECTS, &error));
    let elapsed = forks_as_is(times, 0);
    fs::write(OBJECTS, "0").unwrap_or_else(|error| fail(OBJECTS, &error));
    match elapsed {
        Ok(elapsed) => report::per_operation("bmgc_fork", elapsed.total, times),
        Err(error) => fail("bmgc", &error),
    }
}
