//! Who locks and does one thing and another: changes the lock, takes a second one, asks.

use super::Kind::{self, Open, Process, Whole};
use super::claim::{give_up, inside, take, tell};
use super::family::{hand, refuse, share_with_child};
use super::heir::bequeath;
use super::observer::{ENTER, LEAVE};
use super::range::{ASIDE, FRAME, OTHER, choose_cells, lock, open, record, unlock};
use super::{ROUNDS, Shape};
use crate::library::{Choice, end_thread, expect, failed, go_to_any, if_not_zero, if_zero, sometimes};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rsp};
use processes::program::{Label, Program};

/// What a worker does with a lock.
#[derive(Clone, Copy)]
enum Deed {
    /// It has another mode, or less of it.
    Change(Kind),
    /// It takes a second one.
    Second,
    /// It leaves it to a child.
    Hand(Kind),
    /// It has a child that cannot have it.
    Refuse,
    /// It has a child that waits until it is shared.
    Share(Kind),
    /// It leaves it to a new program.
    Bequeath,
    /// It asks who has one.
    Ask(Kind),
}

/// Locks, and does one thing and another. r12 is a descriptor, r13 how much is left, r14 and r15 are cells, rbx is a mode, rbp
/// who it is.
pub fn worker(p: &mut Program, choice: &mut Choice, shape: &Shape, is_process: bool) -> Label {
    const OF_PROCESS: [Deed; 14] = [
        Deed::Change(Process),
        Deed::Change(Process),
        Deed::Change(Open),
        Deed::Change(Whole),
        Deed::Second,
        Deed::Second,
        Deed::Second,
        Deed::Hand(Open),
        Deed::Hand(Whole),
        Deed::Refuse,
        Deed::Share(Process),
        Deed::Share(Open),
        Deed::Bequeath,
        Deed::Ask(Process),
    ];
    const OF_THREAD: [Deed; 3] = [Deed::Change(Open), Deed::Change(Whole), Deed::Ask(Open)];
    let all: &[Deed] = if is_process { &OF_PROCESS } else { &OF_THREAD };
    let few: Vec<Deed> =
        (0..1 + choice.below(3)).map(|_| all[choice.below(all.len() as u64) as usize]).collect();
    let file = choice.below(shape.files as u64) as usize;
    let other = choice.below(shape.files as u64) as usize;

    let entry = p.here();
    p.add_constant(Rsp, -FRAME);
    open(p, shape.paths[other]);
    p.write8(Rsp, OTHER, R12);
    open(p, shape.paths[file]);
    p.system(linux::__NR_gettid, &[]);
    p.set(Rbp, Rax);
    p.set(R13, ROUNDS);
    let (next, end) = (p.here(), p.label());
    if_zero(p, R13, end);
    p.add_constant(R13, -1);
    choose_cells(p);
    p.random(Rbx, 2);
    for (label, deed) in go_to_any(p, few.len()).into_iter().zip(few) {
        p.put(label);
        match deed {
            Deed::Change(kind) => change(p, shape, file, kind, next),
            Deed::Second => second(p, shape, file, other, next),
            Deed::Hand(kind) => hand(p, shape, file, kind, next),
            Deed::Refuse => refuse(p, shape, file, next),
            Deed::Share(kind) => share_with_child(p, shape, file, kind, next),
            Deed::Bequeath => bequeath(p, shape),
            Deed::Ask(kind) => ask(p, kind),
        }
        p.jump(next);
    }
    p.put(end);
    end_thread(p);
    entry
}

/// Has a lock, which becomes another.
fn change(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let (done, down, middle) = (p.label(), p.label(), p.label());
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    sometimes(p, 4, done);
    if kind == Whole {
        // The old one is gone before there is a new one, or none.
        tell(p, LEAVE, file, kind);
        p.set(Rcx, 1);
        p.subtract(Rcx, Rbx);
        p.set(Rbx, Rcx);
        take(p, shape, file, kind, &[], next);
    } else {
        sometimes(p, 3, middle);
        p.set(Rcx, linux::F_WRLCK);
        p.if_equal(Rbx, Rcx, down);
        // Up. Two open files would wait for each other for ever.
        p.set(Rbx, linux::F_WRLCK);
        let (refused, asked) = (p.label(), p.label());
        if kind == Process {
            let at_once = p.label();
            sometimes(p, 3, at_once);
            lock(p, kind, true);
            expect(p, Rax, &shape.ends_of_wait(&[errno::EDEADLK]), 40);
            p.jump(asked);
            p.put(at_once);
        }
        lock(p, kind, false);
        expect(p, Rax, &[0, failed(errno::EAGAIN)], 41);
        p.put(asked);
        if_not_zero(p, Rax, refused);
        tell(p, ENTER, file, kind);
        inside(p, file, kind);
        p.jump(done);
        p.put(refused);
        p.set(Rbx, linux::F_RDLCK);
        inside(p, file, kind);
        p.jump(done);
        p.put(down);
        p.set(Rbx, linux::F_RDLCK);
        tell(p, ENTER, file, kind);
        lock(p, kind, false);
        expect(p, Rax, &[0], 42);
        inside(p, file, kind);
        p.jump(done);
        // Without one cell, of what may be two ranges then.
        p.put(middle);
        p.write8(Rsp, ASIDE, R15);
        p.write8(Rsp, ASIDE + 8, R14);
        p.if_equal(R14, R15, done);
        p.add_constant(R14, 1);
        p.set(R15, R14);
        tell(p, LEAVE, file, kind);
        unlock(p, kind);
        expect(p, Rax, &[0], 43);
        p.read8(R15, Rsp, ASIDE);
        p.read8(R14, Rsp, ASIDE + 8);
    }
    inside(p, file, kind);
    p.put(done);
    give_up(p, shape, file, kind);
}

/// Has a process's lock, and takes another: circles are possible, and have to be found.
fn second(p: &mut Program, shape: &Shape, file: usize, other: usize, next: Label) {
    let put_aside = [R14, R15, Rbx, R12];
    let refused = p.label();
    take(p, shape, file, Process, &[], next);
    inside(p, file, Process);
    for (index, register) in put_aside.into_iter().enumerate() {
        p.write8(Rsp, ASIDE + 8 * index as i64, register);
    }
    p.read8(R12, Rsp, OTHER);
    choose_cells(p);
    p.random(Rbx, 2);
    if other == file {
        // It may take the place of the first one, and exclude less.
        tell(p, LEAVE, other, Process);
    }
    take(p, shape, other, Process, &[errno::EDEADLK], refused);
    inside(p, other, Process);
    tell(p, LEAVE, other, Process);
    unlock(p, Process);
    expect(p, Rax, &[0], 50);
    p.put(refused);
    for (index, register) in put_aside.into_iter().enumerate() {
        p.read8(register, Rsp, ASIDE + 8 * index as i64);
    }
    give_up(p, shape, file, Process);
}

/// Asks who is in the way.
fn ask(p: &mut Program, kind: Kind) {
    record(p, if kind == Process { linux::F_GETLK } else { linux::F_OFD_GETLK }, Rbx);
    expect(p, Rax, &[0], 90);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[linux::F_RDLCK.into(), linux::F_WRLCK.into(), linux::F_UNLCK.into()], 91);
}
