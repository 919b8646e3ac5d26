//! A tracer (ptrace(2)) that seizes processes which are stopped, and ends at once.
//!
//! ```text
//!   parent ─► victims: SIGSTOP to themselves, then they tell that they run
//!      │  └─► a tracer: seizes all of them, and ends
//!      └─ once the tracer has gone: tells so of each victim, and continues it
//! ```
//!
//! A process that is stopped stays so when its tracer goes, whatever it was doing about that.

use crate::library::{Choice, exit, expect, fork, kill, load, load8, nap, store8};
use linux_raw_sys::general as linux;
use linux_raw_sys::ptrace;
use processes::instruction::Register::{R12, R13, Rax};
use processes::observer::OWN;
use processes::program::Program;
use processes::run::Storm;
use std::collections::BTreeSet;

/// A victim is about to be continued.
const CONTINUED: u32 = OWN;
/// A victim runs.
const RUNS: u32 = OWN + 1;

const VICTIMS: usize = 3;

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let interrupts = Choice::new(seed).below(2) == 0;
    let mut continued = BTreeSet::new();
    let watch = move |event, process, _, _| {
        match event {
            CONTINUED => assert!(continued.insert(process), "a number twice"),
            RUNS => assert!(continued.remove(&process), "{process} runs, but is stopped"),
            other => unreachable!("event {other}"),
        }
        0
    };
    Storm { programs: vec![("storm", parent(interrupts))], watch: Box::new(watch) }
}

fn parent(interrupts: bool) -> Program {
    let mut p = Program::new();
    let numbers = p.data(8 * VICTIMS);
    let status = p.data(8);
    let (victim, tracer) = (p.label(), p.label());
    for index in 0..VICTIMS {
        fork(&mut p, victim);
        p.set(R12, Rax);
        store8(&mut p, numbers + 8 * index, R12);
        p.system(linux::__NR_wait4, &[R12.into(), status.into(), linux::WUNTRACED.into(), 0.into()]);
        load(&mut p, R13, status);
        expect(&mut p, R13, &[i64::from(linux::SIGSTOP << 8 | 0x7f)], 1);
    }
    fork(&mut p, tracer);
    p.set(R12, Rax);
    p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
    load(&mut p, R13, status);
    expect(&mut p, R13, &[0], 2);
    nap(&mut p, 40_000);
    for index in 0..VICTIMS {
        load8(&mut p, R12, numbers + 8 * index);
        p.tell(CONTINUED, &[R12.into()]);
        kill(&mut p, R12, linux::SIGCONT);
        p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
        load(&mut p, R13, status);
        expect(&mut p, R13, &[0], 4);
    }
    exit(&mut p, 0);

    p.put(tracer);
    for index in 0..VICTIMS {
        load8(&mut p, R12, numbers + 8 * index);
        let mut ask = |request: u32| {
            p.system(linux::__NR_ptrace, &[request.into(), R12.into(), 0.into(), 0.into()]);
            expect(&mut p, Rax, &[0], 5);
        };
        ask(ptrace::PTRACE_SEIZE);
        if interrupts {
            ask(ptrace::PTRACE_INTERRUPT);
        }
    }
    exit(&mut p, 0);

    p.put(victim);
    p.system(linux::__NR_getpid, &[]);
    p.set(R12, Rax);
    p.system(linux::__NR_kill, &[R12.into(), linux::SIGSTOP.into()]);
    p.tell(RUNS, &[R12.into()]);
    exit(&mut p, 0);
    p
}
