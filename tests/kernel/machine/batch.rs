//! Many commands in one machine.
//!
//! The agent in the guest runs one command at a time. If a command stops or hangs the machine, that command has
//! failed and a new machine runs the rest; so each command gets a verdict, and booting is paid once.

use super::{Kernel, Machine, Silence};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::Duration;

/// A command to run in the guest.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name among the tests.
    pub name: String,
    /// What the guest's shell runs.
    pub command: String,
    /// Seconds it may take inside the guest.
    pub limit: u64,
}

/// What a command printed, and how it ended in the agent's words: `exited 0`, `killed 11`, `timeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Lines as the agent sent them, marks included.
    pub output: String,
    /// How it ended.
    pub end: String,
}

/// The end of a command that had its time.
pub const TIMEOUT: &str = "timeout";

/// Among the outcomes, the name under which the end of the last machine stands.
pub const END: &str = "powers_off";

/// The outcome of each job by name, or what the machine printed when it was lost.
pub type Outcomes = HashMap<String, Result<Outcome, String>>;

/// Machines that Linux may lose. It is the reference here and not under test, and QEMU aborts now and then while it starts
/// several CPUs (`iotlb_to_section: Assertion ... failed`, QEMU's issue 1921).
const SPARES: usize = 3;

/// Whether the command line asks for a test, whose whole name this is.
pub fn is_asked_for(test: &str) -> bool {
    const WITH_VALUES: [&str; 5] = ["--test-threads", "--format", "--color", "--logfile", "--shuffle-seed"];
    let (mut wanted, mut skipped) = (Vec::new(), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--skip", value)) => skipped.push(value.to_owned()),
            _ if word == "--skip" => skipped.extend(words.next()),
            _ if WITH_VALUES.contains(&word.as_str()) => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => wanted.push(word),
        }
    }
    let is_among = |words: &[String]| words.iter().any(|word| test.contains(word.as_str()));
    (wanted.is_empty() || is_among(&wanted)) && !is_among(&skipped)
}

/// The same commands on Linux and on Rusk with several numbers of CPUs: a batch for each, which runs once, when tests ask.
pub struct Matrix {
    image: fn() -> &'static Path,
    columns: &'static [(&'static str, usize)],
    jobs: fn(&str) -> Vec<Job>,
    jobs_on_linux: fn() -> Vec<Job>,
    /// Of Linux, then of each column.
    outcomes: [OnceLock<Outcomes>; 1 + COLUMNS],
    begun: Once,
    /// The batch that is begun next.
    next: AtomicUsize,
}

/// The most columns of a matrix.
const COLUMNS: usize = 4;

