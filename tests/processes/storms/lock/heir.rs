//! A lock that a process leaves to the program that it executes.

use super::Kind::Process;
use super::Shape;
use super::claim::{take, tell};
use super::family::await_child;
use super::observer::LEAVE;
use super::range::{FRAME, PROCESS, open, record, set_all_cells, unlock};
use crate::library::{execute, exit, expect, fork, loop_forever, sometimes, thread_on_new_stack};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rbp, Rbx, Rsp};
use processes::program::Program;

/// Where the heir of a lock finds its file.
const INHERITED: i32 = 20;

/// Has a child that executes a program, with a lock of the first file.
pub fn bequeath(p: &mut Program, shape: &Shape) {
    let (child, alone, sleeper, given_up, after) = (p.label(), p.label(), p.label(), p.label(), p.label());
    fork(p, child);
    p.set(Rbx, Rax);
    await_child(p, 0);
    p.jump(after);
    p.put(child);
    // The program does not handle the signals that are sent to the group.
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    expect(p, Rax, &[0], 79);
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    open(p, shape.paths[0]);
    p.system(linux::__NR_dup2, &[R12.into(), INHERITED.into()]);
    expect(p, Rax, &[INHERITED.into()], 80);
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    take(p, shape, 0, Process, &[], given_up);
    sometimes(p, 3, alone);
    thread_on_new_stack(p, sleeper);
    p.put(alone);
    execute(p, "/heir");
    p.put(sleeper);
    loop_forever(p, |p| p.system(linux::__NR_pause, &[]));
    p.put(given_up);
    exit(p, 0);
    p.put(after);
}

/// Has all cells of a file that it has inherited, as an open file's lock is told.
pub fn program() -> Program {
    let mut p = Program::new();
    let exits = p.label();
    p.add_constant(Rsp, -FRAME);
    p.set(R12, INHERITED);
    set_all_cells(&mut p);
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    p.set(Rbx, linux::F_WRLCK);
    p.work(1_000);
    record(&mut p, linux::F_OFD_GETLK, linux::F_WRLCK);
    expect(&mut p, Rax, &[0], 82);
    p.read4(Rax, Rsp, 0);
    expect(&mut p, Rax, &[linux::F_WRLCK.into()], 83);
    p.read4(Rax, Rsp, PROCESS);
    p.subtract(Rax, Rbp);
    expect(&mut p, Rax, &[0], 84);
    tell(&mut p, LEAVE, 0, Process);
    sometimes(&mut p, 2, exits);
    unlock(&mut p, Process);
    expect(&mut p, Rax, &[0], 85);
    p.put(exits);
    exit(&mut p, 0);
    p
}
