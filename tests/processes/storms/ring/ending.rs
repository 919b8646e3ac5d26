//! How a run comes to its end: all is told, or it is cut short.

use super::consumer::{if_over, take_completion};
use super::feeder::read_narrow;
use super::observer::{END, READ};
use super::places::{DRY, NARROW, PAGE, SEMAPHORE, TOKENS};
use super::program::Functions;
use super::request::Plan;
use super::setup::set_up;
use super::submitter::submit_batches;
use super::{Ending, Shape};
use crate::library::{
    Choice, Thread, close, collect_children, execute, exit, expect, expect_success, fork, interrupt_all,
    join_all, kill, load, loop_forever, nap, on_error, start_all, thread,
};
use linux_raw_sys::errno::EAGAIN;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{Rax, Rbx};
use processes::program::{Label, Program};

/// Starts all, and waits until everything has been told.
pub fn end_orderly(p: &mut Program, choice: &mut Choice, shape: &Shape, entries: &[Label]) {
    let threads = start_all(p, shape.as_processes, entries);
    let (bystander, after) = (p.label(), p.label());
    for _ in 0..choice.below(4) {
        interrupt_all(p, 20_000);
    }
    // A child that has the ring, too, and ends.
    fork(p, bystander);
    p.jump(after);
    p.put(bystander);
    exit(p, 0);
    p.put(after);
    let pause = p.words(&[0, 200_000]);
    let (waiting, done) = (p.here(), p.label());
    if_over(p, done);
    p.system(linux::__NR_nanosleep, &[pause.into(), 0.into()]);
    p.jump(waiting);
    p.put(done);
    join_all(p, &threads);
    if !shape.as_processes {
        // Nothing else is told; and where others may still wait, what wakes them is theirs.
        let (next, empty) = (p.here(), p.label());
        take_completion(p, choice, shape, empty);
        p.jump(next);
        p.put(empty);
    }
    shape.ring.close(p);
    close(p, NARROW[1]);
    collect_children(p);
    let buffer = p.data(8);
    for (index, file) in [TOKENS[0], SEMAPHORE].into_iter().enumerate() {
        p.system(linux::__NR_fcntl, &[file.into(), linux::F_SETFL.into(), linux::O_NONBLOCK.into()]);
        expect(p, Rax, &[0], 60);
        let (again, drained) = (p.here(), p.label());
        p.system(linux::__NR_read, &[file.into(), buffer.into(), 8.into()]);
        on_error(p, EAGAIN, drained);
        expect_success(p, Rax, 61);
        if file == SEMAPHORE {
            p.set(Rax, 1);
        }
        p.tell(READ, &[index.into(), Rax.into()]);
        p.jump(again);
        p.put(drained);
    }
    p.tell(END, &[]);
    exit(p, 0);
}

/// Has a child begin all, and not go on to the end.
pub fn end_abruptly(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    ending: Ending,
    (plan, functions): (&Plan, Functions),
    entries: &[Label],
    leaving: usize,
) {
    let victim = p.label();
    let (buffer, status) = (p.data(PAGE), p.data(8));
    fork(p, victim);
    p.set(Rbx, Rax);
    close(p, NARROW[1]);
    if ending == Ending::Kill {
        nap(p, 100_000);
        kill(p, Rbx, linux::SIGKILL);
    }
    // No request has the pipe open.
    read_narrow(p, buffer);
    p.system(linux::__NR_write, &[DRY[1].into(), buffer.into(), 1.into()]);
    expect(p, Rax, &[1], 71);
    p.system(linux::__NR_wait4, &[Rbx.into(), status.into(), 0.into(), 0.into()]);
    expect_success(p, Rax, 72);
    load(p, Rax, status);
    expect(p, Rax, &[if ending == Ending::Kill { linux::SIGKILL.into() } else { 0 }], 73);
    exit(p, 0);

    p.put(victim);
    set_up(p, shape);
    let mut threads: Vec<Thread> = Vec::new();
    if ending == Ending::Close {
        for batches in &plan.batches {
            submit_batches(p, choice, shape, plan, batches, functions.submit);
        }
    } else {
        threads.extend(entries.iter().map(|entry| thread(p, *entry)));
    }
    nap(p, 60_000);
    match ending {
        Ending::Execute => execute(p, "/next"),
        Ending::Kill => loop_forever(p, |p| p.system(linux::__NR_pause, &[])),
        Ending::Close => shape.ring.close(p),
        Ending::Leave => join_all(p, &threads[..leaving]),
        Ending::Exit | Ending::Orderly => exit(p, 0),
    }
    if ending == Ending::Close || leaving == plan.batches.len() {
        close(p, NARROW[1]);
        p.system(linux::__NR_read, &[DRY[0].into(), buffer.into(), 1.into()]);
        expect(p, Rax, &[1], 75);
    }
    exit(p, 0);
}
