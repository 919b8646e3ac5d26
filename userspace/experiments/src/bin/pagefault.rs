//! `pagefault`: the rate of demand-zero page faults, in one process or in several at once.

use experiments::page_faults::page_faults;
use support::arguments::{Options, fail};
use support::process::together;
use support::report;

const USAGE: &str = "pagefault [--pages N (1024)] [--rounds N (20)] [--processes N (1)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let pages = options.value("--pages", 1024);
    let rounds = options.value("--rounds", 20);
    let processes = options.value("--processes", 1);
    options.finish();
    match together(processes, || {
        page_faults(pages, rounds).expect("mmap");
    }) {
        Ok(elapsed) => report::per_operation("pagefault", elapsed, pages as u64 * rounds * processes as u64),
        Err(error) => fail("pagefault", &error),
    }
}
