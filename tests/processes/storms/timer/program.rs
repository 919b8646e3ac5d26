//! The program: who takes part, and what interrupts and kills meanwhile.

use super::child::child;
use super::party::Party;
use super::{FIRST_SIGNAL, NO_SIGNAL, Role};
use crate::library::{
    Choice, begin, bit, block, block_all, exit, expect, fork, handle, join_all, kill, load, load8, mostly,
    nap, restart_flag, start_all, store8,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax};
use processes::program::Program;

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let (main, handler) = begin(&mut p);
    let mut roles = vec![Role::Sleeper];
    for _ in 0..2 + choice.below(2) {
        roles.push(
            [Role::Reader, Role::Shared, Role::Posix, Role::Posix, Role::Deleter][choice.below(5) as usize],
        );
    }
    if choice.below(2) == 0 {
        roles.push(Role::Interval);
    }
    let mut entries = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        let party = Party { index, signal: FIRST_SIGNAL + index as u32 };
        party.write(&mut p, choice, role, &mut entries);
    }
    let child = child(&mut p, choice);

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(choice.below(2) == 0));
    let signals = (FIRST_SIGNAL..=NO_SIGNAL).chain([linux::SIGALRM]);
    block_all(&mut p, signals.fold(0, |mask, signal| mask | bit(signal)));
    let number = p.data(8);
    fork(&mut p, child);
    store8(&mut p, number, Rax);
    let threads = start_all(&mut p, false, &entries);
    block(&mut p, linux::SIGUSR1);
    for _ in 0..3 {
        nap(&mut p, 40_000);
        p.system(linux::__NR_getpid, &[]);
        kill(&mut p, Rax, linux::SIGUSR1);
        let spared = p.label();
        mostly(&mut p, 3, spared);
        load8(&mut p, R12, number);
        // Nobody has collected it, even if it has ended.
        kill(&mut p, R12, linux::SIGKILL);
        p.put(spared);
    }
    join_all(&mut p, &threads);
    let status = p.data(8);
    load8(&mut p, R12, number);
    p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
    load(&mut p, Rax, status);
    expect(&mut p, Rax, &[0, linux::SIGKILL.into()], 3);
    exit(&mut p, 0);
    p
}
