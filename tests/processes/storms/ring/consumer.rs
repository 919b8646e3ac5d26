//! Who waits for completions: consumers, which take them and tell of them, and onlookers.

use super::Shape;
use super::observer::{COMPLETED, COUNTED, DRAIN, OVER, STOP};
use super::places::{COUNTER, DONE, EVENT, RING};
use super::request::Plan;
use super::submitter::submit_some;
use crate::library::{
    COMPLETION, Choice, SHARED, awhile, end_thread, expect, failed, go_to_any, if_not_zero, load, load8,
    mostly, nap, on_error,
};
use linux_raw_sys::errno::{EAGAIN, EINTR, ETIME};
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{R12, R13, R14, Rax, Rcx, Rdx};
use processes::program::{Label, Program};

/// Null operations in the end, for those who still wait: as many as anybody waits for.
const WAKES: usize = 3;

/// Goes on there if all is over.
pub fn if_over(p: &mut Program, there: Label) {
    load(p, Rax, SHARED + DONE as usize);
    if_not_zero(p, Rax, there);
}

/// Waits for more than one completion, and leaves them to others, until all is over.
pub fn onlooker(p: &mut Program, shape: &Shape) -> Label {
    let entry = p.here();
    let over = p.label();
    if_over(p, over);
    shape.ring.enter(p, 0, WAKES, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
    expect(p, Rax, &[0, failed(EINTR)], 48);
    nap(p, 5_000);
    p.jump(entry);
    p.put(over);
    end_thread(p);
    entry
}

/// Takes completions out of the ring and tells of them, and waits for more.
pub fn consumer(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan, submit: Label) -> Label {
    // Of the counter, by who has the lock; and of the ring's eventfd, which nobody looks at.
    let (count, scratch) = (p.data(8), p.data(8));
    let one = p.words(&[1]);
    let entry = p.here();
    let (empty, drain, stop, finish, over) = (p.label(), p.label(), p.label(), p.label(), p.label());
    shape.ring.lock(p, COMPLETION);
    let next = p.here();
    if_over(p, over);
    take_completion(p, choice, shape, empty);
    for (answer, place) in [(DRAIN, drain), (STOP, stop), (OVER, finish)] {
        p.set(Rcx, answer as i64);
        p.if_equal(Rax, Rcx, place);
    }
    mostly(p, 4, next);
    shape.ring.unlock(p, COMPLETION);
    p.jump(entry);

    p.put(drain);
    p.system(linux::__NR_read, &[COUNTER.into(), count.into(), 8.into()]);
    on_error(p, EAGAIN, next);
    expect(p, Rax, &[8], 40);
    load8(p, Rax, count);
    p.tell(COUNTED, &[Rax.into()]);
    p.set(Rcx, STOP as i64);
    p.if_unequal(Rax, Rcx, drain);

    p.put(stop);
    if let Some(stop) = plan.stop {
        submit_some(p, submit, &[plan.all[stop].entry]);
    }
    p.jump(next);

    // The last one has others look: whoever waits for as many as there may be, has them.
    p.put(finish);
    p.set(Rcx, SHARED);
    p.set(Rax, 1);
    p.write4(Rcx, DONE, Rax);
    let wake = |number| [0, 0, 0, 0, (plan.all.len() + number) as u64, 0, 0, 0];
    submit_some(p, submit, &(0..WAKES).map(wake).collect::<Vec<_>>());
    p.put(over);
    shape.ring.unlock(p, COMPLETION);
    p.system(linux::__NR_write, &[EVENT.into(), one.into(), 8.into()]);
    expect(p, Rax, &[8], 41);
    end_thread(p);

    // What had no room comes into the ring when somebody asks.
    p.put(empty);
    shape.ring.unlock(p, COMPLETION);
    let ready = p.label();
    shape.ring.flush(p, ready);
    p.jump(entry);
    p.put(ready);
    wait_somehow(p, choice, shape, scratch, entry);
    entry
}

/// Takes one completion out of the ring, whose lock is held, and tells of it; rax is the answer. Goes on at `empty` if there is none.
pub fn take_completion(p: &mut Program, choice: &mut Choice, shape: &Shape, empty: Label) {
    shape.ring.if_empty(p, empty);
    if choice.below(2) == 0 {
        // Nobody else takes any, so whatever ends a wait for more, there is something to see.
        let plenty = p.label();
        p.random(Rcx, 4);
        p.set(Rdx, 0);
        p.if_unequal(Rcx, Rdx, plenty);
        let flags = io_uring::IORING_ENTER_GETEVENTS | io_uring::IORING_ENTER_EXT_ARG;
        let argument = awhile(p, 2_000);
        shape.ring.enter(p, 0, shape.ring.completions, flags, argument);
        expect(p, Rax, &[0], 43);
        p.put(plenty);
    }
    shape.ring.take(p);
    p.tell(COMPLETED, &[R13.into(), R14.into()]);
}

/// Waits for completions in one of the ways that the seed has, and goes on at `next`.
fn wait_somehow(p: &mut Program, choice: &mut Choice, shape: &Shape, scratch: usize, next: Label) {
    let polled = p.words(&[RING as u64 | u64::from(linux::POLLIN) << 32]);
    let ways: Vec<u64> = (0..1 + choice.below(3)).map(|_| choice.below(4)).collect();
    for (label, way) in go_to_any(p, ways.len()).into_iter().zip(ways) {
        p.put(label);
        match way {
            0 => {
                shape.ring.enter(p, 0, 1, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
                expect(p, Rax, &[0, failed(EINTR)], 44);
            }
            1 => {
                let flags = io_uring::IORING_ENTER_GETEVENTS | io_uring::IORING_ENTER_EXT_ARG;
                let argument = awhile(p, 1_000 + choice.below(20_000));
                p.random(R12, 3);
                p.add_constant(R12, 1);
                shape.ring.enter(p, 0, R12, flags, argument);
                expect(p, Rax, &[0, failed(EINTR), failed(ETIME)], 45);
            }
            2 => {
                p.system(linux::__NR_poll, &[polled.into(), 1.into(), (-1).into()]);
                expect(p, Rax, &[1, failed(EINTR)], 46);
            }
            _ => {
                p.system(linux::__NR_read, &[EVENT.into(), scratch.into(), 8.into()]);
                expect(p, Rax, &[8, failed(EINTR)], 47);
            }
        }
        p.jump(next);
    }
}
