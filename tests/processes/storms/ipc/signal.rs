//! Signals, each for somebody: queued ones that threads read or await, and those that each thread handles.

use super::observer::ARRIVED;
use super::plan::{EACH, HANDLED, Plan, SIGNALS, one_more};
use super::{FRAME, keep};
use crate::library::{
    Choice, bit, change_mask, either, end_thread, exit, expect, failed, finish_all, fork, handle_alone,
    if_not_zero, kill, load8, maybe_nap, nap, repeat, sometimes, start_all,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, Rax, Rbx, Rcx, Rdi, Rsi, Rsp};
use processes::program::{Label, Program};

/// The first queued signal, and `SI_QUEUE`.
const SIGNAL: u32 = 40;
const QUEUED: i64 = -1;

/// Waits until as many have come here; `ended` is not zero from then on.
fn meet(p: &mut Program, way: i64, threads: i64, ended: usize) {
    let (last, look, gone) = (p.label(), p.label(), p.label());
    p.set(Rbx, ended);
    one_more(p, way, threads, last, look);
    p.put(last);
    p.set(Rax, 1);
    p.write4(Rbx, 0, Rax);
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAKE.into(), 1_000.into()]);
    p.put(look);
    p.read4(Rax, Rbx, 0);
    if_not_zero(p, Rax, gone);
    await_end(p);
    p.jump(look);
    p.put(gone);
}

/// Waits while the word rbx is zero, or not so long.
fn await_end(p: &mut Program) {
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAIT.into(), 0.into(), 0.into()]);
    expect(p, Rax, &[0, failed(errno::EAGAIN), failed(errno::EINTR)], 62);
}

/// A process with a signal for each of its threads. A handler blocks all of them and waits for the others, so each thread has to
/// take one. Sometimes a thread blocks them for a while; and a few more do so for ever after a moment.
pub fn handlers(p: &mut Program, choice: &mut Choice, plan: &mut Plan) {
    let threads = 2 + choice.below(3) as u32;
    let mask = (0..threads).map(|index| bit(SIGNAL + index)).sum();
    let set = p.words(&[mask]);
    let (process, ended) = (p.data(8), p.data(8));

    let handler = p.here();
    p.set(Rsi, Rdi);
    p.tell(ARRIVED, &[HANDLED.into(), Rsi.into()]);
    meet(p, HANDLED, threads.into(), ended);
    p.ret();

    let taker = p.here();
    change_mask(p, linux::SIG_UNBLOCK, set);
    p.set(Rbx, ended);
    let (again, sleeps, blocks, gone) = (p.here(), p.label(), p.label(), p.label());
    p.read4(Rax, Rbx, 0);
    if_not_zero(p, Rax, gone);
    sometimes(p, 3, sleeps);
    sometimes(p, 2, blocks);
    await_end(p);
    p.jump(again);
    p.put(sleeps);
    nap(p, 2_000);
    p.jump(again);
    p.put(blocks);
    change_mask(p, linux::SIG_BLOCK, set);
    p.work(300);
    change_mask(p, linux::SIG_UNBLOCK, set);
    p.jump(again);
    p.put(gone);
    end_thread(p);

    let shy = p.here();
    change_mask(p, linux::SIG_UNBLOCK, set);
    nap(p, 6_000);
    change_mask(p, linux::SIG_BLOCK, set);
    p.set(Rbx, ended);
    let (look, over) = (p.here(), p.label());
    p.read4(Rax, Rbx, 0);
    if_not_zero(p, Rax, over);
    await_end(p);
    p.jump(look);
    p.put(over);
    end_thread(p);

    let sender = p.here();
    load8(p, R12, process);
    for index in 0..threads {
        plan.numbers.insert((HANDLED as u64, u64::from(SIGNAL + index)));
        maybe_nap(p, 2, 3_000);
        kill(p, R12, SIGNAL + index);
    }
    exit(p, 0);

    plan.entries.push(p.here());
    change_mask(p, linux::SIG_BLOCK, set);
    p.system(linux::__NR_getpid, &[]);
    keep(p, process);
    for index in 0..threads {
        handle_alone(p, SIGNAL + index, handler, 0, mask);
    }
    fork(p, sender);
    let entries: Vec<Label> = [shy; 4].into_iter().chain((0..threads).map(|_| taker)).collect();
    let threads = start_all(p, false, &entries);
    finish_all(p, &threads);
    exit(p, 0);
}

/// Waits for one of these signals, whose `siginfo_t` is at rsp then.
fn await_signal(p: &mut Program, set: usize, time: usize) {
    p.system(linux::__NR_rt_sigtimedwait, &[set.into(), Rsp.into(), time.into(), 8.into()]);
}

/// A process whose threads read or await queued signals, as many as are sent to it, and stay until all have theirs.
pub fn signals(p: &mut Program, choice: &mut Choice, plan: &mut Plan) {
    /// `si_value`, and `ssi_int`.
    const VALUE: i64 = 24;
    const READ_VALUE: i64 = 44;
    let set = p.words(&[bit(SIGNAL)]);
    let (file, process, ended) = (p.data(8), p.data(8), p.data(8));
    let soon = p.words(&[0, 4_000]);
    let takers = 2 + choice.below(2) as i64;
    let info = p.data(128);

    let entries: Vec<Label> = (0..takers)
        .map(|_| {
            let reads = choice.below(2) == 0;
            let entry = p.here();
            p.add_constant(Rsp, -FRAME);
            repeat(p, R13, EACH, |p| {
                let again = p.here();
                if reads {
                    load8(p, R12, file);
                    p.system(linux::__NR_read, &[R12.into(), Rsp.into(), 128.into()]);
                    expect(p, Rax, &plan.ends(128, &[]), 60);
                    p.set(Rcx, 128);
                    p.if_unequal(Rax, Rcx, again);
                    p.read4(Rsi, Rsp, READ_VALUE);
                } else {
                    either(p, 2, |p| await_signal(p, set, soon), |p| await_signal(p, set, 0));
                    let results = [SIGNAL.into(), failed(errno::EINTR), failed(errno::EAGAIN)];
                    expect(p, Rax, &results, 61);
                    p.set(Rcx, SIGNAL);
                    p.if_unequal(Rax, Rcx, again);
                    p.read4(Rsi, Rsp, VALUE);
                }
                p.tell(ARRIVED, &[SIGNALS.into(), Rsi.into()]);
            });
            // It stays, and so hands nothing on by its end.
            meet(p, SIGNALS, takers, ended);
            end_thread(p);
            entry
        })
        .collect();

    let sender = p.here();
    load8(p, R12, process);
    for taker in 0..takers {
        for number in plan.send(SIGNALS, taker) {
            maybe_nap(p, 2, 3_000);
            p.set(Rcx, info);
            p.set(Rax, SIGNAL);
            p.write4(Rcx, 0, Rax);
            p.set(Rax, QUEUED);
            p.write4(Rcx, 8, Rax);
            p.set(Rax, number);
            p.write8(Rcx, VALUE, Rax);
            p.system(linux::__NR_rt_sigqueueinfo, &[R12.into(), SIGNAL.into(), info.into()]);
            expect(p, Rax, &[0], 63);
        }
    }
    exit(p, 0);

    plan.entries.push(p.here());
    change_mask(p, linux::SIG_BLOCK, set);
    p.system(linux::__NR_signalfd4, &[(-1).into(), set.into(), 8.into(), 0.into()]);
    keep(p, file);
    p.system(linux::__NR_getpid, &[]);
    keep(p, process);
    fork(p, sender);
    let threads = start_all(p, false, &entries);
    finish_all(p, &threads);
    exit(p, 0);
}
