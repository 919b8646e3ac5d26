//! Locks and children: who has one when a process forks.

use super::Kind::{self, Process};
use super::Shape;
use super::claim::{give_up, inside, take, tell};
use super::observer::{ENTER, LEAVE};
use super::range::{ASIDE, PROCESS, STATUS, lock, open, record, unlock};
use crate::library::{close, exit, expect, expect_success, failed, fork, if_zero, nap, on_error, sometimes};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rbp, Rbx, Rcx, Rdx, Rsp};
use processes::program::{Label, Program};

/// Waits for the child rbx, which has to end with this status; rdx is lost.
pub fn await_child(p: &mut Program, status: i64) {
    p.set(Rdx, Rsp);
    p.add_constant(Rdx, STATUS);
    let again = p.here();
    p.system(linux::__NR_wait4, &[Rbx.into(), Rdx.into(), 0.into(), 0.into()]);
    // The register is another operand's, too.
    p.set(Rdx, Rsp);
    p.add_constant(Rdx, STATUS);
    on_error(p, errno::EINTR, again);
    expect_success(p, Rax, 13);
    p.read4(Rax, Rsp, STATUS);
    expect(p, Rax, &[status], 14);
}

/// Has an open file's lock, and leaves the open file to a child.
pub fn hand(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let (child, exits) = (p.label(), p.label());
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    fork(p, child);
    p.set(Rbx, Rax);
    close(p, R12);
    open(p, shape.paths[file]);
    await_child(p, 0);
    p.jump(next);
    p.put(child);
    inside(p, file, kind);
    tell(p, LEAVE, file, kind);
    sometimes(p, 2, exits);
    unlock(p, kind);
    expect(p, Rax, &[0], 61);
    p.put(exits);
    exit(p, 0);
}

/// Has a process's lock, which a child does not have, and does not take with it.
pub fn refuse(p: &mut Program, shape: &Shape, file: usize, next: Label) {
    let (child, shared) = (p.label(), p.label());
    take(p, shape, file, Process, &[], next);
    p.write8(Rsp, ASIDE, Rbx);
    fork(p, child);
    p.write8(Rsp, ASIDE + 8, Rax);
    inside(p, file, Process);
    p.read8(Rbx, Rsp, ASIDE + 8);
    await_child(p, 0);
    p.read8(Rbx, Rsp, ASIDE);
    inside(p, file, Process);
    give_up(p, shape, file, Process);
    p.jump(next);
    p.put(child);
    record(p, linux::F_SETLK, linux::F_WRLCK);
    expect(p, Rax, &[failed(errno::EAGAIN)], 70);
    record(p, linux::F_GETLK, linux::F_WRLCK);
    expect(p, Rax, &[0], 71);
    // Who else has a shared one may be named instead.
    p.set(Rcx, linux::F_RDLCK);
    p.if_equal(Rbx, Rcx, shared);
    p.read4(Rax, Rsp, PROCESS);
    p.subtract(Rax, Rbp);
    expect(p, Rax, &[0], 72);
    p.put(shared);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[i64::from(linux::F_RDLCK), i64::from(linux::F_WRLCK)], 73);
    close(p, R12);
    exit(p, 0);
}

/// Has a lock for itself, and shares it with a child, which ends before it is given up.
pub fn share_with_child(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let child = p.label();
    p.set(Rbx, linux::F_WRLCK);
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    fork(p, child);
    p.write8(Rsp, ASIDE, Rax);
    nap(p, 6_000);
    p.set(Rbx, linux::F_RDLCK);
    tell(p, ENTER, file, kind);
    lock(p, kind, false);
    expect(p, Rax, &[0], 75);
    p.read8(Rbx, Rsp, ASIDE);
    await_child(p, 0);
    p.set(Rbx, linux::F_RDLCK);
    inside(p, file, kind);
    give_up(p, shape, file, kind);
    p.jump(next);
    p.put(child);
    open(p, shape.paths[file]);
    p.set(Rbx, linux::F_RDLCK);
    let (again, shared) = (p.here(), p.label());
    lock(p, kind, true);
    expect(p, Rax, &shape.ends_of_wait(&[]), 76);
    if_zero(p, Rax, shared);
    p.jump(again);
    p.put(shared);
    exit(p, 0);
}
