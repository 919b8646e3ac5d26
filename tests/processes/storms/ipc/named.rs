//! A queue that has a name: senders, receivers with time-outs, and one who is notified.

use super::FRAME;
use super::observer::ARRIVED;
use super::plan::{EACH, NAMED, Plan, one_more};
use crate::library::{
    Choice, bit, change_mask, exit, expect, expect_success, failed, if_zero, nap, on_error, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx, Rdx, Rsi, Rsp};
use processes::program::{Label, Program};

/// The number of a message that says that there will be no more.
const LAST: i64 = 0;

/// Makes the queue of a name.
pub fn set_up_named(p: &mut Program, name: usize) {
    open_named(p, name, linux::O_CREAT | linux::O_RDWR);
    p.system(linux::__NR_close, &[R12.into()]);
}

/// Opens the queue of a name, whose descriptor is in r12 then. It holds two messages.
fn open_named(p: &mut Program, name: usize, flags: u32) {
    let attributes = p.words(&[0, 2, 16, 0, 0, 0, 0, 0]);
    p.system(linux::__NR_mq_open, &[name.into(), flags.into(), 0o600.into(), attributes.into()]);
    expect_success(p, Rax, 40);
    p.set(R12, Rax);
}

/// Sets the time at rsp + 16 to soon.
fn set_soon(p: &mut Program) {
    let fine = p.label();
    p.set(Rsi, Rsp);
    p.add_constant(Rsi, 16);
    p.system(linux::__NR_clock_gettime, &[linux::CLOCK_REALTIME.into(), Rsi.into()]);
    p.read8(Rdx, Rsp, 24);
    p.random(Rax, 6_000);
    p.add(Rdx, Rax);
    p.set(Rcx, 1_000_000_000);
    p.if_less(Rdx, Rcx, fine);
    p.subtract(Rdx, Rcx);
    p.read8(Rax, Rsp, 16);
    p.add_constant(Rax, 1);
    p.write8(Rsp, 16, Rax);
    p.put(fine);
    p.write8(Rsp, 24, Rdx);
}

/// Sends or receives the message at rsp by the queue r12, with a time-out or without one, until that is done.
fn transfer(p: &mut Program, plan: &Plan, call: u32, done: i64) {
    let (again, timed, over) = (p.here(), p.label(), p.label());
    sometimes(p, 2, timed);
    p.system(call, &[R12.into(), Rsp.into(), 16.into(), 0.into(), 0.into()]);
    expect(p, Rax, &plan.ends(done, &[]), 41);
    p.set(Rcx, done);
    p.if_equal(Rax, Rcx, over);
    p.jump(again);
    p.put(timed);
    set_soon(p);
    p.set(R14, Rsp);
    p.add_constant(R14, 16);
    p.system(call, &[R12.into(), Rsp.into(), 16.into(), 0.into(), R14.into()]);
    expect(p, Rax, &plan.ends(done, &[errno::ETIMEDOUT]), 42);
    p.set(Rcx, done);
    p.if_unequal(Rax, Rcx, again);
    p.put(over);
}

/// Sends the number in rax by the queue r12.
fn send(p: &mut Program, plan: &Plan) {
    p.write8(Rsp, 0, Rax);
    transfer(p, plan, linux::__NR_mq_timedsend, 0);
}

/// Tells of the message at rsp. The receiver of the last one sends one that all pass on.
fn note(p: &mut Program, plan: &Plan, total: i64, next: Label, end: Label) {
    let (last, passes) = (p.label(), p.label());
    p.read8(Rsi, Rsp, 0);
    p.set(Rcx, LAST);
    p.if_equal(Rsi, Rcx, passes);
    p.tell(ARRIVED, &[NAMED.into(), Rsi.into()]);
    one_more(p, NAMED, total, last, next);
    p.put(last);
    p.put(passes);
    p.set(Rax, LAST);
    send(p, plan);
    p.jump(end);
}

/// A queue by its name: senders, receivers who wait, and maybe a process that is notified of what comes while nobody waits.
/// Says where the name is.
pub fn named(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> usize {
    let name = p.string("queue");
    let senders = 1 + choice.below(3) as i64;
    let total = senders * EACH;
    for sender in 0..senders {
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_WRONLY);
        for number in plan.send(NAMED, sender) {
            nap(p, 4_000);
            p.set(Rax, number);
            send(p, plan);
        }
        exit(p, 0);
    }
    let is_notified = choice.below(3) != 0;
    for _ in 0..choice.below(3) + u64::from(!is_notified) {
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_RDWR);
        // What one who is notified does not leave to others for ever.
        p.set(R13, if is_notified { 3 } else { total });
        let (next, end) = (p.here(), p.label());
        if_zero(p, R13, end);
        p.add_constant(R13, -1);
        transfer(p, plan, linux::__NR_mq_timedreceive, 16);
        note(p, plan, total, next, end);
        p.put(end);
        exit(p, 0);
    }
    if is_notified {
        // Asks for a notice, then empties the queue: whatever comes later is told of.
        let set = p.words(&[bit(linux::SIGUSR2)]);
        let event = p.words(&[0, u64::from(linux::SIGUSR2), 0, 0, 0, 0, 0, 0]);
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_RDWR);
        p.set(Rbx, R12);
        open_named(p, name, linux::O_RDWR | linux::O_NONBLOCK);
        change_mask(p, linux::SIG_BLOCK, set);
        let (asks, next, wait, end) = (p.here(), p.label(), p.label(), p.label());
        p.system(linux::__NR_mq_notify, &[R12.into(), event.into()]);
        expect(p, Rax, &[0], 44);
        p.put(next);
        p.system(linux::__NR_mq_timedreceive, &[R12.into(), Rsp.into(), 16.into(), 0.into(), 0.into()]);
        on_error(p, errno::EAGAIN, wait);
        expect(p, Rax, &[16], 45);
        p.set(R13, R12);
        p.set(R12, Rbx);
        let back = p.label();
        note(p, plan, total, back, end);
        p.put(back);
        p.set(R12, R13);
        p.jump(next);
        p.put(wait);
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), 0.into(), 8.into()]);
        expect(p, Rax, &[linux::SIGUSR2.into(), failed(errno::EINTR)], 46);
        p.set(Rcx, linux::SIGUSR2);
        p.if_equal(Rax, Rcx, asks);
        p.jump(wait);
        p.put(end);
        exit(p, 0);
    }
    name
}
