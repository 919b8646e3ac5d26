//! A run: the kernel starts on a simulated machine, in a process of its own, with the programs of a storm, and ends with the
//! first of its processes.

use crate::arch::{self, cpu};
use crate::observer::{self, Watch};
use crate::process::{Thread, tree};
use crate::program::Program;
use crate::{archive, file, first, memory, power, process, random, syscall};
use executor::sim::Simulation;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::time::Duration;

/// The longest that a run may take, in virtual time: else somebody waits for ever.
const LONGEST: Duration = Duration::from_secs(100);
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

/// Starts this program anew with its memory at the same addresses each time, unless it has them there already: the kernel's hash
/// tables go by addresses, and so does who meets whom.
pub fn settle_addresses() {
    use std::os::unix::process::CommandExt;
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: only says what there is.
    let persona = unsafe { libc::personality(ASK) };
    if persona < 0 || persona & libc::ADDR_NO_RANDOMIZE != 0 {
        return;
    }
    // SAFETY: only tells what is to hold from the next exec on. Where the host forbids it, a seed's runs are the same within one
    // run of this program.
    if unsafe { libc::personality((persona | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong) } < 0 {
        return;
    }
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let error = std::process::Command::new("/proc/self/exe").arg0(program).args(words).exec();
    panic!("cannot start anew: {error}");
}

/// Runs a storm under a seed, in a child of this process; None if it has failed, which it has told.
///
/// The kernel's variables are those of a process, so each run begins with a kernel that has not run before.
pub fn apart(storm: fn(u64) -> Storm, seed: u64) -> Option<Outcome> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0, "pipe");
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    // SAFETY: the pipe's ends are nobody else's.
    let [mut from, mut to] = ends.map(|end| unsafe { std::fs::File::from_raw_fd(end) });
    if child == 0 {
        let Outcome { time, switches, digest } = here(storm(seed), seed);
        let words = [time, switches, digest].map(u64::to_ne_bytes);
        to.write_all(words.as_flattened()).expect("the pipe has room");
        // SAFETY: ends this process without what its parent registered for its end.
        unsafe { libc::_exit(0) };
    }
    drop(to);
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("a pipe can be read");
    let mut status = 0;
    // SAFETY: `status` is a place for one.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    let (words, _) = bytes.as_chunks::<8>();
    let [time, switches, digest] = *words else { return None };
    let [time, switches, digest] = [time, switches, digest].map(u64::from_ne_bytes);
    (status == 0).then_some(Outcome { time, switches, digest })
}

/// How many CPUs a seed has, and whether they have process-context identifiers.
fn machine(seed: u64) -> (usize, bool) {
    (2 + seed as usize % 3, seed / 3 % 2 == 1)
}

/// Runs it in this process, which has not run another.
pub fn here(storm: Storm, seed: u64) -> Outcome {
    let mut files = vec![("init", first::program().file())];
    files.extend(storm.programs.into_iter().map(|(name, program)| (name, program.file())));
    let boot = arch::boot(&archive::of(&["dev", "proc", "tmp"], &files));
    let (cpus, tagged) = machine(seed);
    cpu::start(cpus, tagged, |cpu| if cpu == 0 { memory::init(boot) } else { memory::init_cpu() });
    let ramdisk = memory::Ramdisk::of(boot);
    observer::watch(storm.watch);
    let outcome =
        Simulation::new(seed, cpus).max_switches(SWITCHES).before_park(memory::leave).run(async move {
            executor::set_time_slice(process::run::SLICE_NS);
            random::init();
            let [word] = random::words();
            fs::dcache::set_hash_seed(word as u64);
            memory::start_background_tasks();
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
