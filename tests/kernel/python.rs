//! The tests that Python brings for itself, as Debian ships them: whatever passes on Linux must pass on Rusk, in the same
//! root. They take half an hour, so they have to be asked for:
//! `cargo test --release -p rusk --test kernel python:: -- --ignored`, or with a module's name behind it.

use crate::machine::batch::{self, Job, Outcome, Outcomes};
use crate::machine::{Kernel, files_in, image};
use std::collections::HashSet;
use std::sync::OnceLock;

/// Seconds that a module may take.
const LIMIT: u64 = 1500;

/// Defines a test for each module.
macro_rules! modules {
    ($($name:ident)*) => {
        const MODULES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            #[ignore = "takes minutes"]
            fn $name() {
                judge(stringify!($name));
            }
        )*
    };
}

modules! {
    test_asyncio
    test_mmap
    test_multiprocessing_fork
    test_os
    test_select
    test_signal
    test_socket
    test_subprocess
    test_threading
}

/// What becomes of the modules that the command line asks for.
fn on(kernel: Kernel) -> Outcomes {
    let is_wanted = |module: &&&str| batch::is_asked_for(&format!("python::{module}"));
    let job = |module: &&str| Job {
        name: (*module).into(),
        command: format!("python3 /usr/lib/tests/module.py {module}"),
        limit: LIMIT,
    };
    let jobs: Vec<Job> = MODULES.iter().filter(is_wanted).map(job).collect();
    let packages = ["libpython3.11-testsuite", "procps", "python3"];
    batch::run(kernel, 2, &image("python-test-root.cpio", &files_in("tests/python"), &packages), &jobs)
}

/// The tests that have passed.
fn passed<'a>(name: &str, outcomes: &'a Outcomes) -> HashSet<&'a str> {
    match &outcomes[name] {
        Ok(Outcome { output, end }) if end == "exited 0" => {
            output.lines().filter_map(|line| line.trim_start_matches('|').strip_prefix("ok ")).collect()
        }
        Ok(Outcome { output, end }) => panic!("it {end}:\n{output}"),
        Err(lost) => panic!("{lost}"),
    }
}

fn judge(module: &str) {
    static OURS: OnceLock<Outcomes> = OnceLock::new();
    static THEIRS: OnceLock<Outcomes> = OnceLock::new();
    let theirs = passed(module, THEIRS.get_or_init(|| on(Kernel::Linux)));
    let ours = passed(module, OURS.get_or_init(|| on(Kernel::Rusk)));
    assert!(!theirs.is_empty(), "none passes on Linux");
    let mut missing: Vec<_> = theirs.difference(&ours).collect();
    missing.sort();
    assert!(missing.is_empty(), "{} of {} do not pass: {missing:#?}", missing.len(), theirs.len());
    println!("{module}: {} pass on both", theirs.len());
}
