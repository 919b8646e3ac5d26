//! A run: the kernel starts on a simulated machine, in a process of its own, with the programs of a storm, and ends with the
//! first of its processes.

use crate::arch::{self, cpu};
use crate::observer::{self, Watch};
use crate::process::{Thread, tree};
use crate::program::Program;
use crate::{archive, file, first, memory, power, process, random, syscall};
use executor::sim::Simulation;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest that a run may take, in virtual time: else somebody waits for ever.
const LONGEST: Duration = Duration::from_secs(10);
/// The most changes of the CPU in a run.
const SWITCHES: u64 = 20_000_000;

/// A storm: programs, and who watches them.
pub struct Storm {
    /// The program `/storm`, and those that it executes, by their names.
    pub programs: Vec<(&'static str, Program)>,
    /// Who is told of the storm's own events.
    pub watch: Watch,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Virtual nanoseconds.
    pub time: u64,
    /// How often the CPU changed.
    pub switches: u64,
    /// A digest of all decisions: equal for equal runs.
    pub digest: u64,
}

/// Has the programs that this one starts have their memory at the same addresses each time: the kernel's hash tables go by
/// addresses, and so does who meets whom. Where the host forbids it, a seed's runs need not be the same.
pub fn settle_addresses() {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: these only say, and tell, what is to hold from the next exec on.
    unsafe {
        let persona = libc::personality(ASK);
        libc::personality((persona | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong);
    }
}

/// The word that makes this program run one storm under one seed.
pub const ALONE: &str = "run-alone";

/// Runs a storm by its name under a seed, in a process of its own; None if it has failed, which it has told.
///
/// The kernel's variables are those of a process, so each run begins with a kernel that has not run before.
pub fn apart(storm: &str, seed: u64) -> Option<Outcome> {
    let this = std::env::current_exe().expect("this program is somewhere");
    let mut command = Command::new(this);
    // No more of how this program was called may be in the other's memory.
    command.arg0("storms").args([ALONE, storm, &seed.to_string()]).stderr(Stdio::inherit());
    let output = command.output().expect("this program can be started");
    let text = String::from_utf8(output.stdout).ok()?;
    let numbers: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [time, switches, digest] = *numbers else { return None };
    output.status.success().then_some(Outcome { time, switches, digest })
}

/// Runs a storm in this process, which was started for that, and says what came of it.
pub fn alone(storm: fn(u64) -> Storm, seed: u64) {
    let Outcome { time, switches, digest } = here(storm(seed), seed);
    println!("{time} {switches} {digest}");
}

/// How many CPUs a seed has, whether they have process-context identifiers, and whether there are devices that interrupt.
fn machine(seed: u64) -> (usize, bool, bool) {
    (2 + seed as usize % 3, seed / 3 % 2 == 1, seed / 6 % 2 == 1)
}

fn here(storm: Storm, seed: u64) -> Outcome {
    let mut files = vec![("init", first::program().file())];
    files.extend(storm.programs.into_iter().map(|(name, program)| (name, program.file())));
    let boot = arch::boot(&archive::of(&["dev", "proc", "tmp"], &files));
    let (cpus, tagged, disturbed) = machine(seed);
    arch::user::disturb(disturbed);
    cpu::start(cpus, tagged, |cpu| if cpu == 0 { memory::init(boot) } else { memory::init_cpu() });
    let ramdisk = memory::Ramdisk::of(boot);
    observer::watch(storm.watch);
    let outcome =
        Simulation::new(seed, cpus).max_switches(SWITCHES).before_park(memory::leave).run(async move {
            executor::set_time_slice(process::run::SLICE_NS);
            random::init();
            let [word] = random::words();
            fs::dcache::set_hash_seed(word as u64);
            memory::start_background_tasks(process::oom::sacrifice);
            memory::space::set_is_ending(Thread::is_running_one_killed);
            file::socket::start_background_tasks();
            let options = crate::command_line::CommandLine::default();
            if let Err(error) = process::start_first(options, ramdisk).await {
                panic!("no working init found: {error}");
            }
            if executor::timeout_after(power::ended(), LONGEST).await.is_err() {
                panic!("somebody waits for ever:\n{}", Waiting);
            }
        });
    Outcome { time: outcome.time, switches: outcome.switches, digest: outcome.digest }
}

/// All threads, and in which call each is.
struct Waiting;

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tree = tree::lock();
        for node in tree.nodes() {
            writeln!(
                f,
                "process {}, child of {}, {:?}",
                node.process.pid,
                node.parent,
                node.zombie.map(|status| status.0)
            )?;
            for thread in &node.threads {
                let (attention, turns) = (thread.attention(), thread.turns());
                match thread.glimpse() {
                    None => writeln!(f, "  {}: running {:?} {turns}", thread.tid(), thread.running_on())?,
                    Some(seen) => {
                        let call = seen.call.map(|call| syscalls::Sysno::new(call as usize));
                        let at = seen.instruction;
                        writeln!(
                            f,
                            "  {}: {call:?} {:x?} at {at:#x}, {attention:?}, {turns}",
                            thread.tid(),
                            seen.arguments
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}
