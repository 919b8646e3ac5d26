//! `forkbench`: fork of a process with a lot of memory (the parallelism paper's section 4.3).
//!
//! Fills the memory, then forks many times; the child exits at once. On Rusk the form of fork can be chosen:
//! `serial` copies the page tables on one CPU, `parallel` in a transient task per page-table page, `shared`
//! shares them until someone writes.

use experiments::forks::forks;
use std::fs;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "forkbench [--gib N (4) | --mib N] [--times N (500)] [--form serial|parallel|shared]
          [--pause MS (0), before each fork]";
/// Where Rusk lets the form be read and set.
const FORM: &str = "/proc/sys/kernel/fork_form";

fn main() {
    let mut options = Options::parse(USAGE);
    let gib: usize = options.value("--gib", 4);
    let mib = options.value("--mib", gib * 1024);
    let times = options.value("--times", 500);
    let pause = options.value("--pause", 0);
    let form: String = options.value("--form", String::new());
    options.finish();
    if !form.is_empty() {
        fs::write(FORM, &form).unwrap_or_else(|error| fail(FORM, &error));
    }
    // A kernel without the file has one form only.
    let form = fs::read_to_string(FORM).unwrap_or_else(|_| "only".into());
    println!("forkbench: {mib} MiB, {times} forks, form: {}", form.trim());
    match forks(mib << 20, times, pause) {
        Ok(elapsed) => {
            report::per_operation("fork_call", elapsed.in_fork, times);
            report::per_operation("fork_exit_wait", elapsed.total, times);
        }
        Err(error) => fail("forkbench", &error),
    }
}
