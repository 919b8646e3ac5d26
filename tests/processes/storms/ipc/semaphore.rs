//! Semaphores: borrowers, one who waits for zero, those who wait for a set that is removed, and victims.

use super::observer::{BORROWED, DOOMED, RETURNS};
use super::plan::Plan;
use super::{CREATE, REMOVE, keep};
use crate::library::{
    Choice, exit, expect, expect_success, failed, fork, if_zero, kill, load8, loop_forever, maybe_nap, nap,
    on_any_error, on_error, repeat, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, Rax, Rbp, Rbx, Rsp};
use processes::program::{Label, Program};

/// How often each borrower borrows.
const LOANS: i64 = 4;

/// `SEM_UNDO`, `GETVAL` and `SETVAL`.
const UNDO: u32 = 0x1000;
const GET_VALUE: u32 = 12;
const SET_VALUE: u32 = 16;

/// The semaphores of a seed.
pub struct Semaphores {
    /// Where the set's id is, and that of a set that is removed.
    pub sets: [usize; 2],
    /// How many there are to borrow.
    loans: i64,
    borrowers: i64,
    victim: Label,
}

/// Where operations on semaphores are, and how many.
type Operations = (usize, usize);

/// `struct sembuf`s.
fn operations(p: &mut Program, operations: &[(u16, i16, u32)]) -> Operations {
    let bytes: Vec<u8> = operations
        .iter()
        .flat_map(|(number, change, flags)| {
            [number.to_le_bytes(), change.to_le_bytes(), (*flags as u16).to_le_bytes()].concat()
        })
        .collect();
    (p.bytes(&bytes), operations.len())
}

/// Does operations on the set r12, with a time-out or without one, again and again until they are done.
fn operate(p: &mut Program, (operations, count): Operations) {
    let soon = p.words(&[0, 3_000]);
    let (again, timed, done) = (p.here(), p.label(), p.label());
    sometimes(p, 3, timed);
    p.system(linux::__NR_semop, &[R12.into(), operations.into(), count.into()]);
    if_zero(p, Rax, done);
    expect(p, Rax, &[failed(errno::EINTR)], 20);
    p.jump(again);
    p.put(timed);
    p.system(linux::__NR_semtimedop, &[R12.into(), operations.into(), count.into(), soon.into()]);
    if_zero(p, Rax, done);
    expect(p, Rax, &[failed(errno::EINTR), failed(errno::EAGAIN)], 21);
    p.jump(again);
    p.put(done);
}

/// Borrowers, who need one of semaphore 0 and one of semaphore 1 at once; somebody who waits until semaphore 2 is 0, as it is
/// when all borrowers are through; and some who wait for a set that is removed.
pub fn semaphores(p: &mut Program, choice: &mut Choice, plan: &mut Plan, loans: i64) -> Semaphores {
    let sets = [p.data(8), p.data(8)];
    let takes =
        [operations(p, &[(0, -1, UNDO), (1, -1, UNDO)]), operations(p, &[(1, -1, UNDO), (0, -1, UNDO)])];
    let gives = operations(p, &[(0, 1, UNDO), (1, 1, UNDO)]);
    // Somebody needs one of the second kind only, so that there may be one of the first kind alone.
    let (takes_one, gives_one) = (operations(p, &[(1, -1, UNDO)]), operations(p, &[(1, 1, UNDO)]));
    let one_less = operations(p, &[(2, -1, 0)]);
    let zero = operations(p, &[(2, 0, 0)]);
    let never = operations(p, &[(0, -1, 0)]);
    let borrowers = 2 + choice.below(3) as i64;

    for index in 0..borrowers {
        plan.entries.push(p.here());
        introduce(p, sets[0]);
        let (take, give) =
            if index == 0 { (takes_one, gives_one) } else { (takes[index as usize % 2], gives) };
        repeat(p, R13, LOANS, |p| {
            borrow(p, take);
            give_back(p, give);
        });
        operate(p, one_less);
        // Its end gives the last ones back.
        borrow(p, takes[0]);
        p.tell(RETURNS, &[Rbp.into()]);
        exit(p, 0);
    }
    plan.entries.push(p.here());
    load8(p, R12, sets[0]);
    operate(p, zero);
    exit(p, 0);
    for _ in 0..2 {
        plan.entries.push(p.here());
        await_removal(p, sets[1], never);
    }
    let victim = p.here();
    introduce(p, sets[0]);
    loop_forever(p, |p| {
        borrow(p, takes[1]);
        give_back(p, gives);
    });
    Semaphores { sets, loans, borrowers, victim }
}

