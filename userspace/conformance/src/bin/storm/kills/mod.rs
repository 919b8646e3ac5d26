//! Processes and threads killed in the middle of every blocking call, at arbitrary moments: here what happens to them;
//! [`victims`] has what they do, [`stage`] what they do it with.

mod stage;
mod victims;

use crate::{Deadline, Random, reap_all};
use stage::{Inside, MUCH, Stage, call};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::thread;
use support::memory::Anonymous;
use support::process::{Ended, fork};
use victims::{LARGE, VICTIMS, Victim};

/// Once a process is gone, nothing that a call of it had other CPUs copy reaches memory that it shared.
fn nothing_comes_late(random: &mut Random) -> Result<(), String> {
    let mut shared = Anonymous::map_shared(LARGE).map_err(|error| error.to_string())?;
    std::fs::write("late", vec![1_u8; LARGE]).map_err(|error| error.to_string())?;
    let start = shared.start() as usize;
    let child = fork(move || {
        let Ok(file) = std::fs::File::open("late") else { return 1 };
        while call(libc::SYS_pread64, &[file.as_raw_fd() as usize, start, LARGE, 0]).is_ok() {}
        1
    });
    let child = child.map_err(|error| format!("fork: {error}"))?;
    std::thread::sleep(std::time::Duration::from_micros(1000 + random.below(3000)));
    child.kill(libc::SIGKILL).map_err(|error| format!("kill: {error}"))?;
    child.wait().map_err(|error| format!("wait: {error}"))?;
    shared.bytes().fill(0);
    std::thread::sleep(std::time::Duration::from_millis(1));
    match shared.bytes().iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => Err(format!("byte {at} of shared memory was written after its writer's end")),
    }
}

/// Makes the process another program, which ends with status 77 or not at all.
fn become_another(ends_itself: bool) -> io::Error {
    std::process::Command::new("/proc/self/exe").arg(if ends_itself { ENDS } else { HOLDS }).exec()
}

/// What this program is called with to end with status 77, and to wait until it is killed.
pub const ENDS: &str = "ends";
pub const HOLDS: &str = "holds";

/// What [`become_another`] makes of a process.
pub fn another(ends: bool) -> ! {
    if ends {
        std::process::exit(77);
    }
    loop {
        support::clock::sleep_ms(1_000_000);
    }
}

/// Where the victims' files are.
const FOLDER: &str = "kills";

/// Leaves nothing behind: neither files, nor the children of victims, which become the storm's own.
pub fn run(deadline: Deadline) -> Result<(), String> {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let enter = || std::fs::create_dir(FOLDER).and_then(|()| std::env::set_current_dir(FOLDER));
    let leave = || std::env::set_current_dir("..").and_then(|()| std::fs::remove_dir_all(FOLDER));
    enter().map_err(|error| format!("{FOLDER}: {error}"))?;
    let outcome = rounds(deadline).and_then(|()| reap_all(libc::SIGKILL));
    leave().map_err(|error| format!("{FOLDER}: {error}"))?;
    outcome
}

fn rounds(deadline: Deadline) -> Result<(), String> {
    let mut random = Random::new(7);
    let mut much = Anonymous::map(MUCH).map_err(|error| error.to_string())?;
    much.touch();
    round(&much, &mut random)?;
    while deadline.ahead() {
        round(&much, &mut random)?;
    }
    Ok(())
}

/// Every victim, alone and with other threads, each ended in all ways.
fn round(much: &Anonymous, random: &mut Random) -> Result<(), String> {
    let fifo = c"lonely".to_owned();
    // SAFETY: a NUL-terminated path.
    unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) };
    nothing_comes_late(random)?;
    for (what, victim) in VICTIMS {
        for threads in [0, 3] {
            for end in [End::Killed, End::Exits, End::Execs] {
                let stage = Stage::new(much, &fifo, end != End::Killed);
                let stage = stage.map_err(|error| format!("what {what} blocks on: {error}"))?;
                one(&stage, *victim, threads, end, random.below(3000))
                    .map_err(|problem| format!("{what}, {threads} more threads, {end:?}: {problem}"))?;
            }
        }
    }
    std::fs::remove_file("lonely").map_err(|error| error.to_string())
}

/// How a victim ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Killed from outside.
    Killed,
    /// One of its threads ends them all.
    Exits,
    /// One of its threads makes the process another program.
    Execs,
}

/// Starts a victim with some more threads doing the same, and ends it after some microseconds.
fn one(stage: &Stage, victim: Victim, threads: usize, end: End, microseconds: u64) -> Result<(), String> {
    let pause = std::time::Duration::from_micros(microseconds);
    let child = fork(|| {
        let stage = Inside(stage);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| victim(stage.get()));
            }
            match end {
                End::Killed => {}
                End::Exits => {
                    thread::sleep(pause);
                    // SAFETY: ends the process, with its threads wherever they are.
                    unsafe { libc::_exit(77) };
                }
                End::Execs => {
                    thread::sleep(pause);
                    become_another(true);
                }
            }
            victim(stage.get());
        });
        1
    })
    .map_err(|error| format!("fork: {error}"))?;
    let expected = if end == End::Killed {
        thread::sleep(pause);
        child.kill(libc::SIGKILL).map_err(|error| format!("kill: {error}"))?;
        Ended::Killed(libc::SIGKILL)
    } else {
        Ended::Exited(77)
    };
    match child.wait() {
        Ok(ended) if ended == expected => Ok(()),
        other => Err(format!("ended with {other:?}, not {expected:?}")),
    }
}
