//! `fsstress [OPTION]...`: processes that make, change, rename and remove files, each in a tree of its own, of which it
//! knows how each call must end and what must be there in the end, and all of them in one tree that they share.
//!
//! It prints how many names there are in the end, and a sum of the trees that have one owner: the same on each file system.
//! If something is wrong, it says what, exits with status 1, and the trees stay.

mod calls;
mod compare;
mod manifest;
mod model;
mod shared;
mod worker;

use shared::Shared;
use std::fs;
use std::io;
use std::path::Path;
use support::arguments::Options;
use support::process::{Child, fork};
use support::sum::Sum;
use worker::Worker;

const USAGE: &str = "fsstress [OPTION]...
  --directory D    where the trees are made (.)
  --seed N         which operations (1)
  --processes N    how many at once (4)
  --operations N   for each of them (1000)
  --names N        how many a directory has at most (48), and the tree of each process 8 times as many
  --keep           leave the trees
  --manifest FILE  leave them, and write what is in D into FILE, which is elsewhere, a line for each name
  --check FILE     do nothing but compare what is in D with such a file";

/// The mode of each tree's root.
const MODE: u32 = 0o755;

/// What the command line asks for.
struct Run {
    seed: u64,
    processes: u64,
    operations: u64,
    names: u64,
}

/// The name spaces of extended attributes in which there is anything for us, the best first.
const SPACES: [&str; 2] = ["trusted.", "user."];

/// The one that works in this directory.
fn space() -> Option<&'static str> {
    SPACES.into_iter().find(|space| {
        let name = format!("{space}probe");
        calls::set_xattr(".", &name, b"", 0).is_ok() && calls::remove_xattr(".", &name).is_ok()
    })
}

impl Run {
    /// What a process does, which is in its tree.
    fn work(&self, process: u64, space: Option<&'static str>) -> Result<(), String> {
        let seed = self.seed.wrapping_mul(1000) + process;
        let mut worker = Worker::new(seed, self.names, MODE, space);
        let mut shared = Shared::new("../shared", seed + 500, space);
        for number in 1..=self.operations {
            if worker.turns_to_others() {
                shared.step()?;
            } else {
                let done = worker.step();
                done.map_err(|text| format!("operation {number}: {text}\n{}", worker.history()))?;
            }
        }
        worker.end()
    }

    /// Makes the trees in the working directory.
    fn go(&self) -> Result<(), String> {
        let wrong = |error: io::Error| error.to_string();
        let space = space();
        calls::mkdir("shared", MODE).map_err(|error| format!("shared: {error}"))?;
        let mut children: Vec<Child> = Vec::new();
        for process in 0..self.processes {
            let name = format!("p{process}");
            calls::mkdir(&name, MODE).map_err(|error| format!("{name}: {error}"))?;
            let work = || {
                let done = std::env::set_current_dir(&name).map_err(wrong);
                match done.and_then(|()| self.work(process, space)) {
                    Ok(()) => 0,
                    Err(problem) => {
                        println!("fsstress: seed {}, process {process}: {problem}", self.seed);
                        1
                    }
                }
            };
            children.push(fork(work).map_err(wrong)?);
        }
        let ended: Result<Vec<_>, _> = children.into_iter().map(Child::wait).collect();
        match ended.map_err(wrong)?.into_iter().find(|ended| !ended.success()) {
            Some(ended) => Err(format!("a process ended with {ended:?}")),
            None => shared::check("shared"),
        }
    }

    /// How many names have one owner, and a sum of what is there.
    fn sum(&self) -> Result<(usize, Sum), String> {
        let (mut names, mut sum) = (0, Sum::new());
        for process in 0..self.processes {
            let lines = manifest::lines(Path::new(&format!("p{process}")))?;
            names += lines.len();
            sum = lines.iter().fold(sum, |sum, line| sum.with(line.as_bytes()).with(b"\n"));
        }
        Ok((names, sum))
    }

    fn remove(&self) -> io::Result<()> {
        (0..self.processes).try_for_each(|process| fs::remove_dir_all(format!("p{process}")))?;
        fs::remove_dir_all("shared")
    }
}

/// Where a file is after the working directory has changed.
fn absolute(path: Option<String>) -> io::Result<Option<String>> {
    let absolute = |path: String| Ok(std::path::absolute(path)?.to_string_lossy().into_owned());
    path.map(absolute).transpose()
}

fn run() -> Result<(), String> {
    let mut options = Options::parse(USAGE);
    let run = Run {
        seed: options.value("--seed", 1),
        processes: options.value("--processes", 4),
        operations: options.value("--operations", 1000),
        names: options.value("--names", 48).max(1),
    };
    let directory: String = options.value("--directory", ".".into());
    let keep = options.flag("--keep");
    let (write, check) = (options.optional("--manifest"), options.optional("--check"));
    options.finish();
    let wrong = |error: io::Error| error.to_string();
    let (write, check) = (absolute(write).map_err(wrong)?, absolute(check).map_err(wrong)?);
    std::env::set_current_dir(&directory).map_err(|error| format!("{directory}: {error}"))?;
    if let Some(path) = check {
        let lines = manifest::lines(Path::new("."))?;
        manifest::check(&lines, &path)?;
        println!("fsstress: {} names are as in the manifest", lines.len());
        return Ok(());
    }
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0) };
    run.go()?;
    let (names, sum) = run.sum()?;
    println!(
        "fsstress: {} processes, {} operations each, {names} names, sum {sum}",
        run.processes, run.operations
    );
    if let Some(path) = &write {
        manifest::write(&manifest::lines(Path::new("."))?, path)?;
    } else if !keep {
        run.remove().map_err(|error| format!("removing the trees: {error}"))?;
    }
    Ok(())
}

fn main() {
    if let Err(problem) = run() {
        println!("fsstress: {problem}");
        std::process::exit(1);
    }
}
