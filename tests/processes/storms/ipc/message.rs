//! A System V queue: senders, and receivers by kind.

use super::observer::ARRIVED;
use super::plan::{EACH, MESSAGES, Plan, one_more};
use super::{CREATE, REMOVE, keep};
use crate::library::{
    Choice, SHARED, exit, expect, failed, if_zero, load, load8, nap, on_any_error, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rcx, Rsi};
use processes::program::{Operand, Program};

/// `IPC_NOWAIT`, `MSG_NOERROR` and `MSG_EXCEPT`.
const NO_WAIT: u32 = 0o4000;
const CUT: u32 = 0o10000;
const EXCEPT: u32 = 0o20000;

/// Bytes of a message: three of them fill a queue.
const LONG: usize = 5_000;

/// Messages of two kinds. The receiver of the last one removes the queue, for which all others wait by then. Says where the
/// queue's id is.
pub fn messages(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> usize {
    let queue = p.data(8);
    let buffer = p.data(LONG + 8);
    let senders = 1 + choice.below(3) as i64;
    let total = senders * EACH;
    for sender in 0..senders {
        plan.entries.push(p.here());
        load8(p, R12, queue);
        for number in plan.send(MESSAGES, sender) {
            let (again, sent) = (p.label(), p.label());
            nap(p, 2_000);
            p.set(Rcx, buffer);
            p.set(Rax, 1 + choice.below(2) as i64);
            p.write8(Rcx, 0, Rax);
            p.set(Rax, number);
            p.write8(Rcx, 8, Rax);
            p.put(again);
            p.system(linux::__NR_msgsnd, &[R12.into(), buffer.into(), LONG.into(), 0.into()]);
            if_zero(p, Rax, sent);
            expect(p, Rax, &[failed(errno::EINTR)], 30);
            p.jump(again);
            p.put(sent);
        }
        exit(p, 0);
    }
    // Each kind has somebody who wants it.
    let wants: [(i64, u32); 7] = [(1, 0), (2, 0), (0, 0), (-2, 0), (1, EXCEPT), (2, EXCEPT), (0, 0)];
    let some = 2 + choice.below(4) as usize;
    for (kind, flags) in wants.into_iter().take(some) {
        plan.entries.push(p.here());
        load8(p, R12, queue);
        let (again, waits, received, gone, last) = (p.here(), p.label(), p.label(), p.label(), p.label());
        sometimes(p, 2, waits);
        // One that is too long stays.
        let at_once: [Operand; 5] =
            [R12.into(), buffer.into(), 16.into(), kind.into(), (flags | NO_WAIT).into()];
        p.system(linux::__NR_msgrcv, &at_once);
        on_any_error(p, &[errno::EINVAL, errno::EIDRM], gone);
        expect(p, Rax, &[failed(errno::E2BIG), failed(errno::ENOMSG)], 31);
        p.put(waits);
        let patient: [Operand; 5] = [R12.into(), buffer.into(), 16.into(), kind.into(), (flags | CUT).into()];
        p.system(linux::__NR_msgrcv, &patient);
        p.set(Rcx, 16);
        p.if_equal(Rax, Rcx, received);
        on_any_error(p, &[errno::EINVAL, errno::EIDRM], gone);
        expect(p, Rax, &[failed(errno::EINTR)], 32);
        p.jump(again);
        p.put(received);
        load8(p, Rsi, buffer + 8);
        p.tell(ARRIVED, &[MESSAGES.into(), Rsi.into()]);
        if kind > 0 {
            load8(p, Rax, buffer);
            expect(p, Rax, &[if flags == 0 { kind } else { 3 - kind }], 33);
        }
        one_more(p, MESSAGES, total, last, again);
        p.put(last);
        p.system(linux::__NR_msgctl, &[R12.into(), REMOVE.into(), 0.into()]);
        expect(p, Rax, &[0], 34);
        p.put(gone);
        load(p, Rax, SHARED + MESSAGES as usize);
        expect(p, Rax, &[total], 35);
        exit(p, 0);
    }
    queue
}

/// Makes the queue.
pub fn set_up_messages(p: &mut Program, queue: usize) {
    p.system(linux::__NR_msgget, &[0.into(), (CREATE | 0o600).into()]);
    keep(p, queue);
}
