//! Threads that lock through a descriptor which another one puts to other files.

use super::Kind::{Open, Process, Whole};
use super::range::{FRAME, choose_cells, lock, open, unlock};
use super::{ROUNDS, Shape};
use crate::library::{
    Choice, close, end_thread, exit, expect, go_to_any, if_not_zero, join_all, load8, nap, store8, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rsp};
use processes::program::{Label, Program};

/// A process whose threads lock through a descriptor that is put to another open file meanwhile. Nobody claims these locks.
pub fn wild(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Label {
    // Whether the open files have other descriptors, too.
    let keeps = choice.below(2) == 0;
    let kept = [p.data(8), p.data(8)];
    let target = p.data(8);

    let locker = p.here();
    p.add_constant(Rsp, -FRAME);
    p.set(R13, 2 * ROUNDS);
    let again = p.here();
    choose_cells(p);
    p.random(Rbx, 2);
    // A call keeps its open file, which keeps the locks that nobody can give up any more: no ranges, for which others may
    // wait with the ranges for which it waits.
    let all = [Process, Whole, Open];
    let kinds = if keeps { &all[..] } else { &all[..2] };
    let done = p.label();
    for (label, kind) in go_to_any(p, kinds.len()).into_iter().zip(kinds) {
        p.put(label);
        load8(p, R12, target);
        lock(p, *kind, true);
        // A descriptor is closed with its process's locks, and so are those that come too late.
        let more: &[u32] = if *kind == Process { &[errno::EDEADLK, errno::EBADF] } else { &[] };
        expect(p, Rax, &shape.ends_of_wait(more), 100);
        p.work(500);
        for descriptor in if keeps { kept } else { [target, target] } {
            load8(p, R12, descriptor);
            unlock(p, *kind);
            expect(p, Rax, &[0], 101);
        }
        p.jump(done);
    }
    p.put(done);
    p.add_constant(R13, -1);
    if_not_zero(p, R13, again);
    end_thread(p);

    let switcher = p.here();
    for _ in 0..4 {
        for (index, kept) in kept.into_iter().enumerate() {
            nap(p, 5_000);
            if keeps {
                load8(p, R12, kept);
            } else {
                open(p, shape.paths[index % shape.files]);
            }
            load8(p, R14, target);
            p.system(linux::__NR_dup2, &[R12.into(), R14.into()]);
            p.subtract(Rax, R14);
            expect(p, Rax, &[0], 102);
            if !keeps {
                close(p, R12);
            }
        }
    }
    end_thread(p);

    let entry = p.here();
    for (place, path) in [(target, 0), (kept[0], 0), (kept[1], shape.files - 1)] {
        open(p, shape.paths[path]);
        store8(p, place, R12);
    }
    if keeps {
        load8(p, R14, target);
        p.system(linux::__NR_dup2, &[R12.into(), R14.into()]);
    }
    let threads = [locker, locker, switcher].map(|entry| thread(p, entry));
    join_all(p, &threads);
    exit(p, 0);
    entry
}
