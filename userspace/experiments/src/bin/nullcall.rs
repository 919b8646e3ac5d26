//! `nullcall`: the rate of the cheapest system call, in one process or in several at once.

use experiments::null_call::null_calls;
use support::arguments::{Options, fail};
use support::process::together;
use support::report;

const USAGE: &str = "nullcall [--calls N (1000000)] [--processes N (1)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let calls = options.value("--calls", 1_000_000);
    let processes = options.value("--processes", 1);
    options.finish();
    match together(processes, || {
        null_calls(calls);
    }) {
        Ok(elapsed) => report::per_operation("nullcall", elapsed, calls * processes as u64),
        Err(error) => fail("nullcall", &error),
    }
}