impl Matrix {
    /// One in which all machines have this root image. A column is a module of tests, and how many CPUs its machine has. `jobs`
    /// are those that the command line asks for in a module.
    pub const fn new(
        image: fn() -> &'static Path,
        columns: &'static [(&'static str, usize)],
        jobs: fn(&str) -> Vec<Job>,
        jobs_on_linux: fn() -> Vec<Job>,
    ) -> Self {
        let outcomes = [const { OnceLock::new() }; 1 + COLUMNS];
        Self { image, columns, jobs, jobs_on_linux, outcomes, begun: Once::new(), next: AtomicUsize::new(0) }
    }

    /// What the commands do on Linux.
    pub fn on_linux(&'static self) -> &'static Outcomes {
        self.batch(0)
    }

    /// What they do on Rusk, in the machine of a module.
    pub fn on_rusk(&'static self, module: &str) -> &'static Outcomes {
        let column = self.columns.iter().position(|(known, _)| *known == module);
        self.batch(1 + column.expect("a module of the matrix"))
    }

    fn batch(&'static self, number: usize) -> &'static Outcomes {
        self.begun.call_once(|| self.begin_all());
        self.outcomes[number].get_or_init(|| match number.checked_sub(1).map(|column| self.columns[column]) {
            Some((module, cpus)) => run(Kernel::Rusk, cpus, (self.image)(), &(self.jobs)(module)),
            None => run(Kernel::Linux, 2, (self.image)(), &(self.jobs_on_linux)()),
        })
    }

    /// Has all batches run, and goes on: some at the same time, two more than the host has CPUs, since machines wait a lot. One
    /// that panics does so again where its outcome is asked for.
    fn begin_all(&'static self) {
        let at_once = 2 + thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..at_once {
            thread::spawn(|| {
                // Relaxed: each gets another number.
                let numbers = std::iter::repeat_with(|| self.next.fetch_add(1, Relaxed));
                for number in numbers.take_while(|number| *number <= self.columns.len()) {
                    self.batch(number);
                }
            });
        }
    }
}

/// Runs jobs one after the other on a machine with `cpus` CPUs and this root image.
pub fn run(kernel: Kernel, cpus: usize, image: &Path, jobs: &[Job]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut left = jobs;
    let mut spares = if kernel == Kernel::Linux { SPARES } else { 0 };
    while !left.is_empty() {
        let (done, lost, failed) = match boot(kernel, cpus, image) {
            Ok(machine) => match run_on(machine, left, &mut outcomes) {
                Ok(()) => break,
                Err((done, lost)) => (done, lost, 1),
            },
            // It would not come up for the others either.
            Err(lost) => (0, lost, left.len()),
        };
        left = &left[done..];
        if spares > 0 {
            spares -= 1;
            eprintln!("one more machine for {kernel:?}: {lost}");
            continue;
        }
        let (failed, rest) = left.split_at(failed);
        outcomes.extend(failed.iter().map(|job| (job.name.clone(), Err(lost.clone()))));
        left = rest;
    }
    outcomes.entry(END.into()).or_insert_with(|| Err("the last machine was lost before its end".into()));
    outcomes
}

/// Boots a machine and waits for the agent in it.
fn boot(kernel: Kernel, cpus: usize, image: &Path) -> Result<Machine, String> {
    let (cpus, image) = (cpus.to_string(), image.display().to_string());
    // One disk by each bus: Rusk drives the one, and Linux's kernel for clouds the other.
    let disk = super::blank_disk().display().to_string();
    let options = [
        "--smp",
        &cpus,
        "--initrd",
        &image,
        "--disk",
        &disk,
        "--nvme",
        &disk,
        "--snapshot",
        "--append",
        "loglevel=1",
    ];
    let mut machine = Machine::boot(kernel, &options, &["agent"]);
    match machine.wait_for("@ready\n", super::PATIENCE) {
        Ok(_) => Ok(machine),
        Err(silence) => Err(lost(&machine, &silence)),
    }
}

/// Runs jobs on a machine. If that is lost: how many were done before, and what it printed last.
fn run_on(mut machine: Machine, jobs: &[Job], outcomes: &mut Outcomes) -> Result<(), (usize, String)> {
    for (done, job) in jobs.iter().enumerate() {
        match run_one(&mut machine, job) {
            Ok(outcome) => drop(outcomes.insert(job.name.clone(), Ok(outcome))),
            Err(silence) => return Err((done, lost(&machine, &silence))),
        }
    }
    machine.send("quit\n");
    let end = match machine.wait_end() {
        Ok(status) => Ok(Outcome { output: String::new(), end: format!("exited {}", status.unwrap_or(-1)) }),
        Err(silence) => Err(lost(&machine, &silence)),
    };
    outcomes.insert(END.into(), end);
    Ok(())
}

fn lost(machine: &Machine, silence: &Silence) -> String {
    format!("{silence:?}: the machine was lost; it printed last:\n{}", machine.tail())
}

fn run_one(machine: &mut Machine, job: &Job) -> Result<Outcome, Silence> {
    // The agent's own limit ends a stuck command; a second one here is for a stuck machine.
    let patience = super::PATIENCE + Duration::from_secs(2 * job.limit);
    machine.send(&format!("{} {}\n", job.limit, job.command));
    machine.wait_for("@begin\n", patience)?;
    let output = machine.wait_for("@end ", patience)?;
    let end = machine.wait_for("\n", patience)?;
    Ok(Outcome { output, end })
}
