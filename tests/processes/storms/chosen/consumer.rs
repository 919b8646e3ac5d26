//! Who takes completions, and looks into the buffers that they tell.

use super::Shape;
use super::event::{CLEARED, COMPLETED, IS_OVER, LOOKED};
use super::places::{DONE, NOTHING, WORDS};
use crate::library::{
    COMPLETION, SHARED, awhile, end_thread, expect, failed, if_not_zero, if_zero, load, sometimes,
};
use linux_raw_sys::errno::{EINTR, ETIME};
use linux_raw_sys::io_uring;
use processes::instruction::Register::{R8, R12, R13, R14, R15, Rax, Rcx};
use processes::program::{Label, Program};

/// Waits end after so many nanoseconds, since somebody else may have taken what there was.
const AWHILE_NS: u64 = 20_000;

/// Goes on there if all is over.
pub fn if_over(p: &mut Program, there: Label) {
    load(p, Rax, SHARED + DONE as usize);
    if_not_zero(p, Rax, there);
}

/// A function that tells what is in the buffer at r15, and has it hold nothing; r8 is lost.
pub fn look_function(p: &mut Program) -> Label {
    let entry = p.here();
    for word in 0..WORDS as i64 {
        p.read8(R8, R15, 8 * word);
        p.tell(LOOKED, &[R15.into(), R8.into()]);
    }
    p.set(Rcx, NOTHING);
    (0..WORDS as i64).for_each(|word| p.write8(R15, 8 * word, Rcx));
    p.tell(CLEARED, &[R15.into()]);
    p.ret();
    entry
}

/// Takes all completions out of a ring, whose lock is held; in one of so many cases not all, if that is not 0. r8, r12 to r15 are lost.
pub fn take_all(p: &mut Program, shape: &Shape, index: usize, look: Label, cases: i64) {
    let ring = &shape.rings[index];
    let (next, empty, done) = (p.here(), p.label(), p.label());
    ring.if_empty(p, empty);
    ring.take(p);
    p.tell(COMPLETED, &[R13.into(), R14.into(), index.into()]);
    let unchosen = p.label();
    if_zero(p, Rax, unchosen);
    p.set(R15, Rax);
    p.call(look);
    p.put(unchosen);
    if cases > 0 {
        sometimes(p, cases, done);
    }
    p.jump(next);
    p.put(empty);
    // What had no room comes into the ring when somebody asks; so it may have done just now, for somebody who has not got the lock.
    let calm = p.label();
    ring.flush(p, calm);
    p.jump(next);
    p.put(calm);
    ring.if_empty(p, done);
    p.jump(next);
    p.put(done);
}

/// Takes completions until all is over. Not a function: a thread ends with it.
pub fn consumer(p: &mut Program, shape: &Shape, look: Label) -> Label {
    let entry = p.here();
    let over = p.label();
    for (index, ring) in shape.rings.iter().enumerate() {
        ring.lock(p, COMPLETION);
        take_all(p, shape, index, look, 4);
        ring.unlock(p, COMPLETION);
    }
    if_over(p, over);
    wait(p, shape);
    p.jump(entry);
    p.put(over);
    end_thread(p);
    entry
}

/// Takes completions until no request is left. r8, r12 to r15 are lost.
pub fn finish_requests(p: &mut Program, shape: &Shape, look: Label) {
    let (again, done) = (p.here(), p.label());
    for (index, ring) in shape.rings.iter().enumerate() {
        ring.lock(p, COMPLETION);
        take_all(p, shape, index, look, 0);
        ring.unlock(p, COMPLETION);
    }
    p.tell(IS_OVER, &[]);
    if_not_zero(p, Rax, done);
    wait(p, shape);
    p.jump(again);
    p.put(done);
}

/// Waits for a completion, for a while. r12 is lost.
fn wait(p: &mut Program, shape: &Shape) {
    let flags = io_uring::IORING_ENTER_GETEVENTS | io_uring::IORING_ENTER_EXT_ARG;
    let argument = awhile(p, AWHILE_NS);
    p.random(R12, 2);
    p.add_constant(R12, 1);
    shape.rings[0].enter(p, 0, R12, flags, argument);
    expect(p, Rax, &[0, failed(EINTR), failed(ETIME)], 30);
}
