//! Trees of processes, each of which checks its own memory while its relatives change theirs.

use crate::{Deadline, Random, reap_all};
use std::io;
use support::cvt;
use support::memory::{Anonymous, PAGE};
use support::process::fork;

const PAGES: usize = 200;

pub fn run(deadline: Deadline) -> Result<(), String> {
    let mut memory = Anonymous::map(PAGES * PAGE).map_err(|error| error.to_string())?;
    let mut round = 0;
    while deadline.ahead() {
        round += 1;
        memory.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = 0);
        tree(&mut memory, 6, round)?;
        executions(round)?;
        late_limit().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Writes to some pages, forks two subtrees, writes to others, and checks that the pages hold what this process and
/// its ancestors wrote before the fork, and nothing of its children.
fn tree(memory: &mut Anonymous, depth: u8, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    for _ in 0..20 {
        memory.bytes()[random.below(PAGES as u64) as usize * PAGE] = depth;
    }
    let expected: Vec<u8> = memory.bytes().iter().step_by(PAGE).copied().collect();
    if depth > 0 {
        for branch in 0..2 {
            let child = fork(|| match tree(memory, depth - 1, seed * 2 + branch) {
                Ok(()) => 0,
                Err(problem) => {
                    println!("{problem}");
                    1
                }
            });
            child.map_err(|error| format!("fork: {error}"))?;
        }
    }
    let actual: Vec<u8> = memory.bytes().iter().step_by(PAGE).copied().collect();
    let intact = expected == actual;
    reap_all(0)?;
    if intact { Ok(()) } else { Err(format!("memory of a process at depth {depth} changed under it")) }
}

/// Several processes exec at once.
fn executions(round: u64) -> Result<(), String> {
    for _ in 0..4 + round % 5 {
        let child = fork(|| {
            let arguments = [c"nothing".as_ptr(), std::ptr::null()];
            // SAFETY: NUL-terminated strings in a null-terminated list.
            unsafe { libc::execv(c"/usr/bin/nothing".as_ptr(), arguments.as_ptr()) };
            1
        });
        child.map_err(|error| format!("fork: {error}"))?;
    }
    reap_all(0)
}

/// A limit on the CPU time of a process that is using none any more.
fn late_limit() -> io::Result<()> {
    let child = fork(|| 0)?;
    let process = child.pid;
    let limit = libc::rlimit { rlim_cur: 1_000_000, rlim_max: 1_000_000 };
    // SAFETY: it may all be zero.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes `info`, and reads `limit`.
    unsafe {
        cvt(libc::waitid(libc::P_PID, process as u32, &raw mut info, libc::WEXITED | libc::WNOWAIT))?;
        cvt(libc::prlimit(process, libc::RLIMIT_CPU, &raw const limit, std::ptr::null_mut()))?;
    }
    child.wait().map(drop)
}
