//! Who is killed with locks.

use super::Kind::{Open, Process, Whole};
use super::Shape;
use super::claim::{take, tell};
use super::family::await_child;
use super::observer::{DOOMED, LEAVE};
use super::range::{choose_cells, lock, open, set_all_cells, unlock};
use crate::library::{Choice, expect, fork, kill, loop_forever, nap, thread_on_new_stack};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{Rax, Rbp, Rbx};
use processes::program::{Label, Program};

/// Has locks of the victims' own file, and takes and gives up others until it is killed.
pub fn victim(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Label {
    let kind = [Process, Open, Whole][choice.below(3) as usize];
    let own = [Process, Open, Whole][choice.below(3) as usize];
    let file = choice.below(shape.files as u64) as usize;
    let has_thread = choice.below(2) == 0;
    let sleeper = p.here();
    loop_forever(p, |p| p.system(linux::__NR_pause, &[]));
    let entry = p.here();
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    if has_thread {
        thread_on_new_stack(p, sleeper);
    }
    open(p, shape.paths[2]);
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    lock(p, own, false);
    expect(p, Rax, &[0], 110);
    open(p, shape.paths[file]);
    loop_forever(p, |p| {
        let lost = p.label();
        choose_cells(p);
        p.random(Rbx, 2);
        take(p, shape, file, kind, &[], lost);
        nap(p, 10_000);
        tell(p, LEAVE, file, kind);
        unlock(p, kind);
        expect(p, Rax, &[0], 111);
        p.put(lost);
    });
    entry
}

/// Makes a victim, kills it, and finds the locks of the victims' own file free; r12 is a descriptor of that.
pub fn kill_one(p: &mut Program, victim: Label) {
    fork(p, victim);
    p.set(Rbx, Rax);
    nap(p, 30_000);
    p.tell(DOOMED, &[Rbx.into(), 0.into(), 0.into()]);
    kill(p, Rbx, linux::SIGKILL);
    await_child(p, i64::from(linux::SIGKILL));
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    for kind in [Whole, Process, Open] {
        lock(p, kind, false);
        expect(p, Rax, &[0], 11);
        unlock(p, kind);
        expect(p, Rax, &[0], 12);
    }
}
