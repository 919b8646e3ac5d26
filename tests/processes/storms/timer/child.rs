//! Children that are killed, or execute a program, with timers running.

use super::party::Party;
use super::{CHILD_SIGNAL, SPAN};
use crate::library::{Choice, execute, exit, expect, expect_success, failed, nap};
use linux_raw_sys::{errno, general as linux};
use processes::instruction::Register::{R12, Rax};
use processes::program::{Label, Program};

/// A child that has timers of all kinds run while it executes another program. Its parent may kill it at any time.
pub fn child(p: &mut Program, choice: &mut Choice) -> Label {
    let entry = p.here();
    let often = p.words(&[0, 3_000, 0, 3_000]);
    p.system(linux::__NR_timerfd_create, &[linux::CLOCK_MONOTONIC.into(), 0.into()]);
    expect_success(p, Rax, 10);
    p.system(linux::__NR_timerfd_settime, &[Rax.into(), 0.into(), often.into(), 0.into()]);
    expect(p, Rax, &[0], 11);
    let party = Party { index: 0, signal: CHILD_SIGNAL };
    for to_thread in [false, true] {
        party.create(p, to_thread);
        p.system(linux::__NR_timer_settime, &[R12.into(), 0.into(), often.into(), 0.into()]);
        expect(p, Rax, &[0], 12);
    }
    let rarely = p.words(&[0, 20, 0, 1 + choice.below(20)]);
    p.system(linux::__NR_setitimer, &[linux::ITIMER_REAL.into(), rarely.into(), 0.into()]);
    expect(p, Rax, &[0], 13);
    nap(p, SPAN);
    execute(p, "/after");
    entry
}

/// The program that the child executes: the timers that it made are gone, but for that of setitimer(2).
pub fn after_exec() -> Program {
    let mut p = Program::new();
    let party = Party { index: 0, signal: CHILD_SIGNAL };
    // One of the process and one of the thread may have been pending.
    for _ in 0..2 {
        party.take_for(&mut p, 0);
        expect(&mut p, Rax, &[CHILD_SIGNAL.into(), failed(errno::EAGAIN)], 20);
    }
    party.expect_quiet(&mut p, 21);
    let alarm = Party { index: 0, signal: linux::SIGALRM };
    for _ in 0..3 {
        alarm.take(&mut p);
    }
    exit(&mut p, 0);
    p
}