/// A borrower begins: rbp is who it is, r12 the set.
fn introduce(p: &mut Program, set: usize) {
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    load8(p, R12, set);
}

/// Borrows, and tells of it.
fn borrow(p: &mut Program, takes: Operations) {
    operate(p, takes);
    p.tell(BORROWED, &[Rbp.into()]);
    p.work(500);
    maybe_nap(p, 2, 3_000);
}

/// Tells that it gives back, and does so.
fn give_back(p: &mut Program, (operations, count): Operations) {
    p.tell(RETURNS, &[Rbp.into()]);
    p.system(linux::__NR_semop, &[R12.into(), operations.into(), count.into()]);
    expect(p, Rax, &[0], 22);
}

/// Waits for what nobody gives, until the set is removed.
fn await_removal(p: &mut Program, set: usize, (operations, count): Operations) {
    load8(p, R12, set);
    let (again, removed) = (p.here(), p.label());
    p.system(linux::__NR_semop, &[R12.into(), operations.into(), count.into()]);
    on_any_error(p, &[errno::EIDRM, errno::EINVAL], removed);
    expect(p, Rax, &[failed(errno::EINTR)], 23);
    p.jump(again);
    p.put(removed);
    exit(p, 0);
}

/// Makes the sets, and what there is to borrow.
pub fn set_up_semaphores(p: &mut Program, semaphores: &Semaphores) {
    let Semaphores { sets, loans, borrowers, .. } = semaphores;
    for set in sets {
        p.system(linux::__NR_semget, &[0.into(), 3.into(), (CREATE | 0o600).into()]);
        keep(p, *set);
    }
    load8(p, R12, sets[0]);
    for (number, value) in [(0, *loans), (1, *loans), (2, *borrowers)] {
        p.system(linux::__NR_semctl, &[R12.into(), number.into(), SET_VALUE.into(), value.into()]);
        expect(p, Rax, &[0], 24);
    }
}

/// All is there again that there was to borrow, and the set is removed.
pub fn expect_all_back(p: &mut Program, semaphores: &Semaphores) {
    let loans = semaphores.loans;
    load8(p, R12, semaphores.sets[0]);
    for (number, value) in [(0, loans), (1, loans), (2, 0)] {
        p.system(linux::__NR_semctl, &[R12.into(), number.into(), GET_VALUE.into()]);
        expect(p, Rax, &[value], 28);
    }
    remove_set(p);
}

/// Removes the set r12.
pub fn remove_set(p: &mut Program) {
    p.system(linux::__NR_semctl, &[R12.into(), 0.into(), REMOVE.into()]);
    expect(p, Rax, &[0], 29);
}

/// Makes a borrower that is killed.
pub fn kill_one(p: &mut Program, semaphores: &Semaphores) {
    fork(p, semaphores.victim);
    p.set(Rbx, Rax);
    nap(p, 20_000);
    p.tell(DOOMED, &[Rbx.into()]);
    kill(p, Rbx, linux::SIGKILL);
    let again = p.here();
    p.system(linux::__NR_wait4, &[Rbx.into(), Rsp.into(), 0.into(), 0.into()]);
    on_error(p, errno::EINTR, again);
    expect_success(p, Rax, 26);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[linux::SIGKILL.into()], 27);
}
