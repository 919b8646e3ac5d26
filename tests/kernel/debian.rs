//! Programs as Debian ships them, dynamically linked, on Rusk, with 2 and 4 CPUs, and on Linux, in the same root.
//!
//! Each row is a script in `tests/debian`. What needs no other number of CPUs to go wrong runs with 2 alone.
//! `cargo test --release --test kernel debian::cpus_2` runs one column, `... debian::cpus_2::python` one test.

use crate::machine::batch::{self, Job, Matrix};
use crate::machine::{compare::compare, file_name, files_in, image};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the scripts use.
const PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "diffutils",
    "e2fsprogs",
    "fdisk",
    "findutils",
    "gcc",
    "gdb",
    "git",
    "grep",
    "libc6-dev",
    "liburing-dev",
    "make",
    "mount",
    "musl",
    "openssl",
    "pciutils",
    "perl",
    "python3",
    "sed",
    "sqlite3",
    "strace",
    "stress-ng",
    "util-linux",
];

/// Defines the scripts, and a module with a test per script for each number of CPUs.
macro_rules! scripts {
    ($($name:ident: $command:literal, $seconds:literal;)* => $($module:ident, $cpus:literal: $($chosen:ident)*;)*) => {
        const SCRIPTS: &[(&str, &str, u64)] = &[$((stringify!($name), $command, $seconds)),*];
        $(
            mod $module {
                #[test]
                fn powers_off() {
                    let end = &super::MATRIX.on_rusk(stringify!($module))[super::batch::END];
                    assert_eq!(end.as_ref().map(|outcome| outcome.end.as_str()), Ok("exited 0"));
                }
                $(
                    #[test]
                    fn $chosen() {
                        super::judge(stringify!($module), stringify!($chosen));
                    }
                )*
            }
        )*
        /// The scripts of a column.
        fn chosen(module: &str) -> &'static [&'static str] {
            match module {
                $(stringify!($module) => &[$(stringify!($chosen)),*],)*
                _ => &[],
            }
        }
        const COLUMNS: &[(&str, usize)] = &[$((stringify!($module), $cpus)),*];
    };
}

scripts! {
    coreutils: "bash /usr/lib/tests/coreutils.sh", 120;
    gcc: "bash /usr/lib/tests/gcc.sh", 240;
    gdb: "bash /usr/lib/tests/gdb.sh", 180;
    git: "bash /usr/lib/tests/git.sh", 120;
    loaders: "bash /usr/lib/tests/loaders.sh", 60;
    loops: "bash /usr/lib/tests/loops.sh", 120;
    openssl: "bash /usr/lib/tests/openssl.sh", 120;
    pci: "bash /usr/lib/tests/pci.sh", 60;
    perl: "perl /usr/lib/tests/perl.pl", 120;
    python: "python3 /usr/lib/tests/python.py", 180;
    rings: "bash /usr/lib/tests/rings.sh", 60;
    shell: "bash /usr/lib/tests/shell.sh", 60;
    sqlite: "bash /usr/lib/tests/sqlite.sh", 60;
    strace: "bash /usr/lib/tests/strace.sh", 120;
    stress: "bash /usr/lib/tests/stress.sh", 180;
    =>
    cpus_2, 2: coreutils gcc gdb git loaders loops openssl pci perl python rings shell sqlite strace stress;
    cpus_4, 4: python shell sqlite;
}

fn root() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| image("debian-test-root.cpio", &files_in("tests/debian"), PACKAGES))
}

/// The jobs that the command line asks for in a column.
fn jobs(module: &str) -> Vec<Job> {
    let asked = |name: &str| {
        chosen(module).contains(&name) && batch::is_asked_for(&format!("debian::{module}::{name}"))
    };
    let of_column = SCRIPTS.iter().filter(|(name, ..)| asked(name));
    of_column
        .map(|&(name, command, limit)| Job { name: name.into(), command: command.into(), limit })
        .collect()
}

/// Those that any column asks for.
fn jobs_on_linux() -> Vec<Job> {
    let asked: Vec<Job> = COLUMNS.iter().flat_map(|(module, _)| jobs(module)).collect();
    SCRIPTS.iter().filter_map(|(name, ..)| asked.iter().find(|job| job.name == *name).cloned()).collect()
}

static MATRIX: Matrix = Matrix::new(root, COLUMNS, jobs, jobs_on_linux);

fn judge(module: &str, name: &str) {
    match (&MATRIX.on_rusk(module)[name], &MATRIX.on_linux()[name]) {
        (Ok(ours), Ok(theirs)) if ours.end == batch::TIMEOUT => {
            panic!("too slow; on Linux it {}:\n{}", theirs.end, ours.output)
        }
        // What fails on both, because a program is missing, say, compares nothing.
        (Ok(_), Ok(theirs)) if theirs.end != "exited 0" => {
            panic!("on Linux it {}:\n{}", theirs.end, theirs.output)
        }
        (Ok(ours), Ok(theirs)) => compare(ours, theirs),
        (Err(lost), _) => panic!("{lost}"),
        (_, Err(lost)) => panic!("on Linux: {lost}"),
    }
}

/// Every script has its row.
#[test]
fn all_scripts_are_run() {
    for script in files_in("tests/debian") {
        let path = format!(" /usr/lib/tests/{}", file_name(&script));
        assert!(SCRIPTS.iter().any(|row| row.1.ends_with(&path)), "{} has no row", script.display());
    }
}
